"""A sink's own change log as evidence, live: before a fence, what it tells is held against the changes below (design section 6).

For one sink and source partition: 1. The log is read to the end that it has now. 2. Which cells nothing right was said of.
3. Their changes, fetched again by their coordinates. 4. What the log proves of them (`app.evidence.change_log.walk`): each
write that is a change, each redelivery, each text that stands for a value, with the time at which the sink wrote it.

5. The log is silent about what never arrived, and about what its connector has not come to; which of both it is shows only
once it tells of something later (`app.worker.reach`). So where something is left untold, the fence waits for that a while
(``wait_s``). 6. What the log is sure to show by then is judged by the last row of its key, at two looks as a row read back
(`app.worker.looks`); of the rest nothing is known, and it is attempted. Where the store itself is read back, neither is done.

7. Now and then: rows that the log tells of though nothing of their keys is open (`app.worker.log_rest`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.decode.images import Image
from app.errors import NotYet
from app.evidence import change_log
from app.evidence.change_log import Coverage, Reach
from app.evidence.keys import KeyText, row_key
from app.evidence.receipts import evidence_of
from app.evidence.states import Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.cells import NEVER
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, SinkTopic
from app.model.words import INDEX
from app.worker.histories import Histories
from app.worker.log_rest import LoggedPast, LogRest
from app.worker.log_rows import LoggedSink, LogRows
from app.worker.looks import Filling, Looks, Tally, alone
from app.worker.ports import Input
from app.worker.reach import combined
from app.worker.readback import KEYS_AT_ONCE, Changes, HeldPast, by_its_contract, is_last_word, news_of
from app.worker.recorded_rows import Source
from app.worker.sink_log import log_key
from app.worker.untold import untold
from app.worker.wanted import Wanted, with_bad
from cdc_receipts.codec import Mark, Receipt

logger = logging.getLogger(__name__)

KIND = "change-log"
NEAR = 1_000
"""So many offsets below and above a change that the log is silent about are looked at for how far the log reaches."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at some keys of a source partition showed.

    Attributes:
        findings: with the change that each is about, and when the sink wrote it, ms; of a key in the log's order.
        reaches: of each partition of the log, a part of the keys after the other.
    """

    findings: list[tuple[int, Equal | Different, Image]] = field(default_factory=list)
    reaches: list[Mapping[Input, Reach]] = field(default_factory=list)


class LogWalk:
    """Holds one sink's change log against the changes.

    Args:
        progress: the offset that the sink has committed; 0 where nobody knows.
        wait_s: how long a fence waits for a log that may not have come so far; 0 where the sink's store is read as well.
        second_look_s: between two looks at a last row that is not right; sleep: waits for it.
        wall_ms: stamps marks; clock: seconds, monotonic; all it can do is wait. fillers: see `Looks`; partitions: of a change topic.
    """

    def __init__(
        self,
        sink: str,
        terms: StoreTerms,
        logged: LoggedSink,
        changes: Changes,
        progress: Callable[[Input], Awaitable[int]],
        wait_s: float,
        second_look_s: float,
        wall_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fillers: Filling = alone,
        partitions: Callable[[str], int] = lambda _: 1,
    ) -> None:
        self._sink = sink
        self._terms = terms
        self._logged = logged
        self._changes = changes
        self._wait_s = wait_s
        self._wall_ms = wall_ms
        self._clock = clock
        self._rows = LogRows(logged, terms)
        self._fillers = fillers
        self._looks = Looks(sink, terms, self._rows, changes.log, progress, second_look_s, sleep, fillers)
        self._lives: dict[Input, tuple[int, Mapping[Input, int]]] = {}
        self._asked: dict[Input, tuple[int, float]] = {}
        self._rest = LogRest(terms, logged, self._rows, self._looks, changes, self._coverage_near, partitions)

    @property
    def tally(self) -> Tally:
        """What it came to so far."""
        return self._looks.tally

    async def look(
        self, sink: SinkPartition, source: Input, below: int, *, has_bad: bool = False, may_be_gone: bool = False
    ) -> list[Receipt | Mark]:
        """What the log says of the cells below a progress, as far as it is news.

        Args:
            has_bad: the bad cells below the last fence are looked at, too, and rows that were right.
            may_be_gone: a truncate of another source partition may have taken rows.

        Raises:
            Unavailable: the log can't be read now: no fence may be written.
            NotYet: it may not have come so far.
        """
        await self._logged.catch_up()
        self._rows.floor = self._floor(sink, source)
        cells = untold(sink, max(sink.fence, sink.beginning), below)
        asked = with_bad(sink, cells.oldest()) if has_bad else cells.oldest()
        seen = await self._walked(sink, source, asked)
        left = cells.newest_left({finding.offset for _, finding, _ in seen.findings})
        said: list[Receipt | Mark] = list(self._said(sink, seen))
        if has_bad:
            return said + await self._rest.look(sink, source, may_be_gone=may_be_gone)
        if not self._wait_s or not len(left.offsets):
            return said
        coverage = await self._coverage(sink, source, left.offsets.tolist(), seen)
        return said + await self._judged(sink, source, below, left, coverage, may_be_gone=may_be_gone)

    async def _coverage(self, sink: SinkPartition, source: Input, offsets: Sequence[int], seen: Seen) -> Coverage:
        """Which changes the log is sure to tell of, by what it tells of those near some offsets."""
        start = max(min(offsets) - NEAR, sink.changes.first, 0)
        near = untold(sink, start, max(offsets) + NEAR, is_told=True).oldest()
        others = await self._walked(sink, source, near)
        return combined(sink, [*seen.reaches, *others.reaches])

    async def _coverage_near(self, sink: SinkPartition, source: Input, offsets: Sequence[int]) -> Coverage:
        return await self._coverage(sink, source, offsets, Seen())

    def _floor(self, sink: SinkPartition, source: Input) -> Mapping[Input, int]:
        """From where on the log speaks of the sink's present life: what it wrote in an earlier one proves nothing of this."""
        generation, floor = self._lives.get(source, (0, {}))
        if generation != sink.generation:
            floor = self._logged.positions()
            self._lives[source] = sink.generation, floor
        return floor

    # ---------------------------------------------------------------- what the log shows

    async def _walked(self, sink: SinkPartition, source: Input, asked: Wanted) -> Seen:
        if not len(asked.offsets):
            return Seen()
        histories = Histories(sink.changes, asked.offsets, asked.halves, has_truncates=self._terms.truncates)
        await histories.build()
        past = HeldPast(sink, source, histories, self._changes)
        where = SinkTopic(self._sink, source.topic, source.partition)
        found = Seen()
        for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
            images, _ = await past.images(asked.offsets[start : start + KEYS_AT_ONCE].tolist())
            if images:
                await asyncio.to_thread(self._see, where, images, found)
        return found

    def _see(self, where: SinkTopic, images: Sequence[Image], found: Seen) -> None:
        """In a thread: what the log says of the keys of some changes."""
        of = Source(where, images, self._terms)
        if len(self._fillers(of.sink_table, where.topic)) > 1:
            return
        columns = tuple(of.key)
        keys = {self._key_there(image): image for image in images}  # of each the newest
        records = self._rows.records(of.sink_table, keys)
        self._rest.remember(Input(where.topic, where.partition), of.sink_table, keys)
        everything = [image for told in records.values() for image in told]
        walked = change_log.walk(of.known, everything, of.terms, of.table, columns)
        found.findings.extend((at, finding, of.by_offset[finding.offset]) for at, finding in walked)
        found.reaches.append(
            {
                place: change_log.reach(
                    of.known, told, of.terms, of.table, columns, self._rows.newest(of.sink_table, place)
                )
                for place, told in records.items()
            }
        )

    def _key_there(self, image: Image) -> KeyText:
        """A change's key as the log has it; one that it can't have is empty."""
        columns = row_key(image, self._terms) or {}
        return log_key({self._terms.name_in_sink(image.table, name): atom for name, atom in columns.items()}) or ()

    def _said(self, sink: SinkPartition, seen: Seen) -> Iterator[Receipt]:
        """Receipts of what is no old news: of open cells, and more than the last word about them said.

        The first write of a change that the log shows is the one that a receipt told of before, if any did; another one is
        a redelivery, with a time of its own.
        """
        heard: set[int] = set()
        self._looks.count([finding for _, finding, _ in seen.findings])
        for at, finding, image in seen.findings:
            told = None if _is_closed(sink, finding.offset) else by_its_contract(sink, finding)
            if told is None:
                continue
            word = sink.word(finding.offset)
            is_first = finding.offset not in heard
            heard.add(finding.offset)
            applied_at = word.apply_at if is_first and word.apply_rank != NEVER else at
            found = evidence_of(self._sink, image, told, self._terms, KIND, applied_at, sink.generation)
            if isinstance(found, Receipt) and not (is_first and is_last_word(word, found)):
                yield found

    # ---------------------------------------------------------------- what it does not show

    async def _judged(
        self, sink: SinkPartition, source: Input, below: int, left: Wanted, coverage: Coverage, *, may_be_gone: bool
    ) -> list[Receipt | Mark]:
        """The last rows of keys whose newest change below the log tells nothing of, where it is sure to tell.

        A key that the log has no record of shows, at most, that nothing was written: a delete it would not show either.

        Raises:
            Unavailable, NotYet: see `look`.
        """
        covered = [offset for offset in left.offsets.tolist() if coverage.after < offset < coverage.below]
        if len(covered) < len(left.offsets):
            self._wait(source, below, len(left.offsets) - len(covered))
        histories = Histories(sink.changes, left.offsets, left.halves, has_truncates=self._terms.truncates)
        await histories.build()
        past = LoggedPast(self._logged, sink, source, histories, self._changes)
        said: list[Receipt | Mark] = []
        for start in range(0, len(covered), KEYS_AT_ONCE):
            part = covered[start : start + KEYS_AT_ONCE]
            for offset, sight in await self._looks.settle(past, source, below, part, may_be_gone=may_be_gone):
                finding, image = sight.finding, sight.image
                is_shown = bool(self._rows.records_of(self._terms.table_of(image), self._key_there(image)))
                is_sure = is_shown if isinstance(finding, Equal) else coverage.after < finding.offset < coverage.below
                if is_sure and image.kind is not ChangeKind.TRUNCATE:
                    self._looks.count([finding])
                    said += news_of(sink, sight, offset, below, self._terms, KIND, self._wall_ms)
        return said

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


def _is_closed(sink: SinkPartition, offset: int) -> bool:
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    return offset < sink.beginning or (cells is not None and cells.closed[offset & INDEX] > 0)
