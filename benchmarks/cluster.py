"""A real broker and a registry for one benchmark, in a directory that is gone afterwards, and what writes and reads there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.adapters.brokers.registry import EmbeddedRegistry
from benchmarks import accounts
from benchmarks.load import Load, Record, Shape
from cdc_receipts.codec import SCHEMAS
from tests.stack.broker import Broker

KEPT = {"retention.ms": "-1"}
"""Event times are not the time of the day: no record is to be too old."""
APPENDED = KEPT | {"message.timestamp.type": "LogAppendTime"}
"""Of topics whose records' arrival is measured: the broker's own clock, as it appends."""
WAIT_S = 60.0
QUIET = 2
"""librdkafka's log level: what only says that the broker was stopped, or has just begun, is nobody's news."""


class Cluster:
    """A context manager.

    Attributes:
        directory: for everything that a benchmark leaves behind.
        schemas: a directory with every schema as ``<id>.avsc``, for programs that ask no registry.
        ids: schema ids by record name.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="cdc-verifier-bench-")
        self.directory = Path(self._scratch.name)
        self.schemas = self.directory / "schemas"
        self.schemas.mkdir()
        self.registry = EmbeddedRegistry()
        named = {"Key": accounts.key_schema(), "Envelope": accounts.value_schema(), **SCHEMAS}
        self.ids = {name: self.registry.register(f"bench.{name}", text) for name, text in named.items()}
        for name, number in self.ids.items():
            (self.schemas / f"{number}.avsc").write_text(named[name], encoding="utf-8")
        self._broker = Broker(self.directory, is_lasting=True)
        self._broker.start()
        self.bootstrap = self._broker.bootstrap
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": QUIET})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.stop()
        self.registry.close()
        self._scratch.cleanup()

    def create(self, topics: Iterable[str], partitions: int, config: Mapping[str, str] = KEPT) -> None:
        """Make topics."""
        wanted = [NewTopic(topic, partitions, 1, config=dict(config)) for topic in topics]
        for done in self.admin.create_topics(wanted).values():
            done.result(WAIT_S)

    def delete(self, part: str) -> None:
        """Drop every topic in whose name this stands, and what it takes on the disk; engines put names before theirs."""
        names = [name for name in self.admin.list_topics(timeout=WAIT_S).topics if part in name]
        for done in (self.admin.delete_topics(names) if names else {}).values():
            done.exception(WAIT_S)

    def fill(self, shape: Shape) -> Load:
        """Make a load's topics, but where it goes on with another, and write all of it; it knows then what was planted."""
        load = Load(shape, self.ids)
        if not shape.first:
            self.create([*shape.topics, *map(shape.receipts, shape.sinks)], shape.partitions)
        self.write(load.records())
        return load

    def write(self, records: Iterable[Record]) -> None:
        """Write records in order, and wait until the broker has them."""
        producer = self.producer()
        for number, (topic, partition, key, value, timestamp) in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value, key, partition, timestamp=timestamp)
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % 10_000 == 0:
                producer.poll(0)
        left = producer.flush(WAIT_S)
        if left:
            raise TimeoutError(f"{left} records were not taken by the broker")

    def producer(self, linger_ms: int = 20) -> Producer:
        """Whose records stand in the order in which they were produced, at the offsets that the load counts on."""
        return Producer({
            "bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": linger_ms, "log_level": QUIET,
            "queue.buffering.max.messages": 500_000, "queue.buffering.max.kbytes": 262_144,
        })  # fmt: skip

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Where every partition of some topics ends."""
        reader = _reader(self.bootstrap)
        try:
            known = reader.list_topics(timeout=WAIT_S).topics
            places = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
            return {(at.topic, at.partition): reader.get_watermark_offsets(at, timeout=WAIT_S)[1] for at in places}
        finally:
            reader.close()


class Tail:
    """Reads one topic as it grows.

    Args:
        topic: exists already.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._reader = _reader(bootstrap)
        deadline = time.monotonic() + WAIT_S
        while not (partitions := self._reader.list_topics(topic, timeout=WAIT_S).topics[topic].partitions):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no broker knows {topic}")
            time.sleep(0.1)  # it was just made, and not every part of the broker has heard of it
        self._reader.assign([TopicPartition(topic, number, 0) for number in partitions])

    def read(self, timeout_s: float = 0.1) -> list[tuple[int, int, int, bytes]]:
        """What came since: partition, offset, the broker's time in ms, value."""
        found = []
        for message in self._reader.consume(10_000, timeout_s):
            if error := message.error():
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name in librdkafka
                    raise KafkaException(error)
                continue
            found.append((message.partition(), message.offset(), message.timestamp()[1], message.value() or b""))
        return found

    def rest(self, quiet_s: float = 1.0) -> list[tuple[int, int, int, bytes]]:
        """What there is, until nothing comes for a while."""
        found, last = [], time.monotonic()
        while time.monotonic() - last < quiet_s:
            if more := self.read():
                found += more
                last = time.monotonic()
        return found

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()


def _reader(bootstrap: str) -> Consumer:
    return Consumer({
        "bootstrap.servers": bootstrap, "group.id": "benchmark", "enable.auto.commit": False,
        "isolation.level": "read_committed", "auto.offset.reset": "earliest",
    })  # fmt: skip
