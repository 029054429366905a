"""The fold's rules as short timelines of one lane: what was said in which order, and what became of the cells.

A timeline is a line of words, each one row of the lane:

    3 APPLIED of offset 3 with the right content      3x with other content      3? without a fingerprint
    3d DELETED      3r REJECTED      3s SKIPPED      a trailing ! names a command
    F7 FENCE at 7   S2-5 SKIP from 2 to 5   B4 START at 4   G1@4 START of generation 1 at 4   E END   L LOSS   W3 WAIVER   T SinkStatus
"""

from __future__ import annotations

import re

import pytest

from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, Contract, EvidenceKind, ReceiptStatus, SinkTopic, State
from app.repair import planner
from app.testing import Change, Row, change_batch, lane_rows

STATUS = {"": 0, "x": 0, "?": 0, "d": 1, "s": 2, "r": 3}
ODD = {"E": EvidenceKind.END, "L": EvidenceKind.LOSS, "T": EvidenceKind.STATUS}
KEYS = ["a", "b", "a", None, "b", "c", "c", None]
"""Keys of the offsets 0 to 7; offset 5 is a delete."""


def judged(timeline: str, **contract: object) -> tuple[SinkPartition, list[list[int]]]:
    """The sink after a timeline over eight changes, and the offsets that each command named."""
    fold = PartitionFold([Contract(sink="s", topics=("t",), **contract)], 0)
    kinds = {5: ChangeKind.DELETE}
    fold.take_changes(
        change_batch(
            [
                Change(offset=o, key=key, kind=kinds.get(o, ChangeKind.UPSERT), content=o + 1)
                for o, key in enumerate(KEYS)
            ]
        )
    )
    rows = [_row(word, at) for at, word in enumerate(timeline.split())]
    fold.take_evidence(SinkTopic("s", "t", 0), lane_rows(rows))
    commands = []
    for sink, outcome in fold.judge():
        commands += [[item.offset for item in command.items] for command in planner.plan(sink, outcome)]
    return fold.sinks["s", "t"], commands


def _row(word: str, at: int) -> Row:
    if receipt := re.fullmatch(r"(\d+)([xdsr?]?)(!?)", word):
        offset, how = int(receipt[1]), receipt[2]
        content = None if how in {"?", "d", "s", "r"} else 99 if how == "x" else offset + 1
        return Row(offset=offset, status=STATUS[how], content=content, at=1_000 + at, command=bool(receipt[3]))
    kinds = {"F": EvidenceKind.FENCE, "P": EvidenceKind.PROGRESS, "B": EvidenceKind.START, "W": EvidenceKind.WAIVER}
    if skip := re.fullmatch(r"S(\d+)-(\d+)", word):
        return Row(offset=int(skip[1]), to_offset=int(skip[2]), kind=EvidenceKind.SKIP)
    if rebuilt := re.fullmatch(r"G(\d+)@(\d+)", word):
        return Row(offset=int(rebuilt[2]), kind=EvidenceKind.START, generation=int(rebuilt[1]))
    if word in ODD:
        return Row(offset=0, kind=ODD[word])
    return Row(offset=int(word[1:]), kind=kinds[word[0]])


def states(sink: SinkPartition) -> str:
    """One letter a cell: d delivered, m missing, v diverged, r rejected, u unverifiable, p pending, s superseded, …"""
    letters = {State.DELIVERED: "d", State.MISSING: "m", State.DIVERGED: "v", State.REJECTED: "r", State.PENDING: "p",
               State.UNVERIFIABLE: "u", State.SUPERSEDED: "s", State.EXEMPT: "e", State.ATTEMPTED: "a",
               State.DUPLICATED: "2"}  # fmt: skip
    cells = {offset: state for offset, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink))}
    return "".join(letters[cells[offset]] for offset in range(len(KEYS)) if offset in cells)


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ("", "pppppppp"),  # lag is never loss
        ("P8", "pppppppp"),  # progress proves nothing
        ("0 1 2 F3", "dddppppp"),
        ("0 2 F3", "dmdppppp"),
        ("0 2 F3 1", "dddppppp"),  # it came after all
        ("0x 1 2 F3", "vddppppp"),
        ("0 0x F1", "vppppppp"),  # the last word
        ("0 0? F1", "dppppppp"),  # presence says nothing new
        ("0x 0? F1", "vppppppp"),
        ("0x 0?! F1", "dppppppp"),  # unless it answers a command
        ("0r F1", "rppppppp"),
        ("0d F1", "vppppppp"),
        ("0s F1", "vppppppp"),
        ("5d F6", "mmmmmdpp"),
        ("5 F6", "mmmmmvpp"),
        ("S0-2", "mmpppppp"),
        ("0 L F2", "uupppppp"),  # what was lost may have spoken of either
        ("0 F1 L F2", "dupppppp"),  # what is closed stays
        ("0r L F1", "rppppppp"),  # the last word is known
        ("F2 B2 F3", "eemppppp"),
        ("F2 W0 F3", "mmmppppp"),
        ("0 F2 G1@1 F3", "dppppppp"),  # the fence is of the old life
        ("0s! 2 F3", "smdppppp"),  # the sink holds something newer
        ("0s! F1", "vppppppp"),
        ("3s! 7 F8", "mmmvmmmd"),  # null keys equal nothing
        ("E F8", ""),  # an ended sink's open cells leave the counts
        ("0 T 2 F3 T", "dmdppppp"),  # a connector's status moves nothing
        ("S0-2 S1-4 S0-2", "mmmmpppp"),  # SKIPs may overlap, and be written again
    ],
)
def test_a_timeline_gives_these_states(timeline: str, expected: str) -> None:
    assert states(judged(timeline)[0]) == expected


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ("2 F3", "smdppppp"),
        ("2", "spdppppp"),
        ("F3", "smmppppp"),  # one fence is above both: the newest is asked for, the older not
        ("2r F1", "mprppppp"),
        ("F8", "ssmmmsmm"),
    ],
)
def test_with_latest_state_a_later_change_stands_for_an_earlier(timeline: str, expected: str) -> None:
    assert states(judged(timeline, expect="latest-state")[0]) == expected


def open_offsets(timeline: str) -> list[int]:
    return [offset for offset, state, _ in watermarks.open_cells(judged(timeline)[0]) if state is not State.PENDING]


def test_a_waiver_closes_a_bad_cell_and_changes_nothing_of_another() -> None:
    assert open_offsets("0 F2 F2") == [1]
    assert open_offsets("0 F2 W1 F2") == []
    assert open_offsets("0 F2 W0 F2") == [1]


def test_a_sink_of_progress_alone_is_never_called_delivered() -> None:
    assert states(judged("F4 S5-6", evidence="progress")[0]) == "aaaapmpp"


def test_applied_twice_is_a_fault_only_where_the_contract_says_so() -> None:
    assert states(judged("0 0 F1")[0]) == "dppppppp"
    assert states(judged("0 0 F1", redelivery="fault")[0]) == "2ppppppp"
    assert states(judged("0 0! F1", redelivery="fault")[0]) == "dppppppp"


@pytest.mark.parametrize(
    ("timeline", "settled", "verified"),
    [
        ("0 1 2 F3", 3, 3),
        ("0 2 F3", 1, 1),
        ("0 2 F3 1 F3", 3, 3),
        ("F3", 0, 0),
        ("0 L F2 1 F2", 2, 0),
        ("0 2 F3 E", 1, 1),
    ],
)
def test_watermarks_stop_at_what_is_open_and_at_what_nobody_can_verify(
    timeline: str, settled: int, verified: int
) -> None:
    sink, _ = judged(timeline)

    assert (watermarks.settled_watermark(sink), watermarks.verified_watermark(sink)) == (settled, verified)


def test_only_the_newest_bad_change_of_a_key_is_commanded_and_the_older_once_that_is_settled() -> None:
    """Keys: a at 0 and 2, b at 1 and 4."""
    assert judged("F3")[1] == [[1, 2]]
    assert judged("F3 2! F3")[1] == [[1, 2], [0]]
    assert judged("F3", writes="append")[1] == [[0, 1, 2]]


def test_a_fence_that_names_nothing_new_still_closes_what_turned_good() -> None:
    sink, _ = judged("0 F2 1 F2")

    assert watermarks.settled_watermark(sink) == 2


def test_evidence_that_disagrees_with_a_closed_cell_is_a_finding_and_changes_nothing() -> None:
    sink, _ = judged("0 F1 0x 0r 0")

    assert states(sink).startswith("d")
    assert [(remark.kind, remark.offset) for remark in sink.remarks] == [("contradicted", 0)]


def test_latest_state_asks_nothing_where_no_change_lies_below_the_horizon() -> None:
    """Open cells are judged for the metrics before the lane has named any of them."""
    sink, _ = judged("B0", expect="latest-state")

    assert int(watermarks.open_counts(sink)[State.PENDING]) == len(KEYS)


def test_every_row_of_evidence_is_counted_somewhere() -> None:
    timeline = "0 1x F2 0x 900 S1-2 B1 W1 G1@1 F2 2 E 3"
    sink, _ = judged(timeline)

    assert sink.tally.rows.total() + len(sink.parked) + sink.queued == len(timeline.split())


assert len(ReceiptStatus) == len(set(STATUS.values()))
