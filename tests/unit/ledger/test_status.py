"""The status of a sink's connector in the fold: the last one is kept, and nothing is judged by it."""

from __future__ import annotations

from dataclasses import replace

from app.cli.explain import _evidence
from app.ledger import blocks, watermarks
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.ledger.status import Status
from app.model import ChangeKind, Contract, EvidenceKind, SinkTopic
from app.repair import reporting
from app.testing import Change, Row, change_batch, fence, lane_rows

CONTRACT = Contract(sink="s", topics=("t",))


def told(*rows: Row, states: tuple[str, ...] = ("FAILED",), cause: str = "task 0: no") -> SinkPartition:
    fold = PartitionFold([CONTRACT], 0)
    kinds = [ChangeKind.UPSERT, ChangeKind.DELETE, ChangeKind.UPSERT, ChangeKind.TOMBSTONE]
    fold.take_changes(change_batch([Change(offset=offset, kind=kind) for offset, kind in enumerate(kinds)]))
    lane = lane_rows(rows)
    places = [row for row, said in enumerate(rows) if said.kind is EvidenceKind.STATUS]
    texts = {row: (None, None, state, cause) for row, state in zip(places, states, strict=True)}
    fold.take_evidence(SinkTopic("s", "t", 0), replace(lane, texts=texts))
    list(fold.judge())
    return fold.sinks["s", "t"]


def status(at: int, rebuild_from: int = -1) -> Row:
    return Row(offset=0, kind=EvidenceKind.STATUS, at=at, to_offset=rebuild_from)


def test_the_last_status_of_a_lane_is_kept_and_is_told_with_the_watermarks() -> None:
    sink = told(status(5), Row(offset=0), status(9, rebuild_from=2), states=("RUNNING", "FAILED"))
    watermark = reporting.watermark(sink)

    assert sink.status == Status(state="FAILED", at=9, cause="task 0: no", rebuild_from=2)
    assert (watermark.status, watermark.status_cause, watermark.rebuild_from) == ("FAILED", "task 0: no", 2)
    assert sink.tally.rows["statuses"] == 2


def test_its_time_is_not_the_lanes() -> None:
    assert told(fence(1, at=7), status(90)).at == 7


def test_it_survives_a_snapshot_and_what_was_written_before_there_was_one_has_none() -> None:
    sink, again = told(status(5)), told(states=())
    blocks.restore_sink(again, blocks.pack_sink(sink))

    assert again.status == sink.status

    header, arrays = blocks.unpack(blocks.pack_sink(sink))
    del header["status"]
    blocks.restore_sink(again, blocks.pack(header, arrays))

    assert again.status is None


def test_what_nobody_expects_is_no_lag() -> None:
    """The last change is a tombstone, which a transform drops: progress never passes it."""
    sink = told(states=())

    assert [watermarks.expected_from(sink, offset) for offset in range(5)] == [3, 2, 1, 0, 0]


def test_what_lies_below_the_start_is_no_lag() -> None:
    sink = told(Row(offset=2, kind=EvidenceKind.START), states=())

    assert watermarks.expected_from(sink, 0) == 1


def test_explain_tells_it_at_its_place_among_the_evidence() -> None:
    lane = replace(
        lane_rows([Row(offset=0), status(5, rebuild_from=2), fence(1)]),
        texts={1: (None, None, "FAILED", "task 0: x.No: no")},
    )
    said = [entry["says"] for entry in _evidence(lane, 0, None)]

    assert said[0].startswith("APPLIED")
    assert said[1:] == [
        "the connector is FAILED: task 0: x.No: no; progress fell to 2, was the sink rebuilt?",
        "FENCE at 1, the first above it",
    ]
