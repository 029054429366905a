"""What operators' commands write: marks that hide nothing, and nothing at all where they were given before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import BadInput
from app.model.effects import SinkWatermark
from app.worker import marking
from app.worker.marking import Standing
from app.worker.ports import Input
from cdc_receipts.codec import MarkKind

NOW = 5_000
TOLD = SinkWatermark(
    sink="s",
    generation=0,
    topic="t",
    epoch=0,
    partition=0,
    frontier=50,
    settled_watermark=40,
    verified_watermark=40,
    settled_ts_ms=None,
    verified_ts_ms=None,
    open_counts=(0,) * 10,
    counts=(0,) * 10,
    flags=(0,) * 8,
    seals=0,
    seal_hash=b"",
    at=1,
    fence=50,
)


def at(partition=0, committed=None, earliest=0, end=100, **told) -> Standing:
    """A source partition; what a worker has told of it, if anything is given."""
    said = replace(TOLD, partition=partition, **told) if told else None
    place = Input("t", partition)
    return Standing(sink="s", source=place, lane="lane", earliest=earliest, end=end, committed=committed, told=said)


def marks(steps):
    return [(step.record.kind, step.record.offset, step.record.generation) for step in steps if step.record is not None]


START, END = MarkKind.START, MarkKind.END


@pytest.mark.parametrize(("where", "offset"), [("committed", 30), ("earliest", 4), ("latest", 100)])
def test_judging_begins_where_the_sink_stands_or_at_the_logs_start_or_end(where, offset):
    assert marks(marking.onboard([at(committed=30, earliest=4)], where, NOW)) == [(START, offset, 0)]


def test_a_sink_that_has_committed_nothing_is_judged_from_the_logs_start_and_it_is_said():
    (step,) = marking.onboard([at(earliest=4)], "committed", NOW)

    assert marks([step]) == [(START, 4, 0)]
    assert "committed nothing" in step.says


def test_a_commit_at_offset_zero_is_a_commit():
    (step,) = marking.onboard([at(committed=0, earliest=0)], "committed", NOW)

    assert (marks([step]), step.says) == ([(START, 0, 0)], "")


def test_a_start_carries_the_generation_that_the_sink_has():
    assert marks(marking.onboard([at(committed=30, generation=2)], "committed", NOW)) == [(START, 30, 2)]


def test_a_sink_that_is_onboarded_again_keeps_its_beginning_so_that_nothing_judged_since_is_hidden():
    (step,) = marking.onboard([at(committed=90, beginning=30)], "committed", NOW)

    assert step.record is None
    assert "begins at 30 already; --again moves it on to 90" in step.says


@pytest.mark.parametrize(("committed", "written"), [(90, [(START, 90, 0)]), (30, []), (10, [])])
def test_a_beginning_is_moved_on_where_that_is_asked_for_and_never_back(committed, written):
    assert marks(marking.onboard([at(committed=committed, beginning=30)], "committed", NOW, is_again=True)) == written


def test_a_retired_sink_is_not_onboarded_but_rebuilt():
    with pytest.raises(BadInput, match="was retired here; use: cdc-verifier rebuild"):
        marking.onboard([at(is_ended=True)], "earliest", NOW)


@pytest.mark.parametrize(
    ("start", "offset"), [("earliest", 4), ("committed", 30), ("held", 8), ({Input("t", 0): 9}, 9)]
)
def test_a_rebuild_begins_the_next_generation_where_it_says(start, offset):
    held = 0 if start == "earliest" else 8
    one = at(committed=30, earliest=4, held_from=held)

    assert marks(marking.rebuild([one], start, NOW, present=0)) == [(START, offset, 1)]


def test_all_source_partitions_of_a_rebuilt_sink_go_on_to_one_generation():
    steps = marking.rebuild([at(0, generation=3), at(1, generation=1), at(2)], "earliest", NOW, present=3)

    assert {generation for _, _, generation in marks(steps)} == {4}


def test_a_rebuild_of_a_named_generation_may_be_repeated():
    """The first time only one of two marks arrived."""
    steps = marking.rebuild([at(0, generation=1), at(1)], "earliest", NOW, present=1, generation=1)

    assert [step.says for step in steps if step.record is None] == ["it is in generation 1 already"]
    assert marks(steps) == [(START, 0, 1)]


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("earliest", "holds changes from 60 on"),
        ({Input("t", 0): 59}, "Say --from held to judge anew from 60"),
        ({Input("t", 0): 101}, "101 is beyond the log's end 100"),
        ("committed", "has committed nothing"),
    ],
)
def test_a_rebuild_that_would_not_judge_what_it_says_is_refused_with_what_to_do(start, words):
    with pytest.raises(BadInput, match=words):
        marking.rebuild([at(held_from=60)], start, NOW, present=0)


def test_what_lies_below_the_logs_start_need_not_be_held():
    assert marks(marking.rebuild([at(earliest=70, held_from=60)], "earliest", NOW, present=0)) == [(START, 70, 1)]


def test_a_retired_sink_gets_an_end_of_its_generation_once():
    steps = marking.retire([at(0, generation=2), at(1, is_ended=True), at(2)], NOW)

    assert [(step.standing.source.partition, step.record and step.record.generation) for step in steps] == [
        (0, 2),
        (1, None),
        (2, 0),
    ]
    assert {kind for kind, _, _ in marks(steps)} == {END}


def test_waivers_name_each_cell_who_decided_and_why():
    steps = marking.waive(at(fence=50), 47, 49, who="ada", reason="mended", now_ms=NOW)

    assert [(step.record.offset, step.record.who, step.record.reason) for step in steps] == [
        (offset, "ada", "mended") for offset in (47, 48, 49)
    ]


def test_a_waiver_says_that_it_changes_nothing_of_a_cell_that_is_not_bad():
    (step,) = marking.waive(at(fence=50), 47, 47, who="ada", reason="mended", now_ms=NOW)

    assert step.says == "closes the cell if it is bad or unverifiable; of any other it changes nothing"


@pytest.mark.parametrize(
    ("one", "first", "last", "who", "words"),
    [
        (at(fence=50), 49, 50, "ada", "no fence above 50 was read yet"),
        (at(), 0, 0, "ada", "the highest is 0"),
        (at(fence=50), 5, 4, "ada", "below the first"),
        (at(fence=9_000), 0, 4_096, "ada", "at most 4096"),
        (at(fence=50), 1, 1, " ", "must say something"),
        (at(fence=50, is_ended=True), 1, 1, "ada", "was retired"),
    ],
)
def test_nobody_waives_what_no_fence_has_judged_nor_without_a_name(one, first, last, who, words):
    with pytest.raises(BadInput, match=words):
        marking.waive(one, first, last, who=who, reason="r", now_ms=NOW)
