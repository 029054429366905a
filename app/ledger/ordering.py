"""out_of_order (protocol section 4): of two changes of a key, the later one was applied first.

"First" is by the first apply's place in the lane, or by the sink's own sequence numbers where both have one. Without the kernel,
keys are compared by half of their hashes first: of some thousand changes most keys stand alone, and are done with after one sort.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from app.ledger.cells import NEVER, CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.keyed import Later
from app.ledger.sink import SinkPartition
from app.ledger.slices import Slice
from app.model import SEGMENT_BITS, SEGMENT_OFFSETS, Flag, State
from app.model.batches import Bools, Int64s, UInt64s, side_by_side
from app.native import kernel

SLOT_WORDS = 5
"""Of the kernel's table (app/native/src/ordering.c)."""
MOST_PAIRED = 8
"""Changes of one key that are compared pair by pair, in arrays; a busier key is gone through from its end."""


class Pass(IntEnum):
    """What the kernel does with cells: note their keys, add them to keys that were noted, or judge and add them."""

    NOTE = 0
    ADD = 1
    JUDGE = 2


class Applied(NamedTuple):
    """Cells with a key and a first apply, by ascending offset: ``int64[n]`` each, ``key_hashes`` ``uint64[n, 2]``."""

    offsets: Int64s
    key_hashes: UInt64s
    ranks: Int64s
    sequences: Int64s

    def at(self, rows: Int64s) -> Applied:
        """Some rows."""
        return Applied(self.offsets[rows], self.key_hashes[rows], self.ranks[rows], self.sequences[rows])


def mark_out_of_order(sink: SinkPartition, slices: list[Slice]) -> None:
    """Write the flag into the slices of newly passed cells, seen against every change of their keys below the horizon."""
    (_mark_by_arrays if kernel is None else _mark_by_table)(sink, slices)


def _mark_by_table(sink: SinkPartition, slices: list[Slice]) -> None:
    """With the kernel's table of keys, filled from the newest change back. Of what lies above the slices only their keys matter."""
    start, end = _bounds(slices)
    table = np.zeros((1 << (2 * (end - start)).bit_length(), SLOT_WORDS), np.int64)
    if sink.horizon > end:
        _go_back(sink, table, Pass.NOTE, start, end)
        _go_back(sink, table, Pass.ADD, end, sink.horizon)
    for base, is_late in _go_back(sink, table, Pass.JUDGE, start, end):
        for part in [part for part in slices if part.changes.base == base]:
            _mark(part, np.flatnonzero(is_late[part.lo : part.hi]))


def _go_back(sink: SinkPartition, table: Int64s, what: Pass, start: int, end: int) -> list[tuple[int, Bools]]:
    """One pass over cells, from the last to the first; first offsets of segments that have some that are late, with which."""
    found = []
    for number in reversed(sink.changes.segments.between(start >> SEGMENT_BITS, (end - 1 >> SEGMENT_BITS) + 1)):
        changes, cells = sink.changes.segments[number], sink.cells.get(number)
        if cells is None:
            continue
        lo, hi = max(start - changes.base, 0), min(end - changes.base, SEGMENT_OFFSETS)
        is_late = np.zeros(SEGMENT_OFFSETS, np.bool_)
        columns = (changes.key_hashes, changes.has_key, cells.apply_rank, cells.apply_sequence, is_late)
        if kernel.late_applies(what, lo, hi, (table, *columns)):
            found.append((changes.base, is_late))
    return found


def _mark(part: Slice, rows: Int64s) -> None:
    part.flags[rows[part.states[rows] != State.EXEMPT]] |= np.uint8(Flag.OUT_OF_ORDER)


def _bounds(slices: list[Slice]) -> tuple[int, int]:
    return slices[0].changes.base + slices[0].lo, slices[-1].changes.base + slices[-1].hi


def _mark_by_arrays(sink: SinkPartition, slices: list[Slice]) -> None:
    start, end = _bounds(slices)
    applied = _applied(sink, start, max(sink.horizon, end))
    if len(applied.offsets) < 2 or _is_in_order(applied):
        return
    for offset in out_of_order(applied).tolist():
        if offset >= end:
            break
        part = next(part for part in slices if part.changes.base + part.lo <= offset < part.changes.base + part.hi)
        _mark(part, np.array([offset - part.changes.base - part.lo]))


def out_of_order(applied: Applied) -> Int64s:
    """Offsets of the changes whose first apply came after that of a later change of the same key, ascending."""
    rows = _repeated(applied.key_hashes[:, 0])
    if not len(rows):
        return rows
    some = applied.at(rows)
    order = np.lexsort((some.offsets, some.key_hashes[:, 1], some.key_hashes[:, 0]))
    return np.sort(some.offsets[order][_wrong(some.at(order))])


def _applied(sink: SinkPartition, start: int, end: int) -> Applied:
    parts = [_of_segment(changes, sink.cells.get(changes.base >> SEGMENT_BITS), lo, hi)
             for changes, lo, hi in sink.changes.slices(start, end)]  # fmt: skip
    found = [part for part in parts if part is not None]
    if not found:
        nothing = np.zeros(0, np.int64)
        return Applied(nothing, np.zeros((0, 2), np.uint64), nothing, nothing)
    return Applied(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _of_segment(changes: ChangeSegment, cells: CellSegment | None, lo: int, hi: int) -> Applied | None:
    if cells is None:
        return None
    rows = np.flatnonzero((cells.apply_rank[lo:hi] != NEVER) & changes.has_key[lo:hi]) + lo
    places = side_by_side(rows)
    return Applied(
        rows + changes.base, changes.key_hashes[places], cells.apply_rank[places], cells.apply_sequence[places]
    )


def _is_in_order(applied: Applied) -> bool:
    """Whether every change was applied after all before it, and none has a sequence."""
    return bool((applied.ranks[1:] > applied.ranks[:-1]).all()) and bool((applied.sequences == NEVER).all())


def _repeated(halves: UInt64s) -> Int64s:
    """Rows whose value stands in another row, too."""
    order = np.argsort(halves)
    ordered = halves[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order[:0]
    rows: Int64s = order[np.r_[same, False] | np.r_[False, same]]
    return rows


def _wrong(applied: Applied) -> Bools:
    """``bool[n]`` of rows that are sorted by key, and by offset within a key."""
    keys = applied.key_hashes
    firsts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)])
    sizes = np.diff(np.r_[firsts, len(keys)])
    group = np.repeat(np.arange(len(firsts)), sizes)
    wrong = np.zeros(len(keys), np.bool_)
    for distance in range(1, min(int(sizes.max()), MOST_PAIRED)):
        wrong[:-distance] |= (group[:-distance] == group[distance:]) & _precedes(applied, distance)
    for first, size in zip(firsts[sizes > MOST_PAIRED].tolist(), sizes[sizes > MOST_PAIRED].tolist(), strict=True):
        _go_through(applied, first, first + size, wrong)
    return wrong


def _precedes(applied: Applied, distance: int) -> Bools:
    """Whether each row was applied after the row that stands so far behind it: `Later.precedes`, of one later change."""
    ranks, sequences = applied.ranks, applied.sequences
    overtaken = ranks[distance:] < ranks[:-distance]
    later, own = sequences[distance:], sequences[:-distance]
    by_sequence: Bools = np.where((own == NEVER) | (later == NEVER), overtaken, later < own)
    return by_sequence


def _go_through(applied: Applied, first: int, end: int, wrong: Bools) -> None:
    """All changes of one busy key, from its newest back."""
    later = Later()
    for row in range(end - 1, first - 1, -1):
        rank, sequence = int(applied.ranks[row]), int(applied.sequences[row])
        wrong[row] = later.precedes(rank, sequence)
        later.add_apply(rank, sequence)
