"""The scrub live (`app.worker.scrub`): one pass after the other over what this worker owns, when a store has nothing better to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from app.adapters.metrics import Metrics
from app.adapters.sql.limiting import RowLimit
from app.errors import Unavailable
from app.ledger.sink import SinkPartition
from app.worker.live import LiveWorker
from app.worker.looks import Row, Rows
from app.worker.ports import Input
from app.worker.scrub import Lost, Pass, Scrub
from app.worker.scrubbed import Scrubbed, keep, recalled
from topologies.marking import Marks

logger = logging.getLogger(__name__)

PASS_S = 60.0
"""Between the ends of two passes over a source partition at least: a small table is not gone over without end."""
AGAIN_S = 10.0
"""After a look that failed; the store's breaker waits longer where it must."""
TRIES = 30
"""A pass that fails so often in a row is put back behind those of other source partitions."""
KEEP_S = 10.0
"""How often it is written down where a pass stands; what was done since is done again after a restart."""
WAIT_S, WAITS = 0.5, 120
"""Between two looks whether it is the scrub's turn; and how many in a row, until another source partition has its turn."""
SHOWN_AT_ONCE = 200
"""Source partitions that are shown before the event loop goes on with something else."""

Lane = tuple[str, Input]


class SlowRows:
    """A store at a rate of its own, beside the one that it has for all who ask; blocks."""

    def __init__(self, rows: Rows, rows_per_second: int) -> None:
        self._rows = rows
        self._limit = RowLimit(rows_per_second)

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> Sequence[Row | None]:
        """See `Rows.read`."""
        self._limit.take(len(keys))
        return self._rows.read(table, key, keys, is_fresh=is_fresh)

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        """See `Rows.finds`."""
        return self._rows.finds(table, key, values)


class Scrubbing:
    """Goes over the rows at rest of each sink, one source partition at a time; `look` is called on a timer.

    Args:
        sinks: by name, what scrubs its rows.
        is_busy: whether the rows of a sink are being read back, which goes first.
        clock: seconds, monotonic; wall_ms: stamps passes; neither decides anything of a row.
    """

    def __init__(
        self,
        sinks: Mapping[str, Scrub],
        worker: LiveWorker,
        marks: Marks,
        metrics: Metrics,
        is_busy: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sinks = sinks
        self._worker = worker
        self._marks = marks
        self._metrics = metrics
        self._is_busy = is_busy
        self._clock = clock
        self._wall_ms = wall_ms
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[None]] = {}
        self._passes: dict[str, tuple[Lane, Pass]] = {}
        """By sink, the pass under way: a filter of all keys is not held for more than one."""
        self._known: dict[Lane, tuple[SinkPartition, Scrubbed]] = {}
        self._next_at: dict[Lane, float] = {}
        self._kept_at: dict[Lane, float] = {}
        self._failures: dict[str, int] = {}

    async def look(self) -> None:
        """Show where it stands, and go on with each sink whose scrub does not go on by itself."""
        lanes = self._worker.lanes(is_caught_up=True)
        for name, one in self._sinks.items():
            self._metrics.scrub(name, one.looks.tally.rows, is_up=not one.looks.tally.problem)
            for number, lane in enumerate([lane for lane in lanes if lane[0] == name], 1):
                self._show(lane, lanes[lane])
                if number % SHOWN_AT_ONCE == 0:
                    await asyncio.sleep(0)
            task = self._running.get(name)
            if task is None or task.done():
                self._running[name] = asyncio.create_task(self._guarded(name, lanes))
        for gone in self._known.keys() - lanes.keys():
            del self._known[gone]

    async def _guarded(self, name: str, lanes: Mapping[Lane, SinkPartition]) -> None:
        """One pass, or as much of it as goes; what fails is tried again."""
        tally = self._sinks[name].looks.tally
        held = self._passes.get(name)
        lane = held[0] if held is not None and held[0] in lanes else self._due(name, lanes)
        if lane is None or self._clock() < self._next_at.get(lane, 0.0):
            return
        try:
            await self._go(lane)
            tally.problem = ""
        except Lost:
            self._passes.pop(name, None)
            self._next_at[lane] = self._clock() + AGAIN_S
        except Unavailable as error:
            if tally.problem != str(error):
                logger.warning("rows at rest of %s can't be looked at, %s:%d: %s", name, *lane[1], error)
            self._failed(lane, str(error))
        except Exception as error:  # one sink's trouble is not the others'
            if tally.problem != repr(error):
                logger.exception("rows at rest of %s can't be looked at, %s:%d", name, *lane[1])
            self._failed(lane, repr(error))

    def _failed(self, lane: Lane, problem: str) -> None:
        name = lane[0]
        self._sinks[name].looks.tally.problem = problem
        self._failures[name] = self._failures.get(name, 0) + 1
        self._next_at[lane] = self._clock() + AGAIN_S
        if self._failures[name] >= TRIES:
            self._failures[name] = 0
            self._passes.pop(name, None)
            self._next_at[lane] = self._clock() + PASS_S

    def _due(self, name: str, lanes: Mapping[Lane, SinkPartition]) -> Lane | None:
        """The source partition that waits longest."""
        now = self._clock()
        mine = [lane for lane, sink in lanes.items() if lane[0] == name and not sink.is_ended]
        due = [lane for lane in mine if now >= self._next_at.get(lane, 0.0)]
        return min(due, key=lambda lane: (self._next_at.get(lane, 0.0), lane), default=None)

    async def _go(self, lane: Lane) -> None:
        """Go on with a pass, or begin one, and come to its end."""
        name, source = lane
        sink = self._worker.lanes(is_caught_up=True).get(lane)
        if sink is None or sink.is_ended:
            raise Lost
        life = (sink.generation, sink.epoch)
        _, one = self._passes.get(name, (lane, None))
        if one is None or one.sink is not sink or (one.scrubbed.generation, one.scrubbed.epoch) != life or one.is_over:
            scrubbed = self._scrubbed(lane, sink)
            one = Pass(
                self._sinks[name],
                sink,
                source,
                scrubbed,
                lambda: self._turn(lane, sink, life),
                lambda receipt: self._marks.say(lane, receipt),
            )
            self._passes[name] = (lane, one)
        while not one.is_over:
            await self._turn(lane, sink, life)
            await one.step()
            self._failures.pop(name, None)
            self._keep(lane, one)
        del self._passes[name]
        self._next_at[lane] = self._clock() + PASS_S

    async def _turn(self, lane: Lane, sink: SinkPartition, life: tuple[int, int]) -> None:
        """Wait for all that goes first: read-back, what was said, and what the fold must read again for it.

        Raises:
            Lost: the lane is another worker's by now, or another life; or it waits itself, and others are to have their turn.
        """
        waits = 0
        while waits < WAITS:
            if self._worker.lanes(is_caught_up=True).get(lane) is not sink or (sink.generation, sink.epoch) != life:
                raise Lost
            if sink.is_ended:
                raise Lost
            is_busy = self._is_busy(lane[0])
            if not (is_busy or sink.far or sink.queued) and self._marks.is_through(lane):
                return
            waits += not is_busy
            await self._sleep(WAIT_S)
        raise Lost

    def _scrubbed(self, lane: Lane, sink: SinkPartition) -> Scrubbed:
        """What is known of a lane; of a store that was opened anew, what it holds."""
        whose, known = self._known.get(lane, (None, None))
        if known is None or whose is not sink or (known.generation, known.epoch) != (sink.generation, sink.epoch):
            store = self._worker.store_of(lane[1])
            if store is None:
                raise Lost
            known = recalled(store, lane[0], lane[1].topic, sink.generation, sink.epoch, self._wall_ms())
            self._known[lane] = (sink, known)
        return known

    def _keep(self, lane: Lane, one: Pass) -> None:
        """Write down where a pass stands, now and then, and after it told something; what was said went before."""
        now, store = self._clock(), self._worker.store_of(lane[1])
        is_due = one.is_over or one.has_told or now - self._kept_at.get(lane, -KEEP_S) >= KEEP_S
        if store is not None and is_due and self._worker.lanes().get(lane) is one.sink and self._marks.is_through(lane):
            keep(store, lane[0], lane[1].topic, one.scrubbed)
            one.has_told = False
            self._kept_at[lane] = now

    def _show(self, lane: Lane, sink: SinkPartition) -> None:
        """Where the scrub of a source partition stands."""
        try:
            known = self._scrubbed(lane, sink)
        except Lost:
            return
        left = 0 if known.low < 0 else max(known.low - max(sink.beginning, sink.changes.first, 0), 0)
        self._metrics.scrubbed(
            lane[0],
            lane[1].topic,
            lane[1].partition,
            wrong=known.wrong_rows,
            left=left,
            since_ms=known.since_ms,
            passes=known.passes,
        )
