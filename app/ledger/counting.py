"""Counting a sink's open cells and expected changes segment by segment, where something was written since they were counted.

A row depends on its segment, its cells, its stragglers, the sink's beginning, SKIPs and contracts, and on the fence in the
segments that it has passed. What the keyed rules change of it depends on other segments, too:

- Superseded, latest-state: silent cells, where a later change of their key is known. Counted anew in the segments that were
  written to; in all that have silent cells where what is known has changed.
- Guarded: cells above the fence that answer a command. There are hardly ever any: they are looked at each time.
"""

from __future__ import annotations

import numpy as np

from app.ledger.cells import NEVER, CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.counts import ANSWERED, BAD_LEVELS, EXPECTED, KNOWN, OPEN, SILENT, WIDTH, Counts
from app.ledger.keyed import Newest
from app.ledger.rules import NOTHING, level_of
from app.ledger.sink import SinkPartition
from app.ledger.slices import Slice, passed_slices
from app.ledger.superseding import answered, guard, known_changes, silent, supersede
from app.model import BAD, SEGMENT_BITS, SEGMENT_OFFSETS
from app.model.batches import Int64s


def counted(sink: SinkPartition) -> Counts:
    """The counts as of all that has been read."""
    count(sink)
    return sink.counts


def count(sink: SinkPartition, most: int | None = None) -> bool:
    """Count what was written since; whether nothing is left to be counted.

    Args:
        most: segments to be counted now; None for all.
    """
    counts = sink.counts
    _note_rules(sink, counts)
    _note_writes(sink, counts)
    for number in sorted(counts.stale)[:most]:
        counts.put(number, _row(sink, number))
    if len(counts) > len(sink.changes.segments):
        counts.keep(set(sink.changes.segments))
    return not counts.stale


def open_cells_by_state(sink: SinkPartition) -> Int64s:
    """``int64[10]``: open cells by state, with the keyed rules."""
    counts = counted(sink)
    total = counts.total()
    found: Int64s = total[OPEN].copy()
    if total[SILENT] and total[KNOWN]:
        _supersede(sink, counts)
        found += sum(counts.moved.values(), np.zeros(10, np.int64))
    if total[ANSWERED]:
        found += _guarded(sink, counts)
    return found


def expected_from(sink: SinkPartition, offset: int) -> int:
    """Changes at or above an offset that the contract expects, of those that were read."""
    start = max(offset, sink.beginning, sink.since)
    found = int(counted(sink).total(start >> SEGMENT_BITS)[EXPECTED])
    for changes, lo, hi in sink.changes.slices(start, ((start >> SEGMENT_BITS) + 1) << SEGMENT_BITS):
        found += _expected(sink, changes, lo, hi)
    return found


# -------------------------------------------------------------------- what must be counted anew


def _note_rules(sink: SinkPartition, counts: Counts) -> None:
    """What judges has changed: all rows, or those that a moved fence or another SKIP reaches."""
    segments, of = sink.changes.segments, (sink.generation, sink.epoch, sink.beginning, sink.since, *sink.terms)
    skips = set(sink.skips)
    if of != counts.of or sink.fence < counts.fence:
        counts.clear()
        counts.stale.update(segments)
    else:
        reached = [(counts.fence, sink.fence + 1)] if sink.fence > counts.fence else []
        for start, end in (*reached, *(skips ^ counts.skips)):
            counts.stale.update(segments.between(start >> SEGMENT_BITS, ((end - 1) >> SEGMENT_BITS) + 1))
    counts.of, counts.fence, counts.skips = of, sink.fence, skips


def _note_writes(sink: SinkPartition, counts: Counts) -> None:
    segments = sink.changes.segments
    logs = (segments.written_since, sink.cells.written_since, sink.stragglers.written_since)
    for place, written_since in enumerate(logs):
        written, counts.times[place] = written_since(counts.times[place])
        counts.stale.update(written)
    counts.stale = {number for number in counts.stale if number in segments}


# -------------------------------------------------------------------- one segment


def _row(sink: SinkPartition, number: int) -> Int64s:
    row = np.zeros(WIDTH, np.int64)
    changes, cells = sink.changes.segments[number], sink.cells.get(number)
    row[EXPECTED] = _expected(sink, changes, 0, SEGMENT_OFFSETS)
    parts = _slices(sink, changes, cells)
    row[OPEN] = _by_state(parts)
    for part in parts:
        row[SILENT] += np.count_nonzero(silent(part))
        row[ANSWERED] += np.count_nonzero(answered(part))
    if any(terms.expectations.is_latest_state for terms in sink.terms):
        row[KNOWN] = len(_known(sink, changes, cells, NEVER)[1])
    for offset in sink.stragglers.of_segment(number):
        state = sink.stragglers.by_offset[offset].state
        row[OPEN.start + state] += 1
        level = level_of(state, 0 if cells is None else int(cells.bits[offset - changes.base]))
        if state in BAD and level is not None:
            row[BAD_LEVELS.start + level] += 1
    return row


def _expected(sink: SinkPartition, changes: ChangeSegment, first: int, last: int) -> int:
    found = 0
    for terms, lo, hi in sink.terms.pieces(changes.base, first, last):
        of = terms.expectations
        found += int(np.count_nonzero(of.expected[of.kinds(changes, lo, hi)]))
    return found


def _slices(sink: SinkPartition, changes: ChangeSegment, cells: CellSegment | None) -> list[Slice]:
    """The cells of a segment above the fence."""
    start = max(sink.fence, changes.base)
    return passed_slices(sink, start, changes.base + SEGMENT_OFFSETS, lambda number: cells or CellSegment(number))


# -------------------------------------------------------------------- the keyed rules


def _supersede(sink: SinkPartition, counts: Counts) -> None:
    """Fill ``counts.moved`` where it lacks a segment."""
    if counts.moved_by != (counts.known, sink.horizon):
        counts.moved.clear()
        counts.moved_by = (counts.known, sink.horizon)
    missing = [number for number in counts.having(SILENT) if number not in counts.moved]
    if not missing:
        return
    segments = sink.changes.segments
    newest = Newest(
        _known(sink, segments[number], sink.cells.get(number), sink.horizon) for number in counts.having(KNOWN)
    )
    for number in missing:
        counts.moved[number] = _moved(sink, number, newest)


def _known(
    sink: SinkPartition, changes: ChangeSegment, cells: CellSegment | None, end: int
) -> tuple[np.ndarray, Int64s]:
    return known_changes(sink, changes, cells, sink.fence, sink.fence, end)


def _moved(sink: SinkPartition, number: int, newest: Newest) -> Int64s:
    parts = _slices(sink, sink.changes.segments[number], sink.cells.get(number))
    before = _by_state(parts)
    for part in parts:
        supersede(part, silent(part), newest)
    return _by_state(parts) - before


def _guarded(sink: SinkPartition, counts: Counts) -> Int64s:
    found = np.zeros(10, np.int64)
    for number in counts.having(ANSWERED):
        parts = _slices(sink, sink.changes.segments[number], sink.cells.get(number))
        before = _by_state(parts)
        guard(sink, parts)
        found += _by_state(parts) - before
    return found


def _by_state(parts: list[Slice]) -> Int64s:
    """``int64[10]``: cells by state."""
    states = np.concatenate([np.zeros(0, np.uint8), *(part.states for part in parts)])
    return np.bincount(states[states != NOTHING], minlength=10)
