"""How far a sink's change log reaches, live: which changes' writes it is sure to show, told by those that it shows.

What proves it is `app.evidence.change_log.reach`'s. Here beside it: a log has several partitions; and a record shows a change
only if no earlier one that is held made the same row of its key by what this sink takes, else it may be a record of then,
and the log hours behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.decode.images import Image
from app.evidence.change_log import NOWHERE, Reach, Witness
from app.ledger.changes import ChangeSegment
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, LeftOut
from app.model.batches import Bools, Int64s, UInt8s, UInt64s
from app.model.words import INDEX
from app.worker.histories import pieces
from app.worker.ports import Input


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What several looks at keys of one source partition prove together.

    Attributes:
        after: the writes of changes above it are in the log, as far as it has come, if nothing of it was forgotten.
        shown: by partition of the log, the records that show how far it has come.
    """

    after: int = NOWHERE.after
    shown: Mapping[Input, Sequence[Witness]] = field(default_factory=dict)

    def must_tell(self, offset: int) -> bool:
        """Whether the log would tell of a change by now: wherever it would, a later one is shown."""
        latest = (max((one.change for one in shown), default=-1) for shown in self.shown.values())
        return self.after < offset <= min(latest, default=-1)

    def is_beyond(self, offset: int, last: Image) -> bool:
        """Whether the last record of a key is followed, in its partition, by the first that shows a later change.

        A sink that begins again after a crash writes older rows behind newer ones: those say nothing of what comes then.
        """
        shown = self.shown.get(Input(last.topic, last.partition), ())
        return any(one.is_new and one.place > last.offset and one.change >= offset for one in shown)


async def combined(sink: SinkPartition, reaches: Sequence[Mapping[Input, Reach]]) -> Reached:
    """What several looks at keys of one source partition prove together; each names every partition of the log.

    A log tells of what was written after any of its records, in whichever partition: its connector had begun by then.
    """
    found = {
        place: [witness for reach in reaches if place in reach for witness in reach[place].shown]
        for place in {place for reach in reaches for place in reach}
    }
    shown = {witness.change: witness.is_whole for witnesses in found.values() for witness in witnesses}
    sure = await unique(sink, shown)
    return Reached(
        after=min((one.after for reach in reaches for one in reach.values()), default=NOWHERE.after),
        shown={place: [one for one in witnesses if one.change in sure] for place, witnesses in found.items()},
    )


def affordable(counts: Int64s, most: int) -> Int64s:
    """Which keys are looked at where their changes are so many, ascending: those with the fewest, up to ``most`` in all."""
    order = np.argsort(counts, kind="stable")
    found: Int64s = np.sort(order[np.cumsum(counts[order]) <= most])
    return found


# ---------------------------------------------------------------- what no earlier change made


class _One(NamedTuple):
    """A change."""

    half: int
    other: int
    offset: int
    kind: int
    projection: int
    fingerprint: int
    is_whole: bool


class _Asked(NamedTuple):
    """Changes of different keys, by the first halves of their hashes, ascending; one element for each."""

    halves: UInt64s
    others: UInt64s
    offsets: Int64s
    kinds: UInt8s
    projections: Int64s
    fingerprints: UInt64s
    is_whole: Bools


async def unique(sink: SinkPartition, asked: Mapping[int, bool]) -> set[int]:
    """Those of some changes of which no earlier one of the key that is held made the same row.

    Args:
        asked: whether the row tells of every column; of one that does not, any other row of its key is the same.
    """
    rounds: list[dict[int, _One]] = []
    met: dict[int, int] = {}
    for offset in sorted(asked):  # of each half of a hash one change in a round
        found = _one(sink, offset, is_whole=asked[offset])
        if found is not None:
            number = met[found.half] = met.get(found.half, -1) + 1
            rounds.extend({} for _ in range(number + 1 - len(rounds)))
            rounds[number][found.half] = found
    known = [_asked(list(one.values())) for one in rounds]
    sure = {offset for one in known for offset in one.offsets.tolist()}
    for slices in pieces(sink.changes, max(sink.changes.first, 0), max(sure, default=0)):
        sure -= await asyncio.to_thread(_repeated, slices, known)
    return sure


def _one(sink: SinkPartition, offset: int, *, is_whole: bool) -> _One | None:
    """What is held of a change; None where that is nothing by what the sink takes."""
    segment, projection = sink.changes.segment_of(offset), sink.terms.at(offset).projection
    if segment is None or projection >= segment.fingerprints.shape[1]:
        return None
    index = offset & INDEX
    half, other = segment.key_hashes[index].tolist()
    fingerprint = int(segment.fingerprints[index, projection])
    return _One(half, other, offset, int(segment.kinds[index]), projection, fingerprint, is_whole)


def _asked(of: Sequence[_One]) -> _Asked:
    halves, others, offsets, kinds, projections, fingerprints, is_whole = zip(*sorted(of), strict=True)
    return _Asked(
        halves=np.array(halves, np.uint64),
        others=np.array(others, np.uint64),
        offsets=np.array(offsets, np.int64),
        kinds=np.array(kinds, np.uint8),
        projections=np.array(projections, np.int64),
        fingerprints=np.array(fingerprints, np.uint64),
        is_whole=np.array(is_whole, np.bool_),
    )


def _repeated(slices: Sequence[tuple[ChangeSegment, int, int]], asked: Sequence[_Asked]) -> set[int]:
    """In a thread: those of which some slices hold an earlier change that was the same; what is not known may have been."""
    return {offset for segment, lo, hi in slices for one in asked for offset in _repeated_in(segment, lo, hi, one)}


def _repeated_in(segment: ChangeSegment, lo: int, hi: int, asked: _Asked) -> list[int]:
    halves = segment.key_hashes[lo:hi, 0]
    at = np.minimum(np.searchsorted(asked.halves, halves), len(asked.halves) - 1)
    rows = np.flatnonzero((asked.halves[at] == halves) & segment.has_key[lo:hi])
    at, rows = at[rows], rows + lo
    columns = np.minimum(asked.projections[at], segment.fingerprints.shape[1] - 1)
    is_told = (columns == asked.projections[at]) & (segment.left_out[rows, columns] != LeftOut.UNKNOWN)
    is_same = segment.fingerprints[rows, columns] == asked.fingerprints[at]
    is_same |= ~is_told | ~asked.is_whole[at]
    is_same &= segment.kinds[rows] == asked.kinds[at]
    is_same |= segment.kinds[rows] == ChangeKind.UNREADABLE
    is_same &= segment.key_hashes[rows, 1] == asked.others[at]
    found: list[int] = asked.offsets[at[is_same & (rows + segment.base < asked.offsets[at])]].tolist()
    return found
