"""What consumer groups have committed, and whether that is everything there is for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.stack.reading import ends

ASK_S = 30.0

Place = tuple[str, int]
"""A topic and a partition of it."""


def committed(bootstrap: str, group: str) -> dict[Place, int]:
    """What a group has committed; a partition that it never committed is not in it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(ASK_S)
    return {(one.topic, one.partition): one.offset for one in answer.topic_partitions if one.offset >= 0}


def members(bootstrap: str, group: str) -> int:
    """How many consumers a group has."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    return len(admin.describe_consumer_groups([group])[group].result(ASK_S).members)


def behind(bootstrap: str, group: str, topics: Iterable[str]) -> dict[Place, int]:
    """How many records each partition holds that the group has not committed, where there are any but tombstones.

    A partition that ends in tombstones which a transform drops is never committed to its end: a sink that counts for itself
    what it has handled (Debezium's JDBC sink does) never hears of them.
    """
    done = committed(bootstrap, group)
    lag = {place: end - done.get(place, 0) for place, end in ends(bootstrap, topics).items()}
    return {
        place: count
        for place, count in lag.items()
        if count and _has_values(bootstrap, place, done.get(place, 0), count)
    }


def positions(bootstrap: str, group: str, topics: Iterable[str]) -> Mapping[Place, int]:
    """What a group has committed of every partition of some topics, 0 where nothing."""
    done = committed(bootstrap, group)
    return {place: done.get(place, 0) for place in ends(bootstrap, topics)}


def _has_values(bootstrap: str, place: Place, offset: int, count: int) -> bool:
    """Whether one of the next records of a partition has a value; what is slow to come counts as one."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(*place, offset)])
        messages = consumer.consume(count, timeout=2.0)
        return len(messages) < count or any(message.value() is not None for message in messages)
    finally:
        consumer.close()
