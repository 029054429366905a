"""What a change log tells of keys of which nothing is open: rows at rest, and rows of keys that no change has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.evidence.installation.partitioner import partition_of
from app.model import ChangeKind, RawBatch, RawRecord, State
from app.worker import log_rest
from app.worker.ports import Input
from app.worker.sink_log import SinkLog
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, framed
from tests.unit.worker import test_log_walk, test_readback
from tests.unit.worker.test_log_walk import (
    BOTH,
    LONG_S,
    NARROWED_ID,
    LogWorld,
    contradicted,
    delete,
    insert,
    pairs,
    settled,
    strangers,
    upsert,
    waited_or_not,
)  # fmt: skip
from tests.unit.worker.test_readback import KEY, KEY_ID, NARROW, VALUE, VALUE_ID

NEW_KEY_ID = 11


def long_after(world: LogWorld, *rows: tuple[int, str, Any]) -> None:
    """Somebody writes into the sink."""
    world.passes(LONG_S)
    world.writes(*rows)


def test_what_is_forgotten_while_a_row_at_rest_is_looked_at_contradicts_nothing() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    long_after(world, upsert(1, "b"))
    fetch = world.fetch

    async def forgetting(source: Input, offsets: Sequence[int]) -> RawBatch:
        world.tells(None, b"\0nonsense")
        world.writes(upsert(77, "other"))
        return await fetch(source, offsets)

    world.fetch = forgetting  # type: ignore[method-assign]

    world.walks(4, has_bad=True)

    assert contradicted(world) == []


def test_what_an_older_change_made_is_told_once_the_log_has_come_beyond() -> None:
    """A sink may be writing it again after it began again, and its log may be in the middle of that."""
    world = settled(insert(1, "a"), upsert(1, "b"), *pairs("z"), insert(50, "y"))
    long_after(world, upsert(1, "a"))

    assert world.walks(4, has_bad=True) == []
    world.goes_on()
    world.walks(4, has_bad=True)

    assert contradicted(world) == [1]


def test_a_row_that_is_forgotten_while_the_log_is_waited_for_is_given_up_and_counted() -> None:
    world = settled(insert(1, "a"), upsert(1, "b"), *pairs("z"), insert(50, "y"), most=6)
    long_after(world, upsert(1, "a"))
    assert world.walks(4, has_bad=True) == []

    world.writes(*(upsert(key, "other") for key in range(200, 206)))

    assert world.walks(4, has_bad=True) == []
    assert world.walks(4, has_bad=True) == []
    assert world.walk.tally.rows["passed_over"] == 1


def test_a_contradiction_is_said_once_though_another_key_is_waited_for() -> None:
    world = settled(insert(1, "a"), upsert(1, "b"), *pairs("z"), insert(50, "y"))
    long_after(world, upsert(1, "a"), delete(0))

    assert [len(world.walks(4, has_bad=True)) for _ in range(3)] == [1, 0, 0]
    assert contradicted(world) == [2]
    assert world.walk.tally.rows["absent"] == 1


def test_all_that_was_compared_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.worker.log_proof.NEAR", 3)
    world = settled(*(insert(key, "a") for key in range(30)))
    long_after(world, delete(15), upsert(16, "somebody's"))

    world.walks(30, has_bad=True)

    assert contradicted(world) == [15, 16]


def test_rows_that_were_right_when_the_log_told_of_them_are_not_fetched_again() -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"))
    world.writes(*pairs("a", "b", "c", "d"))
    world.walks(4)
    world.walks(4, has_bad=True)
    world.happens(insert(5, "e"))
    world.writes(insert(5, "e"))
    world.walks(5)
    world.asked_for.clear()

    world.walks(5, has_bad=True)

    assert world.asked_for == []


def test_many_rows_at_rest_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rest, "KEYS_AT_ONCE", 4)
    world = settled(*(insert(key, "a") for key in range(10)))
    world.asked_for.clear()
    long_after(world, *(insert(key, "a") for key in range(10)))

    world.walks(10, has_bad=True)

    assert world.asked_for == [4, 4, 2]


def test_a_key_that_stands_on_another_partition_today_contradicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its schema has got another id: a newer change may have been written there."""
    schemas = {VALUE_ID: json.dumps(VALUE), KEY_ID: json.dumps(KEY), NEW_KEY_ID: json.dumps(KEY)}
    for module in (test_readback, test_log_walk):
        monkeypatch.setattr(module, "WRITERS", RecordedSchemas(schemas))
    before, now = (
        [key for key in range(4_000) if partition_of(framed(KEY, {"id": key}, one), 4) == 0]
        for one in schemas
        if one != VALUE_ID
    )
    moved = next(key for key in before if key not in now)
    world = LogWorld()
    world.source_partitions = 4
    for key, number in ((moved, KEY_ID), *((key, NEW_KEY_ID) for key in now[:60])):
        value = framed(VALUE, change("c", {"id": key, "name": "a", "body": "b"}, {"lsn": key}), VALUE_ID)
        world.records.append(RawRecord(len(world.records), 100, framed(KEY, {"id": key}, number), value))
    world.reads_on()
    rows = [insert(key, "a") for key in (moved, *now[:60])]
    world.writes(*rows)
    world.walks(len(rows))
    world.walks(len(rows), has_bad=True)
    long_after(world, upsert(moved, "newer"), upsert(now[0], "somebody's"))

    world.walks(len(rows), has_bad=True)

    assert contradicted(world) == [1]
    assert world.walk.tally.rows["unplaced"] == 1


def test_a_column_that_was_dropped_from_the_sink_contradicts_nothing() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    source = {"table": "t", "ts_ms": 1_000 * world.written, "lsn": 1_000}
    value = framed(NARROW, change("u", {"id": 1, "name": "b"}, source), NARROWED_ID)
    world.tells(framed(KEY, {"id": 1}, KEY_ID), value)

    world.walks(4, has_bad=True)

    assert contradicted(world) == []


def test_a_cell_that_an_operator_has_settled_as_it_is_is_not_contradicted_by_that() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.sink.cells[0].closed[1] = State.MISSING + 1
    long_after(world, delete(1), delete(2))

    world.walks(4, has_bad=True)

    assert contradicted(world) == [2]


# ---------------------------------------------------------------- rows of keys that no change has


def test_a_change_that_is_read_between_two_questions_is_no_strangers() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(*(upsert(key, "new") for key in range(90, 95)))
    world.happens_unread(*(upsert(key, "new") for key in range(90, 95)))
    world.walks(4, has_bad=True)
    end = world.end

    async def late(source: Input, start: int) -> int:
        world.reads_on()
        return await end(source, start)

    world.end = late  # type: ignore[method-assign]

    world.walks(4, has_bad=True)

    assert world.walk.tally.rows["foreign"] == 0


def test_keys_that_changes_tell_of_take_no_strangers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rest, "MOST_STRANGERS", 1)
    world = settled(*pairs("a", "b", "c", "d"))
    more = [insert(key, "a") for key in range(100, 140)]
    world.happens(*more)
    world.writes(*more, insert(900, "somebody's"))

    for _ in range(2):
        world.walks(4, has_bad=True)

    assert world.walk.tally.rows["foreign"] == 1
    assert world.walk.tally.rows["passed_over"] == 0


def test_strangers_for_whom_there_is_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rest, "MOST_STRANGERS", 1)
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(*(insert(key, "somebody's") for key in range(900, 905)))

    assert strangers(world) == {"foreign": 1}
    assert world.walk.tally.rows["passed_over"] == 4


def test_what_a_log_that_was_made_again_tells_from_its_beginning_is_news() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.log[0].clear()
    world.begun.clear()
    world.writes(upsert(1, "somebody's"))

    world.walks(4, has_bad=True)

    assert contradicted(world) == [1]


# ---------------------------------------------------------------- what is kept of a log


def test_rows_that_are_written_again_as_they_were_are_counted_and_convict_nobody() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    assert not world.walk.tally.rows["again"]
    long_after(world, upsert(0, "a"), upsert(1, "b"), upsert(2, "c"))

    world.walks(4, has_bad=True)

    assert world.walk.tally.rows["again"] == 3
    assert contradicted(world) == []


def test_places_that_were_told_are_remembered_of_all_partitions_together() -> None:
    log = SinkLog(ImageDecoder(BOTH, UNAVAILABLE_VALUE), 10)
    for partition in range(5):
        records = [
            RawRecord(at, 0, framed(KEY, {"id": at}, KEY_ID), framed(VALUE, change("c", insert(at, "a")[2], {"lsn": at}), VALUE_ID))
            for at in range(10)
        ]  # fmt: skip
        log.take(RawBatch.of("log", partition, records, 0, 10))

    assert len(log._told) == 10


def test_up_to_when_something_is_not_held_of_a_log_is_known() -> None:
    world = LogWorld(most=2)
    table = lambda: world.walk._logged.log.table("t")  # noqa: E731

    def forgotten() -> int:
        asyncio.run(world.walk._logged.catch_up())
        kept = table()
        assert kept is not None
        return world.walk._logged.log.forgotten_ms(kept)

    world.writes(insert(1, "a"), insert(2, "b"))
    assert forgotten() == -1
    world.writes(insert(3, "c"))
    assert forgotten() == 1_000
    world.writes((0, "t", None))
    assert forgotten() == 4_000
    world.writes(insert(4, "d"))
    world.tells(None, b"\0nonsense")
    assert forgotten() == 5_000


def test_a_table_that_begins_anew_is_believed_again() -> None:
    world = LogWorld(*pairs("a", "b"), partitions=2)
    world.writes(*pairs("a", "b"))
    world.writes(upsert(1, "b"), partition=1)
    waited_or_not(world, 2)
    assert world.walk.tally.doubt
    world.log[1].clear()
    for log in world.log:
        del log[:]
    world.begun.clear()
    world.writes(*pairs("a", "b"))

    world.walks(2)

    assert not world.walk.tally.doubt
    assert world.walk._logged.log.table("t").newest().kind is ChangeKind.UPSERT  # type: ignore[union-attr]
