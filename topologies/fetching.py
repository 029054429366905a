"""aiokafka's fetch, made to hand on position ranges: one partition's ``[start, next)`` as one `RawBatch`.

`install` replaces `FetchResult` in aiokafka's fetcher and lets it hand on its own records, not dataclasses made of them.
A range without records (a transaction's control records) is handed on too, so that a fence behind one is reached. A
range that does not begin where the last one ended, or where we sought, *jumped*: aiokafka begins again at the earliest
offset, without a word, when a log does not hold a position any more (retention, a topic made again).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from aiokafka.consumer import fetcher

from app.model import RawBatch


class Range(list[Any]):
    """What `fetched_records` hands on: its length counts records, its truth is whether the position moved.

    Attributes:
        batch: the records and the range; state: aiokafka's of the partition.
        expected: where the range had to begin.
    """

    __slots__ = ("batch", "expected", "state")
    batch: RawBatch
    state: Any
    expected: int

    @property
    def has_jumped(self) -> bool:
        """Whether somebody else has moved the position before it was fetched."""
        return self.batch.start != self.expected

    def put_back(self) -> None:
        """As if it had not been fetched; called in the consumer's thread before anything else is fetched."""
        self.state.seek(self.batch.start)
        expect(self.state, self.expected)

    def __bool__(self) -> bool:
        return self.batch.next > self.batch.start


_stock: Any = fetcher.FetchResult


class RangedFetchResult(_stock):  # type: ignore[misc]  # aiokafka ships no types
    """Runs in the consumer's thread without awaiting, so the position before and after is exact."""

    def getall(self, max_records: int | None = None) -> Any:
        """The rest of one fetch as a `Range`; nothing where the partition is no longer ours."""
        source = self._topic_partition
        if not self.check_assignment(source) or not self.has_more():
            return []
        state = self._assignment.state_value(source)
        start = state.position
        records = _stock.getall(self, max_records)
        found = Range(records)
        found.batch = packed(source.topic, source.partition, records, start, state.position)
        found.state = state
        found.expected = getattr(state, EXPECTED, start)
        expect(state, state.position)
        return found


EXPECTED = "_expected_position"
"""Our own attribute of aiokafka's state of a partition; a state lives as long as an assignment."""


def expect(state: Any, offset: int) -> None:
    """Called with every seek of ours, in the consumer's thread: a range that begins there has not jumped."""
    setattr(state, EXPECTED, offset)


def packed(topic: str, partition: int, records: Sequence[Any], start: int, next_offset: int) -> RawBatch:
    """Records of aiokafka's as columns; all keys, then all values, in one buffer. The inner loop of reading."""
    count = len(records)
    parts = [record.key for record in records] + [record.value for record in records]
    sizes = np.array([-1 if part is None else len(part) for part in parts], np.int64)
    ends = np.cumsum(np.maximum(sizes, 0))
    starts = ends - np.maximum(sizes, 0)
    return RawBatch(
        topic=topic,
        partition=partition,
        start=start,
        next=next_offset,
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp for record in records], np.int64),
        buffer=b"".join([part for part in parts if part]),
        key_starts=starts[:count],
        key_sizes=sizes[:count],
        value_starts=starts[count:],
        value_sizes=sizes[count:],
        headers={row: tuple(headers) for row, record in enumerate(records) if (headers := record.headers)},
    )


def install() -> None:
    """Make aiokafka fetch this way, in this whole process."""
    fetcher.FetchResult = RangedFetchResult
    fetcher.PartitionRecords._consumer_record = lambda _self, _tp, record: record  # noqa: SLF001
