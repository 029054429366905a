"""The source positions of the last 65,536 offsets: whether a change stood there before (protocol section 4, source_duplicate).

Two forms of one rule: a dict, and a table that the kernel keeps, which takes a tenth of the time and of the memory.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

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
    """The kernel's: a table of the positions of 65,536 offsets, and the one of those before, which is then made empty and used again.

    At least half of a table's slots are free, so that a search is short.
    """

    def __init__(self) -> None:
        self._newer, self._older = _free(LEAST_SLOTS), _free(LEAST_SLOTS)
        self._taken = self._period = 0

    def note(self, positions: UInt64s, offsets: Int64s) -> Bools:
        repeated = np.zeros(len(offsets), np.bool_)
        periods = offsets // TAIL_OFFSETS
        cuts = (np.flatnonzero(np.diff(periods)) + 1).tolist() if len(offsets) else []
        for lo, hi in pairwise([0, *cuts, len(offsets)] if len(offsets) else []):
            self._go_on_to(int(periods[lo]))
            self._make_room(hi - lo)
            self._taken += self._add(positions[lo:hi], offsets[lo:hi], repeated[lo:hi])
        return repeated

    def _go_on_to(self, period: int) -> None:
        """A new period begins: what the one before the last knew is further away than a repetition can be."""
        for _ in range(min(period - self._period, 2)):
            self._newer, self._older, self._taken = self._older, self._newer, 0
            if len(self._newer) < len(self._older):
                self._newer = _free(len(self._older))
            else:  # made once and filled again and again: new pages cost more than filling them
                self._newer.fill(-1)
        self._period = max(period, self._period)

    def _make_room(self, count: int) -> None:
        if 2 * (self._taken + count) <= len(self._newer):
            return
        kept = self._newer[self._newer[:, OFFSET] >= 0]
        self._newer = _free(1 << (2 * (len(kept) + count) - 1).bit_length())
        self._add(kept[:, [LOW, HIGH]].view(np.uint64), kept[:, OFFSET], np.zeros(len(kept), np.bool_))

    def _add(self, positions: UInt64s, offsets: Int64s, repeated: Bools) -> int:
        rows = np.ascontiguousarray(positions), np.ascontiguousarray(offsets)
        taken: int = kernel.note_positions(self._newer, self._older, *rows, TAIL_OFFSETS, repeated)
        return taken


def _free(slots: int) -> Int64s:
    return np.full((slots, 3), -1, np.int64)


def repeats() -> Repeats:
    """An empty window."""
    return DictRepeats() if kernel is None else TableRepeats()
