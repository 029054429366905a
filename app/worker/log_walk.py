"""A sink's own change log as evidence, live: before a fence, the last row that it tells of each key is held against the changes.

For one sink and source partition: 1. The log is read to the end that it has now. 2. Which cells nothing is known of. 3. Their
changes, fetched again by their coordinates, and the last rows that the log tells of their keys, judged as rows read back are
(`app.worker.looks`). 4. What of that is sure (`app.worker.log_proof`). Where something can't be said yet, the fence waits for the
log a while (``wait_s``), and then stands without: such cells are attempted. 5. Now and then: rows that the log tells of though
nothing of their keys is open (`app.worker.log_rest`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.errors import NotYet
from app.evidence.tables import StoreTerms
from app.ledger.sink import SinkPartition
from app.worker.log_proof import LogProof
from app.worker.log_rest import KIND, LoggedPast, LogRest
from app.worker.log_rows import LoggedSink, LogRows
from app.worker.looks import Filling, Looks, Tally, alone
from app.worker.ports import Input
from app.worker.readback import KEYS_AT_ONCE, Changes, histories_of, news_of
from app.worker.scrub import at_rest
from app.worker.wanted import wanted, with_bad
from cdc_receipts.codec import Mark, Receipt


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
        rows = LogRows(logged, terms)
        self._looks = Looks(sink, terms, rows, changes.log, progress, second_look_s, sleep, fillers)
        self._proof = LogProof(sink, terms, rows, changes, fillers)
        resting = Looks(sink, at_rest(terms), rows, changes.log, progress, second_look_s, sleep, fillers)
        resting.tally = self._looks.tally
        self._rest = LogRest(terms, logged, rows, resting, self._proof, changes, partitions, wall_ms)
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
        self.tally.doubt = self._logged.log.problem()
        asked = await wanted(sink, below, 1.0)
        if has_bad:
            asked = with_bad(sink, asked)
        said: list[Receipt | Mark] = []
        left = 0
        if len(asked.offsets):
            histories = await histories_of(sink, asked, self._terms)
            past = LoggedPast(self._logged, sink, source, histories, self._changes)
            for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
                part = asked.offsets[start : start + KEYS_AT_ONCE].tolist()
                sights = await self._looks.settle(past, source, below, part, may_be_gone=may_be_gone)
                await asyncio.to_thread(self._rest.remember, source, below, sights)
                sure = await self._proof.sure(sink, source, sights)
                left += len(part) - len(sure)
                self._looks.count([sight.finding for _, sight in sure])
                for offset, sight in sure:
                    said += news_of(sink, sight, offset, below, self._terms, KIND, self._wall_ms)
        if has_bad:
            return said + await self._rest.look(sink, source, may_be_gone=may_be_gone)
        if left:
            self._wait(source, below, left)
        return said

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
