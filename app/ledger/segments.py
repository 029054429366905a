"""Segments by number, of which memory holds what was written since the last snapshot and, up to a bound, what was used last.

All numbers are known at any time; a segment that is not in memory is made of its block, as the last snapshot wrote it, when it
is asked for. The fold stays pure: what reads blocks is given to it. Three rules make this safe:

1. Who writes to a segment got it from `Segments.writable`; from then on it stays in memory until a snapshot was written.
2. What was not written to since the last snapshot is as its block, so it may be forgotten at any moment.
3. Whoever holds on to a segment that is only read sees it as it was when it was asked for, and keeps its memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from app.errors import InvariantBroken

Names = tuple[str, ...]
"""What all segments of one kind have in common: ("cs", topic) or ("ks", sink, topic)."""
Read = Callable[[Names, int], bytes | None]
"""The block of a segment by its names and number, None where there is none."""


RECENT = 8
"""Segments used last that stay until the batch is over, even where what was written leaves no room: who goes through cells one
by one asks for the same ones again and again."""


class Sized(Protocol):
    """What `Segments` holds."""

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""


S = TypeVar("S", bound=Sized)


class Log:
    """Which segments were written to after which: whoever asks again and again gets what is new to him."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._time = 0

    def note(self, number: int) -> None:
        """A segment was written to: it stands last."""
        self._time += 1
        self._times.pop(number, None)
        self._times[number] = self._time

    def forget(self, number: int) -> None:
        """A segment is no more."""
        self._times.pop(number, None)

    def since(self, time: int) -> tuple[list[int], int]:
        """Numbers that were noted since a time that this gave, and the time now; 0 is the beginning."""
        found = []
        for number, when in reversed(self._times.items()):
            if when <= time:
                break
            found.append(number)
        return found, self._time


class Residents:
    """The segments of one store that are in memory.

    Args:
        read: gives a block; None where there is no store, so that everything stays in memory.
        limit: bytes of the segments in memory; None for no limit. What was written since the last snapshot may exceed it until
            the next one, which is due as soon as `is_full`.

    Attributes:
        bytes: of the segments in memory; loaded: segments that were made of their blocks so far.
        gone: names and numbers of segments that have a block and are no more.
    """

    def __init__(self, read: Read | None = None, limit: int | None = None) -> None:
        self.read = read
        self.limit = limit
        self.bytes = 0
        self.loaded = 0
        self.gone: set[tuple[Names, int]] = set()
        self._idle: OrderedDict[tuple[Segments[Any], int], None] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether what was written since the last snapshot is more than memory may hold."""
        return self.limit is not None and self.bytes > self.limit

    def used(self, segments: Segments[Any], number: int) -> None:
        """A segment that is as its block was asked for."""
        self._idle[segments, number] = None
        self._idle.move_to_end((segments, number))

    def keep(self, segments: Segments[Any], number: int) -> None:
        """It is written to, or gone: it is not forgotten."""
        self._idle.pop((segments, number), None)

    def shrink(self, recent: int = 0) -> None:
        """Forget what was used longest ago, down to the limit, but for so many."""
        while self.is_full and len(self._idle) > recent:
            (segments, number), _ = self._idle.popitem(last=False)
            segments.forget(number)


class Segments(Generic[S]):
    """Segments of one kind by number, ascending.

    Args:
        residents: of the store they belong to.
        names: what the blocks of this kind are called.
        unpack: makes a segment of its number and block.

    Attributes:
        changed: numbers written to since the last snapshot.
    """

    def __init__(
        self,
        residents: Residents | None = None,
        names: Names = (),
        unpack: Callable[[int, bytes], S] | None = None,
    ) -> None:
        self.names = names
        self.changed: set[int] = set()
        self._residents = residents or Residents()
        self._unpack = unpack
        self._numbers: list[int] = []
        self._held: dict[int, S] = {}
        self._sizes: dict[int, int] = {}
        self._stored: set[int] = set()
        self._log = Log()

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._numbers))

    def __contains__(self, number: int) -> bool:
        return number in self._held or number in self._stored

    def __getitem__(self, number: int) -> S:
        segment = self.get(number)
        if segment is None:
            raise KeyError(number)
        return segment

    def get(self, number: int) -> S | None:
        """A segment to be read, None where there is none."""
        segment = self._held.get(number)
        if segment is None:
            segment = self._load(number)
            if segment is None:
                return None
        if number not in self.changed:
            self._residents.used(self, number)
            self._residents.shrink(RECENT)
        return segment

    def writable(self, number: int) -> S | None:
        """A segment to be written to, None where there is none: it stays in memory until the next snapshot."""
        segment = self._held.get(number)
        if segment is None:
            segment = self._load(number)
        if segment is not None:
            self._mark(number)
        return segment

    def __setitem__(self, number: int, segment: S) -> None:
        """A segment that has no block yet, or in whose place it stands."""
        if number not in self:
            self._numbers.insert(bisect_left(self._numbers, number), number)
        self._unhold(number)
        self._hold(number, segment)
        self._mark(number)

    def pop(self, number: int) -> None:
        """A segment is no more."""
        if number not in self:
            return
        del self._numbers[bisect_left(self._numbers, number)]
        self._unhold(number)
        self._residents.keep(self, number)
        self.changed.discard(number)
        self._log.forget(number)
        if number in self._stored:
            self._stored.discard(number)
            self._residents.gone.add((self.names, number))

    def clear(self) -> None:
        """None of them is any more."""
        for number in self:
            self.pop(number)

    def between(self, start: int, end: int) -> list[int]:
        """The numbers in ``[start, end)``, ascending."""
        return self._numbers[bisect_left(self._numbers, start) : bisect_left(self._numbers, end)]

    def written_since(self, time: int) -> tuple[list[int], int]:
        """Numbers of segments that were made or written to since a time that this gave, and the time now; 0 is the beginning.

        Of those that are no more it tells nothing.
        """
        return self._log.since(time)

    # ---------------------------------------------------------------- blocks

    def stored(self, numbers: Iterable[int]) -> None:
        """These have blocks; called once, before anything is asked for."""
        self._numbers = sorted(numbers)
        self._stored = set(self._numbers)
        for number in self._numbers:
            self._log.note(number)

    def is_stored(self, number: int) -> bool:
        """Whether a segment has a block."""
        return number in self._stored

    def snapshotted(self) -> None:
        """The blocks of what was `changed` were written."""
        self._stored |= self.changed
        for number in sorted(self.changed):
            self._residents.used(self, number)
        self.changed.clear()

    def forget(self, number: int) -> None:
        """Called by `Residents`: a segment leaves memory."""
        self._unhold(number)

    def in_memory(self) -> Collection[int]:
        """Numbers of those that are in memory."""
        return self._held.keys()

    def _load(self, number: int) -> S | None:
        if number not in self._stored:
            return None
        block = None if self._residents.read is None else self._residents.read(self.names, number)
        if block is None or self._unpack is None:
            raise InvariantBroken(f"the store has no block of segment {number} of {self.names}")
        segment = self._unpack(number, block)
        self._residents.loaded += 1
        self._hold(number, segment)
        return segment

    def _hold(self, number: int, segment: S) -> None:
        self._held[number] = segment
        self._sizes[number] = segment.nbytes
        self._residents.bytes += segment.nbytes

    def _unhold(self, number: int) -> None:
        if self._held.pop(number, None) is not None:
            self._residents.bytes -= self._sizes.pop(number)

    def _mark(self, number: int) -> None:
        self._log.note(number)
        if number not in self.changed:
            self.changed.add(number)
            self._residents.keep(self, number)
            self._residents.shrink(RECENT)
