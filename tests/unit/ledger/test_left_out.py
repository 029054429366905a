"""Changes that a contract leaves out, and changes of which nobody knows: their states, flags, counts and reasons."""

from __future__ import annotations

import pytest

from app.ledger import watermarks
from app.ledger.fence import evaluate
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, Contract, EvidenceKind, LeftOut, Origin, Projection, ReceiptStatus, SinkTopic, State
from app.repair import planner, reporting
from app.testing import Change, Row, change_batch, fence, lane_rows

ROWS = (("orders.region", ("EU",)),)
YES, UNKNOWN = LeftOut.YES, LeftOut.UNKNOWN
DELETE, TRUNCATE = ChangeKind.DELETE, ChangeKind.TRUNCATE


def fold(*changes: Change, **terms) -> tuple[PartitionFold, SinkPartition]:
    contract = Contract(sink="s", topics=("t",), rows=ROWS, before="key", **terms)
    found = PartitionFold([contract], 0)
    found.take_changes(change_batch(changes))
    return found, found.sinks["s", "t"]


def change(offset: int, left_out: LeftOut = LeftOut.NO, key: str = "k", kind: ChangeKind = ChangeKind.UPSERT) -> Change:
    return Change(offset=offset, key=key, content=offset + 1, left_out=(left_out,), kind=kind)


def judged(found: PartitionFold, *rows: Row) -> list:
    found.take_evidence(SinkTopic("s", "t", 0), lane_rows(rows))
    return list(found.judge())


def states(sink: SinkPartition) -> dict[int, str]:
    cells = [*watermarks.closed_cells(sink), *watermarks.open_cells(sink)]
    return {offset: " ".join([state.word, *flags.words()]) for offset, state, flags in cells}


@pytest.mark.parametrize("evidence", ["receipts", "progress"])
@pytest.mark.parametrize("kind", [ChangeKind.UPSERT, DELETE])
def test_what_is_left_out_is_exempt_and_the_rest_is_asked_for(evidence, kind) -> None:
    found, sink = fold(change(0, YES, kind=kind), change(1, key="other"), evidence=evidence)
    ((_, outcome),) = judged(found, fence(2))

    assert states(sink) == {0: "exempt", 1: "missing" if evidence == "receipts" else "attempted"}
    assert [finding.offset for finding in outcome.findings] == ([1] if evidence == "receipts" else [])
    assert watermarks.settled_watermark(sink) == (1 if evidence == "receipts" else 2)


def test_a_sink_that_applies_what_it_should_not_is_unexpected() -> None:
    found, sink = fold(change(0, YES), change(1, YES), change(2, YES))
    rows = [Row(offset=0, content=7), Row(offset=1, status=ReceiptStatus.SKIPPED, content=None)]
    judged(found, *rows, fence(3))

    assert states(sink) == {0: "exempt unexpected", 1: "exempt", 2: "exempt"}


def test_what_is_applied_late_though_it_is_left_out_contradicts_and_is_no_loss() -> None:
    found, sink = fold(change(0, YES))
    judged(found, fence(1), Row(offset=0, content=1))

    assert [remark.kind for remark in sink.remarks] == ["contradicted"]
    assert states(sink) == {0: "exempt"}


@pytest.mark.parametrize("evidence", ["receipts", "progress"])
def test_what_nobody_knows_is_unverifiable_once_it_is_passed_and_says_why(evidence) -> None:
    """Not missing, not attempted, and not delivered even where the sink says so."""
    found, sink = fold(change(0, UNKNOWN, "a"), change(1, UNKNOWN, "b"), change(2, UNKNOWN, "c"), evidence=evidence)
    ((_, outcome),) = judged(found, Row(offset=1, content=2), fence(2))

    assert states(sink) == {0: "unverifiable", 1: "unverifiable", 2: "pending"}
    verdicts = reporting.verdicts(sink, outcome)
    assert {verdict.reason for verdict in verdicts} == {reporting.UNCHOSEN}
    assert [verdict.state for verdict in verdicts] == [State.UNVERIFIABLE] * 2
    assert list(planner.plan(sink, outcome)) == []
    assert (watermarks.settled_watermark(sink), watermarks.verified_watermark(sink)) == (2, 0)


def test_a_delete_that_is_left_out_anyway_need_not_be_known() -> None:
    found, sink = fold(change(0, UNKNOWN, kind=DELETE), deletes="ignore")
    judged(found, fence(1))

    assert states(sink) == {0: "exempt"}


def test_what_nobody_knows_was_never_good_whatever_was_said_of_it() -> None:
    """So it has not recovered when a receipt comes late, as a change that can't be read has not."""
    found, sink = fold(change(0, UNKNOWN), change(1, key="open"))
    judged(found, Row(offset=0, kind=EvidenceKind.SKIP, to_offset=1), Row(offset=0, content=1), fence(1))

    assert states(sink) == {0: "unverifiable", 1: "pending"}


def test_a_skip_over_what_nobody_knows_accuses_nobody() -> None:
    found, sink = fold(change(0, UNKNOWN, "a"), change(1, key="b"))
    judged(found, Row(offset=0, kind=EvidenceKind.SKIP, to_offset=2))

    assert states(sink) == {0: "pending", 1: "missing"}
    assert sink.plain_state(0) is State.PENDING


def test_a_dead_letter_is_what_the_sink_said_whatever_else_is_not_known() -> None:
    found, sink = fold(change(0, UNKNOWN), change(1, YES, "b"))
    judged(found, *(Row(offset=n, status=ReceiptStatus.REJECTED, content=None) for n in (0, 1)), fence(2))

    assert states(sink) == {0: "rejected", 1: "exempt"}


def test_an_older_change_is_not_superseded_by_one_that_is_left_out() -> None:
    """The sink never sees the newer one, so it stands for nothing."""
    for left_out, state in ((YES, "missing"), (LeftOut.NO, "superseded")):
        found, sink = fold(change(0), change(1, left_out), expect="latest-state")
        rows = [Row(offset=1, content=2)] if left_out is LeftOut.NO else []
        judged(found, *rows, fence(2))

        assert states(sink)[0] == state


def test_changes_that_are_left_out_are_no_lag() -> None:
    _, sink = fold(change(0, YES), change(1), change(2, UNKNOWN), change(3, YES))

    assert watermarks.expected_from(sink, 0) == 2


def test_an_applied_truncate_of_a_table_that_is_left_out_holds_no_command_back() -> None:
    for left_out, commands in ((YES, 1), (LeftOut.NO, 0)):
        truncate = Change(offset=1, key=None, kind=TRUNCATE, left_out=(left_out,))
        found, sink = fold(change(0), truncate, truncates="apply")
        ((_, outcome),) = judged(found, Row(offset=1, content=None), fence(2))

        assert len(list(planner.plan(sink, outcome))) == commands


def test_a_seals_sums_leave_out_what_the_contract_leaves_out() -> None:
    """What the sink holds of it is then the source's sum."""
    found, _ = fold(change(0, YES), change(1), change(2, YES))
    for part, _ in judged(found, Row(offset=1, content=2), fence(3)):
        (seal,) = reporting.seals(part, is_final=True)

    assert (seal.source_sum, seal.sink_sum) == (2, 2)


def test_each_sink_leaves_out_what_its_own_contract_does() -> None:
    contracts = [Contract(sink="s", topics=("t",), rows=ROWS, before="key"), Contract(sink="all", topics=("t",))]
    found = PartitionFold(contracts, 0)
    found.take_changes(change_batch([Change(offset=0, left_out=(YES, LeftOut.NO))]))

    assert found.projections == [Projection(rows=ROWS, before="key"), Projection()]
    found.take_evidence(SinkTopic("all", "t", 0), lane_rows([fence(1)]))
    found.take_evidence(SinkTopic("s", "t", 0), lane_rows([fence(1)]))
    for sink in found.sinks.values():
        evaluate(sink, *(sink.next_fence() or (1, Origin("receipts", 0, 0))))
    assert states(found.sinks["all", "t"]) == {0: "missing"}
    assert states(found.sinks["s", "t"]) == {0: "exempt"}
