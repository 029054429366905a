"""A sink's change log as far as it was read, and the last row of each key that it shows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from app.decode import atoms
from app.decode.images import Image
from app.evidence.change_log import row_after
from app.evidence.keys import KeyText
from app.evidence.tables import StoreTerms
from app.model import ChangeKind, RawBatch
from app.worker.ports import Input
from app.worker.sink_log import SinkLog, log_key

Row = Mapping[str, bytes]
LATE = 100
"""So many of a partition's newest records are asked when they were made: a snapshot's may be older than those before them."""


class LogReader(Protocol):
    """Reads a sink's change log; blocks."""

    def ends(self, *, is_fresh: bool = False) -> Mapping[Input, int]:
        """Where every partition of it ends now.

        Args:
            is_fresh: which there are is asked anew, too.

        Raises:
            Unavailable: the cluster does not tell.
        """

    def read(self, ends: Mapping[Input, int]) -> Sequence[RawBatch]:
        """The next records of it, a bounded number; none where all partitions were read up to ``ends``.

        The first batch of a partition has a ``start`` that does not follow the last one's ``next``, and so has one that
        follows a hole.

        Raises:
            Unavailable: a broker does not answer now.
        """

    def unread_ms(self, place: Input) -> int:
        """Up to when the records of a partition were written that lie below where it began, ms; -1 where there are none."""


class Position(NamedTuple):
    """Up to where a partition was read; positions of different lives can't be compared."""

    life: int
    next: int


class Place(NamedTuple):
    """Where a record stands."""

    log: Input
    life: int
    offset: int


class LoggedSink:
    """A sink's log as far as it was read; one at a time looks at it."""

    def __init__(self, reader: LogReader, log: SinkLog, fetch_schemas: Callable[[set[int]], Awaitable[None]]) -> None:
        self.log = log
        self._reader = reader
        self._fetch_schemas = fetch_schemas
        self._next: dict[Input, int] = {}
        self._unread: deque[RawBatch] = deque()

    async def catch_up(self, *, is_fresh: bool = False) -> None:
        """Read to the end that the log has now.

        Args:
            is_fresh: what partitions there are is asked anew, too.

        Raises:
            Unavailable: it, or a schema of it, can't be had.
        """
        ends = await asyncio.to_thread(self._reader.ends, is_fresh=is_fresh)
        for gone in self._next.keys() - ends.keys():
            self.log.drop(gone)
            del self._next[gone]
        while True:
            if not self._unread:
                self._unread.extend(await asyncio.to_thread(self._reader.read, ends))
            if not self._unread:
                return
            await self._fetch_schemas(self.log.missing(self._unread[0]))
            await asyncio.to_thread(self._take, self._unread.popleft())

    def positions(self) -> dict[Input, Position]:
        """Up to where each partition was read."""
        return {place: Position(self.log.life(place), following) for place, following in self._next.items()}

    def _take(self, raw: RawBatch) -> None:
        place = Input(raw.topic, raw.partition)
        if self._next.get(place) != raw.start:
            self.log.begin(place, self._reader.unread_ms(place))
        self.log.take(raw)
        self._next[place] = raw.next


class LogRows:
    """See `app.worker.looks.Rows`: what a log says that a sink's tables hold now."""

    def __init__(self, logged: LoggedSink, terms: StoreTerms) -> None:
        self._logged = logged
        self._terms = terms

    def records(self, table: str, keys: Iterable[KeyText]) -> dict[Input, list[Image]]:
        """The records of some keys in the order of each partition of a table's log; of each partition, if it has none, too."""
        kept = self._logged.log.table(table)
        if kept is None or kept.problem:
            return {}
        found: dict[Input, list[Image]] = {place: [] for place in self._logged.log.partitions(kept)}
        for key in keys:
            for image in self.records_of(table, key):
                found[Input(image.topic, image.partition)].append(image)
        for images in found.values():
            images.sort(key=lambda image: image.offset)
        return found

    def records_of(self, table: str, key: KeyText) -> list[Image]:
        """The records of one key, in their order."""
        kept = self._logged.log.table(table)
        found = () if kept is None or kept.problem else kept.by_key.get(key, ())
        return list(found)

    def newest(self, table: str, log: Input) -> int:
        """When the last transaction was made that a partition of a table's log tells of, of any key, ms; 0 for none."""
        kept = self._logged.log.table(table)
        return max((image.at for image in islice(reversed(kept.records.get(log, ())), LATE)), default=0) if kept else 0

    def place(self, table: str, key: KeyText) -> Place | None:
        """Where the last record of a key stands; None where the log tells nothing of it."""
        found = self.records_of(table, key)
        if not found:
            return None
        log = Input(found[-1].topic, found[-1].partition)
        return Place(log, self._logged.log.life(log), found[-1].offset)

    def last(self, table: str, key: KeyText) -> tuple[Row | None, Image | None]:
        """The row of a key and its last record; none where the log tells nothing of it."""
        found = self.records_of(table, key)
        return self._last(found), found[-1] if found else None

    def forgotten_ms(self, table: str) -> int | None:
        """Up to when writes to a table may be missing here, ms, -1 for never; None where nothing is known of the table."""
        kept = self._logged.log.table(table)
        return None if kept is None or kept.problem else self._logged.log.forgotten_ms(kept)

    def fresh(self, table: str, since: Mapping[Input, Position]) -> set[KeyText]:
        """The keys of a table that have records at or beyond some positions, or in a later life than theirs."""
        kept = self._logged.log.table(table)
        found: set[KeyText] = set()
        for log, images in kept.records.items() if kept else ():
            life, start = since.get(log, (-1, 0))
            for image in reversed(images):
                if image.offset < start and life == self._logged.log.life(log):
                    break
                found.add(log_key(image.key) or ())
        return found

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> list[Row | None]:
        """The last row of each key; None also for a key that the log does not know."""
        del is_fresh  # the log is as new as it was read
        names = [name.casefold() for name in key]
        return [self.last(table, tuple(sorted(zip(names, texts, strict=True))))[0] for texts in keys]

    def _last(self, images: Iterable[Image]) -> Row | None:
        row: Row | None = None
        for image in images:
            if image.kind is ChangeKind.DELETE:
                row = None
                continue
            row = row_after(row, image, self._terms)
        return row

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        """Whether the log writes such keys as the source does: then it has no record of a key that is not found by its text."""
        kept = self._logged.log.table(table)
        newest = None if kept is None or kept.problem else kept.newest()
        there = {name.casefold(): atom for name, atom in ((newest.key if newest else None) or {}).items()}
        return all(
            name.casefold() in there and atoms.tag(there[name.casefold()]) is atoms.tag(value)
            for name, value in zip(key, values, strict=True)
        )
