"""A sink that was rebuilt (START of a higher generation): what is forgotten of its cells, so that they are judged anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.ledger import rules
from app.ledger.rules import NOTHING
from app.model import SEGMENT_BITS, SEGMENT_OFFSETS

if TYPE_CHECKING:
    from app.ledger.cells import CellSegment
    from app.ledger.sink import SinkPartition


def forget_cells(sink: SinkPartition, offset: int) -> None:
    """Everything that was said of the cells from ``offset`` on, and how they closed."""
    for straggler in [o for o in sink.stragglers.by_offset if o >= offset]:
        sink.stragglers.remove(straggler)
    sink.stragglers.dirty |= set(sink.stragglers.by_offset)
    for number in sink.cells:
        lo = max(offset - (number << SEGMENT_BITS), 0)
        cells = sink.cells.get(number) if lo < SEGMENT_OFFSETS else None
        if cells is None:
            continue
        _uncount(sink, cells, lo)
        if lo:
            sink.cells[number] = cells.below(lo)
        else:
            sink.cells.pop(number)
    sink.errors = {o: text for o, text in sink.errors.items() if o < offset}


def _uncount(sink: SinkPartition, cells: CellSegment, lo: int) -> None:
    """Closed cells from the index ``lo`` on leave the sums."""
    closed = cells.closed[lo:]
    is_closed = closed > 0
    sink.tally.closed -= np.bincount(closed[is_closed] - 1, minlength=10)
    sink.tally.levels -= rules.level_counts(np.where(is_closed, closed - 1, NOTHING), cells.bits[lo:])
    sink.tally.flags -= rules.flag_counts(cells.flags[lo:][is_closed])
