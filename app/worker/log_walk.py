"""A sink's own change log as evidence, live: before a fence, the last row that it tells of each key is held against the changes.

For one sink and source partition: 1. The log is read to the end that it has now. 2. Which cells nothing is known of. 3. Their
changes, fetched again by their coordinates, and the last rows that the log tells of their keys, judged as rows read back are
(`app.worker.looks`). 4. What may be said of that.

A store shows what is there now; a log shows what it has come to, and its connector may be hours behind. So a row of it says
something of a change only where it is sure to be no older one: where the log has come beyond the change (`app.worker.reach`), or,
of a row that is right but for texts that stand for values, where no earlier change of the key that is held made the same row. A key that the log does not know shows
no more than that nothing was written: that is missing for an insert, and nothing for an update, which may have changed nothing
that the log tells, or for a delete. Where something can't be said yet, the fence waits for the log a while (``wait_s``), and then
stands without: such cells are attempted.

5. Now and then: rows that the log tells of though nothing of their keys is open (`app.worker.log_rest`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from app.decode.images import Image
from app.errors import NotYet
from app.evidence.change_log import Coverage, Reach, reach
from app.evidence.keys import KeyText, row_key
from app.evidence.states import PLACEHOLDER, Absent, Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, SinkTopic
from app.worker.log_rest import KIND, LoggedPast, LogRest
from app.worker.log_rows import LoggedSink, LogRows
from app.worker.looks import Filling, Looks, Sight, Tally, alone
from app.worker.neighbours import neighbours
from app.worker.ports import Input
from app.worker.reach import combined, unique
from app.worker.readback import KEYS_AT_ONCE, Changes, HeldPast, histories_of, news_of
from app.worker.recorded_rows import Source
from app.worker.sink_log import log_key
from app.worker.wanted import wanted, with_bad
from cdc_receipts.codec import Mark, Receipt

NEAR = 1_000
"""So many offsets below and above the changes that are asked about are looked at for how far the log reaches."""
INSERTS = ("c", "r")


class LogWalk:
    """Holds one sink's change log against the changes.

    Args:
        progress: the offset that the sink has committed; 0 where nobody knows.
        wait_s: how long a fence waits for a log that may not have come so far.
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
        self._fillers = fillers
        self._rows = LogRows(logged, terms)
        self._looks = Looks(sink, terms, self._rows, changes.log, progress, second_look_s, sleep, fillers)
        self._rest = LogRest(terms, logged, self._rows, self._looks, changes, self._coverage, partitions)
        self._asked: dict[Input, tuple[int, float]] = {}

    @property
    def tally(self) -> Tally:
        """What it came to so far."""
        return self._looks.tally

    async def look(
        self, sink: SinkPartition, source: Input, below: int, *, has_bad: bool = False, may_be_gone: bool = False
    ) -> list[Receipt | Mark]:
        """What the log says of the cells below a progress, as far as it is news.

        A rebuilt sink's log tells of its earlier life, too, and nobody knows up to where: nothing is said of it.

        Args:
            has_bad: the bad cells below the last fence are looked at, too, and rows that were right.
            may_be_gone: a truncate of another source partition may have taken rows.

        Raises:
            Unavailable: the log can't be read now: no fence may be written.
            NotYet: it may not have come so far.
        """
        if sink.generation:
            return []
        await self._logged.catch_up()
        asked = await wanted(sink, below, 1.0)
        if has_bad:
            asked = with_bad(sink, asked)
        said: list[Receipt | Mark] = []
        left = 0
        if len(asked.offsets):
            histories = await histories_of(sink, asked, self._terms)
            past = LoggedPast(self._logged, sink, source, histories, self._changes)
            coverage = await self._coverage(sink, source, asked.offsets.tolist())
            for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
                part = asked.offsets[start : start + KEYS_AT_ONCE].tolist()
                sights = await self._looks.settle(past, source, below, part, may_be_gone=may_be_gone)
                beyond = [sight.finding.offset for _, sight in sights if not _is_covered(coverage, sight)]
                own = await unique(sink, beyond)
                sure = [(offset, sight) for offset, sight in sights if self._is_sure(sight, coverage, own)]
                left += len(part) - len(sure)
                self._looks.count([sight.finding for _, sight in sure])
                for offset, sight in sure:
                    said += news_of(sink, sight, offset, below, self._terms, KIND, self._wall_ms)
        if has_bad:
            return said + await self._rest.look(sink, source, may_be_gone=may_be_gone)
        if left:
            self._wait(source, below, left)
        return said

    def _is_sure(self, sight: Sight, coverage: Coverage, own: AbstractSet[int]) -> bool:
        """Whether what a row shows is said of its change, and may not be of an older one.

        Args:
            own: of the changes that the log is not sure to tell of, those that no earlier one was the same as.
        """
        finding, image = sight.finding, sight.image
        is_covered = _is_covered(coverage, sight)
        is_told = bool(self._rows.records_of(self._terms.table_of(image), self._key_there(image)))
        if image.kind is ChangeKind.TRUNCATE:
            return False
        if isinstance(finding, Absent) and not is_told:
            return is_covered and image.op in INSERTS
        if not is_told:
            return False
        is_spoiled = isinstance(finding, Different) and set(finding.columns.values()) == {PLACEHOLDER}
        return is_covered or ((isinstance(finding, Equal) or is_spoiled) and finding.offset in own)

    async def _coverage(self, sink: SinkPartition, source: Input, offsets: Sequence[int]) -> Coverage:
        """Which changes the log is sure to tell of, by what it tells of those near the lowest and the highest of some offsets."""
        low, high = min(offsets), max(offsets)
        near = neighbours(sink, [(low - NEAR, low + 1), (max(low + 1, high - NEAR), high + NEAR)])
        histories = await histories_of(sink, near, self._terms)
        past = HeldPast(sink, source, histories, self._changes)
        where = SinkTopic(self._sink, source.topic, source.partition)
        reaches: list[Mapping[Input, Reach]] = []
        for start in range(0, len(near.offsets), KEYS_AT_ONCE):
            images, _ = await past.images(near.offsets[start : start + KEYS_AT_ONCE].tolist())
            if images:
                reaches.append(await asyncio.to_thread(self._reaches, where, images))
        return await combined(sink, reaches)

    def _reaches(self, where: SinkTopic, images: Sequence[Image]) -> Mapping[Input, Reach]:
        """In a thread: of each partition of the log, what its records of the keys of some changes show."""
        of = Source(where, images, self._terms)
        is_loose = any(
            self._terms.allowed(of.table, column) for column in of.key
        )  # a key may stand there in another form
        if is_loose or not of.key or len(self._fillers(of.sink_table, where.topic)) > 1:
            return {}
        keys = {self._key_there(image): image for image in images}  # of each the newest
        self._rest.remember(Input(where.topic, where.partition), of.sink_table, keys)
        return {
            place: reach(of.known, told, of.terms, of.table, tuple(of.key), self._rows.newest(of.sink_table, place))
            for place, told in self._rows.records(of.sink_table, keys).items()
        }

    def _key_there(self, image: Image) -> KeyText:
        """A change's key as the log has it; one that it can't have is empty."""
        columns = row_key(image, self._terms) or {}
        return log_key({self._terms.name_in_sink(image.table, name): atom for name, atom in columns.items()}) or ()

    def _wait(self, source: Input, below: int, count: int) -> None:
        """Give the log time to tell of what it may not have come to.

        Raises:
            NotYet: the time is not over.
        """
        asked, since = self._asked.get(source, (-1, 0.0))
        if asked != below:
            since = self._clock()
            self._asked[source] = below, since
        if self._clock() - since < self._wait_s:
            raise NotYet(f"its change log does not tell of all changes below {below}; it is given {self._wait_s:.0f} s")
        self.tally.rows["untold"] += count


def _is_covered(coverage: Coverage, sight: Sight) -> bool:
    return coverage.after < sight.finding.offset < coverage.below
