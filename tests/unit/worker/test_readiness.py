"""Whether an installation that observes is ready: every reason why not stands alone, and what is not known is no readiness."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.model import ChangeKind, Contract, Flag, Origin, State
from app.model.effects import Contradicted, Orphan, SinkWatermark, UnknownSink, Unreadable, Verdict
from app.worker.ports import Input
from app.worker.readiness import PLACES_SHOWN, SILENCE_MS, History, Limits, Seen, is_ready, points

HOUR = 3_600_000
NOW = 100 * HOUR
LANE = Origin("receipts", 0, 7)
SINK = Contract(sink="s", topics=("t",))


def cells(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(state.word, 0) for state in State)


GOOD = SinkWatermark(
    sink="s",
    generation=0,
    topic="t",
    epoch=0,
    partition=0,
    frontier=100,
    settled_watermark=100,
    verified_watermark=100,
    settled_ts_ms=NOW,
    verified_ts_ms=NOW,
    open_counts=cells(),
    counts=cells(delivered=100),
    flags=(0,) * 8,
    seals=0,
    seal_hash=b"",
    at=NOW,
    next_offset=100,
    fence=100,
    fence_at=NOW - 5 * HOUR,
)


def seen(told: SinkWatermark | None = GOOD, *, end=100, at=NOW, **more) -> Seen:
    return Seen(source=Input("t", 0), earliest=0, end=end, told=told, told_at_ms=at, **more)


def verdict(offset, state, *, closed=False, flags=0, generation=0) -> Verdict:
    return Verdict(
        id="", sink="s", generation=generation, topic="t", epoch=0, partition=0, offset=offset, state=state,
        flags=Flag(flags), change=ChangeKind.UPSERT, key_hash=None, expected_fingerprint=None, seen_fingerprint=None,
        fence=100, fence_origin=LANE, closed=closed, at=NOW,
    )  # fmt: skip


def history(*told, at=NOW) -> History:
    found = History(since_ms=NOW - 24 * HOUR, listeners={"receipts": frozenset({"s"})})
    for one in told:
        found.note(one, at)
    return found


def asked(*sources, contract=SINK, told=(), at=NOW, **limits):
    """Level and word of every point."""
    found = points(contract, sources or (seen(),), history(*told, at=at), Limits(**limits), NOW)
    return [(point.level, point.what) for point in found]


def test_a_sink_of_which_everything_was_judged_is_ready_however_old_its_last_fence_is():
    found = points(SINK, [seen()], history(), Limits(), NOW)

    assert (found, is_ready(found)) == ([], True)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (seen(None), "untold"),
        (seen(at=NOW - SILENCE_MS - 1), "silent"),
        (seen(is_suspended=True), "suspended"),
        (seen(replace(GOOD, counts=cells(pending=3), open_counts=cells(pending=3), fence_at=NOW)), "unjudged"),
        (seen(replace(GOOD, open_counts=cells(pending=3))), "unfenced"),
        (seen(replace(GOOD, open_counts=cells(pending=3), fence_at=None)), "unfenced"),
        (seen(end=101), "unfenced"),
        (seen(replace(GOOD, verified_watermark=40)), "unverifiable"),
        (seen(replace(GOOD, open_counts=cells(missing=1))), "bad"),
        (seen(replace(GOOD, flags=(6, *(0,) * 7))), "late"),
    ],
)
def test_each_of_these_blocks(source, word):
    assert ("blocks", word) in asked(source)
    assert not is_ready(points(SINK, [source], history(), Limits(), NOW))


@pytest.mark.parametrize(
    "source",
    [
        seen(None, end=0),  # an empty log beside one that is judged
        seen(replace(GOOD, open_counts=cells(pending=3), fence_at=NOW - 1)),
        seen(replace(GOOD, flags=(5, *(0,) * 7))),
        seen(replace(GOOD, counts=cells(delivered=90, exempt=10))),
    ],
)
def test_and_none_of_these(source):
    assert asked(seen(), source) == []


def test_open_bad_cells_are_named_and_those_of_another_life_or_closed_ones_are_not():
    told = [
        verdict(5, State.MISSING),
        verdict(6, State.DIVERGED),
        verdict(7, State.MISSING),
        verdict(7, State.DELIVERED, closed=True, flags=Flag.REPAIRED),
        verdict(8, State.MISSING, generation=1),
    ]
    source = seen(replace(GOOD, open_counts=cells(missing=1, diverged=1), settled_watermark=5, verified_watermark=5))
    (point,) = points(SINK, [source], history(*told), Limits(), NOW)

    assert (point.count, point.places) == (2, ("t:0:5 missing", "t:0:6 diverged"))


def test_open_bad_cells_that_were_looked_at_do_not_block():
    assert asked(seen(replace(GOOD, open_counts=cells(missing=1))), is_bad_accepted=True) == [("note", "bad")]


def test_a_point_counts_all_and_names_the_first_ones():
    source = seen(replace(GOOD, open_counts=cells(missing=300), settled_watermark=0, verified_watermark=0))
    (point,) = points(SINK, [source], history(*(verdict(n, State.MISSING) for n in range(300))), Limits(), NOW)

    assert (point.count, len(point.places)) == (300, PLACES_SHOWN)


@pytest.mark.parametrize(
    ("closing", "is_told"),
    [
        (verdict(5, State.DELIVERED, closed=True, flags=Flag.RECOVERED), True),
        (verdict(5, State.DELIVERED, closed=True, flags=Flag.REPAIRED), False),
        (verdict(5, State.EXEMPT, closed=True), False),
        (verdict(5, State.MISSING, closed=True), False),  # waived
    ],
)
def test_a_verdict_that_was_taken_back_by_itself_blocks(closing, is_told):
    told = asked(told=[verdict(5, State.MISSING), closing])

    assert told == ([("blocks", "taken_back")] if is_told else [])


def test_what_was_taken_back_or_found_before_the_window_does_not_count():
    old = [verdict(5, State.MISSING), verdict(5, State.DELIVERED, closed=True)]
    found = [Orphan(sink="s", topic="t", partition=0, offset=5, origin=LANE)]

    assert asked(told=[*old, *found], at=NOW - 25 * HOUR) == []


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (Orphan(sink="s", topic="t", partition=0, offset=5, origin=LANE), "orphan"),
        (Contradicted(sink="s", topic="t", partition=0, offset=5, origin=LANE), "contradicted"),
        (Unreadable(topic="receipts", partition=0, offset=5, reason="r"), "unreadable"),
        (UnknownSink(topic="receipts", partition=0, offset=5, sink="x", reason="r"), "unknown_sink"),
    ],
)
def test_what_was_found_beside_cells_blocks_the_sinks_that_it_may_speak_of(finding, word):
    assert asked(told=[finding]) == [("blocks", word)]
    assert asked(told=[finding], contract=replace(SINK, sink="other")) == []


def test_what_is_worth_knowing_does_not_block():
    retired = seen(replace(GOOD, is_ended=True, verified_watermark=3, rows={"old_generation": 2}))

    assert asked(retired) == [("note", "retired"), ("note", "old_generation")]
    assert asked(contract=replace(SINK, evidence="progress", fences="progress")) == [("note", "progress_only")]
