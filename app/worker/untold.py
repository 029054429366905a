"""Which cells a sink's change log is asked about before a fence."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from app.ledger.cells import Bit
from app.ledger.changes import KEY
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, State
from app.model.batches import Int64s
from app.worker.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Untold:
    """Open cells with a key of which nothing right was said with content: ``int64[n]`` offsets ascending, ``S16[n]`` keys."""

    offsets: Int64s
    keys: np.ndarray

    def oldest(self) -> Wanted:
        """Of each key the first."""
        _, first = np.unique(self.keys, return_index=True)
        return self._at(np.sort(first))

    def newest_left(self, told: AbstractSet[int]) -> Wanted:
        """Of each key the last, where a log told nothing of it: what came before it shows in no row any more."""
        _, last = np.unique(self.keys[::-1], return_index=True)
        rows = np.sort(len(self.keys) - 1 - last)
        is_left = np.array([offset not in told for offset in self.offsets[rows].tolist()], np.bool_)
        return self._at(rows[is_left])

    def _at(self, rows: Int64s) -> Wanted:
        return Wanted(offsets=self.offsets[rows], keys=self.keys[rows])


def untold(sink: SinkPartition, start: int, end: int, *, is_told: bool = False) -> Untold:
    """The cells at ``[start, end)`` that the log is asked about.

    Args:
        is_told: also those of which something right was said, closed ones too.
    """
    offsets, keys = [np.zeros(0, np.int64)], [np.zeros(0, KEY)]
    for segment, lo, hi in sink.changes.slices(start, end):
        cells = sink.cells.get(segment.base >> SEGMENT_BITS)
        states = sink.states(segment, cells, lo, hi)
        kinds = segment.kinds[lo:hi]
        mask = segment.has_key[lo:hi] & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE))
        mask &= (states != State.EXEMPT) & (states != State.REJECTED)
        if cells is not None and not is_told:
            bits = cells.bits[lo:hi]
            is_whole = (kinds == ChangeKind.DELETE) | ((bits & Bit.WORD_HAS_FINGERPRINT) != 0)
            mask &= ~(((bits & Bit.GOOD) != 0) & is_whole) & (cells.closed[lo:hi] == 0)
        rows = np.flatnonzero(mask) + lo
        offsets.append(rows + segment.base)
        keys.append(segment.keys[rows])
    return Untold(np.concatenate(offsets), np.concatenate(keys))
