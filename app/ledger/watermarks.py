"""Watermarks, counts and conservation of one sink and source partition (protocol sections 1 and 4, law 1)."""

from __future__ import annotations

import numpy as np

from app.errors import require
from app.ledger import counting
from app.ledger.cells import CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.counts import BAD_LEVELS
from app.ledger.fence import apply_keyed_rules
from app.ledger.judging import judge_straggler, visible_later
from app.ledger.rules import NOTHING
from app.ledger.sink import SinkPartition
from app.ledger.slices import Slice, passed_slices
from app.model import NO_TIME, SEGMENT_BITS, Flag, Level, State
from app.model.words import INDEX


def settled_watermark(sink: SinkPartition) -> int:
    """The highest N, not above the highest fence, such that every cell below N is closed."""
    lowest = sink.stragglers.lowest()
    return sink.fence if lowest is None else min(lowest, sink.fence)


def verified_watermark(sink: SinkPartition) -> int:
    """As settled, but it stops at an unverifiable cell that no operator waived."""
    return min([settled_watermark(sink), *sink.verified_stop])


def open_cells(sink: SinkPartition) -> list[tuple[int, State, Flag]]:
    """Every open cell with its state and flags as of all that has been read, ascending; none after END.

    The scalar and the array rules together, as a fence would find them, without closing anything.
    """
    if sink.is_ended:
        return []
    found: list[tuple[int, State, Flag]] = []
    stragglers = sorted(sink.stragglers.by_offset.values(), key=lambda s: s.offset)
    visible = visible_later(sink, {s.key for s in stragglers if s.key is not None})
    for straggler in stragglers:
        state, flags = judge_straggler(sink, straggler, visible)
        found.append((straggler.offset, state, flags))
    for part in open_slices(sink):
        rows = np.flatnonzero(part.states != NOTHING)
        for row in rows.tolist():
            found.append((part.changes.base + part.lo + row, State(int(part.states[row])), Flag(int(part.flags[row]))))
    return found


def open_slices(sink: SinkPartition) -> list[Slice]:
    """The cells above the fence, judged by what has been read (a fence that is not there passes none of them)."""

    def cells_at(number: int) -> CellSegment:
        return sink.cells.get(number) or CellSegment(number)

    slices = passed_slices(sink, sink.fence, sink.changes.next, cells_at)
    apply_keyed_rules(sink, slices, sink.fence)
    return slices


def open_counts(sink: SinkPartition) -> np.ndarray:
    """``int64[10]``: open cells by state."""
    return np.zeros(10, np.int64) if sink.is_ended else counting.open_cells_by_state(sink)


def bad_levels(sink: SinkPartition) -> np.ndarray:
    """``int64[4]``: open bad cells by the `Level` of what was said of them; those of which nothing was said count nowhere."""
    if sink.is_ended:
        return np.zeros(len(Level), np.int64)
    found: np.ndarray = counting.counted(sink).total()[BAD_LEVELS]
    return found


def expected_from(sink: SinkPartition, offset: int) -> int:
    """Changes at or above an offset that the contract expects, of those that were read.

    What a transform or the contract drops (tombstones, messages) is no lag: a sink's progress may never pass it.
    """
    return counting.expected_from(sink, offset)


def difference(sink: SinkPartition, opened: int | None = None) -> int:
    """Changes read + offsets expired unread - cells over all states; 0 by law 1, and for a sink that has ended.

    Changes that were read before the sink was added to the configuration have no cells.

    Args:
        opened: how many cells are open, where they were just counted.
    """
    if sink.is_ended:
        return 0
    cells = int(sink.tally.closed.sum()) + (int(open_counts(sink).sum()) if opened is None else opened)
    return sink.changes.read + sink.changes.expired - sink.unseen - cells


def conserved(sink: SinkPartition) -> None:
    """Law 1; raises `InvariantBroken` where it does not hold."""
    left = difference(sink)
    where = f"{sink.contract.sink} {sink.changes.topic}:{sink.changes.partition}"
    require(left == 0, f"{where}: changes read and cells differ by {left}")


def oldest_open_time(sink: SinkPartition) -> int | None:
    """Source time in ms of the oldest open cell, None where none is open."""
    lowest = sink.stragglers.lowest()
    for segment, lo, hi in sink.changes.slices(sink.fence if lowest is None else lowest, sink.changes.next):
        rows = np.flatnonzero(segment.kinds[lo:hi]) + lo
        if len(rows):
            return _time(segment, rows[0])
    return None


def closed_cells(sink: SinkPartition) -> list[tuple[int, State, Flag]]:
    """Every closed cell that is still held, ascending."""
    found = []
    for number in sink.cells:
        cells = sink.cells[number]
        for index in np.flatnonzero(cells.closed).tolist():
            found.append((cells.base + index, State(int(cells.closed[index]) - 1), Flag(int(cells.flags[index]))))
    return found


def source_time(sink: SinkPartition, watermark: int) -> int | None:
    """Source time in ms of the newest change below a watermark, None where none is held."""
    for number in reversed(sink.changes.segments.between(0, ((watermark - 1) >> SEGMENT_BITS) + 1)):
        segment = sink.changes.segments[number]
        rows = np.flatnonzero(segment.kinds[: min(watermark - segment.base, INDEX + 1)])
        if len(rows):
            return _time(segment, rows[-1])
    return None


def _time(segment: ChangeSegment, index: int) -> int:
    """Source time in ms of one change; its record's where it has none, as a tombstone and what is undecodable."""
    source = int(segment.source_ts_ms[index])
    return int(segment.timestamps[index]) if source == NO_TIME else source
