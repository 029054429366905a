"""How far a routed log is in its lanes: what a worker commits of it, and fences of every worker wait for."""

from __future__ import annotations

from pathlib import Path

from app.adapters.store import MemoryStore
from app.ledger.partition import PartitionFold
from app.model import Contract, Origin, SinkTopic
from app.testing import Row, evidence_batch
from app.worker.acknowledged import Acknowledged
from app.worker.effects import Routed
from app.worker.partition import PartitionWorker
from app.worker.ports import Input
from tests.unit.worker.test_live import given, worker_of

ROUTED = Routed(topic="lane", partition=0, origin=Origin("dlq", 0, 4), value=b"v")


def worker() -> PartitionWorker:
    return PartitionWorker(lambda: PartitionFold([Contract(sink="s", topics=("t",))], 0), MemoryStore(), {"s": "lane"})


def reads(store: PartitionWorker, start: int, *beside: Routed) -> None:
    store.take([evidence_batch([(SinkTopic("s", "t", 0), Row(offset=1))], "dlq", start=start)], beside)


def arrive(store: PartitionWorker) -> None:
    store.acknowledge([key for key, _ in store.outbox(10)])


def test_what_was_read_is_in_the_lane_when_the_broker_has_it() -> None:
    store, known = worker(), Acknowledged({"dlq"})
    known.look(store)
    reads(store, 4, ROUTED)
    known.look(store)
    known.look(store)
    assert known.position(store, "dlq") == 0

    arrive(store)
    known.look(store)
    known.look(store)
    assert known.position(store, "dlq") == 5


def test_what_is_read_later_does_not_hold_up_what_was_read_before() -> None:
    store, known = worker(), Acknowledged({"dlq"})
    reads(store, 4, ROUTED)
    known.look(store)
    arrive(store)
    reads(store, 5, ROUTED)
    known.look(store)

    assert known.position(store, "dlq") == 5


def test_the_position_of_other_inputs_is_committed_as_it_is() -> None:
    store, known = worker(), Acknowledged({"dlq"})
    reads(store, 4, ROUTED)

    assert known.committable(store, "dlq", 5) == 0
    assert known.committable(store, "lane", 7) == 7


async def test_a_worker_commits_of_a_routed_log_what_is_in_the_lanes(tmp_path: Path) -> None:
    live = worker_of(tmp_path, dead_letters=["dlq"])
    await live.open(given(live))
    store = next(iter(live._workers.values()))
    reads(store, 0, ROUTED)
    await live.tick()

    assert live.restart_positions()[Input("dlq", 0)].offset == 0
    assert live.layout.routed_logs("s") == [("dlq", 0), ("receipts", 0)]
    assert live.routed_position(Input("dlq", 7)) is None

    arrive(store)
    await live.tick()
    await live.tick()

    assert live.restart_positions()[Input("dlq", 0)].offset == 1
    assert live.routed_position(Input("dlq", 0)) == 1
    live.close(None)


async def test_lanes_that_are_still_being_caught_up_with_are_not_probed(tmp_path: Path) -> None:
    live = worker_of(tmp_path)
    await live.open(given(live, end=5))
    store = next(iter(live._workers.values()))
    store.fold.source("t")

    assert (len(live.lanes()), len(live.lanes(is_caught_up=True))) == (1, 0)
    live.close(None)
