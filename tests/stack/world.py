"""A world on a real broker: real change records in transactions, one sink's receipts with planted faults, and its fences."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from xxhash import xxh64_intdigest

from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.decode.changes import ReferenceChangeDecoder
from app.model import ChangeKind
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_batch, encode_mark, encode_receipt

RECORDED = Path(__file__).parents[1] / "recordings" / "debezium-3.7"
TOPIC, RECEIPTS = "shop.public.orders", "receipts.warehouse"
PARTITIONS = 4
STEP = 250
"""Changes of one partition in one transaction; their receipts follow, in one packed record."""


@dataclass(slots=True)
class Truth:
    """What was planted, by (partition, offset): the state that must be found."""

    bad: dict[tuple[int, int], str] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    changes: int = 0


class World:
    """Writes changes and receipts step by step; everything random comes from one seed."""

    def __init__(self, bootstrap: str, registry: EmbeddedRegistry, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bootstrap = bootstrap
        self.truth = Truth()
        self.generation = 0
        recording = Recording(RECORDED)
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        self.ids = {name: registry.register(f"cdc_verifier.{name}", text) for name, text in SCHEMAS.items()}
        raw = recording.partitions(TOPIC)[0]
        batch = ReferenceChangeDecoder(recording.schemas(), [frozenset()], "__debezium_unavailable_value").decode(raw)
        self.rows = [
            (raw.key(row), raw.value(row), int(batch.fingerprints[row, 0]), int(batch.source_ts_ms[row]))
            for row in range(len(raw))
            if batch.kinds[row] == ChangeKind.UPSERT
        ]
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True})
        self.transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "source", "linger.ms": 5})

    def create_topics(self) -> None:
        """The change topic and the receipts topic."""
        create(self.bootstrap, TOPIC, RECEIPTS)
        self.transactional.init_transactions(30)

    def steps(self, count: int) -> Iterator[None]:
        """``count`` steps: one transaction of changes per partition, sometimes one that is aborted before it."""
        for step in range(count):
            for partition in range(PARTITIONS):
                if self.rng.random() < 0.2:
                    self._changes(partition, 40, is_aborted=True)
                self._receipts(partition, self._changes(partition, STEP, is_aborted=False))
            self.producer.flush(30)
            yield None
            del step

    def fence_all(self) -> None:
        """A fence at the end of every partition."""
        for partition, end in self.truth.ends.items():
            self._fence(partition, end)
        self.producer.flush(30)

    def _changes(self, partition: int, count: int, *, is_aborted: bool) -> list[tuple[int, int, int]]:
        """(offset, fingerprint, source time) of a transaction's changes."""
        written: list[tuple[int, int, int]] = []

        def arrived(error: object, message: object, row: int) -> None:
            assert error is None
            _, _, fingerprint, time_ms = self.rows[row]
            written.append((message.offset(), fingerprint, time_ms))  # type: ignore[attr-defined]

        self.transactional.begin_transaction()
        for _ in range(count):
            row = self.rng.randrange(len(self.rows))
            key, value, *_ = self.rows[row]
            self.transactional.produce(
                TOPIC, value, key, partition=partition, on_delivery=lambda e, m, row=row: arrived(e, m, row)
            )
        self.transactional.flush(30)
        if is_aborted:
            self.transactional.abort_transaction(30)
            return []
        self.transactional.commit_transaction(30)
        self.truth.changes += count
        self.truth.ends[partition] = max(offset for offset, _, _ in written) + 1
        return sorted(written)

    def _receipts(self, partition: int, changes: list[tuple[int, int, int]]) -> None:
        receipts = []
        for offset, fingerprint, time_ms in changes:
            dice = self.rng.random()
            status, seen = Status.APPLIED, fingerprint
            if dice < 0.004:
                self.truth.bad[partition, offset] = "missing"
                continue
            if dice < 0.008:
                self.truth.bad[partition, offset] = "diverged"
                seen = xxh64_intdigest(b"cut", fingerprint)
            elif dice < 0.010:
                self.truth.bad[partition, offset] = "rejected"
                status = Status.REJECTED
            receipts.append(
                Receipt(
                    sink="warehouse",
                    topic=TOPIC,
                    partition=partition,
                    offset=offset,
                    status=status,
                    fingerprint=seen.to_bytes(8, "little"),
                    applied_at=time_ms + 200,
                )
            )
        half = len(receipts) // 2
        value = encode_batch(receipts[:half], self.ids["DeliveryReceiptBatch"])
        self.producer.produce(RECEIPTS, value, partition=partition)
        for receipt in receipts[half:]:
            value = encode_receipt(receipt, self.ids["DeliveryReceipt"])
            self.producer.produce(RECEIPTS, value, partition=partition)
        if self.rng.random() < 0.7:
            self._fence(partition, self.truth.ends[partition])

    def _fence(self, partition: int, offset: int) -> None:
        mark = Mark(
            sink="warehouse",
            topic=TOPIC,
            partition=partition,
            kind=MarkKind.FENCE,
            offset=offset,
            at=1_000,
            generation=self.generation,
        )
        self.producer.produce(RECEIPTS, encode_mark(mark, self.ids["SinkMark"]), partition=partition)


def create(bootstrap: str, *topics: str) -> None:
    """Make topics; one that was just deleted takes a moment to be gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    deadline = time.monotonic() + 30
    while topics:
        found = admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
        topics = tuple(topic for topic, done in found.items() if done.exception(30) is not None)
        assert time.monotonic() < deadline, f"{topics} could not be made"


def read_topic(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Everything a topic holds now, as (key, value)."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": "read_committed", "auto.offset.reset": "earliest",
    })  # fmt: skip
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found, ended = [], 0
    while ended < len(partitions):
        for message in consumer.consume(1000, timeout=1.0):
            if message.error():
                ended += 1
            else:
                found.append((message.key(), message.value()))
    consumer.close()
    return found
