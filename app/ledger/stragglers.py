"""Bad cells below the highest fence: the only cells there that are still open.

They are the exceptions, so they are objects; everything else stays in arrays.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator

import numpy as np

from app.ledger.changes import segment_numbers
from app.ledger.keyed import Fact, Later, are_among
from app.ledger.segments import Log
from app.model import SEGMENT_BITS, State
from app.model.batches import Bools, Int64s, UInt64s

FRESH_KEYS = 1_024
"""Keys that came since all were sorted."""

ENDS = np.uint64((1 << 16) - 1)
"""The last bits of a key's half: looked up first, since most keys of most fences are no straggler's by these alone."""


class Straggler:
    """One open cell below the highest fence.

    Attributes:
        key: the key's 16 bytes, or None for a null key.
        state, flags: as of the last verdict about it.
        later: facts of the closed later changes of its key (what is still open is asked for when needed).
        command: id of the command that names it, or None.
    """

    __slots__ = ("command", "flags", "key", "kind", "later", "offset", "state")

    def __init__(self, offset: int, key: bytes | None, kind: int, state: State, flags: int) -> None:
        self.offset = offset
        self.key = key
        self.kind = kind
        self.state = state
        self.flags = flags
        self.later = Later()
        self.command: str | None = None


class Stragglers:
    """All stragglers of one sink and source partition, by offset and by key; ``dirty`` ones must be judged anew."""

    def __init__(self) -> None:
        self.by_offset: dict[int, Straggler] = {}
        self.by_key: dict[bytes, list[int]] = {}
        self.dirty: set[int] = set()
        self._by_segment: dict[int, set[int]] = {}
        self._log = Log()
        self._lowest: list[int] = []
        self._halves: UInt64s = np.zeros(0, np.uint64)
        self._fresh: set[int] = set()
        self._ends: Bools = np.zeros(int(ENDS) + 1, np.bool_)

    def __len__(self) -> int:
        return len(self.by_offset)

    def __contains__(self, offset: int) -> bool:
        return offset in self.by_offset

    def add(self, straggler: Straggler) -> None:
        """A cell below the fence stays open."""
        self.by_offset[straggler.offset] = straggler
        self._by_segment.setdefault(straggler.offset >> SEGMENT_BITS, set()).add(straggler.offset)
        self._log.note(straggler.offset >> SEGMENT_BITS)
        heapq.heappush(self._lowest, straggler.offset)
        if straggler.key is not None:
            self.by_key.setdefault(straggler.key, []).append(straggler.offset)
            half = int.from_bytes(straggler.key[:8], "little")
            self._fresh.add(half)
            self._ends[half & int(ENDS)] = True

    def remove(self, offset: int) -> Straggler:
        """A cell closed, or its life ended."""
        straggler = self.by_offset.pop(offset)
        self.dirty.discard(offset)
        beside = self._by_segment[offset >> SEGMENT_BITS]
        beside.discard(offset)
        if not beside:
            del self._by_segment[offset >> SEGMENT_BITS]
        self._log.note(offset >> SEGMENT_BITS)
        if straggler.key is not None:
            others = self.by_key[straggler.key]
            others.remove(offset)
            if not others:
                del self.by_key[straggler.key]
        return straggler

    def judged(self, straggler: Straggler, state: State, flags: int) -> None:
        """A verdict about an open cell."""
        straggler.state, straggler.flags = state, flags
        self._log.note(straggler.offset >> SEGMENT_BITS)

    def of_segment(self, number: int) -> Collection[int]:
        """Offsets of the stragglers of one segment."""
        return self._by_segment.get(number, ())

    def written_since(self, time: int) -> tuple[list[int], int]:
        """Numbers of segments whose stragglers are others since a time that this gave, and the time now; 0 is the beginning."""
        return self._log.since(time)

    def lowest(self) -> int | None:
        """The lowest open offset below the fence."""
        while self._lowest and self._lowest[0] not in self.by_offset:
            heapq.heappop(self._lowest)
        return self._lowest[0] if self._lowest else None

    def may_have(self, halves: UInt64s) -> Bools:
        """``bool[n]``: which keys, by the first halves of their hashes, may be a straggler's; the others are none's.

        What left since is still among them until many came: sorting all keys at each fence would be most of its cost.
        """
        if len(self._fresh) > FRESH_KEYS:
            self._sort_keys()
        found: Bools = self._ends[halves & ENDS]
        rows = np.flatnonzero(found)
        if len(rows):
            near, fresh = halves[rows], np.sort(np.fromiter(self._fresh, np.uint64, len(self._fresh)))
            found[rows] = are_among(fresh, near) | are_among(self._halves, near)
        return found

    def _sort_keys(self) -> None:
        keys = np.frombuffer(b"".join(self.by_key), np.uint64).reshape(-1, 2)
        self._halves = np.unique(keys[:, 0])
        self._fresh.clear()
        self._ends[:] = False
        self._ends[self._halves & ENDS] = True

    def among(self, offsets: Int64s) -> list[int]:
        """Which of some offsets are stragglers'; each once."""
        here = sorted(offset for number in segment_numbers(offsets) for offset in self._by_segment.get(number, ()))
        return found_in(np.array(here, np.int64), offsets) if here else []

    def of_key(self, key: bytes | None) -> Iterator[Straggler]:
        """The stragglers of one key, in the order in which they were found."""
        for offset in self.by_key.get(key, ()) if key is not None else ():
            yield self.by_offset[offset]

    def absorb(self, fact: Fact) -> None:
        """A later change of a key closed: earlier stragglers of it remember what they need and are judged anew."""
        for straggler in self.of_key(fact.key):
            if straggler.offset < fact.offset:
                straggler.later.add(fact)
                self.dirty.add(straggler.offset)

    def withdraw_command(self, offset: int) -> None:
        """The command that named an open cell was sent without it: the next fence looks whether it is due again."""
        self.by_offset[offset].command = None
        self.dirty.add(offset)

    def withdraw_commands(self) -> None:
        """What commands named so far, if any did, was only to be looked at: the next fence commands it."""
        for offset in self.by_offset:
            self.withdraw_command(offset)


def found_in(few: Int64s, many: Int64s) -> list[int]:
    """Those of ``few``, sorted, that are among ``many``, in any order."""
    near = many[(many >= few[0]) & (many <= few[-1])]
    place = np.searchsorted(few, near)
    found: list[int] = few[np.unique(place[few[place] == near])].tolist()
    return found
