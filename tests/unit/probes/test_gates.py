"""What a fence waits for after its grace."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from app.errors import Unavailable
from app.testing import Row
from app.worker.ports import Input
from tests.unit.probes.world import GRACE_S, OURS, SOURCE, World

LOGS = [Input("dlq", 0), Input("dlq", 1)]


async def graced(world: World) -> list[str]:
    """Progress 70 is seen, and its grace passes."""
    world.commit(70)
    await world.look()
    return await world.look(after_s=GRACE_S)


def delayed(world: World) -> bool:
    return 'delayed_fences{partition="",sink="s",topic="t"} 1.0' in generate_latest(world.metrics.registry).decode()


async def test_a_fence_waits_until_every_routed_log_is_in_the_lane_to_the_end_it_had_after_the_grace() -> None:
    world = World()
    world.worker.routed = dict.fromkeys(LOGS, 5)
    world.cluster.bounds |= {LOGS[0]: (0, 5), LOGS[1]: (0, 8)}

    assert await graced(world) == []
    assert delayed(world)

    world.cluster.bounds[LOGS[0]] = (0, 50)  # what comes later does not hold it up
    world.worker.routed[LOGS[1]] = 7
    assert await world.look() == []
    world.worker.routed[LOGS[1]] = 8
    assert await world.look() == ["FENCE 70"]
    assert not delayed(world)


async def test_what_another_worker_routes_is_believed_to_the_groups_commits() -> None:
    world = World()
    world.worker.routed = {LOGS[0]: 5, LOGS[1]: None}
    world.cluster.bounds |= dict.fromkeys(LOGS, (0, 5))
    assert await graced(world) == []

    world.cluster.commits[OURS] = {LOGS[1]: 4}
    assert await world.look() == []
    world.cluster.commits[OURS] = {LOGS[1]: 5}
    assert await world.look() == ["FENCE 70"]


async def test_a_log_that_does_not_tell_its_end_delays_the_fence(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.worker.routed = {LOGS[0]: 5}
    assert await graced(world) == []
    assert "dlq:0 does not tell where it ends" in caplog.text

    world.cluster.bounds[LOGS[0]] = (0, 5)
    assert await world.look() == ["FENCE 70"]


async def test_progress_that_goes_on_does_not_move_the_fence_that_waits() -> None:
    world = World()
    world.worker.routed = {LOGS[0]: 0}
    world.cluster.bounds[LOGS[0]] = (0, 5)
    await graced(world)
    for offset in range(71, 90):
        world.commit(offset)
        await world.look(after_s=GRACE_S)
    world.worker.routed[LOGS[0]] = 5
    said = await world.look()
    said += await world.look()

    assert [words for words in said if words.startswith("FENCE")] == ["FENCE 70", "FENCE 88"]  # 89's grace is not over


class Opens:
    """A gate that says what it is told, and remembers what it was asked."""

    def __init__(self, *answers: bool | Unavailable) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def __call__(self, sink: str, source: Input, offset: int) -> bool:
        assert (sink, source) == ("s", SOURCE)
        self.asked.append(offset)
        answer = self.answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer


async def test_every_gate_is_asked_after_the_grace_until_it_opens_and_not_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Opens(True), Opens(False, Unavailable("the database is away"), True)
    world = World(gates=[first, second])

    assert await graced(world) == []
    assert await world.look() == []
    assert delayed(world)
    assert await world.look() == ["FENCE 70"]
    assert (first.asked, second.asked) == ([70], [70, 70, 70])
    assert "a fence of s on t:0 at 70 waits: the database is away" in caplog.text


async def test_a_gate_is_asked_when_those_before_it_have_opened() -> None:
    """What is read back of a sink follows what it said itself."""
    first, second = Opens(False, True), Opens(True)
    world = World(gates=[first, second])

    await graced(world)
    assert second.asked == []
    assert await world.look() == ["FENCE 70"]


async def test_the_next_fence_is_asked_for_anew() -> None:
    gate = Opens(True, True)
    world = World(gates=[gate])
    await graced(world)
    world.commit(80)
    await world.look()
    await world.look(after_s=GRACE_S)

    assert gate.asked == [70, 80]


async def test_a_lane_that_went_to_another_worker_while_the_gates_were_asked_is_not_fenced() -> None:
    async def loses(*_: object) -> bool:
        world.worker.is_owned = False
        return True

    world = World(gates=[loses])

    assert await graced(world) == []


async def test_an_in_order_sink_that_never_commits_is_fenced_by_its_receipts() -> None:
    world = World(fences="receipts", evidence="receipts")
    world.write(Row(offset=4), Row(offset=6))

    assert await world.look() == ["PROGRESS 7"]
    assert await world.look(after_s=GRACE_S) == ["FENCE 7"]
    assert world.cluster.asked == []
