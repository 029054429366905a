"""The probes' round, and the fences of sinks that write none themselves (protocol section 3, FENCE).

A fence is written at N when the probe has seen progress N, has waited the contract's grace, and every gate has said that all
other evidence of the sink up to a moment after that stands in the lane (`topologies.gates`). This is the only place where a
clock decides anything, and all it can do is wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.adapters.metrics import Metrics
from app.config.settings import Settings, SinkSettings
from app.errors import Unavailable
from app.ledger.sink import SinkPartition
from app.worker.live import LiveWorker
from app.worker.ports import Input
from cdc_receipts.codec import MarkKind
from topologies.gates import Gate, RoutedLogs
from topologies.marking import Lane, Marks
from topologies.progress import ProgressProbe
from topologies.statuses import StatusProbe

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Fences:
    """What the probe knows of one lane in one life of the sink.

    Attributes:
        waiting: (seen at in s, progress), whose grace is not over; ascending.
        candidate: the next fence, whose grace is over; opened: places of the gates that have let it pass.
    """

    generation: int
    progress: int = 0
    fenced: int = 0
    waiting: list[tuple[float, int]] = field(default_factory=list)
    candidate: int | None = None
    opened: set[int] = field(default_factory=set)


class FenceProbe:
    """Looks at progress now and then, for the source partitions that this worker owns.

    Args:
        gates: what a fence waits for after its grace, beside the marks that were written before it; each is asked when
            those before it have opened, so that what is read back of a sink follows what it said itself.
        clock: seconds, monotonic, for the grace.
    """

    def __init__(
        self,
        settings: Settings,
        worker: LiveWorker,
        marks: Marks,
        logs: RoutedLogs,
        statuses: StatusProbe,
        progress: ProgressProbe,
        metrics: Metrics,
        gates: Sequence[Gate],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._marks = marks
        self._logs = logs
        self._statuses = statuses
        self._progress = progress
        self._metrics = metrics
        self._gates = gates
        self._clock = clock
        self._lanes: dict[Lane, _Fences] = {}

    async def look(self) -> None:
        """One round: ask for connectors and progress of every sink once, and write what is due."""
        lanes = self._worker.lanes(is_caught_up=True)
        for gone in self._lanes.keys() - lanes.keys():
            del self._lanes[gone]  # whoever owns it now waits the grace anew
        self._marks.keep(lanes)
        self._progress.keep(lanes)
        await self._statuses.look(lanes)
        probed = [sink for sink in self._settings.sinks.values() if sink.fences != "emitter"]
        seen = await asyncio.gather(*(self._seen(sink, lanes) for sink in probed))
        lanes = {lane: fold for lane, fold in self._worker.lanes(is_caught_up=True).items() if lane in lanes}
        self._statuses.write(lanes, self._progress.rebuild_from)
        now = self._clock()
        self._logs.begin_round()
        for sink, found in zip(probed, seen, strict=True):
            for source, progress in found.items():
                if (sink.name, source) in lanes:
                    await self._note(sink, source, lanes[sink.name, source], progress, now)

    async def _seen(self, sink: SinkSettings, lanes: dict[Lane, SinkPartition]) -> dict[Input, int]:
        mine = {source: fold for (name, source), fold in lanes.items() if name == sink.name}
        if not mine:
            return {}
        if sink.fences == "receipts":  # in order: everything below its highest receipt was passed
            return {source: fold.horizon for source, fold in mine.items()}
        return await self._progress.look(sink.name, sink.group or f"connect-{sink.connector}", mine)

    async def _note(self, sink: SinkSettings, source: Input, fold: SinkPartition, progress: int, now: float) -> None:
        lane = (sink.name, source)
        fences = self._lanes.get(lane)
        if (
            fences is None or fences.generation != fold.generation
        ):  # what an old life had come to proves nothing of a new
            fences = self._lanes[lane] = _Fences(fold.generation)
        if progress > fences.progress:
            fences.progress = progress
            fences.waiting.append((now, progress))
            self._marks.mark(lane, MarkKind.PROGRESS, progress, fences.generation)
        _choose(fences, now - sink.grace_of(source.topic) / 1000)
        is_due = fences.candidate is not None
        if is_due and await self._is_open(lane, fences) and self._marks.is_through(lane):
            self._fence(lane, fences)
            is_due = False
        self._metrics.fence_delayed(*_named(lane), is_delayed=is_due)

    def _fence(self, lane: Lane, fences: _Fences) -> None:
        """Unless the sink's life, or the lane's owner, has become another one while the gates were asked."""
        fold = self._worker.lanes().get(lane)
        if fold is None or fold.generation != fences.generation or fences.candidate is None:
            return
        self._marks.mark(lane, MarkKind.FENCE, fences.candidate, fences.generation)
        fences.fenced, fences.candidate = fences.candidate, None

    async def _is_open(self, lane: Lane, fences: _Fences) -> bool:
        """Whether every gate has let the candidate pass, each in its turn; those that have are not asked again."""
        name, source = lane
        offset = fences.candidate or 0
        for place, gate in enumerate(self._gates):
            if place in fences.opened:
                continue
            try:
                if not await gate(name, source, offset):
                    return False
            except Unavailable as error:
                logger.warning("a fence of %s on %s:%d at %d waits: %s", name, *source, offset, error)
                return False
            fences.opened.add(place)
        return True


def _choose(fences: _Fences, before: float) -> None:
    """The highest progress that was seen before a moment is the next fence; one that waits for its gates stays."""
    due = [offset for seen, offset in fences.waiting if seen <= before]
    fences.waiting = fences.waiting[max(len(due) - 1, 0) :]  # of those that are due, the highest may still be needed
    if fences.candidate is None and due and due[-1] > fences.fenced:
        fences.candidate = due[-1]
        fences.opened.clear()
        fences.waiting = fences.waiting[1:]


def _named(lane: Lane) -> tuple[str, str, int]:
    name, source = lane
    return name, source.topic, source.partition
