"""A changed partition count suspends what could be judged wrongly, and nothing else."""

from __future__ import annotations

import pytest

from app.adapters.store import MemoryStore
from app.config import load
from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.model import Contract, SinkTopic, State
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker.layout import plan
from app.worker.partition import PartitionWorker
from app.worker.suspension import Suspension

CONFIG = """
[source]
topics = ["orders", "customers", "events"]
[sinks.direct]
topics = ["orders", "customers"]
receipts = ["r.direct"]
[sinks.mixed]
receipts = ["r.mixed"]
[sinks.dead]
topics = ["customers", "events"]
dead_letters = ["dlq"]
connector = "c"
"""
COUNTS = {"orders": 2, "customers": 2, "events": 4, "r.direct": 2, "r.mixed": 2, "dlq": 1, "strange": 7}
LANES = {"cdc-verifier.lane.2": 2, "cdc-verifier.lane.4": 4}


@pytest.fixture
def layout(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return plan(load(file, {}), COUNTS)


def suspended(layout, **counts):
    """Who is suspended when some counts are others; underscores stand for dots."""
    found = Suspension(layout)
    found.note({**COUNTS, **LANES, **{name.replace("_", "."): count for name, count in counts.items()}})
    return {width: set(found.names(width)) for width in layout.groups if found.names(width)}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, {}),
        ({"strange": 8}, {}),
        ({"orders": 0}, {}),
        ({"orders": 3}, {2: {"direct|orders", "mixed|orders"}}),
        ({"orders": 1}, {2: {"direct|orders", "mixed|orders"}}),
        ({"r_direct": 3}, {2: {"direct|orders", "direct|customers"}}),
        ({"r_mixed": 3}, {2: {"mixed|orders", "mixed|customers"}, 4: {"mixed|events"}}),
        ({"dlq": 2}, {2: {"dead|customers"}, 4: {"dead|events"}}),
    ],
)  # fmt: skip
def test_a_changed_count_suspends_whom_the_topic_tells_of(layout, counts, expected):
    assert suspended(layout, **counts) == expected


def test_a_raised_internal_lane_suspends_the_sinks_that_have_their_lane_there(layout):
    found = Suspension(layout)

    assert found.note({**COUNTS, **LANES, "cdc-verifier.lane.4": 5})
    assert found.names(4) == {"mixed|events", "dead|events"}
    assert found.names(2) == frozenset()


def test_it_is_told_once_with_what_to_do(layout, caplog):
    told = []
    found = Suspension(layout, on_new=told.append)

    assert [found.note({"orders": 3}), found.note({"orders": 3}), found.note({"orders": 4, "dlq": 2})] == [
        True,
        False,
        True,
    ]
    assert found.topics == {"orders", "dlq"}
    assert told == ["orders", "dlq"]
    assert "topic orders has 3 partitions, and its state was made under 2" in caplog.text
    assert "direct|orders, mixed|orders" in caplog.text


NAME, OTHER = SinkTopic("s", "t", 0), SinkTopic("s", "u", 0)


def opened(store):
    contracts = [Contract(sink="s", topics=("t", "u"))]
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, {"s": "receipts"})


def changes(topic, *offsets):
    return change_batch([Change(offset=offset, key=f"k{offset}", content=offset + 1) for offset in offsets], topic)


def good(offset):
    return Row(offset=offset, content=offset + 1)


def states(worker, topic):
    sink = worker.fold.sinks["s", topic]
    cells = (*watermarks.closed_cells(sink), *watermarks.open_cells(sink))
    return {offset: state for offset, state, _ in cells}


def test_what_is_suspended_is_neither_judged_nor_kept_and_the_others_in_its_lane_are_judged():
    worker = opened(MemoryStore())
    worker.take([changes("t", 0, 1)])
    worker.take([changes("u", 0)])
    worker.suspend({"s|t"})
    worker.take([evidence_batch([(NAME, good(0)), (NAME, fence(2)), (OTHER, good(0)), (OTHER, fence(1))], start=0)])

    assert states(worker, "t") == {0: State.PENDING, 1: State.PENDING}
    assert states(worker, "u") == {0: State.DELIVERED}
    assert worker.fold.sinks["s", "t"].queued == 0
    assert worker.head.counters["suspended"] == 2


def test_when_it_ends_what_was_said_meanwhile_makes_nothing_missing():
    worker = opened(MemoryStore())
    worker.take([changes("t", 0, 1)])
    worker.suspend({"s|t"})
    worker.take([evidence_batch([(NAME, good(0)), (NAME, good(1))], start=0)])
    worker.suspend(set())
    worker.take([evidence_batch([(NAME, fence(2))], start=2)])

    assert states(worker, "t") == {0: State.UNVERIFIABLE, 1: State.UNVERIFIABLE}


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_a_restart_after_any_step_is_as_none(is_snapshot):
    stores = [MemoryStore(), MemoryStore()]
    steps = [
        lambda worker: worker.take([changes("t", 0, 1)]),
        lambda worker: worker.suspend({"s|t"}),
        lambda worker: worker.take([evidence_batch([(NAME, good(0)), (NAME, fence(1))], start=0)]),
        lambda worker: worker.suspend(set()),
        lambda worker: worker.take([evidence_batch([(NAME, good(1)), (NAME, fence(2))], start=2)]),
    ]
    through = opened(stores[0])
    for step in steps:
        step(through)
        again = opened(stores[1])
        step(again)
        if is_snapshot:
            again.snapshot()

        assert (again.head.suspended, again.head.counters) == (through.head.suspended, through.head.counters)
        assert states(opened(stores[1]), "t") == states(through, "t")


def test_naming_the_same_again_writes_nothing():
    worker = opened(MemoryStore())
    worker.suspend(set())
    assert not worker.has_news()
    worker.suspend({"s|t"})
    worker.snapshot()
    worker.suspend({"s|t"})

    assert not worker.has_news()
