"""How strong the evidence is that a closed cell rests on, counted as it closes."""

from __future__ import annotations

import pytest

from app.ledger import blocks
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import Contract, EvidenceKind, Level, ReceiptStatus, SinkTopic
from app.testing import Change, Row, change_batch, fence, lane_rows

WHOM = SinkTopic("s", "t", 0)


def judged(*rows: tuple[Row, str | None], evidence: str = "progress") -> SinkPartition:
    """A sink after receipts, each with the kind of its evidence, and a fence above all changes."""
    fold = PartitionFold([Contract(sink="s", topics=("t",), evidence=evidence)], 0)  # type: ignore[arg-type]
    fold.take_changes(change_batch([Change(offset=o, key=str(o), content=o + 1) for o in range(4)]))
    lane = lane_rows([*(row for row, _ in rows), fence(4)])
    texts = {at: (None, None, kind, None) for at, (_, kind) in enumerate(rows) if kind is not None}
    lane.texts.update(texts)
    fold.take_evidence(WHOM, lane)
    list(fold.judge())
    return fold.sinks["s", "t"]


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
