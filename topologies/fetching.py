"""aiokafka's fetch, made to hand on position ranges: one partition's ``[start, next)`` as one `RawBatch`.

`install` replaces names in aiokafka. With the kernel a response is received whole (`topologies.receiving`), and its bytes
become arrays (`topologies.raw_fetch`). Without it, or with an aiokafka whose internals nobody has read, aiokafka unpacks
records and they are packed again: the same ranges, slower. So are record batches of the formats before 2.

A range without records (a transaction's control records) is handed on too, so that a fence behind one is reached. A
range that does not begin where the last one ended, or where we sought, *jumped*: aiokafka begins again at the earliest
offset, without a word, when a log does not hold a position any more (retention, a topic made again).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from app.model import RawBatch
from app.native import missing
from topologies.raw_fetch import RawMemory, RawRecords, older
from topologies.receiving import Protocol

logger = logging.getLogger(__name__)

READ = "0.14.0"
"""The version of aiokafka whose internals `mismatch` describes."""
SIGNATURES = {
    "FetchResult.__init__": "self tp assignment partition_records backoff",
    "FetchResult.getall": "self max_records",
    "FetchResult.check_assignment": "self tp",
    "FetchResult.has_more": "self",
    "FetchResult.calculate_backoff": "self",
    "FetchResult._update_position": "self",
    "PartitionRecords.__init__": "self tp records aborted_transactions fetch_offset key_deserializer value_deserializer "
    "check_crcs isolation_level",
    "AIOKafkaProtocol.__init__": "self closed_fut args loop kw",
}
"""What is replaced, called or overridden, with its parameters."""
USED = {
    "Fetcher._proc_fetch_request": "MemoryRecords has_next size_in_bytes PartitionRecords FetchResult",
    "Fetcher.fetched_records": "FetchResult getall has_more",
    "Fetcher._get_actions_per_node": "calculate_backoff",
    "AIOKafkaConnection.connect": "StreamReader AIOKafkaProtocol",
    "AIOKafkaConnection._read": "readexactly",
}
"""Methods of aiokafka's, with the names that they have to use for ours to be asked."""


class Range:
    """What `fetched_records` hands on: its length counts records, its truth is whether the position moved.

    Attributes:
        batch: the records and the range; state: aiokafka's of the partition.
        expected: where the range had to begin.
    """

    __slots__ = ("batch", "expected", "state")

    def __init__(self, batch: RawBatch, state: Any, expected: int) -> None:
        self.batch, self.state, self.expected = batch, state, expected

    @property
    def has_jumped(self) -> bool:
        """Whether somebody else has moved the position before it was fetched."""
        return self.batch.start != self.expected

    def put_back(self) -> None:
        """As if it had not been fetched; called in the consumer's thread before anything else is fetched."""
        self.state.seek(self.batch.start)
        expect(self.state, self.expected)

    def __len__(self) -> int:
        return len(self.batch)

    def __bool__(self) -> bool:
        return self.batch.next > self.batch.start


_stock: Any = fetcher.FetchResult
_stock_records: Any = fetcher.PartitionRecords
_stock_memory: Any = fetcher.MemoryRecords
_stock_protocol: Any = conn.AIOKafkaProtocol


class RangedFetchResult(_stock):  # type: ignore[misc]  # aiokafka ships no types
    """Runs in the consumer's thread without awaiting, so the position before and after is exact."""

    _partition_records: Any

    @property
    def _is_held(self) -> bool:
        is_held: Callable[[Any], bool] | None = getattr(self._assignment, HELD, None)
        return is_held is not None and is_held(self._topic_partition)

    def calculate_backoff(self) -> float:
        """How long nothing is fetched from this node, since this waits to be taken; what is held stops nobody else."""
        return 0.0 if self._is_held else float(_stock.calculate_backoff(self))

    def getall(self, max_records: int | None = None) -> Any:
        """The rest of one fetch as a `Range`; nothing where the partition is no longer ours, or is held."""
        source = self._topic_partition
        if not self.check_assignment(source) or not self.has_more() or self._is_held:
            return []
        state = self._assignment.state_value(source)
        batch = self._taken(state, max_records)
        found = Range(batch, state, getattr(state, EXPECTED, batch.start))
        expect(state, state.position)
        return found

    def _taken(self, state: Any, max_records: int | None) -> RawBatch:
        source, start = self._topic_partition, state.position
        records = _stock.getall(self, max_records)
        return packed(source.topic, source.partition, records, start, state.position)


class RawFetchResult(RangedFetchResult):
    """The same without aiokafka's records; batches of an older format are left to it."""

    def _taken(self, state: Any, max_records: int | None) -> RawBatch:
        records = self._partition_records
        try:
            if not isinstance(records, RawRecords) or not records.open():
                self._partition_records = stock_records(records)
                return super()._taken(state, max_records)
            batch = records.take(max_records)
        except CorruptRecordException:
            self._partition_records = None  # else it would be met again and again, and never fetched again
            raise
        self._update_position()
        if records.is_done:
            self._partition_records = None
        return batch


EXPECTED = "_expected_position"
"""Our own attribute of aiokafka's state of a partition; a state lives as long as an assignment."""
HELD = "_is_held"
"""Our own attribute of aiokafka's assignment: a function that says of a partition whether nothing of it may be handed on."""


def expect(state: Any, offset: int) -> None:
    """Called with every seek of ours, in the consumer's thread: a range that begins there has not jumped."""
    setattr(state, EXPECTED, offset)


def hold(assignment: Any, is_held: Callable[[Any], bool]) -> None:
    """Let a function say, for this assignment, what of it stays where it is for now: it is neither lost nor fetched again."""
    setattr(assignment, HELD, is_held)


def stock_records(records: Any) -> Any:
    """The older formats at the beginning of a fetch, to be read by aiokafka; what it reads already stays as it is."""
    if not isinstance(records, RawRecords):
        return records
    tp, memory, *rest = records.arguments
    return _stock_records(tp, _stock_memory(older(memory.data)), *rest)


def packed(topic: str, partition: int, records: Sequence[Any], start: int, next_offset: int) -> RawBatch:
    """Records of aiokafka's as columns; all keys, then all values, in one buffer."""
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
        timestamps=np.array([_time(record) for record in records], np.int64),
        buffer=b"".join([part for part in parts if part]),
        key_starts=starts[:count],
        key_sizes=sizes[:count],
        value_starts=starts[count:],
        value_sizes=sizes[count:],
        headers={row: tuple(headers) for row, record in enumerate(records) if (headers := record.headers)},
    )


def _time(record: Any) -> int:
    """Records of the oldest format have none; -1 is what Kafka says of those."""
    return -1 if record.timestamp is None else int(record.timestamp)


def originals() -> dict[str, Any]:
    """Classes of aiokafka's whose internals are used, by name."""
    return {
        "FetchResult": _stock,
        "PartitionRecords": _stock_records,
        "AIOKafkaProtocol": _stock_protocol,
        "Fetcher": fetcher.Fetcher,
        "AIOKafkaConnection": conn.AIOKafkaConnection,
    }


def mismatch() -> str | None:
    """Why aiokafka can't be read without its records: it is not the one whose internals were read; None where it is."""
    found = version("aiokafka")
    if found != READ:
        return f"aiokafka is {found}, and only the internals of {READ} are known"
    for place, wanted in SIGNATURES.items():
        owner, name = place.split(".")
        method = getattr(originals()[owner], name, None)
        if method is None or list(inspect.signature(method).parameters) != wanted.split():
            return f"{place} of aiokafka does not take: {wanted}"
    for place, names in USED.items():
        owner, name = place.split(".")
        code = getattr(getattr(originals()[owner], name, None), "__code__", None)
        if code is None or not set(names.split()) <= set(code.co_names):
            return f"{place} of aiokafka does not use: {names}"
    return None


def slow_because() -> str | None:
    """Why records are read as aiokafka's, one by one; None where they are not."""
    return missing() or mismatch()


def install() -> None:
    """Make aiokafka fetch this way, in this whole process; called again, it may change the way."""
    reason = slow_because()
    if reason is None:
        fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = RawMemory, RawRecords, RawFetchResult
        conn.AIOKafkaProtocol = Protocol
        logger.info("fetched records are read by the kernel")
    else:
        fetcher.MemoryRecords, fetcher.PartitionRecords = _stock_memory, _stock_records
        fetcher.FetchResult = RangedFetchResult
        conn.AIOKafkaProtocol = _stock_protocol
        logger.warning("fetched records are read one by one, which is slower: %s", reason)
    _stock_records._consumer_record = lambda _self, _tp, record: record  # noqa: SLF001
