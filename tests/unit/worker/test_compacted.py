"""On a compacted change topic an offset may hold nothing any more: a receipt for it is counted, and is no orphan."""

from __future__ import annotations

import pytest

from app.adapters.store import MemoryStore
from app.ledger.partition import PartitionFold
from app.model import Contract, SinkTopic, State
from app.model.effects import Orphan, Verdict
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker.agreements import lagging
from app.worker.partition import PartitionWorker

NAME = SinkTopic("s", "t", 0)


def opened(store: MemoryStore, *compacted: str, sinks=("s",), **terms) -> PartitionWorker:
    contracts = [Contract(sink=sink, topics=("t",), **terms) for sink in sinks]
    return PartitionWorker(
        lambda: PartitionFold(contracts, 0, compacted=compacted), store, dict.fromkeys(sinks, "receipts")
    )


def said(*rows, start=0, name=NAME):
    return evidence_batch([(name, row) for row in rows], start=start)


def good(offset):
    return Row(offset=offset, content=offset + 1)


GAPPED = change_batch(
    [Change(offset=offset, key=f"k{offset}", content=offset + 1) for offset in (0, 3)], start=0, end=4
)


def orphans(worker):
    return [effect.offset for _, effect in worker.outbox(100) if isinstance(effect, Orphan)]


def rows(worker, sink="s"):
    found = worker.fold.sinks[sink, "t"].tally.rows
    return found["orphans"], found["compacted"]


def test_a_receipt_of_what_compaction_took_before_it_was_read_is_counted_and_nothing_is_told():
    worker = opened(MemoryStore(), "t")
    worker.take([GAPPED])
    worker.take([said(good(0), good(1), good(2), good(3), fence(4))])

    assert (rows(worker), orphans(worker)) == ((0, 2), [])
    assert worker.fold.sinks["s", "t"].tally.closed[State.DELIVERED] == 2


@pytest.mark.parametrize("is_snapshot", [False, True])
@pytest.mark.parametrize("is_read_before", [False, True])
def test_what_the_topics_configuration_says_is_recorded_and_holds_after_a_restart(is_snapshot, is_read_before):
    store = MemoryStore()
    worker = opened(store, "t")
    if is_read_before:
        worker.take([GAPPED])
    if is_snapshot:
        worker.snapshot()
    worker = opened(store, "t")
    if not is_read_before:
        worker.take([GAPPED])
    before = dict(store.data)
    opened(store, "t")
    assert store.data == before

    worker.take([said(good(1))])
    assert rows(worker) == (0, 1)
    assert rows(opened(store, "t")) == (0, 1)


def test_another_configuration_of_the_topic_takes_effect_where_the_inputs_stand():
    """What was folded before it is folded the same at every restart."""
    store = MemoryStore()
    worker = opened(store)
    worker.take([GAPPED])
    worker.take([said(good(1))])
    worker = opened(store, "t")
    worker.take([said(good(2), start=1)])
    worker = opened(store, "t")

    assert (rows(worker), orphans(worker)) == ((1, 1), [1])
    worker = opened(store)
    worker.take([said(good(2), start=2)])
    assert rows(worker) == (2, 1)


def test_a_sink_that_is_added_later_knows_it_and_so_does_a_log_that_was_made_again():
    store = MemoryStore()
    worker = opened(store, "t")
    worker.take([GAPPED])
    worker = opened(store, "t", sinks=("s", "late"))
    worker.replace_log("t", "new")

    assert [sink.is_compacted for sink in worker.fold.sinks.values()] == [True, True]


def test_a_sink_that_lagged_behind_the_compactor_lacks_nothing_where_the_latest_state_is_expected():
    """It never saw the change at 0, which the verifier read in time; a later one of its key stands for it."""
    worker = opened(MemoryStore(), "t", expect="latest-state")
    worker.take([change_batch([Change(offset=0, content=1), Change(offset=1, content=2)])])
    worker.take([said(good(1), fence(2))])

    assert not [effect for _, effect in worker.outbox(100) if isinstance(effect, Verdict)]
    assert worker.fold.sinks["s", "t"].tally.closed[State.SUPERSEDED] == 1


def test_who_expects_every_change_of_a_compacted_topic_is_told_what_can_not_be_kept():
    every, latest = (Contract(sink=e, topics=("t", "u"), expect=e) for e in ("every-change", "latest-state"))

    (problem,) = lagging([every, latest], {"t"})
    assert "topic t is compacted, and sinks.every-change expects every change" in problem
    assert 'Say expect = "latest-state"' in problem
