"""A changed configuration takes effect where the inputs stand: what was read before is judged as it was agreed then."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.adapters.store import MemoryStore
from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.model import ChangeKind, Contract, EvidenceKind, Projection, SinkTopic, State
from app.model.effects import Command, Seal, Verdict
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker.partition import PartitionWorker

NAME = SinkTopic("s", "t", 0)


def opened(store: MemoryStore, *contracts: Contract) -> PartitionWorker:
    lanes = {contract.sink: "receipts" for contract in contracts}
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, lanes)


def contract(sink="s", **terms) -> Contract:
    return Contract(sink=sink, topics=("t",), **terms)


def changes(start, *kinds, columns=1):
    rows = [
        Change(offset=start + n, kind=kind, key=f"k{n}", content=start + n + 1 if kind is ChangeKind.UPSERT else 0)
        for n, kind in enumerate(kinds)
    ]
    batch = change_batch(rows)
    if columns == 1:
        return batch
    return type(batch)(
        **{name: getattr(batch, name) for name in type(batch).__dataclass_fields__ if name != "fingerprints"},
        fingerprints=np.hstack([batch.fingerprints + place for place in range(columns)]),
    )


def said(*rows, start=0, name=NAME):
    return evidence_batch([(name, row) for row in rows], start=start)


def states(worker):
    return {e.offset: (e.sink, e.state) for _, e in worker.outbox(1_000) if isinstance(e, Verdict)}


DELETE, UPSERT = ChangeKind.DELETE, ChangeKind.UPSERT


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("is_snapshot", [False, True])
def test_changes_read_before_are_judged_by_the_old_contract_and_those_after_by_the_new(restarts, is_snapshot):
    store = MemoryStore()
    worker = opened(store, contract())
    worker.take([changes(0, DELETE, DELETE)])
    if is_snapshot:
        worker.snapshot()
    for _ in range(restarts):
        worker = opened(store, contract(deletes="ignore"))
    worker.take([changes(2, DELETE, DELETE)])
    worker.take([said(fence(4))])

    sink = worker.fold.sinks["s", "t"]
    assert states(worker) == {0: ("s", State.MISSING), 1: ("s", State.MISSING)}
    assert sink.tally.closed[State.EXEMPT] == 2
    assert watermarks.difference(sink) == 0
    assert [e.contract for _, e in worker.outbox(100) if isinstance(e, Seal)] == []
    assert sink.terms.at(1).contract == contract()
    assert sink.terms.at(2).contract == contract(deletes="ignore")


def test_ignored_columns_are_those_that_were_agreed_when_a_change_was_read():
    """The second projection is one more than the first, so that nothing is equal by chance."""
    store = MemoryStore()
    worker = opened(store, contract())
    worker.take([changes(0, UPSERT)])
    other = contract("other")
    worker = opened(store, contract(ignore_columns=("t.a",)), other)
    assert worker._decoded == [Projection(ignored=frozenset({"t.a"})), Projection()]
    batch = changes(1, UPSERT, columns=2)
    worker.take([batch])
    row, projected = int(batch.fingerprints[0, 1]), int(batch.fingerprints[0, 0])

    segment = worker.fold.changes["t"].segments[0]
    agreed = {name: sink.terms for (name, _), sink in worker.fold.sinks.items()}
    assert agreed["s"].expected_fingerprints(segment, np.array([1])).tolist() == [projected]
    assert agreed["other"].expected_fingerprints(segment, np.array([1])).tolist() == [row]
    worker.take([said(Row(offset=0, content=1), Row(offset=1, content=2), fence(2))])

    assert states(worker) == {}
    assert worker.fold.sinks["s", "t"].tally.closed[State.DELIVERED] == 2


def test_a_sink_that_is_added_has_no_cells_of_what_was_read_before():
    store = MemoryStore()
    worker = opened(store, contract())
    worker.take([changes(0, UPSERT, UPSERT)])
    worker = opened(store, contract(), contract("late"))
    worker.take([changes(2, UPSERT)])
    worker.take([said(fence(3), name=SinkTopic("late", "t", 0))])

    sink = worker.fold.sinks["late", "t"]
    assert states(worker) == {2: ("late", State.MISSING)}
    assert (sink.since, watermarks.difference(sink)) == (2, 0)


def test_a_sink_that_is_taken_out_leaves_and_the_others_go_on():
    store = MemoryStore()
    worker = opened(store, contract(), contract("gone"))
    worker.take([changes(0, UPSERT)])
    worker = opened(store, contract())
    worker.take([said(fence(1))])

    assert states(worker) == {0: ("s", State.MISSING)}
    assert ("gone", "t") not in worker.fold.sinks


def test_a_sink_that_was_retired_leaves_nothing_behind_when_it_is_taken_out():
    store = MemoryStore()
    worker = opened(store, contract(), contract("gone"))
    name = SinkTopic("gone", "t", 0)
    worker.take([changes(0, UPSERT, UPSERT)])
    worker.take([said(fence(1), Row(offset=0, kind=EvidenceKind.END), name=name)])
    assert watermarks.open_counts(worker.fold.sinks["gone", "t"]).sum() == 0

    worker = opened(store, contract())
    worker.take([said(Row(offset=0, content=1), Row(offset=1, content=2), fence(2), start=2)])
    worker = opened(store, contract())

    assert [sink for sink, _ in worker.fold.sinks] == ["s"]
    assert worker.fold.sinks["s", "t"].tally.closed[State.DELIVERED] == 2
    assert states(worker) == {0: ("gone", State.MISSING)}


def test_what_was_commanded_to_be_looked_at_is_commanded_to_be_applied_when_the_mode_says_so():
    store = MemoryStore()
    worker = opened(store, contract(mode="dry-run"))
    worker.take([changes(0, UPSERT, UPSERT)])
    worker.take([said(fence(1), fence(2))])
    worker = opened(store, contract(mode="apply"))
    worker.take([said(Row(offset=0, content=1), fence(2), start=2)])

    commands = [effect for _, effect in worker.outbox(100) if isinstance(effect, Command)]
    assert [(c.mode.value, [item.offset for item in c.items]) for c in commands] == [
        ("DRY_RUN", [0]),
        ("DRY_RUN", [1]),
        ("APPLY", [1]),
    ]


def commands_of(worker):
    return [
        (effect.mode.value, [item.offset for item in effect.items])
        for _, effect in [*worker.outbox(100), *worker.effects.held()]
        if isinstance(effect, Command)
    ]


def test_where_a_sink_is_only_observed_its_cells_are_judged_and_no_command_is_made_or_held():
    worker = opened(MemoryStore(), contract(mode="observe"))
    worker.take([changes(0, UPSERT, UPSERT)])
    worker.take([said(fence(1))])
    worker.catch_up({"receipts": 9})
    worker.take([said(fence(2), start=1)])

    assert worker.fold.sinks["s", "t"].stragglers.by_offset.keys() == {0, 1}
    assert commands_of(worker) == []


@pytest.mark.parametrize(("mode", "said_mode"), [("dry-run", "DRY_RUN"), ("apply", "APPLY")])
def test_what_was_only_observed_is_commanded_once_commands_are_asked_for_if_it_is_still_bad(mode, said_mode):
    store = MemoryStore()
    worker = opened(store, contract(mode="observe"))
    worker.take([changes(0, UPSERT, UPSERT)])
    worker.take([said(fence(1), fence(2))])
    worker = opened(store, contract(mode=mode))
    worker.take([said(Row(offset=0, content=1), fence(2), start=2)])

    assert commands_of(worker) == [(said_mode, [1])]


@pytest.mark.parametrize("is_held", [False, True])
def test_a_sink_that_is_only_observed_from_now_on_gets_no_command_that_was_not_sent_yet(is_held):
    """Held back in a catch-up, or waiting for its minute in the outbox."""
    store = MemoryStore()
    worker = opened(store, contract(mode="apply"))
    worker.take([changes(0, UPSERT)])
    if is_held:
        worker.catch_up({"receipts": 9})
    worker.take([said(fence(1))])
    assert commands_of(worker) == [("APPLY", [0])]
    worker = opened(store, contract(mode="observe"))
    worker.catch_up({})

    assert commands_of(worker) == []
    worker = opened(store, contract(mode="apply"))
    worker.take([said(fence(1), start=1)])
    assert commands_of(worker) == [("APPLY", [0])]


def test_a_configuration_that_promises_the_same_changes_nothing():
    store = MemoryStore()
    opened(store, contract(), contract("b"))
    before = dict(store.data)
    opened(store, contract("b"), contract())

    assert store.data == before


ROWS = (("t.region", ("EU",)),)


def some_left_out(start, *left_out):
    """Changes as a decoder makes them for contracts of two projections, the second of which chooses rows."""
    return change_batch([
        Change(offset=start + n, key=f"k{start + n}", content=start + n + 1, left_out=(0, one))
        for n, one in enumerate(left_out)
    ])  # fmt: skip


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_what_was_read_before_rows_were_chosen_is_asked_for_and_what_is_left_out_since_is_not(is_snapshot):
    """The choice stands in deltas and segments: it survives a restart, and a contract that chooses no more."""
    store = MemoryStore()
    opened(store, contract("all"), contract()).take([changes(0, UPSERT)])
    worker = opened(store, contract("all"), contract(rows=ROWS, before="key"))
    worker.take([some_left_out(1, 1, 0)])
    if is_snapshot:
        worker.snapshot()
    worker = opened(store, contract("all"), contract(rows=ROWS, before="key"))
    worker.take([some_left_out(3, 2)])
    worker = opened(store, contract("all"), contract())
    worker.take([changes(4, UPSERT)])
    worker.take([said(fence(5))])

    sink = worker.fold.sinks["s", "t"]
    found = {o: state.word for o, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink))}
    assert found == {0: "missing", 1: "exempt", 2: "missing", 3: "unverifiable", 4: "missing"}
    assert watermarks.difference(sink) == 0


def test_a_store_of_a_version_that_knew_ignored_columns_only_goes_on():
    """Its head names projections by their columns, its contracts lack the newer keys, its blocks have nothing left out."""
    store = MemoryStore()
    worker = opened(store, contract(ignore_columns=("t.a",)))
    worker.take([changes(0, UPSERT)])
    worker.snapshot()
    for key in (b"m", b"n"):
        head = json.loads(store.get(key))
        head["projections"] = [["t.a"]]
        head["contracts"] = [
            {name: value for name, value in one.items() if value or name not in NEWER} for one in head["contracts"]
        ]
        store.write([(key, json.dumps(head).encode())], [])
    worker = opened(store, contract(ignore_columns=("t.a",)))
    assert list(store.scan(b"d")) == []
    worker.take([changes(1, UPSERT)])
    worker.take([said(Row(offset=0, content=1), Row(offset=1, content=2), fence(2))])

    assert states(worker) == {}
    assert worker.fold.sinks["s", "t"].tally.closed[State.DELIVERED] == 2


@pytest.mark.parametrize(
    ("terms", "silent", "heard"),
    [({"ignore_columns": ("t.a",)}, "unverifiable", "unverifiable"), ({}, "missing", "delivered")],
)
def test_a_sink_that_begins_below_where_it_was_added_does_not_know_what_its_contract_takes_there(terms, silent, heard):
    """What was read before was not decoded for it, unless another contract took the same: nothing is said by a guess."""
    store = MemoryStore()
    opened(store, contract()).take([changes(0, UPSERT, UPSERT)])
    contracts = contract(), contract("late", **terms)
    worker = opened(store, *contracts)
    start = Row(offset=0, kind=EvidenceKind.START, generation=1)
    late = SinkTopic("late", "t", 0)
    worker.take([said(start, Row(offset=1, content=2), fence(2, generation=1), name=late)])
    worker.snapshot()

    for one in (worker, opened(store, *contracts)):
        sink = one.fold.sinks["late", "t"]
        found = {o: state.word for o, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink))}
        assert found == {0: silent, 1: heard}


NEWER = ("columns", "leave_out_tables", "leave_out_operations", "rows", "rows_out", "before")


def test_a_contract_that_says_nothing_new_keeps_the_digest_that_stands_in_its_seals():
    assert contract().digest() == contract(rows=()).digest() == "6325355c7250d508"
    assert len({contract().digest(), contract(rows=ROWS).digest(), contract(columns=("t.a",)).digest()}) == 3
