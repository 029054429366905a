"""Bad cells below the highest fence: the only cells there that are still open.

They are the exceptions, so they are objects; everything else stays in arrays.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from app.ledger.changes import KEY
from app.ledger.keyed import Fact, Later
from app.model import State
from app.model.batches import Bools, Int64s, UInt64s


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
        self._lowest: list[int] = []
        self._keys: np.ndarray | None = None
        self._offsets: Int64s | None = None

    def __len__(self) -> int:
        return len(self.by_offset)

    def __contains__(self, offset: int) -> bool:
        return offset in self.by_offset

    def add(self, straggler: Straggler) -> None:
        """A cell below the fence stays open."""
        self.by_offset[straggler.offset] = straggler
        self._offsets = None
        heapq.heappush(self._lowest, straggler.offset)
        if straggler.key is not None:
            self.by_key.setdefault(straggler.key, []).append(straggler.offset)
            self._keys = None

    def remove(self, offset: int) -> Straggler:
        """A cell closed, or its life ended."""
        straggler = self.by_offset.pop(offset)
        self._offsets = None
        self.dirty.discard(offset)
        if straggler.key is not None:
            others = self.by_key[straggler.key]
            others.remove(offset)
            if not others:
                del self.by_key[straggler.key]
                self._keys = None
        return straggler

    def lowest(self) -> int | None:
        """The lowest open offset below the fence."""
        while self._lowest and self._lowest[0] not in self.by_offset:
            heapq.heappop(self._lowest)
        return self._lowest[0] if self._lowest else None

    def keys(self) -> np.ndarray:
        """``S16[k]`` of the stragglers' keys, sorted."""
        if self._keys is None:
            self._keys = np.array(sorted(self.by_key), KEY)
        return self._keys

    def among(self, offsets: Int64s) -> list[int]:
        """Which of some offsets, perhaps a million, are stragglers'; each once."""
        if self._offsets is None:
            self._offsets = np.array(sorted(self.by_offset), np.int64)
        found: list[int] = found_in(self._offsets, offsets).tolist()
        return found

    def of_keys(self, key_hashes: UInt64s) -> Bools:
        """``bool[n]``: which of some keys, ``uint64[n, 2]``, are stragglers'; the first halves tell most of it."""
        keys = self.keys()
        match = np.zeros(len(key_hashes), np.bool_)
        if not len(keys):
            return match
        halves = np.sort(keys.view(np.uint64)[::2])
        firsts = np.ascontiguousarray(key_hashes[:, 0])
        place = np.minimum(np.searchsorted(halves, firsts), len(halves) - 1)
        rows = np.flatnonzero(halves[place] == firsts)
        if len(rows):
            match[rows] = np.isin(np.ascontiguousarray(key_hashes[rows]).view(KEY).reshape(-1), keys)
        return match

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


def found_in(few: Int64s, many: Int64s) -> Int64s:
    """Those of ``few``, sorted, that are among ``many``, in any order."""
    near = many[(many >= few[0]) & (many <= few[-1])] if len(few) else many[:0]
    if not len(near):
        return few[:0]
    place = np.searchsorted(few, near)
    found: Int64s = few[np.unique(place[few[place] == near])]
    return found
