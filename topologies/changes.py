"""Changes fetched again by their coordinates, beside the consumer group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.errors import Unavailable
from app.model import RawBatch, RawRecord
from app.worker.ports import Input
from topologies.again import beside_groups, record_of

TIMEOUT_S = 10.0
AT_ONCE, PATIENCE_S = 1_000, 0.1
"""`Consumer.consume` waits for all that it is asked for, so it is asked for no more than there can be, and not long."""
GAP = 2_000
"""Offsets nearer than this are read in one go: reading is cheaper than seeking."""


class ChangeReader:
    """Fetches changes by their offsets, in a thread, with a consumer of its own that joins no group."""

    def __init__(self, client: Mapping[str, Any], group: str) -> None:
        self._settings = {
            **beside_groups(client, group),
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 50,  # at a log's end a broker holds the next question up for as long
        }
        self._lock = asyncio.Lock()
        self._consumer: Consumer | None = None

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        """The records at some ascending offsets; those that are gone are absent.

        Raises:
            Unavailable: the broker does not answer now.
        """
        async with self._lock:
            return await asyncio.to_thread(self._fetch, source, offsets)

    async def end(self, source: Input, start: int) -> int:
        """Where a source partition ends now; ``start`` where no record stands from there on, be it that markers do.

        Raises:
            Unavailable: the broker does not answer now.
        """
        async with self._lock:
            return await asyncio.to_thread(self._end, source, start)

    async def bounds(self, source: Input) -> tuple[int, int]:
        """Where a source partition begins and ends now.

        Raises:
            Unavailable: the broker does not answer now.
        """
        async with self._lock:
            return await asyncio.to_thread(self._asked_bounds, source)

    def _asked_bounds(self, source: Input) -> tuple[int, int]:
        with self._asked(source) as consumer:
            return _bounds(consumer, source)

    def _fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        records: list[RawRecord] = []
        with self._asked(source) as consumer:
            earliest, end = _bounds(consumer, source)
            there = [offset for offset in offsets if earliest <= offset < end]
            for run in _runs(there):
                records += _read(consumer, source, run)
        last = records[-1].offset + 1 if records else 0
        return RawBatch.of(source.topic, source.partition, records, records[0].offset if records else 0, last)

    def _end(self, source: Input, start: int) -> int:
        with self._asked(source) as consumer:
            earliest, end = _bounds(consumer, source)
            start_there = max(start, earliest)
            if start_there >= end or not _holds_records(consumer, source, start_there):
                return start
        return end

    @contextmanager
    def _asked(self, source: Input) -> Iterator[Consumer]:
        try:
            if self._consumer is None:
                self._consumer = Consumer(self._settings)
            yield self._consumer
            self._consumer.unassign()  # else it goes on fetching what nobody asked for
        except KafkaException as error:
            self.close()
            raise Unavailable(f"{source.topic}:{source.partition} can't be read again: {error}") from error

    def close(self) -> None:
        """Let the consumer go; the next fetch makes another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _bounds(consumer: Consumer, source: Input) -> tuple[int, int]:
    """Where a log begins and ends; what an open transaction holds is beyond its end."""
    bounds: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(*source), timeout=TIMEOUT_S)
    return bounds


def _read(consumer: Consumer, source: Input, run: Sequence[int]) -> list[RawRecord]:
    found: list[RawRecord] = []
    wanted = set(run)
    for message in _messages(consumer, source, run[0], run[-1]):
        offset = int(message.offset() or 0)
        if offset in wanted:
            found.append(record_of(message))
        if offset >= run[-1]:
            break
    return found


def _holds_records(consumer: Consumer, source: Input, start: int) -> bool:
    return next(_messages(consumer, source, start, start), None) is not None


def _messages(consumer: Consumer, source: Input, start: int, last: int) -> Iterator[Message]:
    """The records from an offset on, up to the log's end; the caller stops at ``last`` or beyond."""
    consumer.assign([TopicPartition(source.topic, source.partition, start)])
    deadline = time.monotonic() + TIMEOUT_S
    place = start
    while True:
        messages = consumer.consume(min(AT_ONCE, max(last - place, 0) + 1), PATIENCE_S)
        if messages:
            deadline = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                return
            if error is not None:
                raise KafkaException(error)
            place = int(message.offset() or 0) + 1
            yield message


def _runs(offsets: Sequence[int]) -> list[list[int]]:
    """Offsets in stretches that are read in one go."""
    found: list[list[int]] = []
    for offset in offsets:
        if found and offset - found[-1][-1] <= GAP:
            found[-1].append(offset)
        else:
            found.append([offset])
    return found
