"""The emitter: no fence before the broker has every receipt below it, none lost, none out of order."""

import asyncio
import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.registry import Registry
from app.decode.evidence import EvidenceDecoder
from app.model import EvidenceKind, RawBatch, RawRecord
from cdc_receipts.emitter import (
    RETRY_S,
    BlockedError,
    BrokenError,
    ClosedError,
    ReceiptEmitter,
    UndeliveredError,
    _config,
)

IDS = {"DeliveryReceipt": 1, "DeliveryReceiptBatch": 2, "SinkMark": 3}
SOURCE = ("shop.orders", 0)


class FakeProducer:
    """Takes records and acknowledges them when the test says so."""

    def __init__(self):
        self.records = []
        self.waiting = []

    def produce(self, topic, value, partition, on_delivery):
        self.records.append((partition, value))
        self.waiting.append(on_delivery)

    def acknowledge(self, error=None):
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(error, None)

    def poll(self, _):
        return 0

    def flush(self, _):
        self.acknowledge()
        return 0


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def made():
    clock, producer = Clock(), FakeProducer()
    emitter = ReceiptEmitter(
        "warehouse", "receipts", schema_ids=IDS, producer=producer, clock=clock, wall_ms=lambda: 1_000, linger_s=0.1
    )
    emitter._stopped.set()  # the test pumps by hand
    emitter._thread.join()
    return emitter, producer, clock


def rows_of(values):
    """Every row of evidence as (kind, offset), in order."""
    with EmbeddedRegistry() as embedded:
        registry = Registry(embedded.url)
        asyncio.run(registry.register(__import__("cdc_receipts").SCHEMAS))
        asyncio.run(registry.fetch(IDS.values()))
    records = [RawRecord(offset, 0, None, value) for offset, value in enumerate(values)]
    batch = EvidenceDecoder(registry).decode(RawBatch.of("receipts", 0, records, 0, len(records)))
    assert batch.unreadable == []
    return [(EvidenceKind(int(kind)).name, int(at)) for kind, at in zip(batch.kinds, batch.offsets, strict=True)]


def test_no_fence_goes_out_before_the_receipts_below_it_are_acknowledged(made):
    emitter, producer, clock = made
    for offset in range(3):
        emitter.applied(*SOURCE, offset)
    emitter.progress(*SOURCE, 3)
    clock.now = 1.0
    emitter.pump()

    assert rows_of(value for _, value in producer.records) == [("RECEIPT", 0), ("RECEIPT", 1), ("RECEIPT", 2)]
    assert emitter.safe_to_commit(*SOURCE) is None

    producer.acknowledge()
    emitter.pump()

    assert rows_of(value for _, value in producer.records)[3:] == [("PROGRESS", 3), ("FENCE", 3)]
    assert emitter.safe_to_commit(*SOURCE) == 3


def test_receipts_after_a_progress_do_not_hold_its_fence_back(made):
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 0)
    emitter.progress(*SOURCE, 1)
    clock.now = 1.0
    emitter.pump()
    producer.acknowledge()
    emitter.applied(*SOURCE, 1)
    emitter.pump()

    assert emitter.safe_to_commit(*SOURCE) == 1


def test_a_delivery_that_fails_for_good_is_sent_again_in_its_order_and_nothing_fences_it(made):
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 0, sequence=1)
    emitter.applied(*SOURCE, 1, sequence=2)
    emitter.progress(*SOURCE, 2)
    clock.now = 1.0
    emitter.pump()
    producer.acknowledge(error="timed out")
    producer.records.clear()

    emitter.pump()

    assert producer.records == []

    clock.now += RETRY_S
    emitter.pump()

    assert rows_of(value for _, value in producer.records) == [("RECEIPT", 0), ("RECEIPT", 1)]
    assert emitter.safe_to_commit(*SOURCE) is None
    assert emitter.errors == 2

    producer.acknowledge()
    emitter.pump()

    assert emitter.safe_to_commit(*SOURCE) == 2


def test_what_a_batch_can_not_hold_goes_out_by_itself_in_its_place(made):
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 5, fingerprint=bytes(8))
    emitter.applied(*SOURCE, 4, fingerprint=bytes(8))
    emitter.rejected(*SOURCE, 6, "E1", "refused")
    emitter.deleted(*SOURCE, 7)
    emitter.skipped(*SOURCE, 8, command_id="c")
    clock.now = 1.0
    emitter.pump()

    assert rows_of(value for _, value in producer.records) == [("RECEIPT", offset) for offset in (5, 4, 6, 7, 8)]
    assert len(producer.records) == 4


def test_closing_while_the_broker_is_away_says_how_many_did_not_arrive():
    producer = FakeProducer()
    producer.flush = lambda _: 0
    emitter = ReceiptEmitter("warehouse", "receipts", schema_ids=IDS, producer=producer)
    emitter.applied(*SOURCE, 0)

    with pytest.raises(UndeliveredError, match="1 receipts and 0 fences"):
        emitter.close(timeout_s=0.2)


def test_a_partition_that_the_broker_refuses_does_not_hold_the_others_back(made):
    emitter, producer, clock = made
    refused = producer.produce

    def produce(topic, value, partition, on_delivery):
        if partition == 9:
            raise KafkaException("unknown partition")
        refused(topic, value, partition, on_delivery)

    producer.produce = produce
    for partition in (9, 0):
        emitter.applied("shop.orders", partition, 0)
        emitter.progress("shop.orders", partition, 1)
    clock.now = 1.0
    emitter.pump()
    producer.acknowledge()
    emitter.pump()

    assert emitter.safe_to_commit("shop.orders", 0) == 1
    assert emitter.safe_to_commit("shop.orders", 9) is None
    assert emitter.errors == 1


@pytest.mark.parametrize("fingerprint", [b"", bytes(7), bytes(9)])
def test_a_fingerprint_of_another_length_is_refused_at_once(made, fingerprint):
    with pytest.raises(ValueError, match="8 bytes"):
        made[0].applied(*SOURCE, 0, fingerprint=fingerprint)


def test_what_can_not_be_encoded_is_told_to_the_caller(made):
    with pytest.raises(ValueError, match="field sequence"):
        made[0].applied(*SOURCE, 0, sequence="seven")


def test_nothing_is_taken_after_closing(made):
    emitter, _, _ = made
    emitter.close()

    with pytest.raises(ClosedError):
        emitter.applied(*SOURCE, 0)


def test_a_call_that_would_hold_more_than_it_may_waits_no_longer_than_it_is_told():
    emitter = ReceiptEmitter("s", "r", schema_ids=IDS, producer=FakeProducer(), max_pending=1, block_s=0.05)
    emitter.applied(*SOURCE, 0)

    with pytest.raises(BlockedError, match="1 receipts"):
        emitter.applied(*SOURCE, 1)


def test_a_failure_is_answered_once_all_that_went_out_with_it_is_decided(made):
    """Else what failed late would be sent once more for every answer that comes."""
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 0, sequence=1)
    emitter.applied(*SOURCE, 1, sequence=2)
    clock.now = 1.0
    emitter.pump()
    first, second = producer.waiting
    first("timed out", None)
    emitter.pump()

    assert len(producer.records) == 2

    second(None, None)
    clock.now += RETRY_S
    emitter.pump()

    assert rows_of(value for _, value in producer.records) == [("RECEIPT", offset) for offset in (0, 1, 0, 1)]


def test_nothing_overtakes_a_receipt_that_failed(made):
    """Else the verifier would read an order that the sink did not apply in."""
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 0, sequence=1)
    emitter.applied(*SOURCE, 1, sequence=2)
    clock.now = 1.0
    emitter.pump()
    first, second = producer.waiting
    first("timed out", None)
    emitter.applied(*SOURCE, 2)
    clock.now = 3.0
    emitter.pump()

    assert len(producer.records) == 2

    second("timed out", None)
    clock.now = 5.0
    emitter.pump()

    assert rows_of(value for _, value in producer.records) == [("RECEIPT", offset) for offset in (0, 1, 0, 1, 2)]


def test_a_client_that_is_broken_for_good_is_told_to_the_caller(made):
    emitter, producer, clock = made
    emitter.applied(*SOURCE, 0)
    clock.now = 1.0
    emitter.pump()
    producer.acknowledge(error=KafkaError(KafkaError._FATAL, "out of sequence", True))

    with pytest.raises(BrokenError, match="out of sequence"):
        emitter.applied(*SOURCE, 1)
    assert emitter.safe_to_commit(*SOURCE) is None


def test_a_receipt_handed_over_while_closing_is_refused_not_lost(made):
    """It passed the first check before `close` began: the one under the lock is what counts."""
    emitter, _, _ = made
    emitter._pending = lambda: setattr(emitter, "_closed", True) or 0

    with pytest.raises(ClosedError):
        emitter.applied(*SOURCE, 0)
    assert emitter._lanes == {}


def test_a_delivery_has_no_time_limit_unless_its_owner_sets_one():
    assert _config("b:1", None)["message.timeout.ms"] == 0
    assert _config("b:1", {"message.timeout.ms": 9, "acks": 1, "enable.idempotence": False}) == {
        "bootstrap.servers": "b:1",
        "linger.ms": 5,
        "message.timeout.ms": 9,
        "enable.idempotence": True,
        "acks": "all",
    }


def test_on_a_broker_every_receipt_arrives_on_its_partition_with_a_last_fence_on_idle():
    with EmbeddedBroker() as broker:
        broker.create_topic("receipts", 2)
        with ReceiptEmitter("warehouse", "receipts", brokers=broker.bootstrap, schema_ids=IDS) as emitter:
            for offset in range(1_200):
                emitter.applied("shop.orders", offset % 2, offset // 2, fingerprint=offset.to_bytes(8, "little"))
            for partition in (0, 1):
                emitter.progress("shop.orders", partition, 600)
            until(lambda: emitter.safe_to_commit("shop.orders", 1) == 600)
        for partition in (0, 1):
            rows = rows_of(read(broker.bootstrap, partition))

            assert rows[:600] == [("RECEIPT", offset) for offset in range(600)]
            assert rows[-1] == ("FENCE", 600)


async def test_it_works_in_an_event_loop():
    with EmbeddedBroker() as broker:
        broker.create_topic("receipts", 1)
        async with ReceiptEmitter("warehouse", "receipts", brokers=broker.bootstrap, schema_ids=IDS) as emitter:
            emitter.applied(*SOURCE, 0)
            emitter.progress(*SOURCE, 1)

            assert await emitter.aflush() == 0
            assert emitter.safe_to_commit(*SOURCE) == 1


def until(holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(bootstrap, partition):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition("receipts", partition, 0)])
    values = []
    while True:
        for message in consumer.consume(100, timeout=1.0):
            if message.error():
                consumer.close()
                return values
            values.append(message.value())
