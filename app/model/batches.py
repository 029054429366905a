"""The units that travel: one fetch of one partition is one batch of arrays, never a list of objects.

`RawBatch` is what a log gave, `ChangeBatch` and `EvidenceBatch` what the decoders make of it. A batch is a *position
range* ``[start, next)``: offsets without a record inside it (transactions, compaction) are no holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]
UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

NumbersOf = npt.NDArray[np.integer[Any]]
"""Numbers of something by row, of whatever width."""

Headers = Sequence[tuple[str, bytes | None]]


Places = slice | Int64s
"""Rows of an array: a slice where they stand side by side, which is most of the time and ten times as fast."""


def side_by_side(numbers: Int64s) -> Places:
    """The same places as a slice, where each is one more than the one before it."""
    if not len(numbers):
        return slice(0, 0)
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == len(numbers) and bool((numbers[1:] > numbers[:-1]).all()):
        return slice(first, last + 1)
    return numbers


def numbers_of(places: Places) -> Int64s:
    """Places as numbers."""
    return np.arange(places.start, places.stop) if isinstance(places, slice) else places


class RawRecord(NamedTuple):
    """One record as a log holds it; exists at the edges only (recordings, tests, routers)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBatch:
    """Records of one partition as one contiguous buffer.

    Attributes:
        start, next: the position range ``[start, next)`` in offsets that reading this batch covers.
        offsets, timestamps: ``int64[n]``; timestamps are the records' own, in ms since the epoch.
        buffer: all keys and values, and whatever stands between them; what a row's bytes are is said by the next four alone.
        key_starts, key_sizes, value_starts, value_sizes: ``int64[n]`` into ``buffer``; size -1 is null.
        headers: by row index, only for rows that have headers.
        schemas: what `app.decode.framing` has found of the values' framing, since it is asked more than once.
    """

    topic: str
    partition: int
    start: int
    next: int
    offsets: Int64s
    timestamps: Int64s
    buffer: bytes
    key_starts: Int64s
    key_sizes: Int64s
    value_starts: Int64s
    value_sizes: Int64s
    headers: Mapping[int, Headers] = field(default_factory=dict)
    schemas: tuple[list[int], NumbersOf] | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.offsets)

    def key(self, index: int) -> bytes | None:
        """The key's bytes of row ``index``, or None for a null key."""
        size = int(self.key_sizes[index])
        start = int(self.key_starts[index])
        return None if size < 0 else self.buffer[start : start + size]

    def value(self, index: int) -> bytes | None:
        """The value's bytes of row ``index``, or None for a null value."""
        size = int(self.value_sizes[index])
        start = int(self.value_starts[index])
        return None if size < 0 else self.buffer[start : start + size]

    def keys(self) -> list[bytes | None]:
        """Every row's key."""
        return _cut(self.buffer, self.key_starts, self.key_sizes)

    def values(self) -> list[bytes | None]:
        """Every row's value."""
        return _cut(self.buffer, self.value_starts, self.value_sizes)

    @classmethod
    def of(cls, topic: str, partition: int, records: Iterable[RawRecord], start: int, next_offset: int) -> RawBatch:
        """Pack records into one batch that covers ``[start, next_offset)``."""
        rows = list(records)
        count = len(rows)
        fields = [field for row in rows for field in (row[2], row[3])]  # key and value of each row, back to back
        sizes = np.fromiter((-1 if field is None else len(field) for field in fields), np.int64, 2 * count)
        ends = np.cumsum(np.maximum(sizes, 0))
        starts = ends - np.maximum(sizes, 0)
        return cls(
            topic=topic,
            partition=partition,
            start=start,
            next=next_offset,
            offsets=np.fromiter((row[0] for row in rows), np.int64, count),
            timestamps=np.fromiter((row[1] for row in rows), np.int64, count),
            buffer=b"".join([field for field in fields if field]),
            key_starts=starts[::2],
            key_sizes=sizes[::2],
            value_starts=starts[1::2],
            value_sizes=sizes[1::2],
            headers={index: row[4] for index, row in enumerate(rows) if row[4]},
        )


def _cut(buffer: bytes, starts: Int64s, sizes: Int64s) -> list[bytes | None]:
    return [
        None if size < 0 else buffer[start : start + size]
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBatch:
    """Decoded changes of one source partition.

    Attributes:
        start, next: the position range in offsets.
        offsets: ``int64[n]``, ascending.
        kinds: ``uint8[n]`` of `ChangeKind`.
        ops: ``uint8[n]``, the ASCII code of the envelope's op, 0 where there is none.
        key_hashes: ``uint64[n, 2]``, xxh64 with seeds 0 and 1 of the key without its framing; zeros where null.
        has_key: ``bool[n]``.
        fingerprints: ``uint64[n, p]``, one column per projection; zeros where there is no row.
        source_ts_ms: ``int64[n]``, the envelope's source.ts_ms; `NO_TIME` where absent.
        timestamps: ``int64[n]``, the records' own, ms.
        position_hashes: ``uint64[n, 2]`` over connector name, database, source position, key and op
            (what ``source_duplicate`` compares); zeros where ``has_position`` is false.
        has_position: ``bool[n]``; false for a null key or a null position.
        reasons: by row index, why a change is undecodable.
        left_out: ``uint8[n, p]`` of `LeftOut` by projection; None where nothing is left out.
    """

    topic: str
    partition: int
    start: int
    next: int
    offsets: Int64s
    kinds: UInt8s
    ops: UInt8s
    key_hashes: UInt64s
    has_key: Bools
    fingerprints: UInt64s
    source_ts_ms: Int64s
    timestamps: Int64s
    position_hashes: UInt64s
    has_position: Bools
    reasons: dict[int, str] = field(default_factory=dict)
    left_out: UInt8s | None = None

    def __len__(self) -> int:
        return len(self.offsets)


class SinkTopic(NamedTuple):
    """Whom a row of evidence speaks of: a sink and a source partition, by their names as written in the evidence."""

    sink: str
    topic: str
    partition: int


class Origin(NamedTuple):
    """Coordinates of an evidence record in the log it was first written to."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceBatch:
    """Decoded evidence of one log partition, in log order; a `DeliveryReceiptBatch` stands here as its n receipts.

    Attributes:
        start, next: the position range of the log in offsets.
        names: the distinct (sink, topic, partition) of this batch; ``name_index`` ``int32[n]`` points into it.
        records: ``int64[n]``, the offset of the evidence record a row came from, in this log.
        timestamps: ``int64[n]``, that record's timestamp, ms.
        kinds: ``uint8[n]`` of `EvidenceKind`.
        offsets: ``int64[n]``, the change's offset of a receipt or waiver, the mark's offset of a mark.
        statuses: ``uint8[n]`` of `ReceiptStatus` (receipts).
        fingerprints: ``uint64[n]``; ``has_fingerprint`` ``bool[n]``.
        applied_at: ``int64[n]`` ms: a receipt's applied_at, a mark's ``at``.
        sequences: ``int64[n]``; ``has_sequence`` ``bool[n]``.
        names_command: ``bool[n]``, command_id is not null.
        to_offsets: ``int64[n]``, a SKIP's end, else -1.
        generations: ``int32[n]``, a mark's generation.
        commands, errors, evidence, reasons: by row index, the rare texts (command id, (code, message),
            the kind of evidence, a mark's reason).
        origins: by row index, where the record was first written if it was routed here.
        unreadable: (record offset, reason) of records that could not be read (protocol section 4).
    """

    topic: str
    partition: int
    start: int
    next: int
    names: list[SinkTopic]
    name_index: Int32s
    records: Int64s
    timestamps: Int64s
    kinds: UInt8s
    offsets: Int64s
    statuses: UInt8s
    fingerprints: UInt64s
    has_fingerprint: Bools
    applied_at: Int64s
    sequences: Int64s
    has_sequence: Bools
    names_command: Bools
    to_offsets: Int64s
    generations: Int32s
    commands: dict[int, str] = field(default_factory=dict)
    errors: dict[int, tuple[str, str]] = field(default_factory=dict)
    evidence: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)
    unreadable: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)


Batch = ChangeBatch | EvidenceBatch
"""What a range of one input is decoded to."""
