"""The transport on a broker: what a worker is handed, in which order, and what comes of its answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import GroupAuthorizationFailedError
from confluent_kafka import Consumer, TopicPartition
from faust.types import TP

from app.adapters.brokers.embedded import EmbeddedBroker
from app.model import RawBatch
from app.worker.ports import Assignment, Input
from tests.engine.engines import CountingWorker, engine, is_contiguous, produce
from topologies import consuming, ending, transport
from topologies.engine import until_stopped
from topologies.transport import ConsumerThread

INPUTS = {"changes": 2, "receipts": 2}
A, B = Input("changes", 0), Input("receipts", 0)
EVERY = [Input(topic, number) for topic, count in INPUTS.items() for number in range(count)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        for topic, count in INPUTS.items():
            broker.create_topic(topic, count)
        yield broker


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the process would have ended."""
    statuses: list[int] = []
    monkeypatch.setattr(ending.os, "_exit", statuses.append)
    return statuses


async def test_ranges_follow_each_other_and_every_record_comes_once(broker: EmbeddedBroker, tmp_path: Path) -> None:
    worker = CountingWorker()
    for source in EVERY:
        produce(broker, source, 500)

    async with engine(broker, worker, INPUTS, tmp_path, "once"):
        produce(broker, A, 1_500)
        await worker.until_read(dict.fromkeys(EVERY, 500) | {A: 2_000})

    for source in EVERY:
        assert is_contiguous(worker.taken[source])
        assert worker.offsets(source) == list(range(worker.store[source]))
    assert worker.taken[A][0].value(3) == b"value-3"
    assert worker.closed[-1] is None


async def test_a_hole_is_answered_by_one_seek(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, seeks = CountingWorker(), []
    seek = ConsumerThread.seek_many

    async def spy(self: Any, positions: dict[Any, int]) -> None:
        seeks.append(dict(positions))
        await seek(self, positions)

    monkeypatch.setattr(ConsumerThread, "seek_many", spy)
    async with engine(broker, worker, INPUTS, tmp_path, "hole") as app:
        for wave in range(1, 3):
            produce(broker, A, 100)
            await worker.until_read({A: 100 * wave})
        handed = _watch_handed(app, worker)
        worker.gate.clear()
        for wave in range(3, 6):  # each its own range, and all of them wait in the agent's queue
            produce(broker, A, 100)
            await worker.changed.until(lambda end=100 * wave: handed[-1:] and handed[-1].next >= end, "handed on")
        worker.store[A] = 50  # as if a write had been lost
        seeks.clear()
        worker.gate.set()
        await worker.until_read({A: 500})

    assert len(worker.holes[A]) >= 3
    assert seeks == [{("changes", 0): 50}]
    assert worker.offsets(A) == [*range(200), *range(50, 500)]


async def test_the_next_hole_is_answered_too(broker: EmbeddedBroker, tmp_path: Path) -> None:
    worker = CountingWorker()
    async with engine(broker, worker, INPUTS, tmp_path, "holes"):
        for wave in range(1, 4):
            produce(broker, A, 10)
            await worker.until_read({A: 10 * wave})
            worker.store[A] = 0
        produce(broker, A, 10)
        await worker.until_read({A: 40})

    assert len(worker.holes[A]) == 3
    assert worker.offsets(A)[-40:] == list(range(40))


async def test_what_is_fetched_while_the_flow_is_stopped_is_fetched_again(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch may outlast a whole rebalance, and end between the seek and the end of the stop."""
    worker, fetches = CountingWorker(), Counter[str]()
    fetch = ConsumerThread._fetch_records

    async def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        fetches["begun"] += 1
        self.app.loop.call_soon_threadsafe(worker.changed.notify)
        found = await fetch(self, *args, **kwargs)
        fetches["ended"] += 1
        self.app.loop.call_soon_threadsafe(worker.changed.notify)
        return found

    monkeypatch.setattr(ConsumerThread, "_fetch_records", spy)
    async with engine(broker, worker, INPUTS, tmp_path, "stopped") as app:
        await worker.changed.until(lambda: fetches["begun"] > fetches["ended"], "a fetch waits for records")
        app.consumer.stop_flow()
        produce(broker, A, 100)
        await worker.changed.until(lambda: fetches["begun"] == fetches["ended"], "it ended")
        await app.consumer.bounds_of([A])  # there and back through the consumer's thread: what it had found is seen
        app.consumer.resume_flow()
        await worker.until_read({A: 100})

    assert worker.offsets(A) == list(range(100))


async def test_a_held_input_hands_out_nothing_until_it_is_released(broker: EmbeddedBroker, tmp_path: Path) -> None:
    worker = CountingWorker()
    worker.held = {A}
    produce(broker, A, 100)
    async with engine(broker, worker, INPUTS, tmp_path, "held") as app:
        for wave in range(1, 4):  # the others go on, on the same broker
            produce(broker, B, 50)
            await worker.until_read({B: 50 * wave})
        assert not worker.taken[A]
        assert A not in {Input(*tp) for tp in app.consumer._paused_partitions}

        worker.held = set()
        await worker.until_read({A: 100})

    assert worker.offsets(A) == list(range(100))


async def test_what_a_batch_releases_is_found_by_the_fetch_that_waits_already(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, fetches, while_held = CountingWorker(), Counter[str](), []
    fetch, take = ConsumerThread._fetch_records, worker.take

    async def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        fetches["begun"] += 1
        is_held = A in worker.held
        self.app.loop.call_soon_threadsafe(worker.changed.notify)
        found = await fetch(self, *args, **kwargs)
        fetches["ended"] += 1
        while_held.extend([is_held] if TP(*A) in found else [])
        return found

    async def take_and_release(ranges: Sequence[RawBatch]) -> Mapping[Input, int]:
        await worker.changed.until(lambda: fetches["begun"] > fetches["ended"], "a fetch waits for records")
        worker.held = set()
        return await take(ranges)

    monkeypatch.setattr(ConsumerThread, "_fetch_records", spy)
    monkeypatch.setattr(worker, "take", take_and_release)
    monkeypatch.setattr(consuming, "HELD_LOOK_S", 30.0)
    worker.held = {A}
    produce(broker, A, 100)
    async with engine(broker, worker, INPUTS, tmp_path, "released"):
        produce(broker, B, 1)
        await worker.until_read({A: 100, B: 1})

    # A later fetch may bring the rest of A; the first that found it had begun while A was held.
    assert while_held[0]


async def test_holding_everything_costs_nothing(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, looks = CountingWorker(), []
    fetch = ConsumerThread._fetch_records

    async def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = await fetch(self, *args, **kwargs)
        looks.append(time.monotonic())
        self.app.loop.call_soon_threadsafe(worker.changed.notify)
        return found

    monkeypatch.setattr(ConsumerThread, "_fetch_records", spy)
    worker.held = set(EVERY)
    produce(broker, A, 10)
    async with engine(broker, worker, INPUTS, tmp_path, "idle"):
        await worker.changed.until(lambda: len(looks) >= 4, "looked for a release")
        assert looks[3] - looks[0] >= 0.5
        assert not worker.taken
        worker.held = set()
        await worker.until_read({A: 10})


@pytest.mark.parametrize("at", [40, 130])
async def test_a_restart_goes_on_where_the_worker_was_and_not_where_the_group_was(
    broker: EmbeddedBroker, tmp_path: Path, at: int
) -> None:
    first = CountingWorker()
    produce(broker, A, 100)
    async with engine(broker, first, INPUTS, tmp_path, "restart"):
        await first.until_read({A: 100})
    produce(broker, A, 100)

    second = CountingWorker({A: at})
    async with engine(broker, second, INPUTS, tmp_path, "restart"):
        await second.until_read({A: 200})

    assert second.assignments[0].committed[A] == (100, "counted")
    assert (second.assignments[0].earliest[A], second.assignments[0].ends[A]) == (0, 200)
    assert second.offsets(A) == list(range(at, 200))
    assert not second.holes


async def test_what_is_committed_is_the_workers(broker: EmbeddedBroker, tmp_path: Path) -> None:
    worker = CountingWorker()
    produce(broker, A, 7)
    async with engine(broker, worker, INPUTS, tmp_path, "committed") as app:
        await worker.until_read({A: 7})
        assert await app.consumer.commit()
        assert not any(app.consumer._acked.values())

    group = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "committed"})
    (found,) = group.committed([TopicPartition(*A)], timeout=10)
    group.close()
    assert (found.offset, found.metadata) == (7, "counted")


async def test_two_workers_share_the_inputs_by_number(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = CoordinatorGroupRebalance._on_join_leader

    async def lead_later(self: Any, response: Any) -> Any:
        await asyncio.sleep(0.3)  # the embedded broker refuses a follower that comes after its leader; Kafka doesn't
        return await lead(self, response)

    monkeypatch.setattr(CoordinatorGroupRebalance, "_on_join_leader", lead_later)
    store: dict[Input, int] = {}
    one, two = CountingWorker(store), CountingWorker(store)
    for source in EVERY:
        produce(broker, source, 50)
    async with engine(broker, one, INPUTS, tmp_path / "one", "shared"):
        await one.until_read(dict.fromkeys(EVERY, 50))
        async with engine(broker, two, INPUTS, tmp_path / "two", "shared"):
            await one.changed.until(lambda: len(one.owned) == 2, "one keeps half")
            for source in EVERY:
                produce(broker, source, 50)
            for worker in (one, two):
                await worker.until_read(dict.fromkeys(worker.owned, 100))
            assert {source.partition for source in one.owned} ^ {source.partition for source in two.owned} == {0, 1}
            assert one.owned | two.owned == set(EVERY)
        await one.changed.until(lambda: len(one.owned) == 4, "one has everything again")

    for source in EVERY:
        assert one.offsets(source) + two.offsets(source) == list(range(100))


async def test_what_ends_the_membership_ends_the_process(
    broker: EmbeddedBroker, tmp_path: Path, exits: list[int]
) -> None:
    worker = CountingWorker()
    async with engine(broker, worker, INPUTS, tmp_path, "fenced") as app:
        coordinator = app.consumer._thread._consumer._coordinator
        async with asyncio.timeout(5):
            error = GroupAuthorizationFailedError("fenced")
            await app.consumer._thread.call_thread(coordinator._push_error_to_user, error)

    assert exits == [70]


async def test_a_store_that_does_not_open_ends_the_process(
    broker: EmbeddedBroker, tmp_path: Path, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = CountingWorker()

    async def open_nothing(_: Assignment) -> dict[Input, int]:
        raise OSError("no space left")

    monkeypatch.setattr(worker, "open", open_nothing)
    async with engine(broker, worker, INPUTS, tmp_path, "unopened"):
        pass

    assert exits == [74]


async def test_inputs_that_came_apart_end_the_process(
    broker: EmbeddedBroker,
    tmp_path: Path,
    exits: list[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "APART_S", 0.0)
    worker = CountingWorker()
    async with engine(broker, worker, INPUTS, tmp_path, "apart") as app:
        await app.consumer._check_copartitioned({TP(*source) for source in EVERY}, set())
        assert exits == []
        await app.consumer._check_copartitioned({TP("changes", 0), TP("changes", 1), TP("receipts", 1)}, set())

    assert exits == [71]
    assert "partition 0 of ['receipts'] was assigned to another worker than that of ['changes']" in caplog.text


async def test_a_leader_that_assigned_inputs_apart_is_asked_again_before_that_ends_the_process(
    broker: EmbeddedBroker, tmp_path: Path, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have assigned while a topic was gone for a moment."""
    worker, assigned = CountingWorker(), []
    whole = transport.Consumer._without_changed

    async def first_without(self: Any, tps: set[TP], *, is_fresh: bool) -> Any:
        found, absent, suspended = await whole(self, tps, is_fresh=is_fresh)
        assigned.append(is_fresh)
        return ({tp for tp in found if tp.topic == "changes"} if len(assigned) < 3 else found), absent, suspended

    monkeypatch.setattr(transport.Consumer, "_without_changed", first_without)
    produce(broker, A, 10)
    async with engine(broker, worker, INPUTS, tmp_path, "again"):
        await worker.until_read({A: 10})

    assert exits == []
    assert assigned == [False, True, False]


async def test_a_crash_of_faust_ends_the_process(broker: EmbeddedBroker, tmp_path: Path, exits: list[int]) -> None:
    worker = CountingWorker()
    async with engine(broker, worker, INPUTS, tmp_path, "crash") as app:
        waiting = asyncio.create_task(until_stopped(app, asyncio.Event()))
        await app.consumer.crash(RuntimeError("planted"))
        async with asyncio.timeout(5):
            await waiting

    assert exits == [70]


@pytest.mark.parametrize(("error", "status"), [(ValueError("a bug"), 70), (OSError("no space left"), 74)])
async def test_an_exception_ends_the_process(
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exits: list[int],
    error: Exception,
    status: int,
) -> None:
    worker = CountingWorker()

    async def take(_: Sequence[RawBatch]) -> Mapping[Input, int]:
        raise error

    monkeypatch.setattr(worker, "take", take)
    produce(broker, A, 1)
    async with engine(broker, worker, INPUTS, tmp_path, "broken"):
        await worker.changed.until(lambda: exits == [status], "ended")  # ticks go on and look again


async def test_settings_reach_the_fetcher(broker: EmbeddedBroker, tmp_path: Path) -> None:
    worker = CountingWorker()
    async with engine(broker, worker, INPUTS, tmp_path, "settings", fetch_min_bytes=9, fetch_wait_ms=70) as app:
        fetcher = app.consumer._thread._consumer._fetcher
        assert (fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms) == (9, 70)
        assert fetcher._isolation_level == 1  # read committed
        assert type(app.consumer._thread._assignor).__name__ == "PartitionAssignor"


def _watch_handed(app: Any, worker: CountingWorker) -> list[RawBatch]:
    """Ranges as they are handed to Faust, before the agent has seen them."""
    handed: list[RawBatch] = []
    make = app.consumer._to_message

    def spy(tp: Any, found: Any) -> Any:
        handed.extend(one.batch for one in found)
        asyncio.get_running_loop().call_soon(worker.changed.notify)
        return make(tp, found)

    app.consumer._to_message = spy
    return handed


async def test_what_was_taken_is_shipped_until_the_broker_has_acknowledged_it(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    worker = CountingWorker()
    worker.waits = 5
    async with engine(broker, worker, INPUTS, tmp_path, "shipping"):
        produce(broker, A, 1)
        await worker.changed.until(lambda: worker.ships == 5, "shipped until nothing was on its way")
        produce(broker, A, 1)
        await worker.changed.until(lambda: worker.ships == 6, "woken again")
