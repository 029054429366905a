"""One partition number's worker: what it holds back while catching up, what it forgets, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.adapters.store import MemoryStore, RocksStore
from app.errors import InvariantBroken
from app.ledger.partition import PartitionFold
from app.model import Contract, Origin, ReceiptStatus, SinkTopic
from app.model.effects import Command, Unreadable, Verdict
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker import effects
from app.worker.effects import Quarantined, Routed
from app.worker.partition import PartitionWorker

NAME = SinkTopic("s", "t", 0)


def opened(store, **contract) -> PartitionWorker:
    contracts = [Contract(sink="s", topics=("t",), **contract)]
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, {"s": "receipts"})


def changes(*offsets):
    return change_batch([Change(offset=offset, key=f"k{offset}", content=offset + 1) for offset in offsets])


def said(*rows, start=0):
    return evidence_batch([(NAME, row) for row in rows], start=start)


def good(offset):
    return Row(offset=offset, content=offset + 1)


def refused(offset):
    return Row(offset=offset, status=ReceiptStatus.REJECTED)


def commanded(worker):
    return [[i.offset for i in effect.items] for _, effect in worker.outbox(100) if isinstance(effect, Command)]


def told(worker):
    return [(type(effect).__name__, getattr(effect, "state", None)) for _, effect in worker.outbox(100)]


@pytest.fixture(params=["memory", "rocksdb"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "store")
    yield made
    made.close()


def test_what_was_found_and_closed_within_a_catch_up_was_never_open_to_anybody(store):
    worker = opened(store)
    worker.catch_up({"t": 3, "receipts": 5})
    worker.take([changes(0, 1, 2)])
    worker.take([said(good(0), fence(3))])

    assert told(worker) == []

    worker.take([said(good(1), good(2), fence(3), start=2)])
    assert worker.check_caught_up()

    found = [effect for _, effect in worker.outbox(100)]
    assert [(effect.offset, effect.closed) for effect in found if isinstance(effect, Verdict)] == [(1, True), (2, True)]
    assert commanded(worker) == []


def test_a_fences_last_word_is_told_when_a_catch_up_ends_and_only_what_is_bad_by_then_is_commanded(store):
    """Only the next fence takes the word about 2 back."""
    worker = opened(store)
    worker.catch_up({"t": 3, "receipts": 3})
    worker.take([changes(0, 1, 2)])
    worker.take([said(good(0), fence(3), good(2))])
    worker.check_caught_up()

    assert [e.offset for _, e in worker.outbox(100) if isinstance(e, Verdict)] == [1, 2]
    assert commanded(worker) == [[1]]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_a_command_was_sent_without_is_commanded_by_the_fence_that_finds_it_bad_again(store, is_restarted):
    worker = opened(store)
    worker.catch_up({"t": 2, "receipts": 3})
    worker.take([changes(0, 1)])
    worker.take([said(refused(0), fence(2), good(0))])
    assert worker.check_caught_up()
    assert commanded(worker) == [[1]]
    if is_restarted:
        worker = opened(store)

    worker.take([said(refused(0), fence(2), start=3)])

    assert commanded(worker) == [[1], [0]]


def test_a_change_that_a_newer_bad_one_kept_out_of_a_held_command_is_commanded_when_that_one_is_settled(store):
    """Both were found by the same store, but the newer one only after the fence that found the older."""
    worker = opened(store)
    worker.catch_up({"t": 2, "receipts": 2})
    worker.take([change_batch([Change(offset=0, key="k", content=1), Change(offset=1, key="k", content=2)])])
    worker.take([said(fence(1), fence(2))])
    assert worker.check_caught_up()
    assert commanded(worker) == [[1]]

    worker.take([said(good(1), fence(2), start=2)])

    assert commanded(worker) == [[1], [0]]


def test_a_restart_in_the_middle_of_a_catch_up_holds_what_was_held(store):
    worker = opened(store)
    worker.catch_up({"t": 3, "receipts": 3})
    worker.take([changes(0, 1, 2)])
    worker.take([said(good(0), fence(3))])
    worker = opened(store)
    worker.catch_up({"t": 3, "receipts": 3})
    worker.take([said(good(2), start=2)])

    assert worker.check_caught_up()
    assert [effect.offset for _, effect in worker.outbox(100) if isinstance(effect, Verdict)] == [1, 2]
    assert commanded(worker) == [[1]]


def test_what_the_broker_acknowledged_is_not_told_again(store):
    worker = opened(store)
    worker.take([changes(0)])
    worker.take([said(fence(1))])
    worker.acknowledge([key for key, _ in worker.outbox(100)])

    assert told(opened(store)) == []


def test_a_snapshot_forgets_the_deltas_and_keeps_the_state(store):
    worker = opened(store)
    worker.take([changes(0, 1)])
    worker.take([said(good(0), fence(2))])
    worker.snapshot()

    assert list(store.scan(b"d")) == []

    again = opened(store)
    again.take([said(good(1), fence(2), start=2)])

    assert [effect.closed for _, effect in again.outbox(100) if isinstance(effect, Verdict)] == [False, True]
    assert list(again.fold.sinks["s", "t"].stragglers.by_offset) == []


def test_a_batch_with_a_hole_before_it_is_a_broken_invariant(store):
    worker = opened(store)
    worker.take([changes(0)])

    with pytest.raises(InvariantBroken, match="a batch from 5 was given, 1 is next"):
        worker.take([changes(5)])


def test_evidence_that_was_read_before_counts_once(store):
    worker = opened(store)
    worker.take([changes(0)])
    worker.take([said(good(0))])
    worker.take([said(good(0), fence(1))])

    assert worker.fold.sinks["s", "t"].tally.rows["cells"] == 1


def test_evidence_in_a_sink_s_lane_about_another_partition_is_a_finding_with_its_own_coordinates(store):
    worker = opened(store)
    worker.take([evidence_batch([(SinkTopic("s", "t", 3), good(0))], start=0)])

    ((_, finding),) = worker.outbox(10)

    assert (finding.topic, finding.partition, finding.offset) == ("receipts", 0, 0)
    assert finding.reason == "it speaks of partition 3 but stands on partition 0 of the lane"


@pytest.mark.parametrize("sink", ["stranger", ""])
def test_evidence_of_others_counts_for_no_sink_and_is_no_finding_of_the_lane_s(sink, store):
    worker = opened(store)
    worker.take([changes(0)])
    worker.take([evidence_batch([(SinkTopic(sink, "t", 0), good(0))], start=0)])

    assert worker.outbox(10) == []
    assert worker.fold.sinks["s", "t"].tally.rows["cells"] == 0


def test_changes_that_retention_took_are_unverifiable_by_number(store):
    worker = opened(store)
    worker.take([changes(0)])
    worker.lose_changes("t", 1, 4)
    worker.take([said(good(0), fence(4))])

    assert [(e.offset, e.state.word, e.reason) for _, e in worker.outbox(10) if isinstance(e, Verdict)] == [
        (offset, "unverifiable", "expired") for offset in (1, 2, 3)
    ]


def test_evidence_that_retention_took_makes_open_cells_unverifiable_and_none_missing(store):
    worker = opened(store)
    worker.take([changes(0, 1)])
    worker.take([said(good(0))])
    worker.lose_evidence("receipts", 1, 9)
    worker.take([said(fence(2), start=9)])

    assert {(e.offset, e.state.word, e.reason) for _, e in worker.outbox(10) if isinstance(e, Verdict)} == {
        (0, "unverifiable", "evidence_lost"),
        (1, "unverifiable", "evidence_lost"),
    }


def test_evidence_that_was_lost_before_its_source_was_seen_is_remembered(store):
    worker = opened(store)
    worker.passed("receipts", 1)
    worker.lose_evidence("receipts", 1, 9)
    worker.take([changes(0)])
    worker.take([said(fence(1), start=9)])

    assert [e.reason for _, e in worker.outbox(10) if isinstance(e, Verdict)] == ["evidence_lost"]


def test_a_fence_that_stood_before_the_loss_still_proves(store):
    worker = opened(store)
    worker.take([said(fence(1))])  # waits for its change
    worker.lose_evidence("receipts", 1, 9)
    worker.take([changes(0)])

    assert [e.state.word for _, e in worker.outbox(10) if isinstance(e, Verdict)] == ["missing"]


def routed(*origins, start=0):
    """Records of a lane that say something good about change 0, by (sink, offset in the log they came from)."""
    batch = evidence_batch([(SinkTopic(sink, "t", 0), good(0)) for sink, _ in origins], start=start)
    return replace(batch, origins={row: Origin("dlq", 0, offset) for row, (_, offset) in enumerate(origins)})


def counted(worker):
    return [worker.fold.sinks[sink, "t"].tally.rows["cells"] for sink in ("s", "z")]


def two_sinks(store):
    contracts = [Contract(sink=sink, topics=("t",)) for sink in ("s", "z")]
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, {"s": "receipts", "z": "receipts"})


def test_one_origin_log_may_feed_several_sinks_in_one_batch(store):
    worker = two_sinks(store)
    worker.take([changes(0)])
    worker.take([routed(("s", 0), ("z", 1), ("s", 2))])

    assert counted(worker) == [2, 1]


def test_a_record_that_was_routed_twice_in_a_row_counts_once(store):
    worker = two_sinks(store)
    worker.take([changes(0)])
    worker.take([routed(("s", 0), ("s", 0), ("z", 1), ("s", 0))])

    assert counted(worker) == [1, 1]
    assert worker.head.counters["routed_twice"] == 2


@pytest.mark.parametrize(
    "effect",
    [
        Unreadable(topic="r", partition=1, offset=2, reason="x"),
        Routed(topic="lane", partition=0, origin=("r", 1, 2), value=b"\x00\xff"),
        Quarantined(origin=("r", 1, 2), kind="unreadable", reason="x", key_bytes=None, value=b"v"),
    ],
)
def test_an_effect_comes_out_of_the_outbox_as_it_went_in(effect):
    assert effects.load(effects.dump(effect)) == effect
