"""The probe of committed offsets: looks at the groups of sinks, and writes PROGRESS and SKIP marks (protocol section 3).

What looks prove is `app.evidence.progress`'s; this asks the cluster, in the order that it wants, and tells.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from confluent_kafka.admin import AdminClient

from app.adapters.groups import SILENT, Commit, Members, commits, ends, starts
from app.adapters.metrics import Metrics
from app.evidence.progress import Life, Look, Presence, Progress, ProgressState, Step
from app.ledger.sink import SinkPartition
from app.worker.ports import Input
from cdc_receipts.codec import MarkKind
from topologies.marking import Lane, Marks

logger = logging.getLogger(__name__)

LONGEST_LOOKS = 3
"""Looks that are further apart than so many intervals prove nothing together."""

IsIdle = Callable[[str], Awaitable[bool | None]]
"""Asks Connect now whether nothing of a sink's connector runs; None where Connect is not asked."""


class ProgressProbe:
    """Looks at sinks that are fenced by their committed offsets.

    Args:
        interval_s: between looks.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        admin: AdminClient,
        marks: Marks,
        metrics: Metrics,
        is_idle: IsIdle,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admin = admin
        self._marks = marks
        self._metrics = metrics
        self._is_idle = is_idle
        self._longest_s = LONGEST_LOOKS * interval_s
        self._clock = clock
        self._members = Members(admin)
        self._progress: dict[Lane, Progress] = {}
        self._rebuilds: dict[Lane, int] = {}

    def keep(self, lanes: Mapping[Lane, SinkPartition]) -> None:
        """Forget lanes that are another worker's by now."""
        for gone in self._progress.keys() - lanes.keys():
            del self._progress[gone]
            self._rebuilds.pop(gone, None)

    def rebuild_from(self, lane: Lane) -> int | None:
        """The offset that a rebuild is proposed from, None for none."""
        return self._rebuilds.get(lane)

    async def look(self, name: str, group: str, lanes: Mapping[Input, SinkPartition]) -> dict[Input, int]:
        """Look at one sink once, and write what is proved; answers the progress that is known, by source partition."""
        try:
            looks = await self._looks(name, group, lanes)
        except SILENT as error:
            logger.warning("the committed offsets of group %s can't be read, no fence is written: %s", group, error)
            for source in lanes:
                self._of((name, source)).forget()
                self._metrics.progress(name, *source, ProgressState.UNREADABLE)
            return {}
        found = {}
        for source, look in looks.items():
            fold = lanes[source]
            step = self._of((name, source)).see(look, life_of(fold))
            self._tell((name, source), fold, look, step)
            if step.progress is not None:
                found[source] = step.progress
        return found

    async def _looks(self, name: str, group: str, lanes: Mapping[Input, SinkPartition]) -> dict[Input, Look]:
        """The questions in their order; whoever is there is asked again only where a SKIP depends on it."""
        began = self._clock()
        before = await self._presence(name, group)
        first, committed, end = await asyncio.to_thread(self._asked, group, list(lanes))
        ended = self._clock()

        def look_at(source: Input) -> Look:
            commit = committed.get(source)
            return Look(
                began=began, ended=ended, before=before, first=first.get(source), end=end.get(source),
                progress=None if commit is None else commit.offset,
                is_consumers=commit is not None and commit.has_epoch,
            )  # fmt: skip

        looks = {source: look_at(source) for source in lanes}
        if not any(self._of((name, s)).asks_again(look, life_of(lanes[s])) for s, look in looks.items()):
            return looks
        after = await self._presence(name, group)
        ended = self._clock()
        return {source: replace(look, after=after, ended=ended) for source, look in looks.items()}

    def _asked(
        self, group: str, sources: list[Input]
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], Commit], dict[tuple[str, int], int]]:
        first = starts(self._admin, sources)
        committed = commits(self._admin, group, sources)
        return first, committed, ends(self._admin, sources)

    async def _presence(self, name: str, group: str) -> Presence:
        is_idle = await self._is_idle(name)
        return Presence(members=await asyncio.to_thread(self._members.of, group), is_idle=is_idle)

    def _of(self, lane: Lane) -> Progress:
        return self._progress.setdefault(lane, Progress(self._longest_s))

    def _tell(self, lane: Lane, fold: SinkPartition, look: Look, step: Step) -> None:
        name, source = lane
        self._metrics.progress(name, *source, step.state)
        if step.skip is not None:
            start, end = step.skip
            self._marks.mark(lane, MarkKind.SKIP, start, fold.generation, end)
            self._metrics.skipped(name, source.topic, end - start)
            logger.warning(
                "%s passed offsets %d to %d of %s:%d without looking: its group had no member. Log from %s, committed %s",
                name, start, end, *source, look.first, look.progress,
            )  # fmt: skip
        if step.doubt is not None:
            self._metrics.doubtful(name, source.topic)
            logger.info(
                "%s: progress on %s:%d has come to %s, and not by work perhaps, which can't be proved: %s. What it passed is "
                "no more than attempted", name, *source, look.progress, step.doubt,
            )  # fmt: skip
        self._propose(lane, fold, step.rebuild_from)

    def _propose(self, lane: Lane, fold: SinkPartition, rebuild_from: int | None) -> None:
        """Tell once of each fall; a proposal stands until the sink has come back, or a START has begun a new life."""
        name, source = lane
        if rebuild_from is None:
            self._rebuilds.pop(lane, None)
            return
        if lane not in self._rebuilds:
            logger.warning(
                "%s: progress on %s:%d fell to %d, far below the fence at %d. If the sink was rebuilt, write a START of "
                "generation %d at the offset that it began again at, so that its new life is judged", name, *source,
                rebuild_from, fold.fence, fold.generation + 1,
            )  # fmt: skip
        self._rebuilds[lane] = rebuild_from


def life_of(fold: SinkPartition) -> Life:
    """Where the fold stands."""
    return Life(generation=fold.generation, beginning=fold.beginning, frontier=fold.frontier, fence=fold.fence)
