"""Where the changes of some keys stand among those that are held: found in one pass, however many keys are asked.

1. On the event loop: which arrays, a few segments at a time. What was read is never written again, and taking more changes
writes behind it only, so a thread may look at them. 2. In a thread: one pass over them; what was found in all of them is sorted
by key. 3. At each look: what came since, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from app.ledger.changes import Changes, ChangeSegment
from app.model import ChangeKind
from app.model.batches import Bools, Int64s, UInt8s, UInt64s

SEGMENTS_AT_ONCE = 32
"""Segments that are in memory for one piece of a look at all that is held: some ten milliseconds to read, and 8 MB."""
CARRIED = 8
"""How many earlier changes of a key are fetched for the values that a change leaves out."""

Found = tuple[UInt64s, Int64s]
"""``uint64[n]`` halves of key hashes and ``int64[n]`` offsets, sorted by both."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Columns of neighbouring offsets, the first of which is ``base``."""

    base: int
    kinds: UInt8s
    has_key: Bools
    halves: UInt64s


class Histories:
    """Changes of the keys asked for, by one half of their hash.

    Where a key's half is another's, too, more than its own are found; the keys' texts tell them apart.

    Args:
        offsets: ``int64[n]`` of the cells asked for, ascending; halves: ``uint64[n]`` of their keys' hashes.
        has_truncates: whether truncates empty the sink's table, so that they are changes of every key.
    """

    def __init__(self, changes: Changes, offsets: Int64s, halves: UInt64s, *, has_truncates: bool) -> None:
        self._changes = changes
        self._offsets = offsets
        self._halves = halves
        self._has_truncates = has_truncates
        self._asked: UInt64s = np.zeros(0, np.uint64)
        self._known: list[Found] = []
        self._others: list[Int64s] = []
        self._next = max(changes.first, 0)

    async def build(self) -> None:
        """Look through all that is held, in a thread; called once, before anything is asked."""
        self._asked = np.unique(self._halves)
        start, self._next = self._next, self._changes.next
        parts: list[Found] = []
        for slices in pieces(self._changes, start, self._next):
            found, others = await asyncio.to_thread(self._among, stretches_of(slices))
            parts.append(found)
            self._others.append(others)
        self._known = [await asyncio.to_thread(_sorted, parts)]

    def of(self, asked: list[int]) -> list[int]:
        """Offsets of the changes that say what the rows of some cells must be.

        Those asked for, all later ones of their keys, some earlier, and what may be of any key.
        """
        if not asked:
            return []
        stretches, self._next = stretches_of(self._changes.slices(self._next, self._changes.next)), self._changes.next
        if stretches:
            self._add(stretches)
        found = set(asked)
        halves = self._halves[np.searchsorted(self._offsets, asked)]
        for known_halves, known in self._known:
            ends = np.searchsorted(known_halves, halves, side="right").tolist()
            for offset, lo, hi in zip(asked, np.searchsorted(known_halves, halves).tolist(), ends, strict=True):
                own = known[lo:hi]
                at = int(np.searchsorted(own, offset))
                found.update(own[max(at - CARRIED, 0) :].tolist())
        first = min(found)
        found.update(offset for part in self._others for offset in part.tolist() if offset >= first)
        return sorted(found)

    def counts(self, asked: Int64s) -> Int64s:
        """``int64[n]``: about how many changes are found for each of some cells."""
        halves = self._halves[np.searchsorted(self._offsets, asked)]
        found = np.zeros(len(asked), np.int64)
        for known, _ in self._known:
            found += np.searchsorted(known, halves, side="right") - np.searchsorted(known, halves)
        return found

    def _among(self, stretches: list[Stretch]) -> tuple[Found, Int64s]:
        return _among(stretches, self._asked, has_truncates=self._has_truncates)

    def _add(self, stretches: list[Stretch]) -> None:
        """Note what some stretches hold; the later ones, which are short, are kept together."""
        found, others = self._among(stretches)
        later = [*self._known[1:], found]
        self._known = [*self._known[:1], _sorted(later)] if self._known else [found]
        self._others.append(others)


def pieces(changes: Changes, start: int, end: int) -> Iterator[list[tuple[ChangeSegment, int, int]]]:
    """`Changes.slices` of what is held, some at a time: who lets go of one before he asks for the next has few in memory."""
    slices = changes.slices(start, end)
    while found := list(islice(slices, SEGMENTS_AT_ONCE)):
        yield found


def stretches_of(slices: Iterable[tuple[ChangeSegment, int, int]]) -> list[Stretch]:
    """The columns of some slices as they stand."""
    return [
        Stretch(segment.base + lo, segment.kinds[lo:hi], segment.has_key[lo:hi], segment.key_hashes[lo:hi, 0])
        for segment, lo, hi in slices
    ]


def _among(stretches: list[Stretch], asked: UInt64s, *, has_truncates: bool) -> tuple[Found, Int64s]:
    """Changes of the keys asked for, and those that may be of any key."""
    halves, offsets, others = [], [], []
    for stretch in stretches:
        kinds = stretch.kinds
        is_unreadable = kinds == ChangeKind.UNREADABLE
        mask = stretch.has_key & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE) | is_unreadable)
        mask &= is_among(stretch.halves, asked)
        rows = np.flatnonzero(mask)
        halves.append(stretch.halves[rows])
        offsets.append(rows + stretch.base)
        mask = is_unreadable & ~stretch.has_key  # it may be a change of any key
        if has_truncates:
            mask |= kinds == ChangeKind.TRUNCATE
        others.append(np.flatnonzero(mask) + stretch.base)
    return _sorted(list(zip(halves, offsets, strict=True))), np.concatenate([np.zeros(0, np.int64), *others])


def is_among(halves: UInt64s, asked: UInt64s) -> Bools:
    """``bool[n]``: which of some halves are in a sorted array."""
    if not len(asked):
        return np.zeros(len(halves), np.bool_)
    places = np.minimum(np.searchsorted(asked, halves), len(asked) - 1)
    found: Bools = asked[places] == halves
    return found


def _sorted(parts: list[Found]) -> Found:
    halves = np.concatenate([np.zeros(0, np.uint64), *(part for part, _ in parts)])
    offsets = np.concatenate([np.zeros(0, np.int64), *(part for _, part in parts)])
    order = np.lexsort((offsets, halves))
    return halves.take(order), offsets.take(order)  # other threads go on meanwhile
