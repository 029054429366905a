"""What the segments of one sink hold, a row per segment, so that telling costs what was written since it was last told.

The table only; `app.ledger.counting` fills it. Nothing of it is state: it is made anew after a restart.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from app.model.batches import Int64s

OPEN = slice(0, 10)
"""Open cells by state, without the keyed rules."""
BAD_LEVELS = slice(10, 14)
"""Open bad cells by the `Level` of what was said of them."""
EXPECTED = 14
"""Changes that the contract expects."""
SILENT, KNOWN = 15, 16
"""Cells that a later change of their key may supersede, and the changes that may do so (latest-state)."""
ANSWERED = 17
"""Diverged cells whose last word answers a command."""
WIDTH = 18


class Counts:
    """Rows by the number of their segment, ascending.

    Attributes:
        stale: numbers of segments that must be counted anew.
        of: what all rows depend on; fence, skips: as they were counted with; times: up to when writes were noted.
        moved: by number, what the latest-state rule makes of a segment's open cells; ``moved_by`` is what all of them
            depend on, ``known`` grows with every change of a row that has `KNOWN` changes.
    """

    def __init__(self) -> None:
        self.stale: set[int] = set()
        self.of: tuple[object, ...] = ()
        self.fence = 0
        self.skips: set[tuple[int, int]] = set()
        self.times = [0, 0, 0]
        self.moved: dict[int, Int64s] = {}
        self.moved_by: tuple[int, int] = (-1, -1)
        self.known = 0
        self._numbers: list[int] = []
        self._rows: Int64s = np.zeros((0, WIDTH), np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def clear(self) -> None:
        """All must be counted anew."""
        self._numbers, self._rows = [], np.zeros((0, WIDTH), np.int64)
        self.moved.clear()
        self.known += 1

    def put(self, number: int, row: Int64s) -> None:
        """A segment was counted."""
        self.stale.discard(number)
        self.moved.pop(number, None)
        place = bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            self._numbers.insert(place, number)
            self._rows = np.insert(self._rows, place, 0, axis=0)
        self.known += bool(self._rows[place, KNOWN] or row[KNOWN])
        self._rows[place] = row

    def keep(self, numbers: set[int]) -> None:
        """Forget the rows of segments that are no more."""
        is_kept = [number in numbers for number in self._numbers]
        self._rows = self._rows[is_kept]
        self._numbers = [number for number in self._numbers if number in numbers]
        self.moved = {number: found for number, found in self.moved.items() if number in numbers}
        self.known += 1

    def total(self, above: int = -1) -> Int64s:
        """``int64[WIDTH]``: the sum of all rows of segments above a number."""
        found: Int64s = self._rows[bisect_left(self._numbers, above + 1) :].sum(axis=0)
        return found

    def having(self, column: int) -> list[int]:
        """Numbers of the segments that have any in a column, ascending."""
        return [self._numbers[place] for place in np.flatnonzero(self._rows[:, column]).tolist()]
