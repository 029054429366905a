"""Which share of the changes was judged by which evidence: over partitions, workers and versions."""

from __future__ import annotations

from app.model import Level, State
from app.model.coverage import Coverage, judged_cells
from app.model.effects import SinkWatermark


def told(partition=0, opened=None, levels=(), bad_levels=(), **counts):
    """A watermark with counts of all cells by state; ``opened`` of the open ones."""
    whole = {State[word.upper()]: count for word, count in counts.items()}
    of_open = {State[word.upper()]: count for word, count in (opened or {}).items()}
    return SinkWatermark(
        sink="s", generation=0, topic="t", epoch=0, partition=partition, frontier=0, settled_watermark=0, verified_watermark=0,
        settled_ts_ms=None, verified_ts_ms=None, flags=(0,) * 8, seals=0, seal_hash=b"", at=0, levels=levels, bad_levels=bad_levels,
        counts=tuple(whole.get(state, 0) for state in State), open_counts=tuple(of_open.get(state, 0) for state in State),
    )  # fmt: skip


def shares(coverage):
    return {(one.state.word, one.level.word if one.level is not None else None): one.share for one in coverage.shares}


def test_what_waits_and_what_is_exempt_was_not_judged_and_an_open_bad_cell_was():
    """A delivered cell above the fence still waits for it."""
    one = told(
        opened={"pending": 5, "delivered": 2, "missing": 1}, exempt=7, pending=5, delivered=10, missing=2, attempted=3
    )

    assert judged_cells(one) == 8 + 2 + 3


def test_shares_are_of_all_that_was_judged_strongest_first_and_add_up_to_one():
    one = told(
        opened={"missing": 1, "diverged": 1}, levels=(2, 1, 0, 4), bad_levels=(0, 0, 0, 1),
        attempted=2, delivered=5, superseded=1, missing=1, diverged=1,
    )  # fmt: skip
    found = Coverage.of([one])

    assert shares(found) == {
        ("delivered", "read_back"): 0.4,
        ("delivered", "present"): 0.1,
        ("attempted", "attempted"): 0.2,
        ("superseded", None): 0.1,
        ("diverged", None): 0.1,
        ("missing", None): 0.1,
    }
    assert [one.level for one in found.shares][:3] == [Level.READ_BACK, Level.PRESENT, Level.ATTEMPTED]
    assert sum(one.cells for one in found.shares) == found.judged == 10


def test_of_what_was_read_back_what_differs_is_not_equal():
    found = Coverage.of(
        [told(opened={"diverged": 1}, levels=(0, 0, 0, 4), bad_levels=(0, 1, 0, 1), delivered=4, diverged=1)]
    )

    assert (found.read_back, found.equal) == (5, 4)


def test_partitions_are_summed_as_cells_never_as_shares():
    """A partition of ten cells weighs what it weighs."""
    large, small = told(levels=(0, 0, 0, 90), delivered=90), told(1, levels=(10, 0, 0, 0), attempted=10)

    assert shares(Coverage.of([large, small])) == {("delivered", "read_back"): 0.9, ("attempted", "attempted"): 0.1}


def test_what_an_older_version_closed_without_counting_its_evidence_is_there_without_a_level():
    found = Coverage.of([told(levels=(0, 0, 3, 0), delivered=5, attempted=5)])

    assert {(one.state.word, one.level, one.cells) for one in found.shares} == {
        ("delivered", Level.FINGERPRINT, 3),
        ("delivered", None, 2),
        ("attempted", None, 5),
    }


def test_where_nothing_was_judged_there_is_no_share():
    found = Coverage.of([told(opened={"pending": 3}, pending=3, exempt=2)])

    assert (found.judged, found.shares, found.read_back) == (0, (), 0)
    assert Coverage.of([]).judged == 0
