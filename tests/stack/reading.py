"""Topics of a real broker read whole, and what the verifier tells in its own."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import fastavro
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.simulation.recording import Record
from tests.stack.apicurio import Apicurio

READ_S = 60.0

Told = dict[str, Any]


def read_records(bootstrap: str, topic: str) -> Iterator[Message]:
    """Every committed record that a topic holds now."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": "read_committed", "auto.offset.reset": "earliest",
    })  # fmt: skip
    try:
        unread = set(consumer.list_topics(topic, timeout=READ_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        deadline = time.monotonic() + READ_S
        while unread:
            assert time.monotonic() < deadline, f"{topic} was not read to its ends"
            for message in consumer.consume(1000, timeout=0.2):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()


def captured(bootstrap: str, topic: str) -> dict[int, list[Record]]:
    """A topic as a recording has it, by partition."""
    found: dict[int, list[Record]] = {}
    for message in read_records(bootstrap, topic):
        record = Record(
            topic=topic,
            partition=message.partition(),
            offset=message.offset(),
            timestamp=message.timestamp()[1],
            key=message.key(),
            value=message.value(),
            headers=tuple(message.headers() or ()),
        )
        found.setdefault(record.partition, []).append(record)
    return found


def ends(bootstrap: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    """Where every partition of some topics ends."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": "read_committed"})
    try:
        known = consumer.list_topics(timeout=READ_S).topics
        places = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
        return {(one.topic, one.partition): consumer.get_watermark_offsets(one, timeout=READ_S)[1] for one in places}
    finally:
        consumer.close()


class Telling:
    """What a verifier tells in its topics; ``prefix`` begins their names."""

    def __init__(self, bootstrap: str, registry: EmbeddedRegistry | Apicurio, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.registry = registry
        self.prefix = prefix

    def everything(self, topic: str) -> list[tuple[str, Told]]:
        """Every record of one of its topics with the name of its schema; in order of one lane."""
        messages = read_records(self.bootstrap, f"{self.prefix}.{topic}")
        return [self.decoded(message.value() or b"") for message in messages]

    def verdicts(self) -> list[Told]:
        """Every verdict ever told."""
        return [told for name, told in self.everything("verdicts") if name == "Verdict"]

    def findings(self) -> list[Told]:
        """Everything ever found beside cells."""
        return [told for name, told in self.everything("verdicts") if name == "Finding"]

    def commands(self) -> list[Told]:
        """Every command ever sent."""
        return [told for _, told in self.everything("repair")]

    def watermarks(self) -> dict[tuple[str, str, int], Told]:
        """The newest of every sink and source partition."""
        return {(told["sink"], told["topic"], told["partition"]): told for _, told in self.everything("watermarks")}

    def is_all_read(self, topics: Iterable[str]) -> bool:
        """Whether the group has committed the ends of some topics, and of every lane topic."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        known = admin.list_topics(timeout=READ_S).topics
        lanes = [topic for topic in known if topic.startswith(f"{self.prefix}.lane.")]
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.prefix)])
        answer = asked[self.prefix].result(READ_S).topic_partitions
        read = {(one.topic, one.partition): one.offset for one in answer}
        wanted = ends(self.bootstrap, [*topics, *lanes])
        return all(read.get(place, 0) >= end for place, end in wanted.items())

    def decoded(self, value: bytes) -> tuple[str, Told]:
        """A framed record, with the name of its schema."""
        schema = _parsed(self.registry.schema(int.from_bytes(value[1:5], "big")) or "")
        told = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        return schema["name"].rpartition(".")[2], told


@cache
def _parsed(schema: str) -> Any:
    return fastavro.parse_schema(json.loads(schema))
