"""Load on a real broker: real change records in transactions, one sink's receipts with planted faults, and its fences."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from xxhash import xxh64_intdigest

from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.decode.changes import ReferenceChangeDecoder
from app.model import ChangeKind
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_batch, encode_mark, encode_receipt

RECORDED = Path(__file__).parents[1] / "recordings" / "debezium-3.7"
TOPIC = "shop.public.orders"
SINK = "warehouse"
PARTITIONS = 4
FIRST_ID = 1_000
"""Schema ids of the recording are moved up by so much: worlds beside it have ids of their own."""

STEP = 250
"""Changes of one partition in one transaction; their receipts follow, in one packed record."""


@dataclass(slots=True)
class Truth:
    """What was planted, by (partition, offset): the state that must be found."""

    bad: dict[tuple[int, int], str] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    said: dict[tuple[int, int], int] = field(default_factory=dict)
    """Where the receipt of a refused change stands, by (partition, offset)."""
    fences: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By partition, where each fence stands and which offset it names."""
    offsets: dict[int, list[int]] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """How many were written, and not aborted."""
        return sum(map(len, self.offsets.values()))


class Load:
    """Writes changes and receipts step by step; everything random comes from one seed.

    Args:
        name: ends the names of the topics.

    Attributes:
        time_ms: of the records written next, ms since the epoch; 0 for now.
    """

    def __init__(self, bootstrap: str, registry: EmbeddedRegistry, name: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bootstrap = bootstrap
        self.topic, self.receipts = f"{TOPIC}.{name}", f"receipts.{name}"
        self.truth = Truth()
        self.time_ms = 0
        self.generation = 0
        self.keys: dict[tuple[int, int], bytes | None] = {}
        recording = Recording(RECORDED)
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, FIRST_ID + number)
        self.ids = {name: registry.register(f"cdc_verifier.{name}", text) for name, text in SCHEMAS.items()}
        raw = recording.partitions(TOPIC)[0]
        batch = ReferenceChangeDecoder(recording.schemas(), [frozenset()], "__debezium_unavailable_value").decode(raw)
        self.rows = [
            (raw.key(row), _renumbered(raw.value(row)), int(batch.fingerprints[row, 0]), int(batch.source_ts_ms[row]))
            for row in range(len(raw))
            if batch.kinds[row] == ChangeKind.UPSERT
        ]
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True})
        self.transactional = Producer(
            {"bootstrap.servers": bootstrap, "transactional.id": f"source.{name}", "linger.ms": 5}
        )

    def create_topics(self) -> None:
        """The change topic and the receipts topic."""
        create(self.bootstrap, self.topic, self.receipts)
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

    def write_hours(self, hours: int, steps: int) -> None:
        """Everything at once, with times that are spread over some hours, the last of which is now."""
        now_ms = int(time.time() * 1000)
        for number, _ in enumerate(self.steps(steps)):
            self.time_ms = now_ms - hours * 3_600_000 * (steps - number) // steps
        self.time_ms = 0

    def newest_bad(self) -> set[tuple[int, int]]:
        """The bad changes that are the newest bad ones of their key: those that must be commanded."""
        newest: dict[tuple[int, bytes | None], int] = {}
        for partition, offset in sorted(self.truth.bad):
            newest[partition, self.keys[partition, offset]] = offset
        return {(partition, offset) for (partition, _), offset in newest.items()}

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
            key, _, fingerprint, time_ms = self.rows[row]
            self.keys[partition, message.offset()] = key  # type: ignore[attr-defined]
            written.append((message.offset(), fingerprint, time_ms))  # type: ignore[attr-defined]

        self.transactional.begin_transaction()
        for _ in range(count):
            row = self.rng.randrange(len(self.rows))
            key, value, *_ = self.rows[row]
            self.transactional.produce(
                self.topic,
                value,
                key,
                partition=partition,
                timestamp=self.time_ms,
                on_delivery=lambda e, m, row=row: arrived(e, m, row),
            )
        self.transactional.flush(30)
        if is_aborted:
            self.transactional.abort_transaction(30)
            return []
        self.transactional.commit_transaction(30)
        self.truth.offsets.setdefault(partition, []).extend(sorted(offset for offset, _, _ in written))
        self.truth.ends[partition] = self.truth.offsets[partition][-1] + 1
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
                    sink=SINK,
                    topic=self.topic,
                    partition=partition,
                    offset=offset,
                    status=status,
                    fingerprint=seen.to_bytes(8, "little"),
                    applied_at=time_ms + 200,
                )
            )
        half = len(receipts) // 2
        self._say(encode_batch(receipts[:half], self.ids["DeliveryReceiptBatch"]), partition, receipts[:half])
        for receipt in receipts[half:]:
            self._say(encode_receipt(receipt, self.ids["DeliveryReceipt"]), partition, [receipt])
        if self.rng.random() < 0.7:
            self._fence(partition, self.truth.ends[partition])

    def _fence(self, partition: int, offset: int) -> None:
        self.mark(partition, MarkKind.FENCE, offset)

    def mark(self, partition: int, kind: MarkKind, offset: int) -> None:
        """A mark of the sink's present generation."""
        mark = Mark(
            sink=SINK,
            topic=self.topic,
            partition=partition,
            kind=kind,
            offset=offset,
            at=1_000,
            generation=self.generation,
        )
        self._say(encode_mark(mark, self.ids["SinkMark"]), partition, [mark])

    def _say(self, value: bytes, partition: int, said: list[Receipt | Mark]) -> None:
        def arrived(error: object, message: Message) -> None:
            assert error is None
            for one in said:
                if isinstance(one, Mark):
                    self.truth.fences.setdefault(partition, []).append((message.offset(), one.offset))
                elif one.status == Status.REJECTED:
                    self.truth.said[partition, one.offset] = message.offset()

        self.producer.produce(self.receipts, value, partition=partition, timestamp=self.time_ms, on_delivery=arrived)


def forget(bootstrap: str, places: Iterable[tuple[str, int, int]]) -> None:
    """Retention: what is below an offset of a topic's partition is gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(*place) for place in places]).values():
        done.result(30)


def create(bootstrap: str, *topics: str) -> None:
    """Make topics that keep old records; one that was just deleted takes a moment to be gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    deadline = time.monotonic() + 30
    while topics:
        found = admin.create_topics([NewTopic(name, PARTITIONS, 1, config={"retention.ms": "-1"}) for name in topics])
        topics = tuple(topic for topic, done in found.items() if done.exception(30) is not None)
        assert time.monotonic() < deadline, f"{topics} could not be made"


def _renumbered(value: bytes | None) -> bytes:
    """A framed value with its schema's new id."""
    assert value is not None
    return value[:1] + (int.from_bytes(value[1:5], "big") + FIRST_ID).to_bytes(4, "big") + value[5:]
