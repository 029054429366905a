"""Questions about later changes of a key (protocol section 4: superseded, guarded, out of order).

"Later" is a higher offset of the same source partition. Keys are equal if all 128 bits of their hash are; a null key has
none and equals no key. At a fence only changes below the lane's horizon are seen, so that the answer does not depend on
how far ahead the changes happened to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from app.ledger.cells import NEVER, Bit, CellSegment
from app.ledger.changes import KEY, Changes, ChangeSegment
from app.model import State
from app.model.batches import Bools, Int64s, UInt64s

FINE = (State.DELIVERED, State.DUPLICATED)
"""States whose cell holds the expected content; a duplicated cell fits the rule of delivered, too."""


class Fact(NamedTuple):
    """What one change of a key, as one sink sees it, says about earlier changes of that key."""

    key: bytes
    offset: int
    is_expected: bool
    is_known: bool
    """It has a receipt that is not REJECTED."""
    is_fine: bool
    rank: int
    sequence: int


class Later:
    """Facts about the changes after a cell, folded to what its rules need."""

    __slots__ = ("is_expected", "is_fine", "is_known", "newest", "rank", "rank_without_sequence", "sequence")

    def __init__(self) -> None:
        self.is_expected = False
        self.is_known = False
        self.is_fine = False
        self.newest = -1
        self.rank = NEVER
        self.rank_without_sequence = NEVER
        self.sequence = NEVER

    def add(self, fact: Fact) -> None:
        """Fold one fact in."""
        if fact.is_expected:
            self.is_expected = True
            self.is_known |= fact.is_known
            self.is_fine |= fact.is_fine
        self.newest = max(self.newest, fact.offset)
        self.add_apply(fact.rank, fact.sequence)

    def add_apply(self, rank: int, sequence: int) -> None:
        """Of one fact, what order within a key asks."""
        self.rank = min(self.rank, rank)
        self.sequence = min(self.sequence, sequence)
        if sequence == NEVER:
            self.rank_without_sequence = min(self.rank_without_sequence, rank)

    def merge(self, other: Later) -> Later:
        """Both together, as a new value."""
        both = Later()
        both.is_expected = self.is_expected or other.is_expected
        both.is_known = self.is_known or other.is_known
        both.is_fine = self.is_fine or other.is_fine
        both.newest = max(self.newest, other.newest)
        both.rank = min(self.rank, other.rank)
        both.rank_without_sequence = min(self.rank_without_sequence, other.rank_without_sequence)
        both.sequence = min(self.sequence, other.sequence)
        return both

    def precedes(self, rank: int, sequence: int) -> bool:
        """Whether the first apply of some later change came before an apply of this rank and sequence."""
        if rank == NEVER:
            return False
        if sequence == NEVER:
            return self.rank < rank
        return self.sequence < sequence or self.rank_without_sequence < rank


CellsOf = Callable[[ChangeSegment], CellSegment | None]
StatesOf = Callable[[ChangeSegment, CellSegment | None, int, int], np.ndarray]


def are_among(few: UInt64s, many: UInt64s) -> Bools:
    """``bool[n]``: which of many values, in any order, stand among a few that are sorted."""
    if not len(few):
        return np.zeros(len(many), np.bool_)
    near = few[0] if len(few) == 1 else few[np.minimum(np.searchsorted(few, many), len(few) - 1)]
    found: Bools = many == near
    return found


def facts(
    changes: Changes, cells_of: CellsOf, states_of: StatesOf, keys: Iterable[bytes], lo: int, hi: int
) -> Iterator[Fact]:
    """The facts of every change of ``keys`` at offsets ``[lo, hi)``, ascending."""
    wanted = set(keys)
    if not wanted:
        return
    halves = np.unique(np.frombuffer(b"".join(wanted), np.uint64)[::2])
    for segment, start, end in changes.slices(lo, hi):
        may_be = segment.has_key[start:end] & are_among(halves, segment.key_hashes[start:end, 0])
        rows = (np.flatnonzero(may_be) + start).tolist()
        yield from facts_at(segment, cells_of, states_of, wanted, rows)


def facts_at(
    segment: ChangeSegment, cells_of: CellsOf, states_of: StatesOf, wanted: Container[bytes], rows: Iterable[int]
) -> Iterator[Fact]:
    """The facts of some changes of a segment, as far as their keys are wanted."""
    for index in rows:
        key = segment.key_hashes[index].tobytes()
        if key not in wanted:
            continue
        cells = cells_of(segment)
        state = int(states_of(segment, cells, index, index + 1)[0])
        yield Fact(
            key=key,
            offset=segment.base + index,
            is_expected=state != State.EXEMPT,
            is_known=cells is not None and bool(cells.bits[index] & Bit.NOT_REJECTED),
            is_fine=state in FINE,
            rank=NEVER if cells is None else int(cells.apply_rank[index]),
            sequence=NEVER if cells is None else int(cells.apply_sequence[index]),
        )


class Newest:
    """The highest offset of each of some keys.

    Args:
        parts: ``S16[n]`` keys and ``int64[n]`` offsets, ascending.
    """

    def __init__(self, parts: Iterable[tuple[np.ndarray, Int64s]]) -> None:
        found = list(parts)
        keys = np.concatenate([np.zeros(0, KEY), *(part for part, _ in found)])
        offsets = np.concatenate([np.zeros(0, np.int64), *(part for _, part in found)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._offsets = keys[order], offsets[order]

    def of(self, asked: np.ndarray) -> Int64s:
        """``int64[m]``: for each asked key of ``S16[m]`` its highest offset, -1 where there is none."""
        if not len(self._keys):
            return np.full(len(asked), -1, np.int64)
        place = np.searchsorted(self._keys, asked, side="right") - 1
        found = (place >= 0) & (self._keys[np.maximum(place, 0)] == asked)
        return np.where(found, self._offsets[np.maximum(place, 0)], -1)
