"""Reading a stretch of a change log again, by coordinates, beside the consumer group."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.model import RawBatch, RawRecord

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
TIMEOUT_S = 10.0
STRETCH_RECORDS = 500


class StretchReader:
    """Called from threads.

    Args:
        client: librdkafka's connection settings; group: it wants one, nothing is committed.
    """

    def __init__(self, client: Mapping[str, Any], group: str) -> None:
        self._settings = beside_groups(client, group)

    def read(self, topic: str, partition: int, offset: int) -> tuple[int, RawBatch]:
        """Where a log begins now, and some hundred of its records from ``offset`` on (none, if it begins after it).

        Waits as long as the broker is away, with growing pauses.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._read(topic, partition, offset)
            except KafkaException as error:
                logger.warning("%s:%d can't be read again, next try in %.1f s: %s", topic, partition, pause_s, error)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _read(self, topic: str, partition: int, offset: int) -> tuple[int, RawBatch]:
        consumer = Consumer(self._settings)
        try:
            earliest, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
            if offset < earliest:
                return earliest, RawBatch.of(topic, partition, [], earliest, earliest)
            consumer.assign([TopicPartition(topic, partition, offset)])
            records: list[RawRecord] = []
            while len(records) < STRETCH_RECORDS:
                for message in consumer.consume(STRETCH_RECORDS, TIMEOUT_S):
                    error = message.error()
                    if error is None:
                        records.append(record_of(message))
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                        end = max(int(message.offset() or 0), offset + 1)
                        return earliest, RawBatch.of(topic, partition, records, offset, end)
                    else:
                        raise KafkaException(error)
            return earliest, RawBatch.of(topic, partition, records, offset, records[-1].offset + 1)
        finally:
            consumer.close()


def beside_groups(client: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Settings of a consumer that joins no group and commits nothing, and is told where a log ends or has lost its place."""
    return {
        **client,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
    }


def record_of(message: Message) -> RawRecord:
    """One message of librdkafka's as a record."""
    headers: Any = message.headers() or ()
    key: Any = message.key()
    value: Any = message.value()
    return RawRecord(int(message.offset() or 0), int(message.timestamp()[1]), key, value, tuple(headers))
