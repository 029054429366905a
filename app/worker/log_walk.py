"""A sink's own change log as evidence, live: before a fence, what it tells is held against the changes below (design section 6).

For one sink and source partition: 1. The log is read to the end that it has now. 2. Which cells nothing right was said of.
3. Their changes, fetched again by their coordinates. 4. What the log proves of them (`app.evidence.change_log.walk`): each
write that is a change, each redelivery, each text that stands for a value, with the time at which the sink wrote it.

The log is silent about what never arrived, and about what its connector has not come to; which of both it is shows only
once it tells of something later. So where something is left untold, the fence waits for that a while (`wait_s`), and then
stands without: such cells are attempted, unless the sink's rows are judged as well (`app.worker.readback`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from app.decode.images import Image, ImageDecoder
from app.errors import NotYet
from app.evidence import change_log
from app.evidence.change_log import NOWHERE, Coverage, Reach
from app.evidence.keys import KeyText
from app.evidence.receipts import evidence_of
from app.evidence.states import Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.cells import NEVER, Bit
from app.ledger.changes import KEY
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, RawBatch, SinkTopic, State
from app.model.batches import Int64s
from app.model.words import INDEX
from app.worker.ports import Input
from app.worker.readback import KEYS_AT_ONCE, ChangeLog, Tally, is_last_word
from app.worker.recorded_rows import Source
from app.worker.sink_log import SinkLog, log_key
from app.worker.wanted import Wanted, history_of, with_bad
from cdc_receipts.codec import Receipt

KIND = "change-log"
WITNESSES = 5
"""So many of the newest changes that a log shows are asked whether an older one was the same."""


class LogReader(Protocol):
    """Reads a sink's change log; blocks."""

    def ends(self) -> Mapping[Input, int]:
        """Where every partition of it ends now.

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


class LoggedSink:
    """A sink's log as far as it was read, for all who look at it; one at a time."""

    def __init__(self, reader: LogReader, log: SinkLog, fetch_schemas: Callable[[set[int]], Awaitable[None]]) -> None:
        self.log = log
        self.lock = asyncio.Lock()
        self._reader = reader
        self._fetch_schemas = fetch_schemas
        self._next: dict[Input, int] = {}

    async def catch_up(self) -> None:
        """Read to the end that the log has now; the lock is held by the caller.

        Raises:
            Unavailable: it, or a schema of it, can't be had.
        """
        ends = await asyncio.to_thread(self._reader.ends)
        while raws := await asyncio.to_thread(self._reader.read, ends):
            for raw in raws:
                await self._fetch_schemas(self.log.missing(raw))
                await asyncio.to_thread(self._take, raw)

    def positions(self) -> dict[Input, int]:
        """Up to where each partition was read."""
        return dict(self._next)

    def _take(self, raw: RawBatch) -> None:
        place = Input(raw.topic, raw.partition)
        if self._next.get(place) != raw.start:
            self.log.begin(place)
        self.log.take(raw)
        self._next[place] = raw.next


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look at some keys of a source partition showed.

    Attributes:
        findings: with the change that each is about, and when the sink wrote it, ms; in the log's order.
        reach: of each partition of the log.
    """

    findings: Sequence[tuple[int, Equal | Different, Image]] = ()
    reach: Mapping[Input, Reach] = field(default_factory=dict)


class LogWalk:
    """Holds one sink's change log against the changes.

    Args:
        wait_s: how long a fence waits for a log that may not have come so far; 0 where the sink's store is read as well.
        clock: seconds, monotonic; all it can do is wait.
    """

    def __init__(
        self,
        sink: str,
        terms: StoreTerms,
        logged: LoggedSink,
        changes: ChangeLog,
        images: ImageDecoder,
        fetch_schemas: Callable[[set[int]], Awaitable[None]],
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._sink = sink
        self._terms = terms
        self._logged = logged
        self._changes = changes
        self._images = images
        self._fetch_schemas = fetch_schemas
        self._wait_s = wait_s
        self._clock = clock
        self._lives: dict[Input, tuple[int, Mapping[Input, int]]] = {}
        self._asked: dict[Input, tuple[int, float]] = {}
        self._coverage: dict[Input, Coverage] = {}

    async def look(
        self, sink: SinkPartition, source: Input, below: int, *, has_bad: bool = False, **_: object
    ) -> list[Receipt]:
        """What the log says of the cells below a progress, as far as it is news.

        Args:
            has_bad: the bad cells below the last fence are looked at, too.
            _: what rows that are not there may mean; what is not in the log convicts nobody here.

        Raises:
            Unavailable: the log can't be read now: no fence may be written.
            NotYet: it may not have come so far.
        """
        async with self._logged.lock:
            await self._logged.catch_up()
            floor = self._floor(sink, source)
            cells = untold(sink, below)
            asked = with_bad(sink, cells.oldest()) if has_bad else cells.oldest()
            said: list[Receipt] = []
            told: set[int] = set()
            reaches: list[Mapping[Input, Reach]] = []
            for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
                seen = await self._part(sink, source, asked.part(start, start + KEYS_AT_ONCE), floor)
                reaches.append(seen.reach)
                told |= {finding.offset for _, finding, _ in seen.findings}
                said += self._said(sink, seen)
        self._coverage[source] = _combined(sink, reaches)
        left = cells.left(told, is_every_change=self._terms.is_every_change)
        if left and not has_bad:
            self._wait(source, below, len(left))
        return said

    def covers(self, source: Input, offset: int) -> bool:
        """Whether what the sink wrote of a change is in the log for sure, if it wrote anything, as of the last `look`."""
        coverage = self._coverage.get(source, NOWHERE)
        return coverage.after < offset < coverage.below

    def _wait(self, source: Input, below: int, count: int) -> None:
        """Give the log time to tell of what it may not have come to.

        Raises:
            NotYet: the time is not over.
        """
        wanted, since = self._asked.get(source, (-1, 0.0))
        if wanted != below:
            since = self._clock()
            self._asked[source] = below, since
        if self._clock() - since < self._wait_s:
            raise NotYet(f"its change log does not tell of all changes below {below}; it is given {self._wait_s:.0f} s")
        self.tally.rows["untold"] += count

    def _floor(self, sink: SinkPartition, source: Input) -> Mapping[Input, int]:
        """From where on the log speaks of the sink's present life: what it wrote in an earlier one proves nothing of this."""
        generation, floor = self._lives.get(source, (0, {}))
        if generation != sink.generation:
            floor = self._logged.positions()
            self._lives[source] = sink.generation, floor
        return floor

    async def _part(self, sink: SinkPartition, source: Input, part: Wanted, floor: Mapping[Input, int]) -> Seen:
        raw = await self._changes.fetch(source, history_of(sink, part, has_truncates=self._terms.truncates))
        await self._fetch_schemas(self._images.missing(raw))
        where = SinkTopic(self._sink, source.topic, source.partition)
        return await asyncio.to_thread(self._seen, where, raw, floor)

    def _seen(self, where: SinkTopic, raw: RawBatch, floor: Mapping[Input, int]) -> Seen:
        images = list(self._images.decode(raw))
        if not images:
            return Seen()
        of = Source(where, images, self._terms)
        table = self._logged.log.table(of.sink_table)
        if table is None or table.problem or not of.key:
            return Seen()
        columns = tuple(of.key)
        records: dict[Input, list[Image]] = {place: [] for place in self._logged.log.partitions(table)}
        for columns_of_key in _keys(images, of):
            for image in table.by_key.get(self._key_there(of.table, columns_of_key), ()):
                place = Input(image.topic, image.partition)
                if image.offset >= floor.get(place, 0):
                    records[place].append(image)
        for found in records.values():
            found.sort(key=lambda image: image.offset)
        walked = change_log.walk(
            of.known, [i for found in records.values() for i in found], of.terms, of.table, columns
        )
        return Seen(
            findings=[(at, finding, of.by_offset[finding.offset]) for at, finding in walked],
            reach={
                place: change_log.reach(of.known, found, of.terms, of.table, columns)
                for place, found in records.items()
            },
        )

    def _key_there(self, table: str, columns: Mapping[str, bytes]) -> KeyText:
        """A source's key as the log has it; one that it can't have is empty."""
        return log_key({self._terms.name_in_sink(table, name): atom for name, atom in columns.items()}) or ()

    def _said(self, sink: SinkPartition, seen: Seen) -> Iterator[Receipt]:
        """Receipts of what is no old news: of open cells, and more than the last word about them said.

        The first write of a change that the log shows is the one that a receipt told of before, if any did; another one is
        a redelivery, with a time of its own.
        """
        heard: set[int] = set()
        for at, finding, image in seen.findings:
            self.tally.rows[_word(finding)] += 1
            if _is_closed(sink, finding.offset):
                continue
            word = sink.word(finding.offset)
            is_first = finding.offset not in heard
            heard.add(finding.offset)
            applied_at = word.apply_at if is_first and word.apply_rank != NEVER else at
            found = evidence_of(self._sink, image, finding, self._terms, KIND, applied_at, sink.generation)
            if isinstance(found, Receipt) and not (is_first and is_last_word(word, found)):
                yield found


@dataclass(frozen=True, slots=True)
class Untold:
    """Open cells with a key of which nothing right was said with content: ``int64[n]`` offsets ascending, ``S16[n]`` keys."""

    offsets: Int64s
    keys: np.ndarray

    def oldest(self) -> Wanted:
        """Of each key the first."""
        _, first = np.unique(self.keys, return_index=True)
        rows = np.sort(first)
        return Wanted(offsets=self.offsets[rows], keys=self.keys[rows])

    def left(self, told: AbstractSet[int], *, is_every_change: bool) -> list[int]:
        """Those of which a log told nothing; where only the newest of a key counts, of those."""
        if is_every_change:
            return [offset for offset in self.offsets.tolist() if offset not in told]
        newest = dict(zip(self.keys.tolist(), self.offsets.tolist(), strict=True))
        return [offset for offset in newest.values() if offset not in told]


def untold(sink: SinkPartition, below: int) -> Untold:
    """The cells below a progress that the log is asked about."""
    offsets, keys = [np.zeros(0, np.int64)], [np.zeros(0, KEY)]
    for segment, lo, hi in sink.changes.slices(max(sink.fence, sink.beginning), below):
        cells = sink.cells.get(segment.base >> SEGMENT_BITS)
        states = sink.states(segment, cells, lo, hi)
        kinds = segment.kinds[lo:hi]
        mask = segment.has_key[lo:hi] & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE))
        mask &= (states != State.EXEMPT) & (states != State.REJECTED)
        if cells is not None:
            is_told = ((cells.bits[lo:hi] & Bit.GOOD) != 0) & (
                (kinds == ChangeKind.DELETE) | ((cells.bits[lo:hi] & Bit.WORD_HAS_FINGERPRINT) != 0)
            )
            mask &= ~is_told & (cells.closed[lo:hi] == 0)
        rows = np.flatnonzero(mask) + lo
        offsets.append(rows + segment.base)
        keys.append(segment.keys[rows])
    return Untold(np.concatenate(offsets), np.concatenate(keys))


def _keys(images: Iterable[Image], of: Source) -> Iterator[Mapping[str, bytes]]:
    """The distinct keys of some changes."""
    found = {tuple(sorted(image.key.items())): image.key for image in images if image.key}
    return (key for key in found.values() if key.keys() == of.key.keys())


def _combined(sink: SinkPartition, reaches: Sequence[Mapping[Input, Reach]]) -> Coverage:
    """What several looks at the keys of one source partition prove together: every partition of the log must have come so far."""
    after, below = [], []
    for place in {place for reach in reaches for place in reach}:
        mine = [reach[place] for reach in reaches if place in reach]
        after.append(min(one.after for one in mine))
        shown = sorted({offset for one in mine for offset in one.shown}, reverse=True)[:WITNESSES]
        below.append(next((offset + 1 for offset in shown if _is_first_of_its_kind(sink, offset)), 0))
    return Coverage(after=max(after), below=min(below)) if after else NOWHERE


def _is_first_of_its_kind(sink: SinkPartition, offset: int) -> bool:
    """Whether no earlier change of the key that is held made the same row: what shows it may else be that one's."""
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


def _is_closed(sink: SinkPartition, offset: int) -> bool:
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    return offset < sink.beginning or (cells is not None and cells.closed[offset & INDEX] > 0)


def _word(finding: Equal | Different) -> str:
    if isinstance(finding, Different):
        return "different"
    return "equal" if finding.is_whole or finding.is_delete else "present"
