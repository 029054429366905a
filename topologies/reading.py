"""A topic read whole, from its beginning to the end that it has now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.errors import Unavailable

SILENCE_S = 30.0
"""A broker that says nothing for so long is away."""
READ_S = 0.5
AT_ONCE = 2_000


def read_topic(client: Mapping[str, Any], topic: str, group: str) -> Iterator[Message]:
    """Every committed record of a topic, in order within a partition.

    Args:
        client: librdkafka's connection settings.
        group: librdkafka wants one; it is not joined and nothing is committed.

    Raises:
        Unavailable: the brokers stopped answering.
    """
    settings: dict[str, Any] = {
        **client,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings)
    try:
        unread = set(consumer.list_topics(topic, timeout=SILENCE_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        heard = time.monotonic()
        while unread:
            for message in consumer.consume(AT_ONCE, READ_S):
                heard = time.monotonic()
                if _is_end(message):
                    unread.discard(message.partition() or 0)
                elif message.error() is None:
                    yield message
            if time.monotonic() - heard > SILENCE_S:
                raise Unavailable(f"topic {topic}: the brokers said nothing for {SILENCE_S:.0f} s; are all of them up?")
    except KafkaException as error:
        raise Unavailable(f"topic {topic} can't be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _is_end(message: Message) -> bool:
    """Whether it only says that a partition was read to its end; an error that will pass is passed over."""
    error = message.error()
    if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        return error is not None
    if not error.retriable():
        raise KafkaException(error)
    return False


class NewestOf:
    """The newest record of every key: what compaction will leave."""

    def __init__(self) -> None:
        self._messages: dict[bytes, Message] = {}

    def note(self, message: Message) -> None:
        """Take one record; one without a value forgets its key."""
        key = bytes(message.key() or b"")
        if message.value() is None:
            self._messages.pop(key, None)
        else:
            self._messages[key] = message

    def messages(self) -> list[Message]:
        """By key."""
        return [self._messages[key] for key in sorted(self._messages)]
