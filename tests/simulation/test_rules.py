"""The oracle's rules, each in a lane of a few lines.

A line is a receipt (``3 APPLIED right at=5 command=c sequence=1``) or a mark (``FENCE 5``, ``SKIP 2 4``, ``START 3 gen=1``).
Changes stand at offsets 0, 1, … as ``kind:key``.
"""

from __future__ import annotations

import pytest

from tests.simulation.changes import Change
from tests.simulation.contract import Contract
from tests.simulation.lanes import Entry, Mark, Receipt
from tests.simulation.oracle import Judge
from tests.simulation.repairs import wanted
from tests.simulation.rules import Cell, Life

PRINTS = {"right": bytes(8), "wrong": b"\x01" + bytes(7), "none": None}


def judged(changes: str, *lane: str, **contract: str) -> Judge:
    """A lane read to its end."""
    cells = {}
    for offset, word in enumerate(changes.split()):
        kind, _, key = word.partition(":")
        change = Change(
            topic="t", partition=0, offset=offset, kind=kind, key_hash=key.encode() or None, timestamp=0, source_ts_ms=0
        )
        cells[offset] = Cell(change=change)
    promised = Contract(name="s", topics=["t"], **contract)  # type: ignore[arg-type]
    judge = Judge(name=("s", "t", 0), life=Life(contract=promised, cells=cells, end=len(cells)))
    for place, line in enumerate(lane):
        judge.read(entry(place, line))
    return judge


def entry(place: int, line: str) -> Entry:
    """The evidence record of a line."""
    words = [word for word in line.split() if "=" not in word]
    more = dict(word.split("=") for word in line.split() if "=" in word)
    if words[0].isdigit():
        receipt = Receipt(
            offset=int(words[0]),
            status=words[1],
            fingerprint=PRINTS[words[2]] if len(words) > 2 else None,
            applied_at=int(more.get("at", 0)),
            command_id=more.get("command"),
            sequence=int(more["sequence"]) if "sequence" in more else None,
        )
        return Entry(timestamp=0, topic="e", partition=0, receipts=(receipt,))
    mark = Mark(
        kind=words[0],
        offset=int(words[1]),
        to_offset=int(words[2]) if len(words) > 2 else None,
        generation=int(more.get("gen", 0)),
        at=place,
        record=("e", 0, place),
    )
    return Entry(timestamp=0, topic="e", partition=0, mark=mark)


def said(judge: Judge) -> list[str]:
    """Each cell's state and flags, as one word each."""
    return ["+".join([state, *flags]) for state, flags in judge.verdicts().values()]


@pytest.mark.parametrize(
    ("changes", "lane", "contract", "expected"),
    [
        ("upsert:a", [], {}, ["pending"]),
        ("upsert:a", ["FENCE 1"], {}, ["missing"]),
        ("upsert:a upsert:b", ["SKIP 0 1"], {}, ["missing", "pending"]),
        ("upsert:a", ["PROGRESS 1"], {}, ["pending"]),
        ("upsert:a", ["FENCE 1"], {"evidence": "progress"}, ["attempted"]),
        ("upsert:a", ["SKIP 0 1", "FENCE 1"], {"evidence": "progress"}, ["missing"]),
        ("upsert:a", ["0 APPLIED right"], {}, ["delivered"]),
        ("upsert:a", ["0 APPLIED wrong"], {}, ["diverged"]),
        ("upsert:a delete:a", ["0 DELETED", "1 APPLIED"], {}, ["diverged", "diverged"]),
        ("upsert:a", ["0 APPLIED right", "0 REJECTED"], {}, ["rejected"]),
        ("upsert:a", ["0 APPLIED wrong", "0 APPLIED"], {}, ["diverged"]),
        ("upsert:a", ["0 APPLIED wrong", "0 APPLIED command=c"], {}, ["delivered+repaired"]),
        ("undecodable:a", ["0 APPLIED right"], {}, ["unverifiable"]),
        ("undecodable:a", ["0 REJECTED"], {}, ["rejected"]),
        ("undecodable:a", ["SKIP 0 1"], {}, ["missing"]),
        ("delete:a", ["0 DELETED"], {"deletes": "ignore"}, ["exempt+unexpected"]),
        ("tombstone:a", ["0 DELETED"], {}, ["exempt"]),
        ("truncate", ["0 APPLIED"], {"truncates": "apply"}, ["delivered"]),
        ("upsert:a", ["FENCE 1", "0 APPLIED right"], {}, ["delivered+recovered"]),
        ("upsert:a", ["0 APPLIED right at=10000"], {}, ["delivered"]),
        ("upsert:a", ["0 APPLIED right at=10001"], {}, ["delivered+late"]),
        ("upsert:a", ["0 REJECTED at=10001", "0 APPLIED right"], {}, ["delivered+late"]),
        ("upsert:a", ["0 APPLIED right", "0 APPLIED right at=1"], {}, ["delivered+redelivered"]),
        ("upsert:a", ["0 APPLIED right", "0 APPLIED right at=1"], {"redelivery": "fault"}, ["duplicated+redelivered"]),
    ],
)
def test_the_first_rule_that_fits_gives_the_state(
    changes: str, lane: list[str], contract: dict[str, str], expected: list[str]
) -> None:
    assert expected == said(judged(changes, *lane, **contract))


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        (["1 APPLIED right"], "superseded"),
        (["1 APPLIED wrong"], "superseded"),
        (["1 REJECTED"], "pending"),
        (["1 REJECTED", "FENCE 1"], "missing"),
        (["FENCE 2"], "superseded"),
        (["0 REJECTED", "1 APPLIED right"], "rejected"),
        (["0 SKIPPED", "1 APPLIED right"], "diverged"),
    ],
)
def test_under_latest_state_a_later_change_stands_for_one_of_which_nothing_was_said(
    lane: list[str], expected: str
) -> None:
    assert expected == said(judged("upsert:a upsert:a", *lane, expect="latest-state"))[0]


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        (["0 SKIPPED command=c"], "diverged"),
        (["0 SKIPPED command=c", "1 APPLIED right"], "superseded+guarded"),
        (["0 SKIPPED command=c", "1 APPLIED wrong"], "diverged"),
        (["0 SKIPPED", "1 APPLIED right"], "diverged"),
        (["0 SKIPPED command=c", "1 APPLIED right", "1 APPLIED right at=1"], "superseded+guarded"),
    ],
)
def test_a_skip_that_answers_a_command_needs_a_later_delivered_change(lane: list[str], expected: str) -> None:
    assert said(judged("upsert:a upsert:a", *lane, redelivery="fault"))[0] == expected


def test_order_within_a_key_is_the_lane_s_unless_both_have_a_sequence() -> None:
    by_lane = judged("upsert:a upsert:a", "1 APPLIED right", "0 APPLIED right")
    by_sequence = judged("upsert:a upsert:a", "1 APPLIED right sequence=2", "0 APPLIED right sequence=1")
    by_one = judged("upsert:a upsert:a", "1 APPLIED right sequence=2", "0 APPLIED right")

    assert said(by_lane)[0] == said(by_one)[0] == "delivered+out_of_order"
    assert said(by_sequence)[0] == "delivered"


def test_what_turns_good_between_two_equal_fences_closes_at_the_second() -> None:
    judge = judged("upsert:a", "FENCE 1", "0 APPLIED right", "FENCE 1", "0 REJECTED")

    assert said(judge) == ["delivered+recovered"]
    assert judge.contradicted == [0]
    assert judge.settled == 1


def test_a_fence_below_an_earlier_one_changes_nothing() -> None:
    judge = judged("upsert:a upsert:b", "FENCE 2", "0 APPLIED right", "FENCE 1")

    assert judge.settled == 0
    assert judge.life.fence == 2


def test_a_closed_cell_is_contradicted_once_and_its_evidence_takes_part_in_nothing() -> None:
    judge = judged(
        "upsert:a upsert:a", "1 APPLIED right", "FENCE 2", "1 REJECTED", "1 APPLIED wrong", "1 APPLIED right"
    )

    assert judge.contradicted == [1]
    assert said(judge)[1] == "delivered"


def test_the_settled_watermark_stops_at_what_is_open_and_the_verified_one_at_ignorance_too() -> None:
    judge = judged("upsert:a undecodable:b upsert:c", "0 APPLIED right", "FENCE 3")

    assert (judge.settled, judge.verified) == (2, 1)


def test_a_start_of_the_same_life_exempts_what_is_open_below_and_keeps_what_is_closed() -> None:
    judge = judged("upsert:a upsert:b upsert:c", "0 APPLIED right", "FENCE 2", "START 2", "START 0", "FENCE 3")

    assert said(judge) == ["delivered", "exempt", "missing"]


def test_a_rebuild_judges_anew_from_its_offset_and_ignores_marks_of_the_old_life() -> None:
    judge = judged("upsert:a upsert:b", "0 APPLIED right", "1 APPLIED right", "FENCE 2", "START 1 gen=1", "FENCE 2")

    assert said(judge) == ["delivered", "pending"]
    assert (judge.settled, judge.verified, judge.life.frontier) == (1, 1, 1)


def test_after_the_end_open_cells_leave_the_counts_and_everything_is_ignored() -> None:
    judge = judged("upsert:a upsert:b", "0 APPLIED right", "FENCE 2", "END 2", "1 APPLIED right", "FENCE 2")

    assert said(judge) == ["delivered"]
    assert judge.settled == 1


def test_a_mark_beyond_the_end_names_the_end() -> None:
    judge = judged("upsert:a", "PROGRESS 99")

    assert judge.life.frontier == 1


def test_commands_name_the_newest_bad_change_of_a_key_and_none_older_than_an_applied_truncate() -> None:
    lane = ["2 APPLIED", "FENCE 5"]
    judge = judged("upsert:a upsert:b truncate upsert:a upsert:a", *lane, truncates="apply")
    appending = judged("upsert:a upsert:b truncate upsert:a upsert:a", *lane, truncates="apply", writes="append")

    assert wanted(judge.life, judge.found, judge.standing) == {"must": [4], "may": [3, 4]}
    assert wanted(appending.life, appending.found, appending.standing)["must"] == [0, 1, 3, 4]


def test_a_bad_change_above_every_fence_is_not_commanded() -> None:
    judge = judged("upsert:a upsert:b", "FENCE 1", "1 REJECTED")

    assert wanted(judge.life, judge.found, judge.standing) == {"must": [0], "may": [0]}
