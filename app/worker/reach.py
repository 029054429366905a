"""How far a sink's change log reaches, live: which changes' writes it is sure to show, told by those that it shows.

What proves it is `app.evidence.change_log.coverage`'s. Here beside it: a log has several partitions, and all of them must have
come so far; and a record shows a change only if no earlier one that is held made the same row of its key, else it may be a
record of then, and the log hours behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.evidence.change_log import NOWHERE, Coverage, Reach
from app.ledger.changes import ChangeSegment
from app.ledger.sink import SinkPartition
from app.model.words import INDEX
from app.worker.histories import is_among, pieces
from app.worker.ports import Input

WITNESSES = 5
"""So many of the newest changes that a partition shows are asked whether an earlier one was the same."""


async def combined(sink: SinkPartition, reaches: Sequence[Mapping[Input, Reach]]) -> Coverage:
    """What several looks at keys of one source partition prove together; each names every partition of the log."""
    after, below = [], []
    for place in {place for reach in reaches for place in reach}:
        mine = [reach[place] for reach in reaches if place in reach]
        after.append(min(one.after for one in mine))
        shown = sorted({offset for one in mine for offset in one.shown}, reverse=True)[:WITNESSES]
        sure = await unique(sink, shown)
        below.append(max(sure, default=-1) + 1)
    return Coverage(after=max(after), below=min(below)) if after else NOWHERE


async def unique(sink: SinkPartition, offsets: Iterable[int]) -> set[int]:
    """Those of some changes of which no earlier one of the key that is held made the same row."""
    asked = {offset: own for offset in offsets if (own := sink.changes.segment_of(offset)) is not None}
    found = set(asked)
    for slices in pieces(sink.changes, max(sink.changes.first, 0), max(asked, default=0)):
        found -= await asyncio.to_thread(_repeated, slices, asked)
    return found


def _repeated(slices: Sequence[tuple[ChangeSegment, int, int]], asked: Mapping[int, ChangeSegment]) -> set[int]:
    """Those of which some slices hold an earlier change that was the same."""
    rows: dict[tuple[bytes, int, bytes], list[int]] = {}
    for offset, own in asked.items():
        rows.setdefault(_row(own, offset & INDEX), []).append(offset)
    halves = np.unique(np.array([own.key_hashes[o & INDEX, 0] for o, own in asked.items()], np.uint64))
    found: set[int] = set()
    for segment, lo, hi in slices:
        for index in (np.flatnonzero(is_among(segment.key_hashes[lo:hi, 0], halves)) + lo).tolist():
            same = rows.get(_row(segment, index), ())
            found.update(offset for offset in same if offset > segment.base + index)
    return found


def _row(segment: ChangeSegment, index: int) -> tuple[bytes, int, bytes]:
    """What makes two changes the same: key, kind and content."""
    return segment.key_hashes[index].tobytes(), int(segment.kinds[index]), segment.fingerprints[index].tobytes()
