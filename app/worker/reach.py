"""How far a sink's change log reaches, live: which changes' writes it is sure to show, told by those that it shows.

What proves it is `app.evidence.change_log.coverage`'s. Here beside it: a log has several partitions, and all of them must have
come so far; and a record shows a change only if no earlier one that is held made the same row of its key, else it may be a
record of then, and the log hours behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.evidence.change_log import NOWHERE, Coverage, Reach
from app.ledger.sink import SinkPartition
from app.model.words import INDEX
from app.worker.ports import Input

WITNESSES = 5
"""So many of the newest changes that a partition shows are asked whether an earlier one was the same."""


def combined(sink: SinkPartition, reaches: Sequence[Mapping[Input, Reach]]) -> Coverage:
    """What several looks at keys of one source partition prove together; each names every partition of the log."""
    after, below = [], []
    for place in {place for reach in reaches for place in reach}:
        mine = [reach[place] for reach in reaches if place in reach]
        after.append(min(one.after for one in mine))
        shown = sorted({offset for one in mine for offset in one.shown}, reverse=True)[:WITNESSES]
        below.append(next((offset + 1 for offset in shown if _is_first_of_its_kind(sink, offset)), 0))
    return Coverage(after=max(after), below=min(below)) if after else NOWHERE


def _is_first_of_its_kind(sink: SinkPartition, offset: int) -> bool:
    """Whether no earlier change of the key that is held made the same row."""
    segment = sink.changes.segment_of(offset)
    if segment is None:
        return False
    index = offset & INDEX
    key, kind, row = segment.keys[index], segment.kinds[index], segment.fingerprints[index]
    for other, lo, hi in sink.changes.slices(max(sink.changes.first, 0), offset):
        is_same = (other.keys[lo:hi] == key) & (other.kinds[lo:hi] == kind)
        if is_same.any() and bool((other.fingerprints[lo:hi][is_same] == row).all(axis=1).any()):
            return False
    return True
