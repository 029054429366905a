"""The scrub live: whose turn it is, what is written down, and what a failure, a rebalance or a restart makes of a pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from app.adapters.store import MemoryStore
from app.errors import Unavailable
from app.ledger.sink import SinkPartition
from app.worker import walking
from app.worker.scrubbed import recalled
from cdc_receipts.codec import Receipt
from tests.unit.worker.scrubs import Resting
from tests.unit.worker.test_readback import SOURCE
from tests.unit.worker.test_scrub import SOME, settled
from topologies.scrubbing import AGAIN_S, PASS_S, TRIES, Scrubbing

LANE = ("s", SOURCE)


class Live:
    """One lane of a worker, the store that it is kept in, and a clock that is moved by hand."""

    def __init__(self, world: Resting) -> None:
        self.world = world
        self.now = 0.0
        self.store = MemoryStore()
        self.is_ours = True
        self.is_busy = False
        self.has_room = True
        self.said: list[int] = []
        self.shown: dict[str, Any] = {}
        self.waits: list[Callable[[], None]] = []
        self.start()

    def start(self) -> None:
        """The worker begins."""
        self.scrubbing = Scrubbing(
            {"s": self.world.scrub},
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            lambda _: self.is_busy,
            lambda: self.now,
            lambda: 1_000 + int(self.now * 1_000),
            self.sleep,
        )

    async def look(self) -> None:
        """A timer's turn, and time for what it starts."""
        await self.scrubbing.look()
        await asyncio.gather(*self.scrubbing._running.values())

    @property
    def kept(self) -> Any:
        """What a restart would know."""
        return recalled(self.store, "s", "t", 0, 0, 0)

    # what the scrub asks

    def lanes(self, *, is_caught_up: bool = False) -> dict[tuple[str, Any], SinkPartition]:
        return {LANE: self.world.sink} if self.is_ours else {}

    def store_of(self, _: object) -> MemoryStore | None:
        return self.store if self.is_ours else None

    def is_through(self, _: object) -> bool:
        return self.has_room

    def say(self, _: object, one: Receipt) -> None:
        self.said.append(one.offset)

    def scrub(self, _: str, rows: dict[str, int], *, is_up: bool) -> None:
        self.shown |= {"rows": dict(rows), "is_up": is_up}

    def scrubbed(self, *_: object, **told: int) -> None:
        self.shown |= told

    async def sleep(self, _: float) -> None:
        assert self.waits, "it waits for ever"
        self.waits.pop(0)()


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass takes several steps."""
    monkeypatch.setattr(walking, "PIECE", 3)


async def test_a_pass_comes_to_its_end_is_written_down_and_shown_and_the_next_begins_a_minute_later() -> None:
    live = Live(settled_in_thread())
    live.world.holds()
    await live.look()
    assert sorted(live.said) == [2, 3, 5, 6]
    assert (live.kept.passes, live.kept.low, live.kept.wrong_rows) == (1, -1, 4)

    await live.look()
    assert live.kept.passes == 1
    live.now = PASS_S
    await live.look()
    await live.look()

    assert live.shown["wrong"] == 4
    assert live.shown["passes"] == live.kept.passes == 2
    assert live.shown["is_up"]
    assert len(live.said) == 4


async def test_what_a_restart_finds_written_down_is_not_told_again() -> None:
    live = Live(settled_in_thread())
    live.world.holds()
    await live.look()

    live.start()
    await live.look()

    assert live.kept.passes == 2
    assert len(live.said) == 4


async def test_read_back_goes_first() -> None:
    live = Live(settled_in_thread())
    live.is_busy = True
    asked = len(live.world.asked)

    def done() -> None:
        assert len(live.world.asked) == asked
        live.is_busy = False

    live.waits = [lambda: None, done]
    await live.look()

    assert live.waits == []
    assert live.kept.passes == 1


async def test_it_waits_until_what_it_said_is_on_its_way_before_it_is_written_down() -> None:
    live = Live(settled_in_thread())
    live.world.holds()

    def through() -> None:
        assert live.kept.wrong_rows == 0
        live.has_room = True

    say = live.say
    live.say = lambda whom, one: (say(whom, one), setattr(live, "has_room", False))  # type: ignore[method-assign,assignment,return-value]
    live.waits = [through] * 10
    await live.look()

    assert live.kept.wrong_rows == 4


async def test_a_lane_that_goes_to_another_worker_ends_the_pass_and_one_that_comes_back_goes_on_with_it() -> None:
    live = Live(settled_in_thread())
    live.is_busy = True
    live.waits = [lambda: setattr(live, "is_ours", False)]
    await live.look()
    assert live.kept.passes == 0
    assert live.shown["is_up"]

    live.is_ours, live.is_busy = True, False
    live.now = AGAIN_S
    await live.look()

    assert live.kept.passes == 1


async def test_a_store_that_does_not_answer_is_asked_again_by_the_same_pass() -> None:
    live = Live(settled_in_thread())
    world = live.world
    read, world.read = world.read, away  # type: ignore[method-assign]
    await live.look()
    await live.look()
    assert not live.shown["is_up"]
    assert live.scrubbing._passes["s"][0] == LANE

    world.read = read  # type: ignore[method-assign]
    live.now = AGAIN_S
    await live.look()
    await live.look()

    assert live.shown["is_up"]
    assert live.kept.passes == 1
    assert world.rows == {"equal": 5}


async def test_a_pass_that_fails_again_and_again_is_put_back() -> None:
    live = Live(settled_in_thread())
    live.world.read = away  # type: ignore[method-assign]
    for _ in range(TRIES):
        await live.look()
        live.now += AGAIN_S

    assert live.scrubbing._passes == {}


async def test_a_rebuilt_sink_begins_anew() -> None:
    live = Live(settled_in_thread())
    live.world.holds()
    await live.look()

    live.world.sink.generation = 1
    live.now = PASS_S
    await live.look()

    assert recalled(live.store, "s", "t", 1, 0, 0).passes == 1
    assert live.kept.passes == 0


def away(*_: object, **__: object) -> Any:
    """A store that does not answer."""
    raise Unavailable("the store is away")


def settled_in_thread() -> Resting:
    """`settled` runs loops of its own."""
    found: list[Resting] = []
    thread = Thread(target=lambda: found.append(settled(*SOME)))
    thread.start()
    thread.join()
    return found[0]
