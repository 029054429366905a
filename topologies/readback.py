"""Read-back live: the gate before a fence, and what is said on its way into the lanes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from app.adapters.metrics import Metrics
from app.errors import NotYet, Unavailable
from app.ledger.sink import SinkPartition
from app.worker.layout import Layout
from app.worker.live import LiveWorker
from app.worker.looks import Tally
from app.worker.ports import Input
from cdc_receipts.codec import Mark, MarkKind, Receipt
from topologies.marking import Marks

logger = logging.getLogger(__name__)

RECHECK_S = 60.0
AGAIN_S = 1.0
RETRY_S = 3.0
"""A fence that waits for a log is asked for again after it: one look at a time is made of a sink, and others wait, too."""


Look = Callable[[], Awaitable[None]]


class Looker(Protocol):
    """What looks at rows or records of one sink: `ReadBack`, `app.worker.log_walk.LogWalk`."""

    @property
    def tally(self) -> Tally:
        """What it came to so far."""

    async def look(
        self, sink: SinkPartition, source: Input, below: int, *, has_bad: bool = False, may_be_gone: bool = False
    ) -> Sequence[Receipt | Mark]:
        """The evidence about cells below a progress, as far as it is news.

        Raises:
            Unavailable: no fence may be written now; `NotYet` where that is no trouble.
        """


class ReadBackGate:
    """Before a fence of a sink with a store is written, its rows are read back (`app.worker.readback`).

    Args:
        sinks: by name, what reads its rows back.
        clock: seconds, monotonic; it delays looks at bad cells and decides nothing.
    """

    def __init__(
        self,
        sinks: Mapping[str, Looker],
        worker: LiveWorker,
        layout: Layout,
        marks: Marks,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = sinks
        self._worker = worker
        self._layout = layout
        self._marks = marks
        self._metrics = metrics
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, dict[Input | None, tuple[Input, Look]]] = {}
        """By sink: looks that wait for their turn, in the order in which they were asked for; of None, those at bad cells."""
        self._read_up: dict[tuple[str, Input], tuple[SinkPartition, int, int]] = {}
        """By lane: whose rows were read back, in which life, up to where; of a lane that was opened anew nothing is known."""
        self._next_recheck: dict[tuple[str, Input], float] = {}
        self._not_before: dict[tuple[str, Input], float] = {}

    async def __call__(self, name: str, source: Input, offset: int) -> bool:
        """See `topologies.gates.Gate`: whether the rows below ``offset`` have been read back and what they say was said."""
        reader = self._sinks.get(name)
        if reader is None:
            return True
        sink = self._worker.lanes().get((name, source))
        if sink is None:
            return False
        whose, life, up_to = self._read_up.get((name, source), (None, 0, 0))
        if whose is sink and life == sink.generation and up_to >= offset:
            return True
        if not _is_read_up(sink, offset):
            return False
        if self._clock() < self._not_before.get((name, source), 0.0):
            return False  # others of the sink have their turn
        self._ask(name, source, source, partial(self._before, reader, name, source, offset))
        return False

    async def recheck(self) -> None:
        """Read bad cells back now and then: a repair that nobody reports is found, also where nothing moves."""
        now = self._clock()
        for name, one in self._sinks.items():
            self._count(name, one.tally)
        for gone in self._read_up.keys() - self._worker.lanes().keys():
            del self._read_up[gone]
        due: dict[str, list[tuple[float, Input]]] = {}
        for (name, source), sink in self._worker.lanes(is_caught_up=True).items():
            if name in self._sinks and not sink.queued and self._is_due(sink):
                at = self._next_recheck.setdefault((name, source), now + RECHECK_S)
                due.setdefault(name, []).extend([(at, source)] if at <= now else [])
        for name, waiting in due.items():
            if waiting:
                sources = [source for _, source in sorted(waiting)]  # who waits longest comes first
                self._ask(name, None, sources[0], partial(self._again_each, name, sources))

    async def _again_each(self, name: str, sources: Sequence[Input]) -> None:
        """As many as go in a second: a fence of the sink waits so long at most."""
        began = self._clock()
        for source in sources:
            if self._clock() - began < AGAIN_S:
                self._next_recheck[name, source] = self._clock() + RECHECK_S
                await self._again(self._sinks[name], name, source)

    def _is_due(self, sink: SinkPartition) -> bool:
        """Whether there is something to look at again."""
        return len(sink.stragglers) > 0

    def _count(self, name: str, tally: Tally) -> None:
        self._metrics.read_back(name, tally.rows, is_up=not tally.problem)

    def is_busy(self, name: str) -> bool:
        """Whether the rows of a sink are being read back now."""
        task = self._running.get(name)
        return task is not None and not task.done()

    def _ask(self, name: str, whose: Input | None, source: Input, look: Look) -> None:
        """One look at a store at a time. Who asks while one goes on has a turn: else the same lanes would come first in every round."""
        self._waiting.setdefault(name, {})[whose] = (source, look)
        if not self.is_busy(name):
            self._running[name] = asyncio.create_task(self._take_turns(name))

    async def _take_turns(self, name: str) -> None:
        waiting = self._waiting[name]
        while waiting:
            source, look = waiting.pop(next(iter(waiting)))
            await self._guarded(name, source, look)

    async def _guarded(self, name: str, source: Input, look: Look) -> None:
        tally = self._sinks[name].tally
        try:
            await look()
            tally.problem = ""
        except NotYet:
            tally.problem = ""
            self._not_before[name, source] = self._clock() + RETRY_S
        except Unavailable as error:
            if tally.problem != str(error):
                logger.warning("%s can't be read back, no fence is written for %s:%d: %s", name, *source, error)
            tally.problem = str(error)
        except Exception as error:
            if tally.problem != repr(error):  # one sink's trouble is not the others': its fences wait, and it shows
                logger.exception("%s can't be read back, no fence is written for %s:%d", name, *source)
            tally.problem = repr(error)

    async def _before(self, reader: Looker, name: str, source: Input, offset: int) -> None:
        sink = self._worker.lanes().get((name, source))
        if sink is None or not _is_read_up(sink, offset):
            return
        life = sink.generation
        said = await reader.look(sink, source, offset, may_be_gone=self._may_be_gone(name, source, sink))
        if self._is_still(name, source, sink, life):
            for one in said:
                self._marks.say((name, source), one)
            if self._marks.is_through((name, source)):  # what waits here may be forgotten: then it is looked at again
                self._read_up[name, source] = (sink, life, offset)

    async def _again(self, reader: Looker, name: str, source: Input) -> None:
        sink = self._worker.lanes().get((name, source))
        if sink is None:
            return
        life = sink.generation
        may_be_gone = self._may_be_gone(name, source, sink)
        said = await reader.look(sink, source, sink.fence, has_bad=True, may_be_gone=may_be_gone)
        is_news = said or sink.stragglers.dirty  # said of late, and the fence behind it stood below another
        if is_news and self._is_still(name, source, sink, life):
            for one in said:
                self._marks.say((name, source), one)
            self._marks.mark((name, source), MarkKind.FENCE, sink.fence, life)

    def _may_be_gone(self, name: str, source: Input, sink: SinkPartition) -> bool:
        """Whether a truncate may have taken rows that its own source partition says nothing of.

        It has no key, so that one partition tells of it, and it empties the whole table: with truncates of a partition that
        another worker reads, or that is held here, a row that is not there proves nothing.
        """
        if sink.contract.truncates != "apply":
            return False
        others = [Input(source.topic, n) for n in range(self._layout.inputs[source.topic]) if n != source.partition]
        lanes = self._worker.lanes()
        return any((name, other) not in lanes or lanes[name, other].changes.holds_truncates() for other in others)

    def _is_still(self, name: str, source: Input, sink: SinkPartition, life: int) -> bool:
        """Whether the lane is ours yet and the sink's life the same; else what was seen is of something else."""
        return self._worker.lanes().get((name, source)) is sink and sink.generation == life


def _is_read_up(sink: SinkPartition, offset: int) -> bool:
    """Whether the fold knows what a fence would judge."""
    return sink.changes.next >= offset and not sink.queued
