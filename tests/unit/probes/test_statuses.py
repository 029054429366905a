"""The probe of Connect: what is written into lanes, and when; what is only a metric."""

from __future__ import annotations

from prometheus_client import generate_latest

from app.ledger.status import Status
from tests.unit.probes.world import Connect, World


def watched(*states: str, **more: str) -> tuple[World, Connect]:
    connect = Connect(*states, **more)
    return World(connect=connect, fences="emitter", evidence="receipts"), connect


def page(world: World) -> str:
    return generate_latest(world.metrics.registry).decode()


async def test_running_is_believed_at_the_second_look_and_failed_at_once() -> None:
    world, connect = watched("RUNNING", "RUNNING", "FAILED")
    assert await world.look() == ["STATUS FAILED task 1: x.Bad: no"]

    connect.tasks = ["RUNNING", "RUNNING"]
    assert await world.look() == []
    connect.tasks = ["RUNNING", "FAILED"]
    assert await world.look() == []
    connect.tasks = ["RUNNING", "RUNNING"]
    assert await world.look() == []
    assert await world.look() == ["STATUS RUNNING"]
    assert await world.look() == []


async def test_the_lane_holds_the_tasks_too_and_the_fold_the_last_status() -> None:
    world, _ = watched("RUNNING", "FAILED", trace="a.B: top\n\tat c\nCaused by: d.E: deep\n")
    await world.look()

    assert world.sink.status == Status(state="FAILED", at=int(world.now * 1000), cause="task 0: d.E: deep")
    assert world.sink.frontier == world.sink.fence == 0


async def test_a_worker_that_takes_a_lane_over_tells_only_what_it_does_not_know() -> None:
    world, connect = watched("PAUSED", "PAUSED")
    assert await world.look() == ["STATUS PAUSED"]
    world.worker.is_owned = False
    await world.look()
    world.worker.is_owned = True

    assert await world.look() == []
    connect.state = "STOPPED"
    connect.tasks = []
    assert await world.look() == ["STATUS STOPPED"]


async def test_nothing_is_told_before_anything_is_believed() -> None:
    world, connect = watched("RUNNING", "FAILED")
    await world.look()
    world.worker.is_owned = False
    await world.look()
    world.worker.is_owned = True
    connect.tasks = ["RUNNING"]

    assert await world.look() == []
    assert await world.look() == ["STATUS RUNNING"]


async def test_a_connect_that_goes_away_is_unknown_after_two_looks_and_a_metric_at_once() -> None:
    world, connect = watched("RUNNING", "RUNNING")
    await world.look()
    await world.look()
    assert "cdc_verifier_connect_up 1.0" in page(world)

    connect.state = None
    assert await world.look() == []
    assert "cdc_verifier_connect_up 0.0" in page(world)
    assert "cdc_verifier_connect_errors_total 1.0" in page(world)
    assert await world.look() == ["STATUS UNKNOWN Connect does not answer"]


async def test_a_connector_that_is_not_there_is_unknown() -> None:
    world, _ = watched("")
    await world.look()

    assert await world.look() == ["STATUS UNKNOWN Connect has no connector of this name"]


async def test_the_page_shows_the_state_the_tasks_and_the_class_of_what_failed() -> None:
    world, connect = watched("RUNNING", "FAILED", "RUNNING", trace="org.x.ConnectException: row (17, Alice)")
    await world.look()
    shown = page(world)

    assert 'cdc_verifier_sink_status{sink="s",state="FAILED"} 1.0' in shown
    assert 'cdc_verifier_sink_status{sink="s",state="RUNNING"} 0.0' in shown
    assert 'cdc_verifier_sink_tasks{sink="s",state="RUNNING"} 1.0' in shown
    assert 'cdc_verifier_sink_failures{cause="ConnectException",sink="s"} 1.0' in shown
    assert "Alice" not in shown

    connect.tasks = ["RUNNING", "RUNNING"]
    await world.look()
    await world.look()
    assert "sink_failures{" not in page(world)

    world.worker.is_owned = False
    await world.look()
    assert "sink_status{" not in page(world)


async def test_without_connect_nothing_is_asked_or_told() -> None:
    world = World(fences="emitter", evidence="receipts")

    assert await world.look() == []
    assert "\ncdc_verifier_connect_up " not in page(world)
