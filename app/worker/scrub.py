"""The slow scrub: rows at rest are compared with their changes, again and again, long after their fence.

One pass goes over one sink and source partition, down the change log from its end: 1. A stretch of changes. 2. The newest of each
key that stands in it, where its cell is closed. 3. The rows of those keys. 4. What is right is counted; what was wrong at two
looks (`app.worker.looks`) enters the lane as a receipt, and makes a closed cell `contradicted` (protocol section 4).

A key is met at its newest change, whose row is the only one that the sink can still hold. Open cells are left to read-back and
to its rechecks. Nothing wrong is said where somebody else may have written the row: see `Scrub`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from xxhash import xxh64_intdigest

from app.decode.images import ImageDecoder
from app.evidence.receipts import described, evidence_of
from app.evidence.states import Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, State
from app.model.words import INDEX
from app.worker.looks import Looks, Row, Sight
from app.worker.placing import is_placed_here
from app.worker.ports import Input
from app.worker.readback import KIND
from app.worker.scrubbed import MOST_WRONG, Scrubbed, Wrong
from app.worker.walk import Candidate, Walk
from app.worker.walking import BoundedLog, Walking
from cdc_receipts.codec import Receipt

logger = logging.getLogger(__name__)

REST = 3
"""After decoding a stretch the scrub rests so many times as long: it takes a quarter of a core at most."""


MOST_LINES = 100
"""Wrong rows of one pass that the log names; each is named on the verdicts topic."""


class Lost(Exception):
    """The lane, or the life that was looked at, is another by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """What scrubbing one sink needs.

    Attributes:
        looks: with a rate of their own; rows_at_once: of one statement.
        partitions: of a topic.
        sleep, clock: the scrub rests in relation to what it did; wall_ms: says when passes began.
    """

    sink: str
    terms: StoreTerms
    looks: Looks
    log: BoundedLog
    decoder: ImageDecoder
    fetch_schemas: Callable[[set[int]], Awaitable[None]]
    rows_at_once: int
    partitions: Callable[[str], int]
    wall_ms: Callable[[], int]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def count(self, word: str, rows: int = 1) -> None:
        """Count rows by what they showed."""
        if rows > 0:
            self.looks.tally.rows[word] += rows


@dataclass(slots=True)
class Pass:
    """One pass over one sink and source partition; the caller makes steps until it is over.

    Attributes:
        turn: waits until the store has nothing better to do; raises `Lost` where the lane is not ours any more.
        say: writes into the lane.
        is_over: whether it came to its end, or must be begun anew.
        has_told: whether it said something that was not written down yet.
    """

    of: Scrub
    sink: SinkPartition
    source: Input
    scrubbed: Scrubbed
    turn: Callable[[], Awaitable[None]]
    say: Callable[[Receipt], None]
    is_over: bool = False
    has_told: bool = False
    _walking: Walking | None = None
    _from: int = -1
    _told: int = 0
    _met: set[int] = field(default_factory=set)

    async def step(self) -> None:
        """One stretch of the log, and the rows of the keys that it adds.

        Raises:
            Unavailable: the log, the store or a schema can't be had now; the step may be made again, and goes on where it was.
            Lost: see ``turn``.
        """
        walking = self._walking = self._walking or await self._begun()
        walk, sink = walking.walk, self.sink
        if not walking.is_cut():
            earliest, _ = await walking.bounds()
            await walking.up(sink.changes.next)
        if walking.is_cut():  # what is below must be looked at with what came in above
            self._end(is_whole=False)
            return
        bottom = min(max(earliest, sink.beginning, sink.since, sink.changes.first), walk.low)
        if not walking.pending:
            is_known = walk.low > self._from
            candidates = await walking.down(max(bottom, self._from) if is_known else bottom)
            walking.ask([] if is_known else self._comparable(candidates))
        await self.of.sleep(REST * walking.worked())
        while walking.pending:
            await self._compare(walking)
        if walking.is_cut():
            self._end(is_whole=False)
        else:
            self._pass_by(walk, bottom)

    async def _begun(self) -> Walking:
        """The walk; after a restart from the log's end again, without rows down to where it stood."""
        top, of, scrubbed = self.sink.changes.next, self.of, self.scrubbed
        if not 0 <= scrubbed.low <= top:
            scrubbed.low, scrubbed.began_ms, scrubbed.untold = -1, of.wall_ms(), 0
        self._from = top if scrubbed.low < 0 else scrubbed.low
        watched = {wrong.identity: offset for offset, wrong in scrubbed.wrong.items()}
        earliest, _ = await of.log.bounds(self.source)
        walk = Walk(top, of.terms, of.decoder, top - min(earliest, top), scrubbed.began_ms, watched)
        return Walking(walk, self.source, of.log, of.decoder, of.fetch_schemas, of.clock)

    def _comparable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those of closed cells that were judged by what the contract still says, whose row changes of no other key write."""
        found = []
        for one in candidates:
            if not is_closed(self.sink, one.image.offset):
                continue
            is_shared = one.image.table in self.of.terms.keys  # a change of another record key may have written the row
            if is_shared or not self.sink.terms.compares_alike(one.image.offset):
                self.of.count("unknown")
                continue
            found.append(one)
        return found

    async def _compare(self, walking: Walking) -> None:
        """The rows of some keys, as many as one statement asks for; what was compared is pending no more."""
        of, tally = self.of, self.of.looks.tally.rows
        part = sorted(walking.pending)[: of.rows_at_once]
        has_others = of.partitions(self.source.topic) > 1
        await self.turn()
        before = tally.total()
        settled = await of.looks.settle(
            walking, self.source, self.sink.fence, part, may_be_gone=of.terms.truncates and has_others
        )
        of.count("unknown", len(part) - len(settled) - (tally.total() - before))
        await self.turn()
        if walking.is_cut():
            walking.ask([])
            return
        for offset, sight in settled:
            self._note(walking.walk, walking.pending[offset], sight)
        self._met.update(self.scrubbed.wrong.keys() & set(part))
        for offset in part:
            del walking.pending[offset]

    def _pass_by(self, walk: Walk, bottom: int) -> None:
        """A stretch is done."""
        scrubbed = self.scrubbed
        scrubbed.low = walk.low if scrubbed.low < 0 else min(scrubbed.low, walk.low)
        for offset in walk.overtaken:
            scrubbed.wrong.pop(offset, None)
        walk.overtaken.clear()
        if walk.low <= max(bottom, walk.floor):
            self._end(is_whole=True)

    def _note(self, walk: Walk, one: Candidate, sight: Sight) -> None:
        """Remember what is wrong, tell it once, and forget what is right."""
        of, offset, finding = self.of, one.image.offset, sight.finding
        if isinstance(finding, Equal):
            of.looks.count([finding])
            self.scrubbed.wrong.pop(offset, None)
            return
        count = of.partitions(self.source.topic)
        if finding.offset != offset or not is_closed(self.sink, offset):
            of.count("unknown")
            return
        if not is_placed_here(one.key, walk.newest, self.source.partition, count):
            of.count("unplaced")
            return
        of.looks.count([finding])
        wrong = Wrong(row=_row_hash(sight.row), identity=one.identity, is_waived=is_waived(self.sink, offset))
        known = self.scrubbed.wrong.get(offset)
        if known is not None and known.row == wrong.row:
            return
        if known is None and len(self.scrubbed.wrong) >= MOST_WRONG:
            self.scrubbed.untold += 1
            return
        self.scrubbed.wrong[offset] = wrong
        if not wrong.is_waived:
            self._tell(one, sight)

    def _tell(self, one: Candidate, sight: Sight) -> None:
        image, finding = one.image, sight.finding
        found = evidence_of(self.of.sink, image, finding, self.of.terms, KIND, image.at, is_heard=True)
        what = described(finding.columns) if isinstance(finding, Different) else "it shows no sign of its change"
        where = f"{self.source.topic}:{self.source.partition}:{image.offset}"
        self._told += 1
        if self._told <= MOST_LINES:
            logger.warning("%s: a row at rest is wrong, that of the change %s: %s", self.of.sink, where, what)
        if isinstance(found, Receipt):
            self.has_told = True
            self.say(found)

    def _end(self, *, is_whole: bool) -> None:
        """The pass is over; cells that it should have met and did not are not in the log any more."""
        scrubbed, self.is_over = self.scrubbed, True
        if is_whole:
            gone = [offset for offset in scrubbed.wrong if offset < self._from and offset not in self._met]
            for offset in gone:
                del scrubbed.wrong[offset]
            scrubbed.passes += 1
            scrubbed.since_ms = scrubbed.began_ms
        scrubbed.low = -1


def is_closed(sink: SinkPartition, offset: int) -> bool:
    """Whether a cell was settled when a fence above it was read, and expects something; one that was forgotten since was."""
    if not sink.beginning <= offset < sink.fence or offset in sink.stragglers:
        return False
    if sink.changes.segment_of(offset) is None:
        return True
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    closed = 0 if cells is None else int(cells.closed[offset & INDEX])
    return closed > 0 and closed - 1 != State.EXEMPT


def is_waived(sink: SinkPartition, offset: int) -> bool:
    """Whether an operator has settled the cell as it is, so that its row was never right."""
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    closed = 0 if cells is None else int(cells.closed[offset & INDEX])
    return closed > 0 and closed - 1 in (State.MISSING, State.DIVERGED, State.REJECTED)


def _row_hash(row: Row | None) -> int:
    return 0 if row is None else xxh64_intdigest(repr(sorted(row.items())).encode())


def at_rest(terms: StoreTerms) -> StoreTerms:
    """What a contract says of rows long after they were written."""
    return replace(terms, is_at_rest=True)
