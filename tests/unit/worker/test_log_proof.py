"""What the last rows of a sink's change log prove, and what they don't: no false alarm, and no loss that is taken for delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.errors import NotYet, Unavailable
from app.ledger.partition import PartitionFold
from app.model import Contract, RawBatch, RawRecord
from app.worker import log_proof, log_walk
from app.worker.ports import Input
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, framed
from tests.unit.worker.test_log_walk import (
    LogWorld,
    contradicted,
    insert,
    pairs,
    settled,
    upsert,
    waited,
    waited_or_not,
)  # fmt: skip
from tests.unit.worker.test_readback import KEY, KEY_ID, NARROW, NARROW_ID

FORGOTTEN_MS = 1_000_000
"""Long after everything that a world without a time of its own does."""


def looked(world: LogWorld, below: int) -> set[str]:
    """The states of what lies below, after a look and the wait for the log."""
    try:
        waited_or_not(world, below)
    except Unavailable:
        return set()
    return {state for offset, state in world.states().items() if offset < below}


def judged(most: int) -> LogWorld:
    """A world whose first two changes are judged."""
    world = LogWorld(insert(90, "p"), insert(91, "q"), most=most)
    world.writes(insert(90, "p"), insert(91, "q"))
    world.walks(2)
    return world


# ---------------------------------------------------------------- silence, and what is not held of a log


def unreadable(world: LogWorld) -> None:
    """A record of the log that may have been a write of any key."""
    world.tells(None, b"\0nonsense")


@pytest.mark.parametrize(("most", "happens"), [(5, lambda _: None), (1_000, unreadable)])
def test_an_old_row_that_is_written_again_does_not_stand_for_all_that_was_forgotten(
    most: int, happens: Callable[[LogWorld], None]
) -> None:
    world = judged(most)
    rows = [insert(key, "a") for key in range(9)]
    world.happens(*rows)
    world.writes(*rows[:6])
    happens(world)
    world.writes(upsert(91, "q"), *rows[6:], upsert(500, "of another partition"))

    assert "missing" not in looked(world, 10)


def test_an_insert_that_happened_after_all_that_was_forgotten_is_missing() -> None:
    world = judged(1_000)
    unreadable(world)
    world.source_ms = FORGOTTEN_MS
    world.passes(FORGOTTEN_MS // 1000)
    world.happens(*pairs("a", "lost", "c", "d"))
    world.writes(insert(0, "a"), insert(2, "c"), insert(3, "d"))

    world.walks(6)

    assert world.states()[3] == "missing"


def test_what_lies_below_the_beginning_of_a_log_may_be_what_is_not_found() -> None:
    world = LogWorld(*pairs("a", "lost", "c", "d"))
    world.unread_ms = 1_000
    world.writes(insert(0, "a"), insert(2, "c"), insert(3, "d"))

    assert looked(world, 4) == {"delivered", "attempted"}


def test_rows_of_a_snapshot_of_the_log_do_not_show_from_where_on_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the snapshot's rows, which come in an order of its own, the first were forgotten."""
    monkeypatch.setattr(log_proof, "KEYS_AT_ONCE", 3)
    monkeypatch.setattr(log_proof, "NEAR", 3)
    world = LogWorld(*(insert(key, "a") for key in range(10)))
    world.writes(insert(0, "a"), op="r")
    world.writes(*(insert(key, "a") for key in (6, 7, 8, 9)))

    assert "missing" not in looked(world, 7)


def test_a_log_tells_of_what_was_written_after_its_first_record_in_whichever_partition() -> None:
    world = LogWorld(*pairs("a", "lost", "c", "d", "e", "f"), partitions=2)
    world.writes(insert(0, "a"))
    world.writes(insert(2, "c"), insert(3, "d"), partition=1)
    world.writes(insert(4, "e"), insert(5, "f"))

    waited_or_not(world, 2)

    assert world.states()[1] == "missing"


@pytest.mark.parametrize("kind", ["evicted", "unreadable", "truncated"])
def test_what_is_forgotten_while_rows_are_looked_at_was_not_silence(kind: str) -> None:
    world = judged(7)
    rows = pairs("a", "b", "c", "d")
    world.happens(*rows)
    world.writes(*rows)
    world.happens(insert(95, "n"), insert(96, "n"))
    world.writes(insert(95, "n"))
    forget = {
        "evicted": lambda: world.writes(*(upsert(key, "other") for key in range(200, 204))),
        "unreadable": lambda: (unreadable(world), world.writes(upsert(77, "other"))),
        "truncated": lambda: world.writes((0, "t", None), upsert(77, "other")),
    }[kind]
    hook_first_fetch(world, forget)

    assert "missing" not in looked(world, 6)


def hook_first_fetch(world: LogWorld, then: Callable[[], Any]) -> None:
    """Something happens the first time that changes are fetched."""
    fetch, done = world.fetch, []

    async def hooked(source: Input, offsets: Sequence[int]) -> RawBatch:
        if not done:
            done.append(True)
            then()
        return await fetch(source, offsets)

    world.fetch = hooked  # type: ignore[method-assign]


def test_what_is_forgotten_while_the_first_of_many_keys_are_looked_at_was_not_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_walk, "KEYS_AT_ONCE", 2)
    world = judged(10)
    rows = pairs("a", "b", "c", "d", "e", "f")
    world.happens(*rows)
    world.writes(*(row for row in rows if row[0] != 1))
    world.happens(insert(95, "n"), insert(96, "n"))
    world.writes(insert(95, "n"), insert(96, "n"))
    world.looks.append(lambda: world.writes(upsert(1, "b"), *(upsert(key, "other") for key in range(200, 206))))

    assert "missing" not in looked(world, 8)


# ---------------------------------------------------------------- silence, and what changes nothing


def row(key: int, name: str) -> tuple[int, str, Any]:
    """A row that the source's snapshot tells of."""
    return key, "r", insert(key, name)[2]


@pytest.mark.parametrize("again", [row, insert])
def test_a_row_that_the_source_tells_again_is_written_without_a_trace(
    again: Callable[[int, str], tuple[int, str, Any]],
) -> None:
    """MySQL has no event of an upsert that changes nothing, nobody has one of an insert that is left out."""
    world = LogWorld(insert(1, "a"), insert(2, "b"), insert(3, "c"), most=3)
    world.writes(insert(1, "a"), insert(2, "b"), insert(3, "c"))
    world.walks(3)
    world.writes(*(upsert(key, "other") for key in range(200, 203)))
    world.happens(insert(10, "x"), again(1, "a"), again(2, "b"), insert(11, "y"), insert(12, "z"))
    world.writes(insert(10, "x"), insert(11, "y"), insert(12, "z"))

    assert "missing" not in looked(world, 8)


def test_an_insert_whose_place_in_the_sources_log_was_told_before_is_written_without_a_trace() -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"))
    world.sink.changes.segments[0].duplicates[1] = True
    world.writes(insert(0, "a"), insert(2, "c"), insert(3, "d"))

    assert "missing" not in looked(world, 4)


@pytest.mark.parametrize(("forgotten", "state"), [(0, "missing"), (4_096, "attempted")])
def test_a_row_of_a_snapshot_is_missing_only_where_every_change_there_ever_was_is_held(
    forgotten: int, state: str
) -> None:
    world = LogWorld(row(0, "a"), row(1, "lost"), row(2, "c"), row(3, "d"))
    world.sink.changes.forgotten = forgotten
    world.writes(insert(0, "a"), insert(2, "c"), insert(3, "d"))

    waited_or_not(world, 4)

    assert world.states()[1] == state


# ---------------------------------------------------------------- rows that an earlier change made, too


def test_a_row_that_an_earlier_change_made_with_a_value_that_a_later_one_leaves_out_is_of_either() -> None:
    world = LogWorld(insert(1, "on", "LONG"), upsert(1, "off", UNAVAILABLE_VALUE), upsert(1, "on", UNAVAILABLE_VALUE))
    world.writes(insert(1, "on", "LONG"))

    assert "delivered" not in looked(world, 3)


def test_what_another_sink_compares_does_not_tell_two_changes_apart() -> None:
    world = LogWorld(ignore_columns=("orders.body", "t.body", ".body"))
    contracts = [
        Contract(
            sink=sink, topics=("t",), evidence="progress", expect="latest-state", fences="progress", redelivery="legal",
            ignore_columns=ignored,
        )
        for sink, ignored in (("s", ("t.body", "orders.body", ".body")), ("s2", ()))
    ]  # fmt: skip
    world.fold = PartitionFold(contracts, 0)
    world.happens(upsert(1, "on", "1"), *(upsert(1, str(n), "2") for n in range(20)), upsert(1, "on", "3"))
    world.writes(upsert(1, "on", "1"))

    assert "delivered" not in looked(world, 22)


def test_a_row_from_before_a_column_that_may_be_null_is_that_of_the_change_with_null_too() -> None:
    world = LogWorld()
    for op, name in (("c", "on"), ("u", "off")):
        value = framed(NARROW, change(op, {"id": 1, "name": name}, {"lsn": len(world.records)}), NARROW_ID)
        world.records.append(RawRecord(len(world.records), 100, framed(KEY, {"id": 1}, KEY_ID), value))
    world.reads_on()
    world.happens(upsert(1, "on", None))
    world.writes(insert(1, "on", None))

    assert "delivered" not in looked(world, 3)


def test_a_row_whose_value_the_log_leaves_out_may_be_of_another_change() -> None:
    world = LogWorld(upsert(1, "on", "1"), upsert(1, "off", "2"), upsert(1, "on", "3"))
    world.writes(upsert(1, "on", UNAVAILABLE_VALUE))

    assert "delivered" not in looked(world, 3)


def test_a_row_whose_value_the_log_leaves_out_is_there_where_no_earlier_change_of_its_key_is_held() -> None:
    world = LogWorld(insert(1, "on", "1"))
    world.writes(upsert(1, "on", UNAVAILABLE_VALUE))

    (said,) = world.walks(1)

    assert looked(world, 1) == {"delivered"}
    assert said.fingerprint is None  # type: ignore[union-attr]


@pytest.mark.parametrize("body", ["long", UNAVAILABLE_VALUE])
def test_a_row_that_was_written_long_before_its_change_is_of_one_that_is_not_held(body: str) -> None:
    world = LogWorld(sets_every_column=True)
    world.source_ms = FORGOTTEN_MS
    world.happens(insert(1, "on", "long"))
    world.writes(insert(1, "on", body))

    assert looked(world, 1) == {"attempted"}


def test_where_the_log_has_come_beyond_a_row_need_not_be_one_changes_alone() -> None:
    world = LogWorld(
        upsert(1, "on"), upsert(1, "off"), upsert(1, "on"), *pairs("z")[:1], insert(50, "y"), insert(51, "x")
    )
    world.writes(upsert(1, "on"), upsert(1, "off"), upsert(1, "on"), insert(0, "z"), insert(50, "y"), insert(51, "x"))

    world.walks(6)

    assert world.states()[2] == "delivered"


def test_a_row_that_was_right_at_the_first_look_and_is_overwritten_at_the_second_proves_nothing_now() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "b"))
    world.writes(upsert(1, "a"), upsert(1, "c"))
    world.looks.append(lambda: (world.happens(upsert(1, "c")), world.writes(upsert(1, "somebody's"))))

    with pytest.raises(NotYet):
        world.walks(2)


# ---------------------------------------------------------------- a sink that begins again


PASS = [insert(9, "z"), upsert(1, "a"), upsert(1, "b"), insert(2, "x"), insert(3, "y")]


def test_a_log_that_stands_in_the_second_pass_of_a_sink_shows_older_rows_behind_newer_ones() -> None:
    world = LogWorld(*PASS)
    world.writes(*PASS, *PASS[:2])

    assert "missing" not in looked(world, 5)


def test_an_old_row_that_is_touched_during_the_second_pass_shows_no_end_of_it() -> None:
    world = LogWorld(*PASS)
    world.writes(*PASS, *PASS[:2], upsert(2, "x"), upsert(3, "y"), upsert(9, "z"))

    assert "missing" not in looked(world, 5)


def test_a_row_that_is_right_until_the_second_pass_overwrites_it_is_not_called_delivered_in_it() -> None:
    """The first pass lost the last change of the key, which makes the row that the second writes at its beginning."""
    rows = [insert(9, "z"), upsert(1, "on"), upsert(1, "off"), upsert(1, "on"), insert(2, "x"), insert(3, "y")]
    world = LogWorld(*rows)
    world.writes(*rows[:3], *rows[4:], *rows[:2])

    waited_or_not(world, 6)

    assert world.states()[3] == "attempted"


def test_a_second_pass_contradicts_no_closed_cell() -> None:
    world = settled(*PASS)
    world.writes(*PASS[:2])

    world.walks(5, has_bad=True)

    assert contradicted(world) == []


def test_a_change_that_the_second_pass_lost_is_missing_once_the_log_has_come_beyond_it() -> None:
    world = LogWorld(*PASS)
    world.writes(*PASS[:2], *PASS[3:], *PASS[:2], *PASS[3:])
    with pytest.raises(NotYet):
        world.walks(5)
    world.goes_on()
    world.goes_on()

    world.walks(5)

    assert world.states()[2] == "missing"


# ---------------------------------------------------------------- how much is fetched


def test_keys_that_change_all_the_time_do_not_tell_how_far_a_log_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_proof, "MOST_CHANGES", 50)
    world = LogWorld(*pairs("a", "lost", "c", "d"), *(upsert(99, str(number)) for number in range(200)))
    world.writes(insert(0, "a"), insert(2, "c"), insert(3, "d"), upsert(99, "0"))
    world.walks(4)

    assert world.states()[1] == "missing"
    assert max(world.asked_for) <= 50


def test_how_far_a_log_reaches_is_not_asked_where_every_row_is_sure_without(monkeypatch: pytest.MonkeyPatch) -> None:
    world = LogWorld(*pairs("a", "b"))
    world.writes(*pairs("a", "b"))
    monkeypatch.setattr(log_proof, "neighbours", None)

    world.walks(2)

    assert set(world.states().values()) == {"delivered"}


# ---------------------------------------------------------------- a log that proves nothing


def test_that_a_log_has_no_order_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"), partitions=2)
    world.writes(*pairs("a", "b", "c", "d"))
    world.writes(upsert(1, "b"), upsert(2, "c"), partition=1)

    waited(world, 4)

    assert world.walk.tally.doubt == "log has records of one key in two partitions: they have no order"
    assert caplog.text.count("a change log proves nothing of the table t: log has records") == 1
