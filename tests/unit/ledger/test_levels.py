"""How strong the evidence is that a closed cell rests on, counted as it closes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.ledger import blocks
from app.ledger.cells import Bit
from app.ledger.fence import Outcome
from app.ledger.partition import PartitionFold
from app.ledger.rules import level_of
from app.ledger.sink import SinkPartition
from app.model import Contract, EvidenceKind, Level, ReceiptStatus, SinkTopic, State
from app.model.identity import seal_hash
from app.repair import reporting
from app.testing import Change, Row, change_batch, fence, lane_rows

WHOM = SinkTopic("s", "t", 0)


def judged(*rows: tuple[Row, str | None], evidence: str = "progress") -> SinkPartition:
    """A sink after receipts, each with the kind of its evidence, and a fence above all changes."""
    return judged_with_outcome(*rows, evidence=evidence)[0]


def judged_with_outcome(*rows: tuple[Row, str | None], evidence: str = "progress") -> tuple[SinkPartition, Outcome]:
    """The same, with what the fence found."""
    fold = PartitionFold([Contract(sink="s", topics=("t",), evidence=evidence)], 0)  # type: ignore[arg-type]
    fold.take_changes(change_batch([Change(offset=o, key=str(o), content=o + 1) for o in range(4)]))
    lane = lane_rows([*(row for row, _ in rows), fence(4)])
    texts = {at: (None, None, kind, None) for at, (_, kind) in enumerate(rows) if kind is not None}
    lane.texts.update(texts)
    fold.take_evidence(WHOM, lane)
    ((sink, outcome),) = fold.judge()
    return sink, outcome


def levels(sink: SinkPartition) -> dict[str, int]:
    """The counts that are not zero."""
    return {Level(level).word: count for level, count in enumerate(sink.tally.levels.tolist()) if count}


@pytest.mark.parametrize(
    ("content", "kind", "level"),
    [
        (1, None, "fingerprint"),
        (None, None, "present"),
        (None, "success-topic", "present"),
        (1, "read-back", "read_back"),
        (1, "change-log", "read_back"),
        (None, "read-back", "present"),
    ],
)
def test_a_delivered_cell_counts_by_its_last_word(content: int | None, kind: str | None, level: str) -> None:
    sink = judged((Row(offset=0, content=content), kind))

    assert levels(sink) == {level: 1, "attempted": 3}


def test_a_row_that_was_read_back_stays_so_when_its_presence_is_told_later() -> None:
    sink = judged((Row(offset=0, content=1), "read-back"), (Row(offset=0, content=None), "success-topic"))

    assert levels(sink) == {"read_back": 1, "attempted": 3}


def test_a_cell_that_is_not_delivered_has_no_level() -> None:
    sink = judged((Row(offset=0, content=9), "read-back"), (Row(offset=1, status=ReceiptStatus.REJECTED), None))

    assert levels(sink) == {"attempted": 2}


def test_levels_survive_a_restart_and_leave_with_a_rebuild() -> None:
    sink = judged((Row(offset=0, content=1), "read-back"), (Row(offset=1, content=2), None))
    fold = PartitionFold([sink.contract], 0)
    fold.source("t")
    blocks.restore_sink(fold.sinks["s", "t"], blocks.pack_sink(sink))
    assert levels(fold.sinks["s", "t"]) == {"read_back": 1, "fingerprint": 1, "attempted": 2}

    sink.push(lane_rows([Row(offset=1, kind=EvidenceKind.START, generation=1)], first_rank=100))
    assert sink.next_fence() is None
    assert levels(sink) == {"read_back": 1}


def test_a_seal_counts_its_cells_by_level_and_its_hash_is_of_them_too() -> None:
    sink = judged((Row(offset=0, content=1), "read-back"), (Row(offset=1, content=2), None))

    (seal,) = reporting.seals(sink, is_final=True)

    assert seal.levels == (2, 0, 1, 1)
    assert seal.levels == tuple(sink.tally.levels.tolist())
    assert seal.hash == seal_hash(seal) != seal_hash(replace(seal, levels=(3, 0, 1, 0)))


@pytest.mark.parametrize(
    ("row", "kind", "level"),
    [
        (Row(offset=0, content=9), "read-back", Level.READ_BACK),
        (Row(offset=0, content=9), None, Level.FINGERPRINT),
        (Row(offset=0, status=ReceiptStatus.REJECTED, content=None), "dead-letter", Level.PRESENT),
        (Row(offset=0, status=ReceiptStatus.SKIPPED, content=None), None, Level.PRESENT),
    ],
)
def test_a_verdict_names_the_level_of_the_word_that_it_stands_on(row: Row, kind: str | None, level: Level) -> None:
    sink, outcome = judged_with_outcome((row, kind))

    (verdict,) = reporting.verdicts(sink, outcome)

    assert verdict.level is level
    assert reporting.watermark(sink).bad_levels == tuple(int(one is level) for one in Level)


def test_silence_has_no_level() -> None:
    sink, outcome = judged_with_outcome(evidence="receipts")

    assert {(one.state, one.level) for one in reporting.verdicts(sink, outcome)} == {(State.MISSING, None)}
    assert reporting.watermark(sink).bad_levels == (0, 0, 0, 0)


@pytest.mark.parametrize("state", [State.UNVERIFIABLE, State.EXEMPT])
def test_what_was_said_of_a_cell_that_nobody_can_judge_is_no_level_of_it(state: State) -> None:
    assert level_of(state, Bit.HAS_RECEIPT | Bit.WORD_HAS_FINGERPRINT) is None
