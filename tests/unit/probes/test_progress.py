"""The probe of committed offsets over a clock that is moved by hand: what it writes, and what it only tells."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError
from prometheus_client import generate_latest

from app.config import OverrideSettings
from app.ledger import watermarks
from app.model import EvidenceKind, State
from app.testing import Row
from tests.unit.probes.world import SOURCE, Connect, World, refusal


def page(world: World, name: str) -> dict[str, float]:
    """Series of one metric by what stands in their last label."""
    found = {}
    for line in generate_latest(world.metrics.registry).decode().splitlines():
        if line.startswith(f"cdc_verifier_{name}{{"):
            labels, value = line.rsplit(" ", 1)
            found[labels.rsplit("state=", 1)[-1].split('"')[1]] = float(value)
    return found


async def test_what_is_committed_is_progress_and_a_fence_after_the_grace() -> None:
    world = World()
    world.commit(70)

    assert await world.look() == ["PROGRESS 70"]
    assert await world.look(after_s=29) == []
    assert await world.look(after_s=1) == ["FENCE 70"]
    assert await world.look(after_s=60) == []


async def test_a_topics_own_grace_is_what_its_fences_wait() -> None:
    world = World(overrides={"t": OverrideSettings(grace_ms=5_000), "u": OverrideSettings(grace_ms=1)})
    world.commit(70)

    assert await world.look() == ["PROGRESS 70"]
    assert await world.look(after_s=4) == []
    assert await world.look(after_s=1) == ["FENCE 70"]


async def test_a_partition_without_a_commit_is_nothing_known_and_never_a_lag_of_nothing() -> None:
    world = World()
    world.commit(None)

    assert await world.look(after_s=60) == []
    assert await world.look(after_s=60) == []
    assert page(world, "progress_partitions") == {"unknown": 1}


async def test_a_sink_that_commits_on_its_way_out_has_skipped_nothing() -> None:
    world = World()
    world.commit(70)
    await world.look()
    world.cluster.members = []
    world.commit(90)

    assert await world.look() == ["PROGRESS 90"]
    assert await world.look() == []


async def test_offsets_moved_by_hand_are_a_skip_before_the_progress_and_its_cells_are_missing() -> None:
    world = World()
    world.cluster.members = []
    world.commit(70)
    await world.look()
    world.commit(73)

    assert await world.look() == ["SKIP 70 73", "PROGRESS 73"]
    assert await world.look(after_s=30) == ["FENCE 73"]
    counts = {state: int(count) for state, count in enumerate(watermarks.open_counts(world.sink))}
    assert (counts[State.MISSING], world.sink.tally.closed[State.ATTEMPTED]) == (3, 70)


async def test_the_group_is_asked_before_and_after_the_offsets() -> None:
    """A member that comes in between: it may have committed what looks like a hand's."""
    world = World()
    world.cluster.members = []
    world.commit(70)
    await world.look()
    world.commit(90)
    world.cluster.asked.clear()

    def comes(question: int) -> None:
        world.cluster.members = ["b"] if question == 2 else []

    world.cluster.meanwhile = comes

    assert await world.look() == ["PROGRESS 90"]
    assert world.cluster.asked == ["members", "bounds", "offsets", "bounds", "members"]


async def test_where_connect_is_asked_it_must_say_that_the_connector_was_stopped() -> None:
    failed = World(connect=Connect("RUNNING", "FAILED"))
    failed.cluster.members = []
    failed.commit(70)
    await failed.look()
    failed.commit(73)
    assert "SKIP 70 73" not in await failed.look()

    stopped = World(connect=Connect("STOPPED"))
    stopped.cluster.members = []
    stopped.commit(70)
    await stopped.look()
    stopped.commit(73)
    assert "SKIP 70 73" in await stopped.look()


async def test_a_connect_that_is_away_proves_nothing_and_delays_no_fence() -> None:
    world = World(connect=Connect(None))
    world.cluster.members = []
    world.commit(70)
    await world.look()
    world.commit(73)

    assert await world.look() == ["STATUS UNKNOWN Connect does not answer", "PROGRESS 73"]
    assert await world.look(after_s=30) == ["FENCE 73"]


async def test_stopped_moved_and_resumed_between_two_looks_is_told_and_never_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.commit(70)
    await world.look()
    world.cluster.members = ["another"]
    world.commit(90)
    caplog.set_level(logging.INFO)
    await world.look()
    await world.look(after_s=30)

    assert "can't be proved: all members of the group are others than before" in caplog.text
    assert 'doubtful_movements_total{sink="s",topic="t"} 1.0' in generate_latest(world.metrics.registry).decode()
    assert world.sink.tally.closed[State.ATTEMPTED] == 90
    assert world.sink.tally.closed[State.DELIVERED] == 0


@pytest.mark.parametrize("code", [KafkaError._UNSUPPORTED_FEATURE, KafkaError.GROUP_AUTHORIZATION_FAILED])
async def test_a_broker_that_does_not_tell_of_members_proves_no_skip_and_is_told_of_once(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.cluster.members = refusal(code)
    world.commit(70)
    await world.look()
    world.commit(90)

    assert await world.look() == ["PROGRESS 90"]
    assert caplog.text.count("no SKIP can be proved") == 1


@pytest.mark.parametrize(("is_simple", "state"), [(True, ConsumerGroupState.EMPTY), (False, ConsumerGroupState.DEAD)])
async def test_consumers_that_assign_partitions_to_themselves_are_never_members(is_simple: bool, state) -> None:
    """Nothing can be said of such a group: it looks empty, and works."""
    world = World()
    world.cluster.members, world.cluster.is_simple, world.cluster.empty = [], is_simple, state
    world.commit(70)
    await world.look()
    world.commit(90)

    assert await world.look() == ["PROGRESS 90"]


async def test_a_log_that_expired_under_a_sink_that_is_away_is_a_skip_once() -> None:
    world = World()
    world.cluster.members = []
    world.cluster.bounds[SOURCE] = (100, 10_000)
    world.commit(70)

    assert await world.look() == ["SKIP 70 100", "PROGRESS 70"]
    assert await world.look() == []
    assert page(world, "progress_partitions") == {"below_log": 1}


async def test_a_cluster_that_does_not_answer_is_told_and_the_next_look_is_compared_with_none() -> None:
    world = World()
    world.cluster.members = []
    world.commit(70)
    await world.look()
    world.cluster.silent = refusal(KafkaError._TIMED_OUT)

    assert await world.look() == []
    assert page(world, "progress_partitions") == {"unreadable": 1}

    world.cluster.silent = None
    world.commit(90)
    assert await world.look() == ["PROGRESS 90"]


async def test_offsets_committed_for_another_log_of_this_name_are_no_progress() -> None:
    world = World()
    world.cluster.bounds[SOURCE] = (0, 20)
    world.commit(70)

    assert await world.look() == []
    assert page(world, "progress_partitions") == {"beyond_log": 1}


async def test_a_fall_of_more_than_a_segment_is_proposed_as_a_rebuild_and_a_smaller_one_is_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.commit(9_000)
    await world.look()
    await world.look(after_s=30)
    world.commit(8_000)
    assert await world.look() == []
    world.commit(10)

    assert await world.look() == ["STATUS UNKNOWN"]
    assert await world.look() == []
    assert world.sink.status is not None
    assert world.sink.status.rebuild_from == 10
    assert page(world, "progress_partitions") == {"fallen": 1}
    assert caplog.text.count("write a START of generation 1") == 1


async def test_a_new_life_is_not_fenced_by_what_the_old_one_had_come_to() -> None:
    """Progress 9,000 waits for its grace when a START begins the sink anew."""
    world = World()
    world.commit(9_000)
    await world.look()
    world.write(Row(offset=0, kind=EvidenceKind.START, generation=1))

    assert await world.look(after_s=60) == []
    assert page(world, "progress_partitions") == {"old_life": 1}

    world.commit(40)
    assert await world.look() == ["PROGRESS 40 of 1"]
    assert await world.look(after_s=30) == ["FENCE 40 of 1"]


async def test_whoever_loses_a_lane_forgets_it_and_waits_the_grace_anew() -> None:
    world = World()
    world.commit(70)
    await world.look()
    world.worker.is_owned = False
    await world.look(after_s=30)
    world.worker.is_owned = True

    assert await world.look() == ["PROGRESS 70"]
    assert await world.look(after_s=30) == ["FENCE 70"]


async def test_what_the_producer_has_no_room_for_is_written_in_its_order_later() -> None:
    world = World()
    world.cluster.members = []
    world.commit(70)
    await world.look()
    world.has_room = False
    world.commit(73)
    await world.look()
    await world.look(after_s=30)
    world.has_room = True

    assert await world.look() == ["SKIP 70 73", "PROGRESS 73", "FENCE 73"]
