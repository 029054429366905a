"""Changes near some offsets, whatever is known of them: what a sink's change log tells of these shows how far it reaches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from app.ledger.changes import KEY
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, State
from app.worker.wanted import Wanted


def neighbours(sink: SinkPartition, ranges: Iterable[tuple[int, int]]) -> Wanted:
    """Of each key the first change within some ranges of offsets that its sink is to apply; closed ones, too."""
    offsets, keys = [np.zeros(0, np.int64)], [np.zeros(0, KEY)]
    for start, end in ranges:
        for segment, lo, hi in sink.changes.slices(max(start, sink.changes.first, 0), min(end, sink.changes.next)):
            states = sink.states(segment, sink.cells.get(segment.base >> SEGMENT_BITS), lo, hi)
            kinds = segment.kinds[lo:hi]
            mask = segment.has_key[lo:hi] & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE))
            rows = np.flatnonzero(mask & (states != State.EXEMPT) & (states != State.REJECTED)) + lo
            offsets.append(rows + segment.base)
            keys.append(segment.keys[rows])
    all_offsets, all_keys = np.concatenate(offsets), np.concatenate(keys)
    _, first = np.unique(all_keys, return_index=True)
    chosen = np.sort(first)
    return Wanted(offsets=all_offsets[chosen], keys=all_keys[chosen])
