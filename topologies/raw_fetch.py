"""A fetch response of one partition as `RawBatch`, without a Python object for each record.

The kernel walks the record batches (app/native/src/records.c). Here it is decided which batches are shown, and how much
is handed on at once; what is shown is what aiokafka would show (`PartitionRecords`), but:

- a record whose offset does not ascend is an error; aiokafka passes over it without a word,
- a batch without records needs no body that can be decompressed: compaction leaves such ones behind,
- the name of a header that is no UTF-8 is repaired as Java's clients do it, instead of ending the reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from app.model import RawBatch
from app.model.batches import Bools, Headers, Int64s
from app.native import kernel
from topologies.unpacking import CODEC_MASK, unpacked

RANGE_RECORDS = 1 << 16
"""At most so many records are handed on at once: 4 MiB of columns. A fetch of 1 MiB holds fewer, if it is not compressed."""
RANGE_BYTES = 1 << 22
"""After so many bytes of records a range ends; what is left waits. Four times what is fetched of a partition at once."""
BATCH_BYTES = 1 << 27
"""What a compressed batch may grow to: 128 times the largest that brokers take, unless they are told otherwise."""

COLUMNS = BODY, END, BASE, LAST, FIRST_TIMESTAMP, MAX_TIMESTAMP, COUNT, ATTRIBUTES, PRODUCER = range(9)
"""Of the table of batches: where the body begins and ends, first and last offset; the rest as in the batch's header."""
RECORD_COLUMNS = 8
"""Offset, timestamp, then start and size of key and of value, start and count of headers."""
TRANSACTIONAL, CONTROL = 0x10, 0x20
"""Bits of the attributes."""

BATCH_HEADER_BYTES = 61
PREFIX_BYTES, LENGTH_AT, MAGIC_AT = 12, 8, 16
"""What every format begins with: the base offset, then the length of what follows, which goes on to the format's number."""
FORMAT = 2
MARKER_BYTES = 4
"""Of a control record's key: its version and its type."""


class RawMemory:
    """Stands for aiokafka's ``MemoryRecords``: the bytes, and what its fetcher asks about them."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has_next(self) -> bool:
        """Whether one whole batch is there; a length that can't be is found out when it is read."""
        if len(self.data) <= MAGIC_AT:
            return False
        length = int.from_bytes(self.data[LENGTH_AT:PREFIX_BYTES], "big", signed=True)
        return PREFIX_BYTES + length <= len(self.data)

    def size_in_bytes(self) -> int:
        """Of all that was fetched."""
        return len(self.data)


@dataclass(slots=True, kw_only=True)
class _Chunk:
    """Batches that lie in one buffer, none of them compressed.

    Attributes:
        batches: ``int64[n, 9]``; next: behind them, and behind those that are not shown.
        cursor: ``int64[4]``, where reading stands, see records.c: batch, record, byte, the offset before.
    """

    buffer: bytes
    batches: Int64s
    next: int
    cursor: Int64s

    @property
    def is_read(self) -> bool:
        return int(self.cursor[0]) == len(self.batches)


class RawRecords:
    """Stands for aiokafka's ``PartitionRecords``, with its arguments: what was fetched of one partition, and how far it is read.

    Attributes:
        arguments: as they were given; for records of an older format, which aiokafka has to read.
        next_fetch_offset: where the next range begins; the fetcher compares it with the position.
    """

    def __init__(
        self,
        tp: Any,
        records: Any,
        aborted_transactions: Sequence[tuple[int, int]] | None,
        fetch_offset: int,
        key_deserializer: Any,
        value_deserializer: Any,
        check_crcs: bool,
        isolation_level: int,
    ) -> None:
        self.arguments = (
            tp, records, aborted_transactions, fetch_offset, key_deserializer, value_deserializer, check_crcs,
            isolation_level,
        )  # fmt: skip
        self.next_fetch_offset = fetch_offset
        self._tp = tp
        self._data: bytes = records.data
        self._check_crcs = check_crcs
        is_committed = isolation_level == READ_COMMITTED
        self._aborted = sorted(aborted_transactions or (), key=lambda one: one[1]) if is_committed else []
        self._is_open = False
        self._all: Int64s = np.empty((0, len(COLUMNS)), np.int64)
        self._is_shown: Bools = np.empty(0, np.bool_)
        self._taken = 0
        self._chunk: _Chunk | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of it was taken."""
        return self._is_open and self._chunk is None and self._taken == len(self._all)

    def open(self) -> bool:
        """Look at every batch; called before the first `take`. False where the first is of an older format.

        Where such a one comes later, what stands before it is taken; the next fetch begins with it.

        Raises:
            CorruptRecordException: a batch is damaged.
        """
        if self._is_open:
            return True
        room = np.empty((len(self._data) // BATCH_HEADER_BYTES + 1, len(COLUMNS)), np.int64)
        count, at, fault = kernel.scan(self._data, self._check_crcs, room)
        is_older = fault is not None and self._data[at + MAGIC_AT] < FORMAT
        if is_older and not count:
            return False
        if fault is not None and not is_older:
            raise self._corrupt(int.from_bytes(self._data[at : at + LENGTH_AT], "big", signed=True), fault)
        self._is_open = True
        self._all = table = room[:count].copy()
        self._is_shown = (table[:, ATTRIBUTES] & CONTROL) == 0
        if self._aborted:
            self._is_shown &= ~self._are_aborted(table)
        return True

    def take(self, most: int | None) -> RawBatch:
        """The next range: up to ``most`` records, and to the bounds above; it may have no records.

        Raises:
            CorruptRecordException: a batch is damaged; nothing of this range was taken.
        """
        chunk = self._chunk = self._chunk or self._next_chunk()
        capacity = min(RANGE_RECORDS if most is None else most, RANGE_RECORDS, int(chunk.batches[:, COUNT].sum()))
        table = np.empty((RECORD_COLUMNS, capacity), np.int64)
        start = self.next_fetch_offset
        count, fault = kernel.records(chunk.buffer, chunk.batches, chunk.cursor, start, RANGE_BYTES, table)
        if fault is not None:
            raise self._corrupt(int(chunk.batches[chunk.cursor[0], BASE]), f"{fault} (record {chunk.cursor[1]})")
        table = table[:, :count]
        self.next_fetch_offset = max(start, chunk.next if chunk.is_read else int(table[0, -1]) + 1)
        if chunk.is_read:
            self._chunk = None
        return self._batch(_cut(chunk, table), table, start)

    def _batch(self, buffer: bytes, table: Int64s, start: int) -> RawBatch:
        offsets, timestamps, key_starts, key_sizes, value_starts, value_sizes, header_starts, header_counts = table
        return RawBatch(
            topic=self._tp.topic,
            partition=self._tp.partition,
            start=start,
            next=self.next_fetch_offset,
            offsets=offsets,
            timestamps=timestamps,
            buffer=buffer,
            key_starts=key_starts,
            key_sizes=key_sizes,
            value_starts=value_starts,
            value_sizes=value_sizes,
            headers=RawHeaders(buffer, header_starts, header_counts) if header_counts.any() else {},
        )

    def _next_chunk(self) -> _Chunk:
        """What was fetched, as it is; where any of it is compressed, as much as `RANGE_BYTES` of it decompressed."""
        rest, is_shown = self._all[self._taken :], self._is_shown[self._taken :]
        shown = rest[is_shown]
        if (shown[:, ATTRIBUTES] & CODEC_MASK).any():
            buffer, shown = self._unpacked()
        else:
            buffer, self._taken = self._data, len(self._all)
        return _Chunk(
            buffer=buffer,
            batches=shown,
            next=int(self._all[self._taken - 1, LAST]) + 1,
            cursor=np.array([0, 0, -1, -1], np.int64),
        )

    def _unpacked(self) -> tuple[bytes, Int64s]:
        """Bodies of the next batches, back to back; the batches' rows say where. Pages that are not filled take no memory."""
        room = np.empty(RANGE_BYTES + BATCH_BYTES, np.uint8).data
        filled, rows = 0, []
        while self._taken < len(self._all) and filled < RANGE_BYTES:
            row = self._all[self._taken].copy()
            if self._is_shown[self._taken]:
                size = self._unpack(row, room[filled : filled + BATCH_BYTES])
                row[BODY], row[END] = filled, filled + size
                filled += size
                rows.append(row)
            self._taken += 1
        return bytes(room[:filled]), np.array(rows, np.int64).reshape(-1, len(COLUMNS))

    def _unpack(self, row: Int64s, room: memoryview) -> int:
        body = memoryview(self._data)[row[BODY] : row[END]]
        codec = int(row[ATTRIBUTES]) & CODEC_MASK
        if codec and row[COUNT]:
            try:
                return unpacked(codec, body, room)
            except ValueError as error:
                raise self._corrupt(int(row[BASE]), str(error)) from error
        room[: len(body)] = body
        return len(body)

    def _are_aborted(self, table: Int64s) -> Bools:
        """``bool[n]``: batches of transactions that were aborted, in the order of the log."""
        found = np.zeros(len(table), np.bool_)
        aborting: set[int] = set()
        for index, row in enumerate(table.tolist()):
            while self._aborted and self._aborted[0][1] <= row[BASE]:
                aborting.add(self._aborted.pop(0)[0])
            if row[ATTRIBUTES] & CONTROL and self._is_abort(table[index]):
                aborting.discard(row[PRODUCER])
            found[index] = bool(row[ATTRIBUTES] & TRANSACTIONAL) and row[PRODUCER] in aborting
        return found

    def _is_abort(self, row: Int64s) -> bool:
        """Whether a control batch ends a transaction that way; one that compaction has emptied ends none any more."""
        record = np.empty((RECORD_COLUMNS, 1), np.int64)
        count, fault = kernel.records(self._data, row, np.array([0, 0, -1, -1], np.int64), 0, RANGE_BYTES, record)
        if fault is not None:
            raise self._corrupt(int(row[BASE]), fault)
        start, size = record[2:4, 0].tolist() if count else (0, 0)
        return size >= MARKER_BYTES and bool(ControlRecord.parse(self._data[start : start + size]) == ABORT_MARKER)

    def _corrupt(self, base: int, fault: str) -> CorruptRecordException:
        topic, partition = self._tp.topic, self._tp.partition
        return CorruptRecordException(
            f"{topic}:{partition}: the record batch at offset {base} can't be read: {fault}. Nothing at or behind it was "
            "taken. If it is said again after a restart, the broker's copy is damaged: let another replica lead, or look "
            "at it with kafka-dump-log.sh --deep-iteration; kafka-delete-records.sh goes past it, and what it deletes is "
            "reported as lost"
        )


def older(data: bytes) -> bytes:
    """The batches of older formats that a fetch begins with: aiokafka reads those, and can't read both kinds at once."""
    at = 0
    while at + MAGIC_AT < len(data) and data[at + MAGIC_AT] < FORMAT:
        at += PREFIX_BYTES + max(int.from_bytes(data[at + LENGTH_AT : at + PREFIX_BYTES], "big", signed=True), 0)
    return data[:at]


class RawHeaders(Mapping[int, Headers]):
    """Headers by row, of those rows that have any; they are read when somebody asks for them.

    Args:
        starts, counts: ``int64[n]``, where in the buffer a row's headers are, and how many; the kernel has walked them.
    """

    __slots__ = ("_buffer", "_counts", "_starts")

    def __init__(self, buffer: bytes, starts: Int64s, counts: Int64s) -> None:
        self._buffer, self._starts, self._counts = buffer, starts, counts

    def __getitem__(self, row: int) -> Headers:
        if not 0 <= row < len(self._counts) or not self._counts[row]:
            raise KeyError(row)
        found: Headers = kernel.headers(self._buffer, int(self._starts[row]), int(self._counts[row]))
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._counts).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self._counts))


def _cut(chunk: _Chunk, table: Int64s) -> bytes:
    """The part of the buffer that the records of a range need; all of it where that is most of it.

    The starts in ``table`` are moved along.
    """
    if not table.shape[1]:
        return b""
    batch, _, at, _ = chunk.cursor.tolist()
    begin, end = int(table[2, 0]), at if at >= 0 else int(chunk.batches[batch - 1, END])
    if 2 * (end - begin) >= len(chunk.buffer):
        return chunk.buffer
    table[[2, 4, 6]] -= begin
    return chunk.buffer[begin:end]
