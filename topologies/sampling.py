"""Records read beside every consumer group: the newest of some partitions, and when records were written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.errors import Unavailable
from app.model import RawRecord
from topologies.again import record_of

Place = tuple[str, int]
"""A topic and its partition number."""
SILENCE_S = 10.0
"""A broker that says nothing for so long is away."""
READ_S = 0.1
AT_ONCE = 500
FETCH_BYTES = 256 << 10
"""Of one partition at a time: some records are wanted, and the topic may be wide."""

FETCH_WAIT_MS = 50
"""A broker's answer about the last topic is waited for before the next is asked for."""


class Sampler:
    """One consumer that joins no group and commits nothing; a context manager.

    Args:
        client: librdkafka's connection settings; group: it wants one.
    """

    def __init__(self, client: Mapping[str, Any], group: str) -> None:
        self._consumer = Consumer(
            {
                **client,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": FETCH_BYTES,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "fetch.queue.backoff.ms": 10,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def newest(self, bounds: Mapping[Place, tuple[int, int]], count: int) -> dict[Place, list[RawRecord]]:
        """The newest committed records of some partitions, at most ``count`` offsets of each.

        Args:
            bounds: the first offset that each holds, and its end.

        Raises:
            Unavailable: the brokers say nothing, or refuse.
        """
        begins = {place: max(earliest, end - count) for place, (earliest, end) in bounds.items() if end > earliest}
        found: dict[Place, list[RawRecord]] = {place: [] for place in bounds}
        for place, message in self._read(begins, lambda place, offset: offset >= bounds[place][1] - 1):
            found[place].append(record_of(message))
        return found

    def times(self, wanted: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int, int], int]:
        """When the first record at or above each (topic, partition, offset) was written, ms; where there is none, nothing."""
        found: dict[tuple[str, int, int], int] = {}
        left = sorted(set(wanted))
        while left:
            turn = {(topic, partition): offset for topic, partition, offset in left}  # one of each partition
            for place, message in self._read(turn, lambda _, __: True):
                found.setdefault((*place, turn[place]), int(message.timestamp()[1]))
            left = [one for one in left if turn[one[0], one[1]] != one[2]]
        return found

    def _read(
        self, begins: Mapping[Place, int], is_last: Callable[[Place, int], bool]
    ) -> Iterator[tuple[Place, Message]]:
        """Records from some offsets on, of each partition up to its last, or its end."""
        unread = set(begins)
        if not unread:
            return
        try:
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in begins.items()])
            heard = time.monotonic()
            while unread:
                for message in self._consumer.consume(AT_ONCE, READ_S):
                    heard = time.monotonic()
                    place = (str(message.topic()), int(message.partition() or 0))
                    if _is_end(message):
                        unread.discard(place)
                    elif message.error() is None and place in unread:
                        yield place, message
                        if is_last(place, int(message.offset() or 0)):
                            unread.discard(place)
                if time.monotonic() - heard > SILENCE_S:
                    raise Unavailable(f"the brokers said nothing for {SILENCE_S:.0f} s; are all of them up?")
        except KafkaException as error:
            raise Unavailable(error.args[0].str()) from error


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        return error is not None
    if not error.retriable():
        raise KafkaException(error)
    return False
