"""A topic that was deleted and made again, and holes in logs that are routed."""

from __future__ import annotations

from app.adapters.store import MemoryStore
from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.model import Contract, EvidenceKind, SinkTopic, State
from app.model.effects import Seal, Verdict
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker.partition import PartitionWorker

NAME = SinkTopic("s", "t", 0)


def opened(store: MemoryStore) -> PartitionWorker:
    contracts = [Contract(sink="s", topics=("t",)), Contract(sink="other", topics=("t",))]
    lanes = {"s": "receipts", "other": "elsewhere"}
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, lanes)


def changes(*offsets):
    return change_batch([Change(offset=offset, key=f"k{offset}", content=offset + 1) for offset in offsets])


def said(*rows, start=0, name=NAME, topic="receipts"):
    return evidence_batch([(name, row) for row in rows], topic=topic, start=start)


def good(offset):
    return Row(offset=offset, content=offset + 1)


def verdicts(worker):
    return [
        (e.sink, e.epoch, e.offset, e.state, e.closed, e.reason)
        for _, e in worker.outbox(1_000)
        if isinstance(e, Verdict)
    ]


def start(offset, generation):
    return Row(offset=offset, kind=EvidenceKind.START, generation=generation)


def test_open_cells_of_a_replaced_log_become_unverifiable_and_closed_ones_stay():
    worker = opened(MemoryStore())
    worker.take([changes(0, 1, 2, 3)])
    worker.take([said(good(0), fence(2))])  # 1 is missing

    worker.replace_log("t", "new")

    told = [verdict for verdict in verdicts(worker) if verdict[0] == "s"]
    assert told == [
        ("s", 0, 1, State.MISSING, False, None),
        *(("s", 0, offset, State.UNVERIFIABLE, True, "log_replaced") for offset in (1, 2, 3)),
    ]
    sealed = [e for _, e in worker.outbox(1_000) if isinstance(e, Seal) and e.sink == "s"]
    assert [(e.epoch, sum(e.counts)) for e in sealed] == [(0, 4)]
    assert worker.position("t") is None


def test_a_new_log_begins_anew_and_a_sink_is_heard_after_a_start_of_a_higher_generation():
    worker = opened(MemoryStore())
    worker.take([changes(*range(10))])
    worker.take([said(*(good(n) for n in range(10)), fence(10))])
    worker.replace_log("t", "new")
    before = len(verdicts(worker))

    worker.take([changes(0, 1)])
    worker.take([said(good(7), fence(8), start=11)])  # of the old log, late
    assert len(verdicts(worker)) == before  # not a word about the new one

    worker.take([said(start(0, 1), good(0), Row(offset=2, kind=EvidenceKind.FENCE, generation=1), start=13)])
    while next(worker.fold.blocked(), None):  # by what names more than the new log has
        worker.record_end("s", "t", 2)
    sink = worker.fold.sinks["s", "t"]

    assert verdicts(worker)[before:] == [("s", 1, 1, State.MISSING, False, None)]
    assert (sink.fence, watermarks.difference(sink), sink.changes.read) == (2, 0, 2)


def test_a_replaced_log_is_the_same_after_a_restart():
    store = MemoryStore()
    worker = opened(store)
    worker.take([changes(0, 1, 2)])
    worker.replace_log("t", "new")
    worker.take([changes(0)])

    again = opened(store)

    assert again.position("t") == 1
    assert again.fold.sinks["s", "t"].epoch == 1
    assert again.head.topic_ids == {"t": "new"}
    assert [e for _, e in again.outbox(100)] == [e for _, e in worker.outbox(100)]


def test_a_lane_made_again_goes_on_in_order_and_what_it_could_have_said_is_unverifiable():
    worker = opened(MemoryStore())
    worker.take([changes(0, 1, 2)])
    worker.take([said(good(0), start=40)])

    worker.replace_log("receipts", "new")
    worker.take([said(good(2), fence(3), start=0)])

    assert [verdict[2:] for verdict in verdicts(worker)] == [
        (offset, State.UNVERIFIABLE, True, "evidence_lost") for offset in (0, 1, 2)
    ]
    ranks = worker.fold.sinks["s", "t"].word(2).apply_rank >> 24
    assert ranks > 40  # after everything that stood in the old one


def test_a_loss_of_no_one_sink_speaks_of_all_that_have_their_lane_here():
    worker = opened(MemoryStore())
    worker.take([changes(0, 1)])
    lost = said(Row(offset=3, kind=EvidenceKind.LOSS), name=SinkTopic("", "t", 0))
    worker.take([lost])
    worker.take([said(fence(2), start=1)])
    worker.take([said(fence(2), name=SinkTopic("other", "t", 0), topic="elsewhere")])

    found = {(sink, state) for sink, _, _, state, _, _ in verdicts(worker)}
    assert found == {("s", State.UNVERIFIABLE), ("other", State.MISSING)}
