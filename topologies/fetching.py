"""aiokafka's fetch, made to hand on position ranges: one partition's ``[start, next)`` as one `RawBatch`.

`install` replaces `FetchResult` in aiokafka's fetcher and lets it hand on its own records, not dataclasses made of them.
A range without records (a transaction's control records) is handed on too, so that a fence behind one is reached.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher

from app.model import RawBatch, RawRecord


class Range(list[Any]):
    """What `fetched_records` hands on: its length counts records, its truth is whether the position moved."""

    __slots__ = ("batch",)
    batch: RawBatch

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
        rows = (RawRecord(r.offset, r.timestamp, r.key, r.value, r.headers) for r in records)
        found.batch = RawBatch.of(source.topic, source.partition, rows, start, state.position)
        return found


def install() -> None:
    """Make aiokafka fetch this way, in this whole process."""
    fetcher.FetchResult = RangedFetchResult
    fetcher.PartitionRecords._consumer_record = lambda _self, _tp, record: record  # noqa: SLF001
