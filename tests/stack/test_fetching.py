"""What a real broker answers, read by the kernel and by aiokafka: codecs of librdkafka and of Java, transactions, both times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.model import RawBatch
from app.native import kernel, missing
from tests.kernel.batches import rows
from tests.stack.broker import Broker
from topologies import fetching

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

COUNT, DEADLINE_S = 300, 60.0


def write(broker: Broker, topic: str, codec: str, *, is_aborted: bool) -> None:
    """One transaction of records of every kind."""
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap, "transactional.id": topic, "compression.type": codec, "linger.ms": 5,
            "batch.num.messages": 70,
        }
    )  # fmt: skip
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    for number in range(COUNT):
        producer.produce(
            topic,
            None if number % 7 == 0 else b"%d" % number * (number % 90),
            None if number % 5 == 0 else b"key-%d" % number,
            headers=[("größe", b"x"), ("null", None)][: number % 3],
        )
    assert producer.flush(DEADLINE_S) == 0
    if is_aborted:
        producer.abort_transaction(DEADLINE_S)
    else:
        producer.commit_transaction(DEADLINE_S)


async def ranges(broker: Broker, topic: str, isolation: str) -> list[RawBatch]:
    """The whole topic, as fetches come."""
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
        isolation_level=isolation, max_partition_fetch_bytes=20_000,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        found: list[RawBatch] = []
        while not found or found[-1].next < end:
            for one in (await consumer._fetcher.fetched_records([place], 1.0)).values():
                found.append(one.batch)
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize("time", ["CreateTime", "LogAppendTime"])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("who", ["producer", "broker"])
async def test_a_real_log_is_read_alike(
    broker: Broker, who: str, codec: str, time: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"fetched-{who}-{codec}-{time}"
    kept = {"message.timestamp.type": time}
    if who == "broker":
        kept["compression.type"] = "uncompressed" if codec == "none" else codec
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=kept)])[topic].result(DEADLINE_S)
    for is_aborted in (False, True, False):
        write(broker, topic, codec if who == "producer" else "none", is_aborted=is_aborted)

    for isolation, count in (("read_committed", 2 * COUNT), ("read_uncommitted", 3 * COUNT)):
        with monkeypatch.context() as patch:
            patch.setattr(fetching, "missing", lambda: "a test wants it so")
            fetching.install()
            theirs = await ranges(broker, topic, isolation)
        fetching.install()
        ours = await ranges(broker, topic, isolation)

        assert [row for batch in ours for row in rows(batch)] == [row for batch in theirs for row in rows(batch)]
        assert sum(map(len, ours)) == count
        assert (ours[0].start, ours[-1].next) == (0, 3 * COUNT + 3)
        assert all(before.next == after.start for before, after in pairwise(ours))
