"""The source positions of the last 65,536 offsets: whether a change stood there before (protocol section 4, source_duplicate).

Two forms of one rule: a dict, and a table that the kernel keeps, which takes a tenth of the time and of the memory.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from app.model import TAIL_OFFSETS
from app.model.batches import Bools, Int64s, UInt64s
from app.native import kernel

LEAST_SLOTS = 1 << 10
LOW, HIGH, OFFSET = range(3)
"""A slot of the table, int64 each: the position's hashes, and the offset it was seen at last, -1 in a free slot."""


class Repeats(Protocol):
    """Positions by the first of their two hashes."""

    def note(self, positions: UInt64s, offsets: Int64s) -> Bools:
        """Remember some positions, ascending by offset.

        Args:
            positions: ``uint64[n, 2]``; offsets: ``int64[n]``.

        Returns:
            ``bool[n]``: the position stood within the previous 65,536 offsets.
        """


class DictRepeats:
    """The reference."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    def note(self, positions: UInt64s, offsets: Int64s) -> Bools:
        repeated = np.zeros(len(offsets), np.bool_)
        known = self._known
        for row, (offset, low, high) in enumerate(
            zip(offsets.tolist(), positions[:, 0].tolist(), positions[:, 1].tolist(), strict=True)
        ):
            before = known.get(low)
            repeated[row] = before is not None and before[0] == high and offset - before[1] <= TAIL_OFFSETS
            known[low] = (high, offset)
        if len(known) > 2 * TAIL_OFFSETS:
            floor = int(offsets[-1]) - TAIL_OFFSETS
            self._known = {low: seen for low, seen in known.items() if seen[1] >= floor}
        return repeated


class TableRepeats:
    """The kernel's. At least half of the slots are free, so that a search is short."""

    def __init__(self) -> None:
        self._table = _free(LEAST_SLOTS)
        self._taken = 0

    def note(self, positions: UInt64s, offsets: Int64s) -> Bools:
        repeated = np.zeros(len(offsets), np.bool_)
        if len(offsets):
            if 2 * (self._taken + len(offsets)) > len(self._table):
                self._make_room(int(offsets[0]), len(offsets))
            self._taken += self._add(np.ascontiguousarray(positions), np.ascontiguousarray(offsets), repeated)
        return repeated

    def _make_room(self, first: int, count: int) -> None:
        """Forget what no change from ``first`` on can repeat, in a table that will hold as many positions again."""
        kept = self._table[self._table[:, OFFSET] >= max(first - TAIL_OFFSETS, 0)]
        size = 1 << (2 * (len(kept) + count)).bit_length()
        if size > len(self._table):
            self._table = _free(size)
        else:  # made once and filled again and again: new pages cost more than filling them
            self._table.fill(-1)
        positions = np.ascontiguousarray(kept[:, [LOW, HIGH]]).view(np.uint64)
        self._taken = self._add(positions, np.ascontiguousarray(kept[:, OFFSET]), np.zeros(len(kept), np.bool_))

    def _add(self, positions: UInt64s, offsets: Int64s, repeated: Bools) -> int:
        taken: Any = kernel.note_positions(self._table, positions, offsets, TAIL_OFFSETS, repeated)
        return int(taken)


def _free(slots: int) -> Int64s:
    return np.full((slots, 3), -1, np.int64)


def repeats() -> Repeats:
    """An empty window."""
    return DictRepeats() if kernel is None else TableRepeats()
