"""Cells of one sink by segments, with what the rules of `app.ledger.rules` say of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from app.ledger import rules
from app.ledger.cells import CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.sink import SinkPartition
from app.ledger.terms import Terms
from app.model import SEGMENT_BITS
from app.model.batches import Int64s, UInt8s

SEGMENTS_AT_ONCE = 64
"""Segments of one sink that are judged together: 40 MB with what is worked out beside them."""


@dataclass(slots=True)
class Slice:
    """Newly passed cells of one segment; arrays cover the indices ``lo`` to ``hi``."""

    changes: ChangeSegment
    cells: CellSegment
    lo: int
    hi: int
    states: UInt8s
    flags: UInt8s
    terms: Terms

    @property
    def offsets(self) -> Int64s:
        """``int64[hi - lo]``."""
        return np.arange(self.changes.base + self.lo, self.changes.base + self.hi)


def stretches(sink: SinkPartition, start: int, end: int) -> Iterator[tuple[int, int]]:
    """``[start, end)`` in pieces: a fence may pass what a sink left open for days, and memory is not to hold all of it.

    No answer differs: what one cell is judged by stands at higher offsets, and closing changes none of it.
    """
    numbers = sink.changes.segments.between(start >> SEGMENT_BITS, ((end - 1) >> SEGMENT_BITS) + 1)
    for number in numbers[SEGMENTS_AT_ONCE::SEGMENTS_AT_ONCE]:
        yield start, number << SEGMENT_BITS
        start = number << SEGMENT_BITS
    yield start, end


def passed_slices(
    sink: SinkPartition, start: int, end: int, cells_at: Callable[[int], CellSegment] | None = None
) -> list[Slice]:
    """Step 1: plain states and flags of the cells at ``[start, end)``.

    Args:
        cells_at: gives the cells of a segment by its number; None where they will be written to.
    """
    found = []
    view = sink.view()
    for changes, first, last in sink.changes.slices(start, end):
        cells = (cells_at or sink.cells_at)(changes.base >> SEGMENT_BITS)
        for terms, lo, hi in sink.terms.pieces(changes.base, first, last):
            states, flags = rules.plain(terms.expectations, view, changes, cells, lo, hi)
            found.append(Slice(changes, cells, lo, hi, states, flags, terms))
    return found
