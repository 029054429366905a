"""Seals: the ledger's record of closed ranges (design section 8).

A segment is sealed when a fence passes its end; where a segment does not fill, an hour of the lane's mark time seals what
is closed. Stragglers that close later go into a later seal of their segment. The chain is in order of making.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.ledger.cells import Bit, CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.rules import LEFT_OUT, level_counts
from app.ledger.sink import SinkPartition
from app.model import NO_TIME, SEGMENT_BITS, SEGMENT_OFFSETS, ChangeKind
from app.model.batches import side_by_side

SEAL_AFTER_MS = 3_600_000
"""An hour of mark time: a quiet topic is sealed all the same."""

_M64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRange:
    """What one seal covers: the cells of one segment that closed since its last seal.

    ``counts``, ``flags`` and ``levels`` are per state, per flag bit and per `Level`; the fingerprint sums are mod 2**64, of the source's expected
    fingerprints and of the last words' fingerprints; times are source times in ms.
    """

    segment: int
    first_offset: int
    last_offset: int
    counts: tuple[int, ...]
    flags: tuple[int, ...]
    levels: tuple[int, ...]
    open_offsets: tuple[int, ...]
    source_sum: int
    sink_sum: int
    first_ts_ms: int
    last_ts_ms: int


def due_ranges(sink: SinkPartition, *, is_final: bool = False) -> Iterator[ClosedRange]:
    """The ranges to seal after a fence was evaluated, ascending; marks their cells as sealed. ``is_final``: all."""
    if sink.sealed_at == NO_TIME:
        sink.sealed_at = sink.at
    is_hour = is_final or sink.at - sink.sealed_at >= SEAL_AFTER_MS
    for number in sorted(sink.unsealed):
        is_full = (number + 1) << SEGMENT_BITS <= sink.fence
        if not (is_full or is_hour):
            continue
        if is_full or number << SEGMENT_BITS < sink.fence:
            found = _seal(sink, number)
            if found is not None:
                yield found
            sink.unsealed.discard(number)


def _seal(sink: SinkPartition, number: int) -> ClosedRange | None:
    changes, cells = sink.changes.segments.get(number), sink.cells.writable(number)
    if changes is None or cells is None:
        return None
    rows = np.flatnonzero((cells.closed > 0) & ((cells.bits & Bit.SEALED) == 0))
    if not len(rows):
        return None
    cells.bits[side_by_side(rows)] |= Bit.SEALED
    passed = np.arange(cells.base, cells.base + SEGMENT_OFFSETS) < sink.fence
    left = np.flatnonzero((cells.closed == 0) & passed & (changes.kinds != ChangeKind.ABSENT))
    return _range(sink, changes, cells, rows, left, number)


def _range(
    sink: SinkPartition, changes: ChangeSegment, cells: CellSegment, rows: np.ndarray, left: np.ndarray, number: int
) -> ClosedRange:
    places = side_by_side(rows)
    times = changes.source_ts_ms[places]
    times = np.where(times == NO_TIME, changes.timestamps[places], times)
    flags, states = cells.flags[places], cells.closed[places] - 1
    is_upsert = (changes.kinds[places] == ChangeKind.UPSERT) & (sink.terms.kinds(changes, places) != LEFT_OUT)
    upserts = places if is_upsert.all() else rows[is_upsert]
    return ClosedRange(
        segment=number,
        first_offset=cells.base + int(rows[0]),
        last_offset=cells.base + int(rows[-1]),
        counts=tuple(np.bincount(states, minlength=10).tolist()),
        flags=tuple(int(((flags >> bit) & 1).sum()) for bit in range(8)) if flags.any() else (0,) * 8,
        levels=tuple(level_counts(states, cells.bits[places]).tolist()),
        open_offsets=tuple((left + cells.base).tolist()),
        source_sum=int(sink.terms.expected_fingerprints(changes, upserts).sum(dtype=np.uint64)) & _M64,
        sink_sum=int(cells.fingerprints[places].sum(dtype=np.uint64)) & _M64,
        first_ts_ms=int(times.min()),
        last_ts_ms=int(times.max()),
    )
