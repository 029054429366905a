"""The gate before fences of a sink whose rows are read back: what was looked at, for whom, and what is said when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from app.errors import NotYet
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import Contract, SinkTopic
from app.testing import Change, Row, change_batch, fence, lane_rows
from app.worker.ports import Input
from cdc_receipts.codec import MarkKind, Receipt, Status
from topologies.readback import RECHECK_S, RETRY_S, ReadBackGate

SOURCE = Input("t", 0)
LANE = ("s", SOURCE)
WHOM = SinkTopic("s", "t", 0)


def receipt(offset: int) -> Receipt:
    """What a look says."""
    return Receipt(
        sink="s", topic="t", partition=0, offset=offset, status=Status.APPLIED, fingerprint=None, applied_at=1
    )


class World:
    """A lane, a reader that says what a test lets it, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks: list[int] = []
        self.says: list[Receipt] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.written: list[object] = []
        self.rank = 0
        self.has_room = True
        self.begin()
        reader: Any = SimpleNamespace(look=self.look, tally=SimpleNamespace(problem="", rows={}))
        metrics: Any = SimpleNamespace(read_back=lambda *_, **__: None)
        self.gate = ReadBackGate({"s": reader}, self, self, self, metrics, lambda: self.now)  # type: ignore[arg-type]

    def begin(self) -> None:
        """The lane's store is opened here, as after a rebalance."""
        contract = Contract(sink="s", topics=("t",), evidence="receipts", expect="latest-state", fences="progress")
        self.fold = PartitionFold([contract], 0)
        self.fold.take_changes(change_batch([Change(offset=offset, key=str(offset)) for offset in range(10)]))

    def lanes(self, *, is_caught_up: bool = False) -> dict[tuple[str, Input], SinkPartition]:
        return {LANE: self.fold.sinks["s", "t"]}

    def hears(self, *rows: Row) -> None:
        """The fold reads on in the lane."""
        self.rank += 1 << 24
        self.fold.take_evidence(WHOM, lane_rows(list(rows), first_rank=self.rank))
        for _ in self.fold.judge():
            pass

    async def look(self, sink: SinkPartition, source: Input, below: int, **_: object) -> list[Receipt]:
        self.looks.append(below)
        self.meanwhile()
        return self.says

    async def ask(self, offset: int) -> bool:
        """Whether a fence may stand, and time for a look that this starts."""
        found = await self.gate("s", SOURCE, offset)
        await self.settle()
        return found

    async def recheck(self) -> list[object]:
        """A minute passes; what is written."""
        self.now += RECHECK_S
        await self.gate.recheck()
        await self.settle()
        written, self.written = self.written, []
        return written

    async def settle(self) -> None:
        await asyncio.gather(*self.gate._running.values())

    def is_through(self, _: object) -> bool:
        return self.has_room

    def say(self, _: object, one: Receipt) -> None:
        self.written.append(one)

    def mark(self, _: object, kind: MarkKind, offset: int, __: int) -> None:
        self.written.append(f"{kind.name} {offset}")


async def test_what_was_looked_at_before_a_lane_was_another_workers_is_looked_at_again() -> None:
    """What was said then may have waited for the producer, and been forgotten with the lane."""
    world = World()
    assert not await world.ask(5)
    assert await world.ask(5)

    world.begin()

    assert not await world.ask(5)
    assert world.looks == [5, 5]


async def test_a_fence_waits_until_the_producer_has_what_was_seen() -> None:
    """What waits here is forgotten with the lane, or while the worker catches up again."""
    world = World()
    world.has_room = False
    await world.ask(5)
    assert not await world.ask(5)

    world.has_room = True
    await world.ask(5)
    assert await world.ask(5)


class ManyLanes(World):
    """Four source partitions of one sink."""

    def begin(self) -> None:
        super().begin()
        self.folds = {Input("t", number): self.fold for number in range(4)}
        for source in list(self.folds)[1:]:
            World.begin(self)
            self.folds[source] = self.fold

    def lanes(self, *, is_caught_up: bool = False) -> dict[tuple[str, Input], SinkPartition]:
        return {("s", source): fold.sinks["s", "t"] for source, fold in self.folds.items()}

    async def round(self) -> list[bool]:
        """Every lane asks, in the same order as always."""
        return [await self.gate("s", source, 5) for source in self.folds]


async def test_every_lane_has_its_turn_however_often_others_ask() -> None:
    """A look is short and rounds are far apart: a lane that comes last in each would wait for ever."""
    world = ManyLanes()

    assert await world.round() == [False] * 4
    assert world.gate.is_busy("s")
    assert await world.round() == [False] * 4
    await world.settle()

    assert await world.round() == [True] * 4
    assert len(world.looks) == 4


async def test_a_look_whose_turn_comes_after_the_fold_has_heard_more_waits_for_the_next() -> None:
    world = ManyLanes()
    last = Input("t", 3)
    world.meanwhile = lambda: world.lanes()["s", last].push(lane_rows([Row(offset=50)], first_rank=1))

    await world.round()
    await world.settle()

    assert await world.round() == [True, True, True, False]
    assert len(world.looks) == 3


async def test_a_repair_that_is_found_while_a_fence_is_on_its_way_is_judged_all_the_same() -> None:
    """1. A look at bad cells begins. 2. The fold reads a higher fence. 3. The look says that a cell is right."""
    world = World()
    world.hears(fence(1))
    world.says = [receipt(0)]
    world.meanwhile = lambda: world.hears(fence(8))

    assert await world.recheck() == []
    assert await world.recheck() == [receipt(0), "FENCE 8"]


async def test_what_was_said_behind_the_highest_fence_is_judged_by_the_next_recheck() -> None:
    """The look's own fence came too late, behind a higher one that the fold had not read, and nothing is news any more."""
    world = World()
    world.hears(fence(8))
    world.hears(Row(offset=0, content=None), fence(1))
    world.says = []

    assert await world.recheck() == []
    assert await world.recheck() == ["FENCE 8"]


async def test_every_source_partition_gets_its_turn_though_one_look_at_a_time_is_made() -> None:
    """The first look takes a second, and the other partition is not put off for a minute by it."""
    folds = []
    world = World()
    for _ in range(2):
        world.begin()
        world.hears(fence(1))
        folds.append(world.fold)
    lanes = {("s", Input("t", n)): fold.sinks["s", "t"] for n, fold in enumerate(folds)}
    world.lanes = lambda **_: lanes  # type: ignore[method-assign,assignment]
    looked: list[int] = []

    async def look(sink: SinkPartition, source: Input, below: int, **_: object) -> list[Receipt]:
        looked.append(source.partition)
        world.now += 1
        return []

    world.gate._sinks["s"].look = look  # type: ignore[method-assign]
    await world.recheck()
    await world.recheck()
    world.now -= RECHECK_S  # the next round, a moment later
    await world.recheck()

    assert sorted(looked) == [0, 1]


async def test_a_fence_that_waits_for_a_log_lets_others_of_its_sink_go_first() -> None:
    world = World()

    def not_yet() -> None:
        raise NotYet("its log may not have come so far")

    world.meanwhile = not_yet
    await world.ask(5)
    await world.ask(5)
    assert world.looks == [5]

    world.meanwhile = lambda: None
    world.now += RETRY_S
    await world.ask(5)
    assert await world.ask(5)
    assert world.looks == [5, 5]
