"""Rows at rest: what was changed in the store long after its fence is contradicted and named, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.adapters.store import MemoryStore
from app.errors import Unavailable
from app.model import RawRecord, State
from app.worker import walking
from app.worker.scrub import Lost, is_closed
from app.worker.scrubbed import Scrubbed, Wrong, keep, recalled
from cdc_receipts.atoms import text
from cdc_receipts.codec import Receipt, Status
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, framed
from tests.unit.worker.scrubs import Resting
from tests.unit.worker.test_readback import KEY, KEY_ID, NARROW, NARROW_ID, VALUE, VALUE_ID, delete, upsert


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over a handful of changes takes several steps."""
    monkeypatch.setattr(walking, "PIECE", 3)


def settled(*changes: tuple[int, str, Any], **given: Any) -> Resting:
    """Changes that a sink has applied; all are closed."""
    world = Resting(*changes, **given)
    world.store = {}
    rows: dict[int, tuple[str | None, str | None]] = {}
    for key, _, after in changes:
        if after is None:
            rows.pop(key, None)
        else:
            body = rows.get(key, (None, None))[1] if after["body"] == UNAVAILABLE_VALUE else after["body"]
            rows[key] = (after["name"], body)
    world.holds(*((key, *row) for key, row in rows.items()))
    world.look(len(changes))
    world.look(len(changes))  # closes what was read back before the first fence
    return world


SOME = (upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), upsert(3, "c"), delete(2), upsert(4, "d"), upsert(5, "e"))


def test_rows_at_rest_that_are_right_are_counted_and_nothing_is_said() -> None:
    world = settled(*SOME)

    assert world.passes() == []
    assert world.rows == {"equal": 5}
    assert (world.scrubbed.passes, world.scrubbed.since_ms, world.scrubbed.wrong_rows) == (1, 1_000, 0)


def test_a_row_that_was_edited_or_deleted_or_came_back_is_contradicted_at_its_newest_change() -> None:
    world = settled(*SOME)
    world.holds((1, "edited", "b"), (2, "x", "b"), (4, "d", "b"), (5, "e", "b"))

    assert sorted(world.passes()) == [2, 3, 4]
    assert sorted(world.contradicted) == [2, 3, 4]
    assert world.rows == {"equal": 2, "different": 2, "absent": 1}
    assert world.states()[2] == "delivered"


def test_a_row_is_told_of_once_and_again_when_it_is_wrong_in_another_way() -> None:
    world = settled(*SOME[:1])
    world.holds((1, "edited", "b"))
    assert world.passes() == [0]
    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 1

    world.holds((1, "edited again", "b"))

    assert world.passes() == [0]


def test_a_row_that_was_mended_is_wrong_no_more_and_told_of_when_it_is_spoiled_again() -> None:
    world = settled(*SOME[:1])
    world.holds()
    world.passes()

    world.holds((1, "a", "b"))
    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 0

    world.holds()
    assert world.passes() == [0]


def test_a_wrong_row_whose_key_changes_again_is_read_backs_business() -> None:
    world = settled(*SOME[:1])
    world.holds()
    world.passes()

    world.happens(upsert(1, "new"))

    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 0


def test_open_cells_are_left_alone() -> None:
    world = Resting(upsert(1, "a"), upsert(2, "b"))
    world.holds()
    world.look(1)

    assert world.states() == {0: "missing", 1: "pending"}
    assert world.passes() == []
    assert world.rows == {}


def test_a_row_that_is_wrong_at_one_look_only_was_never_wrong() -> None:
    world = settled(*SOME[:1])
    world.holds((1, "of a moment", "b"))
    world.looks.append(lambda: world.holds((1, "a", "b")))

    assert world.passes() == []
    assert world.rows == {"equal": 1}


# ---------------------------------------------------------------- changes that come meanwhile


def test_a_row_that_shows_a_change_which_the_fold_has_not_read_is_right() -> None:
    world = settled(*SOME)
    world.happens_unread(upsert(1, "newer"), delete(3))
    world.holds((1, "newer", "b"), (4, "d", "b"), (5, "e", "b"))

    assert world.passes() == []


def test_a_change_that_comes_between_two_statements_of_one_stretch_is_one_of_its_keys() -> None:
    """1. A stretch is read. 2. A row of it is suspected, and the log is read on. 3. The next statement asks for another row."""
    world = settled(upsert(1, "a"), upsert(2, "b"), upsert(3, "c"))
    world.holds((1, "wrong", "b"), (2, "b", "b"), (3, "newer", "b"))
    world.meanwhile = [lambda: None, lambda: world.happens_unread(upsert(3, "newer"))]

    assert world.passes() == [0]


def test_a_sink_that_was_set_back_is_not_convicted_by_older_rows_and_the_pass_goes_on_later() -> None:
    world = settled(*SOME)
    world.holds((1, "a", "b"), (3, "c", "b"), (4, "d", "b"), (5, "e", "b"))
    world.committed = 0
    one = world.begin()
    with pytest.raises(Unavailable, match="has fallen"):
        asyncio.run(world._pass(one))
    assert world.said == []

    world.committed = 1_000

    assert world.passes(one) == [2]
    assert world.rows["equal"] == 4


def test_a_lane_that_is_another_workers_by_now_is_told_nothing() -> None:
    world = settled(*SOME)
    world.holds()
    world.meanwhile = [lambda: None, lambda: setattr(world, "is_ours", False)]

    with pytest.raises(Lost):
        asyncio.run(world._pass(world.begin()))
    assert world.said == []


# ---------------------------------------------------------------- where a pass begins, ends and goes on


def test_what_expired_is_not_judged_and_a_row_that_is_wrong_is_forgotten_with_its_change() -> None:
    world = settled(*SOME)
    world.holds()
    world.passes()
    assert world.scrubbed.wrong.keys() == {2, 3, 5, 6}

    world.earliest = 4

    assert world.passes() == []
    assert world.scrubbed.wrong.keys() == {5, 6}


def test_below_the_beginning_nothing_is_judged() -> None:
    world = settled(*SOME)
    world.sink.begin(4)
    world.holds()

    assert sorted(world.passes()) == [5, 6]


def test_a_pass_goes_on_after_a_restart_where_it_stood() -> None:
    """Rows above were looked at before; their keys are read again, so that no older change of them is taken for the newest."""
    world = settled(*SOME)
    one = world.begin()
    asyncio.run(one.step())
    assert world.rows == {"equal": 3}
    assert world.scrubbed.low == 4
    world.scrubbed = Scrubbed.load(world.scrubbed.dump())

    assert world.passes() == []
    assert world.rows == {"equal": 5}
    assert world.scrubbed.passes == 1


def test_what_was_told_is_not_told_again_after_a_restart() -> None:
    world = settled(*SOME)
    world.holds()
    told = world.passes()
    world.scrubbed = Scrubbed.load(world.scrubbed.dump())

    assert len(told) == 4
    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 4


def test_a_key_that_the_filter_mistakes_is_met_all_the_same_where_its_row_was_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = settled(*SOME)
    world.holds((3, "c", "b"), (4, "d", "b"), (5, "e", "b"))
    assert world.passes() == [2]
    monkeypatch.setattr("app.worker.seen.Seen.has", lambda *_: True)

    world.passes()
    assert world.scrubbed.wrong_rows == 1

    world.holds((1, "b", "b"))
    world.passes()
    assert world.scrubbed.wrong_rows == 0


def test_of_too_many_wrong_rows_the_number_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.worker.scrub.MOST_WRONG", 2)
    world = settled(*SOME)
    world.holds()

    assert len(world.passes()) == 2
    assert world.scrubbed.wrong_rows == 4


# ---------------------------------------------------------------- what may have become of a right row


def test_a_value_that_a_change_leaves_out_is_the_one_before_it_where_that_is_near() -> None:
    world = settled(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE))
    assert world.passes() == []
    assert world.rows == {"equal": 1}

    world.holds((1, "b", "other"))

    assert world.passes() == [1]


def test_a_value_that_no_change_at_hand_tells_says_nothing() -> None:
    world = settled(
        upsert(1, "a", "long"), upsert(2, "x"), upsert(3, "y"), upsert(4, "z"), upsert(1, "b", UNAVAILABLE_VALUE)
    )
    world.holds((1, "b", "whatever"), (2, "x", "b"), (3, "y", "b"), (4, "z", "b"))

    assert world.passes() == []
    assert world.rows == {"equal": 3, "present": 1}


def test_a_row_of_a_table_that_somebody_else_fills_too_says_nothing() -> None:
    world = settled(*SOME, fillers=2)
    world.holds()

    assert world.passes() == []
    assert world.rows == {"shared": 5}


def test_a_key_that_would_stand_elsewhere_today_may_have_a_newer_change_there() -> None:
    """The partition count was raised: some old keys go elsewhere by now."""
    world = settled(*SOME, partitions=2)
    world.holds()

    assert world.passes() == []
    assert world.rows.keys() <= {"equal", "unplaced"}


def test_what_a_ddl_has_taken_from_the_tables_says_nothing() -> None:
    """A column that the newest changes lack, and one that the sink's table lacks."""
    world = Resting(upsert(1, "a"))
    value = framed(NARROW, change("u", {"id": 2, "name": "b"}, {"lsn": 1}), NARROW_ID)
    world.records.append(RawRecord(1, 100, framed(KEY, {"id": 2}, KEY_ID), value))
    world.reads_on()
    world.holds((1, "a", "b"), (2, "b", None))
    world.look(2)
    world.look(2)

    world.holds((1, "a", "written over by a DDL"), (2, "b", None))
    assert world.passes() == []
    assert world.rows == {"equal": 1, "present": 1}

    for row in world.store.values():
        del row["body"]
    assert world.passes() == []

    world.store[1]["name"] = text("other")
    assert world.passes() == [0]


def test_a_change_that_cant_be_read_may_be_one_of_every_key_before_it() -> None:
    world = settled(*SOME)
    world.records.append(RawRecord(len(world.records), 100, b"\x00\x00\x00\x00\x63key", b"\x00\x00\x00\x00\x63value"))
    world.reads_on()
    world.holds((5, "e", "b"))

    assert world.passes() == []
    assert world.rows == {"equal": 2, "unknown": 3}


def test_what_was_truncated_is_gone_and_what_came_later_is_not() -> None:
    world = Resting(upsert(1, "a"), upsert(2, "b"), truncates=True)
    value = framed(VALUE, change("t", None, {"lsn": 9}), VALUE_ID)
    world.records.append(RawRecord(2, 100, None, value))
    world.reads_on()
    world.happens(upsert(2, "c"))
    world.holds((2, "c", "b"))
    world.look(4)
    world.look(4)
    assert world.passes() == []
    assert world.rows == {"equal": 1}

    world.records.append(RawRecord(4, 100, None, value))
    world.holds()

    assert world.passes() == []


def test_a_truncate_that_comes_while_rows_are_suspected_ends_the_pass() -> None:
    world = settled(*SOME, truncates=True)
    world.holds()
    value = framed(VALUE, change("t", None, {"lsn": 9}), VALUE_ID)
    world.looks = [lambda: world.records.append(RawRecord(len(world.records), 100, None, value))]

    assert world.passes() == []
    assert world.scrubbed.passes == 0


def test_in_one_partition_of_several_a_row_that_is_not_there_may_have_been_truncated_by_another() -> None:
    world = settled(*SOME, truncates=True, partitions=2)
    world.holds()

    assert world.passes() == []


def test_deletes_that_the_contract_ignores_leave_the_row_as_it_was() -> None:
    world = settled(upsert(1, "a"), upsert(2, "b"), delete(1), deletes="ignore")
    world.holds((1, "a", "b"), (2, "b", "b"))
    assert world.passes() == []
    assert world.rows == {"equal": 2}

    world.holds((2, "b", "b"))

    assert world.passes() == [0]


def test_a_row_that_an_operator_has_waived_is_not_told_of() -> None:
    world = settled(*SOME[:1])
    world.sink.cells[0].closed[0] = State.MISSING + 1
    world.holds()

    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 0


def test_a_delivery_that_must_not_happen_twice_is_not_repeated_by_a_right_row() -> None:
    world = settled(*SOME, redelivery="fault", evidence="receipts")
    world.passes()

    assert world.contradicted == []


def test_a_far_cell_is_judged_by_its_change_alone() -> None:
    world = settled(*SOME)
    world.fold.changes["t"].segments.clear()
    world.sink.cells.clear()
    world.fold.changes["t"].forgotten = 4096
    world.holds((1, "b", "b"), (4, "d", "b"), (5, "e", "b"))

    assert world.passes() == [3]
    assert [offset for _, offset in world.sink.far] == [3]


def test_a_far_cell_that_is_open_still_is_read_backs() -> None:
    world = settled(*SOME)
    world.fold.changes["t"].segments.clear()
    world.sink.cells.clear()
    world.sink.stragglers.by_offset[3] = object()  # type: ignore[assignment]
    world.holds((1, "b", "b"), (4, "d", "b"), (5, "e", "b"))

    assert not is_closed(world.sink, 3)
    assert world.passes() == []


def test_what_is_known_is_the_same_after_it_was_written_down() -> None:
    known = Scrubbed(generation=1, epoch=2, low=7, passes=3, wrong={5: Wrong(row=1, identity=2**63, is_waived=True)})

    assert Scrubbed.load(known.dump()) == known


def test_what_another_version_has_written_down_is_not_known() -> None:
    store = MemoryStore()
    keep(store, "s", "t", Scrubbed(low=7))
    assert recalled(store, "s", "t", 0, 0, 5).low == 7
    assert recalled(store, "s", "t", 1, 0, 5) == Scrubbed(generation=1, since_ms=5)

    store.data = dict.fromkeys(store.data, b'{"of": "tomorrow", "wrong": {}}')

    assert recalled(store, "s", "t", 0, 0, 5) == Scrubbed(since_ms=5)


def test_what_is_said_names_the_columns_and_no_second_write() -> None:
    world = settled(*SOME[:1])
    world.holds((1, "edited", None))
    said: list[Receipt] = []
    one = world.begin()
    one.say = said.append
    asyncio.run(world._pass(one))

    (found,) = said
    assert (found.status, found.error) == (Status.APPLIED, ("differs", "body (null), name (value)"))
    assert found.evidence == "read-back"


def test_a_key_that_another_converter_wrote_is_the_same_key() -> None:
    """Its hash is another, and so the fold takes it for another key; the row shows the newest of both."""
    world = settled(*SOME[:1])
    value = framed(VALUE, change("u", {"id": 1, "name": "by JSON", "body": "b"}, {"lsn": 9}), VALUE_ID)
    world.records.append(RawRecord(1, 100, b'{"id": 1}', value))
    world.reads_on()
    world.holds((1, "by JSON", "b"))
    world.look(2)
    world.look(2)

    assert world.passes() == []
    assert world.rows == {"equal": 1}


def test_a_key_of_other_columns_than_today_finds_nobodys_row() -> None:
    """The table got another primary key: the row that the old columns find is of a newer change."""
    world = settled(*SOME[:1])
    value = framed(VALUE, change("u", {"id": 1, "name": "newer", "body": "b"}, {"lsn": 9}), VALUE_ID)
    world.records.append(RawRecord(1, 100, b'{"id": 1, "name": "newer"}', value))
    world.reads_on()
    world.holds((1, "newer", "b"))

    assert world.passes() == []
    assert world.rows == {}
