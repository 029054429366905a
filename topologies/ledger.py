"""Reading the ledger topic: what it holds of one store, for whoever takes the store over."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
READ_S = 1.0
AT_ONCE = 1_000


class LedgerReader:
    """Reads one partition of the ledger topic whole; called from threads.

    Args:
        client: librdkafka's connection settings.
        topic: the ledger topic; partitions: how many it has.
        group: librdkafka wants one; nothing is committed.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, partitions: int, group: str) -> None:
        self.topic = topic
        self._partitions = partitions
        self._settings = {
            **client,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }

    def read(self, number: int, prefixes: tuple[str, ...]) -> dict[str, bytes]:
        """The newest value of every key with one of the prefixes, where the records of a partition number are.

        Waits as long as the broker is away, with growing pauses: ignorance of a checkpoint is not its absence.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._read(
                    TopicPartition(self.topic, number % self._partitions, 0), tuple(p.encode() for p in prefixes)
                )
            except KafkaException as error:
                logger.warning("%s can't be read, next try in %.1f s: %s", self.topic, pause_s, error)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _read(self, place: TopicPartition, prefixes: tuple[bytes, ...]) -> dict[str, bytes]:
        consumer = Consumer(self._settings)
        found: dict[str, bytes] = {}
        try:
            consumer.assign([place])
            while True:
                for message in consumer.consume(AT_ONCE, READ_S):
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                        return found
                    if error is not None:
                        raise KafkaException(error)
                    _note(found, prefixes, message.key(), message.value())
        finally:
            consumer.close()


def _note(found: dict[str, bytes], prefixes: tuple[bytes, ...], key: Any, value: bytes | None) -> None:
    if not isinstance(key, bytes) or not key.startswith(prefixes):
        return
    if value is None:
        found.pop(key.decode(), None)
    else:
        found[key.decode()] = value
