"""The changes of one source partition, in segments of 4,096 offsets.

Immutable once read: judging never writes here. ``source_duplicate`` (protocol section 4) is decided while reading,
because it depends on earlier changes of the same source partition only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from app.errors import require
from app.ledger.repeats import repeats
from app.ledger.segments import Segments
from app.model import NO_TIME, SEGMENT_BITS, SEGMENT_OFFSETS, TAIL_OFFSETS, ChangeBatch, ChangeKind, LeftOut
from app.model.batches import Bools, Int64s, UInt8s, UInt64s, side_by_side

KEY = np.dtype("S16")
"""A key hash as 16 bytes, so that numpy sorts and searches all 128 bits at once."""


class ChangeSegment:
    """Dense columns of one segment; index = offset & 4095. ``kinds`` is 0 where the log holds nothing.

    ``fingerprints`` and ``left_out`` (of `LeftOut`) have a column for each projection.
    """

    __slots__ = (
        "base", "duplicates", "fingerprints", "has_key", "has_position", "key_hashes", "kinds", "left_out", "positions",
        "reasons", "source_ts_ms", "timestamps",
    )  # fmt: skip

    def __init__(self, number: int, projections: int) -> None:
        self.base = number << SEGMENT_BITS
        self.kinds: UInt8s = np.zeros(SEGMENT_OFFSETS, np.uint8)
        self.has_key: Bools = np.zeros(SEGMENT_OFFSETS, np.bool_)
        self.duplicates: Bools = np.zeros(SEGMENT_OFFSETS, np.bool_)
        self.has_position: Bools = np.zeros(SEGMENT_OFFSETS, np.bool_)
        self.positions: UInt64s = np.zeros((SEGMENT_OFFSETS, 2), np.uint64)
        self.key_hashes: UInt64s = np.zeros((SEGMENT_OFFSETS, 2), np.uint64)
        self.fingerprints: UInt64s = np.zeros((SEGMENT_OFFSETS, projections), np.uint64)
        self.left_out: UInt8s = np.zeros((SEGMENT_OFFSETS, projections), np.uint8)
        self.source_ts_ms: Int64s = np.full(SEGMENT_OFFSETS, NO_TIME, np.int64)
        self.timestamps: Int64s = np.zeros(SEGMENT_OFFSETS, np.int64)
        self.reasons: dict[int, str] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(getattr(self, name).nbytes for name in COLUMNS)

    def widen(self, projections: int) -> None:
        """Make room for the projections of a contract that was changed; of what was read before nothing is known by them."""
        missing = projections - self.fingerprints.shape[1]
        if missing > 0:
            self.fingerprints = np.pad(self.fingerprints, ((0, 0), (0, missing)))
            self.left_out = np.pad(self.left_out, ((0, 0), (0, missing)), constant_values=LeftOut.UNKNOWN)

    @property
    def keys(self) -> np.ndarray:
        """``S16[4096]`` view of the key hashes."""
        return self.key_hashes.view(KEY).reshape(-1)

    def key(self, index: int) -> bytes | None:
        """The 16 bytes of a key hash, or None for a null key."""
        return self.key_hashes[index].tobytes() if self.has_key[index] else None


COLUMNS = tuple(name for name in ChangeSegment.__slots__ if name not in {"base", "reasons"})
"""The arrays of a segment."""


class Changes:
    """All changes of one source partition that some sink may still need.

    Args:
        segments: where they are kept; in memory alone where none are given.

    Attributes:
        first: the offset at which reading began; what lies below has no cells.
        next: the offset that will be read next.
        read: number of changes read; expired: number of offsets that were lost before they could be read.
        forgotten: below it segments were pruned: what is not held there may be a change all the same.
    """

    def __init__(
        self, topic: str, partition: int, projections: int, segments: Segments[ChangeSegment] | None = None
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.projections = projections
        self.first = -1
        self.next = 0
        self.read = 0
        self.expired = 0
        self.forgotten = 0
        self.segments: Segments[ChangeSegment] = Segments() if segments is None else segments
        self._kinds: dict[int, int] = {}
        self._kinds_time = 0
        self._repeats = repeats()

    def take(self, batch: ChangeBatch) -> None:
        """Append a batch whose ``start`` is not beyond `next`; what is below `next` was read before and is cut off."""
        if self.first < 0:
            self.first = self.next = batch.start
        require(batch.start <= self.next, f"{self.topic}:{self.partition}: a hole from {self.next} to {batch.start}")
        skip = int(np.searchsorted(batch.offsets, self.next))
        offsets = batch.offsets[skip:]
        duplicates = self._find_duplicates(batch, skip)
        for number, lo, hi in runs(offsets):
            self._fill(number, batch, offsets, duplicates, skip, lo, hi)
        self.read += len(offsets)
        self.next = max(self.next, batch.next)

    def lose(self, start: int, end: int) -> None:
        """Offsets ``[start, end)`` expired before they were read: each becomes one unverifiable cell."""
        if self.first < 0:
            self.first = start
        require(self.next in {start, 0}, f"{self.topic}:{self.partition}: a loss that is not at {self.next}")
        for number in range(start >> SEGMENT_BITS, ((end - 1) >> SEGMENT_BITS) + 1):
            segment = self._segment(number)
            lo, hi = max(start - segment.base, 0), min(end - segment.base, SEGMENT_OFFSETS)
            segment.kinds[lo:hi] = ChangeKind.LOST
        self.expired += end - start
        self.next = end

    def widen(self, start: int, end: int) -> None:
        """Make room for every projection at ``[start, end)``, for a sink that begins before it was known."""
        for number in self._numbers(start, end):
            self._segment(number)

    def numbers_of(self, *kinds: ChangeKind) -> list[int]:
        """Numbers of the segments that hold a change of some kinds, ascending; each segment is looked at once for all times."""
        written, self._kinds_time = self.segments.written_since(self._kinds_time)
        for number in written:
            self._kinds[number] = sum(1 << kind for kind in np.unique(self.segments[number].kinds).tolist())
        if len(self._kinds) > len(self.segments):
            self._kinds = {number: held for number, held in self._kinds.items() if number in self.segments}
        asked = sum(1 << kind for kind in kinds)
        return sorted(number for number, held in self._kinds.items() if held & asked)

    def holds_truncates(self) -> bool:
        """Whether a truncate is among the changes that are held."""
        return bool(self.numbers_of(ChangeKind.TRUNCATE))

    def segment_of(self, offset: int) -> ChangeSegment | None:
        """The segment that an offset lies in, or None where nothing of it is held."""
        return self.segments.get(offset >> SEGMENT_BITS)

    def kind(self, offset: int) -> ChangeKind:
        """What stands at an offset; ABSENT also where it is not held."""
        segment = self.segment_of(offset)
        return ChangeKind.ABSENT if segment is None else ChangeKind(int(segment.kinds[offset & (SEGMENT_OFFSETS - 1)]))

    def key(self, offset: int) -> bytes | None:
        """The 16 bytes of a change's key hash; None for a null key, and where nothing is held."""
        segment = self.segment_of(offset)
        return None if segment is None else segment.key(offset & (SEGMENT_OFFSETS - 1))

    def slices(self, start: int, end: int) -> Iterator[tuple[ChangeSegment, int, int]]:
        """Segments that overlap ``[start, end)`` in order, each with its index range.

        They come into memory one by one; who looks at many lets each go before the next, or memory holds them all.
        """
        for number in self._numbers(start, end):
            segment = self.segments.get(number)
            if segment is not None:  # it may be gone since, where others have their turn meanwhile
                yield segment, max(start - segment.base, 0), min(end - segment.base, SEGMENT_OFFSETS)

    def _numbers(self, start: int, end: int) -> list[int]:
        return self.segments.between(start >> SEGMENT_BITS, ((end - 1) >> SEGMENT_BITS) + 1) if start < end else []

    def prune(self, keep_from: int) -> list[int]:
        """Forget whole segments below ``keep_from``; returns their numbers."""
        gone = self.segments.between(0, keep_from >> SEGMENT_BITS)
        for number in gone:
            self.segments.pop(number)
            self.forgotten = max(self.forgotten, (number + 1) << SEGMENT_BITS)
        return gone

    def remember_positions(self) -> None:
        """Fill the window of source positions from the segments, after they were loaded."""
        self._repeats = repeats()
        for segment, lo, hi in self.slices(self.next - TAIL_OFFSETS, self.next):
            rows = np.flatnonzero(segment.has_position[lo:hi]) + lo
            self._repeats.note(segment.positions[rows], rows + segment.base)

    def _segment(self, number: int) -> ChangeSegment:
        segment = self.segments.writable(number)
        if segment is None:
            segment = self.segments[number] = ChangeSegment(number, self.projections)
        segment.widen(self.projections)
        return segment

    def _fill(
        self, number: int, batch: ChangeBatch, offsets: Int64s, duplicates: Bools, skip: int, lo: int, hi: int
    ) -> None:
        segment = self._segment(number)
        index = side_by_side(offsets[lo:hi] - segment.base)
        rows = slice(skip + lo, skip + hi)
        segment.kinds[index] = batch.kinds[rows]
        segment.has_key[index] = batch.has_key[rows]
        segment.key_hashes[index] = batch.key_hashes[rows]
        segment.has_position[index] = batch.has_position[rows]
        segment.positions[index] = batch.position_hashes[rows]
        segment.fingerprints[index] = batch.fingerprints[rows]
        segment.left_out[index] = 0 if batch.left_out is None else batch.left_out[rows]
        segment.source_ts_ms[index] = batch.source_ts_ms[rows]
        segment.timestamps[index] = batch.timestamps[rows]
        segment.duplicates[index] = duplicates[lo:hi]
        if batch.reasons:
            for row, reason in batch.reasons.items():
                if rows.start <= row < rows.stop:
                    segment.reasons[int(batch.offsets[row]) - segment.base] = reason

    def _find_duplicates(self, batch: ChangeBatch, skip: int) -> Bools:
        """``bool[n]`` of the rows whose position stood within the previous 65,536 offsets."""
        rows = np.flatnonzero(batch.has_position[skip:])
        duplicates = np.zeros(len(batch) - skip, np.bool_)
        duplicates[rows] = self._repeats.note(batch.position_hashes[skip:][rows], batch.offsets[skip:][rows])
        return duplicates


def runs(offsets: Int64s) -> Iterator[tuple[int, int, int]]:
    """(segment number, first row, row after the last) of each run of rows in one segment; rows keep their order."""
    if not len(offsets):
        return
    numbers = offsets >> SEGMENT_BITS
    if numbers[0] == numbers[-1] and bool((numbers == numbers[0]).all()):
        yield int(numbers[0]), 0, len(offsets)
        return
    cuts = (np.flatnonzero(np.diff(numbers)) + 1).tolist()
    for lo, hi in zip([0, *cuts], [*cuts, len(offsets)], strict=True):
        yield int(numbers[lo]), lo, hi


MOST_APART = 1 << 16
"""Segments between the lowest and the highest of some offsets, up to which counting is cheaper than sorting."""


def segment_numbers(offsets: Int64s) -> list[int]:
    """The numbers of the segments that offsets, in any order, lie in: ascending, each once."""
    if not len(offsets):
        return []
    numbers = offsets >> SEGMENT_BITS
    lowest = int(numbers.min())
    if int(numbers.max()) - lowest > MOST_APART:
        found: list[int] = np.unique(numbers).tolist()
    else:
        found = (np.flatnonzero(np.bincount(numbers - lowest)) + lowest).tolist()
    return found
