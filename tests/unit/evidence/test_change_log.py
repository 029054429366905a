"""What the change log of a sink's own database proves, and how far it reaches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.evidence.change_log import NOWHERE, coverage, first_told, reach, replica, shows_only, source_key, walk
from app.evidence.keys import by_key
from app.evidence.states import Different, Equal, judge, states
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from tests.unit.evidence.rows import UNAVAILABLE, delete, image, row, truncate, upsert

KEY = (("id", "1"),)


def written(at, unavailable="", key=1, **columns):
    """The sink wrote a row, told as its log tells it."""
    return upsert(at, key=key, unavailable=unavailable, **columns)


def known_of(history, terms):
    return {key: states(images, terms) for key, images in by_key(history, terms).items()}


def walked(history, log, **terms):
    """When and what a log proves, placeholders as their columns."""
    given = StoreTerms(**terms)
    found = walk(known_of(history, given), log, given, "orders", ("id",))
    return [
        (at, one.offset, one.columns if isinstance(one, Different) else "deleted" if one.is_delete else "applied")
        for at, one in found
    ]


HISTORY = [upsert(10, name="a"), upsert(11, name="b"), upsert(12, name="c"), delete(13)]


def test_each_write_proves_the_change_that_it_is():
    log = [written(1, name="a"), written(2, name="b"), written(3, name="c"), delete(4)]

    assert walked(HISTORY, log) == [(1, 10, "applied"), (2, 11, "applied"), (3, 12, "applied"), (4, 13, "deleted")]


def test_a_sink_that_leaves_changes_out_proves_those_that_it_wrote():
    assert walked(HISTORY, [written(1, name="a"), written(2, name="c")]) == [(1, 10, "applied"), (2, 12, "applied")]
    assert walked(HISTORY, [delete(4)]) == [(4, 13, "deleted")]


def test_a_batch_that_is_applied_again_is_a_redelivery_of_what_was_heard():
    log = [written(1, name="a"), written(2, name="b"), written(3, name="a"), written(4, name="b"), written(5, name="c")]

    assert walked(HISTORY, log) == [
        (1, 10, "applied"), (2, 11, "applied"), (3, 10, "applied"), (4, 11, "applied"), (5, 12, "applied"),
    ]  # fmt: skip


def test_a_log_that_tells_again_what_it_had_told_shows_no_redelivery():
    """Its connector was killed, and began again where it had last committed."""
    a, b = replace(written(1, name="a"), position=b"1"), replace(written(2, name="b"), position=b"2")

    log = first_told([a, b, replace(a, at=3), replace(b, at=4)])

    assert walked(HISTORY, log) == [(1, 10, "applied"), (2, 11, "applied")]


def test_writes_of_one_place_are_told_apart_by_their_keys_and_those_without_a_place_are_all_kept():
    one, two = replace(written(1, name="a"), position=b"1"), replace(written(1, key=2, name="a"), position=b"1")
    snapshot = written(1, name="a")

    assert first_told([one, two, snapshot, snapshot]) == [one, two, snapshot, snapshot]


def test_what_was_left_out_at_first_is_not_claimed_by_going_back():
    log = [written(1, name="a"), written(2, name="c"), written(3, name="b")]

    assert walked(HISTORY, log) == [(1, 10, "applied"), (2, 12, "applied")]


def test_a_row_that_no_change_made_convicts_nobody_in_the_log():
    assert walked(HISTORY, [written(1, name="a"), written(2, name="x"), written(3, name="b")]) == [
        (1, 10, "applied"), (3, 11, "applied"),
    ]  # fmt: skip


def test_rows_of_keys_that_no_change_has_are_passed_over():
    assert walked(HISTORY, [written(1, key=2, name="a"), image(2, ChangeKind.UPSERT, row=row(id=1))]) == []


TOAST = [upsert(10, body="long", name="a"), upsert(11, body=None, name="b", unavailable="body")]
SPOILED = [written(1, body="long", name="a"), written(2, body=None, name="b", unavailable="body")]


def test_a_value_that_a_write_of_every_column_left_out_is_the_placeholder_in_the_row():
    assert walked(TOAST, SPOILED, sets_every_column=True) == [(1, 10, "applied"), (2, 11, {"body": "placeholder"})]


def test_a_value_that_a_write_of_some_columns_left_out_is_as_it_was():
    assert walked(TOAST, SPOILED, sets_every_column=False) == [(1, 10, "applied"), (2, 11, "applied")]


@pytest.mark.parametrize("op", ["c", "r"])
def test_a_placeholder_in_an_insert_is_one_whatever_the_sink_sets(op):
    """An insert leaves nothing as it was: its log shows the text as the row's value, which the decoder calls unavailable."""
    log = [replace(SPOILED[1], op=op)]

    assert walked([TOAST[1]], log, sets_every_column=False) == [(2, 11, {"body": "placeholder"})]
    assert walked([TOAST[1]], [replace(SPOILED[1], op="u")], sets_every_column=False) == [(2, 11, "applied")]


def test_a_spoiled_row_that_a_newer_change_stands_for_is_told_only_where_every_change_counts():
    history, log = [*TOAST, upsert(12, body="new", name="c")], [*SPOILED, written(3, body="new", name="c")]

    assert walked(history, log, sets_every_column=True, is_every_change=False) == [
        (1, 10, "applied"),
        (3, 12, "applied"),
    ]
    assert walked(history, log, sets_every_column=True) == [
        (1, 10, "applied"), (2, 11, {"body": "placeholder"}), (3, 12, "applied"),
    ]  # fmt: skip


def test_a_spoiled_row_whose_table_was_emptied_is_the_newest_of_its_key():
    history = [*TOAST, truncate(12)]

    found = walked(history, SPOILED, sets_every_column=True, is_every_change=False, truncates=True)

    assert found == [(1, 10, "applied"), (2, 11, {"body": "placeholder"})]


def test_no_write_proves_a_truncate():
    history = [upsert(10, name="a"), truncate(11)]

    assert walked(history, [written(1, name="a"), truncate(2)], truncates=True) == [(1, 10, "applied")]
    assert walked(history, [written(1, name="a"), delete(2)], truncates=True) == [(1, 10, "applied")]


# ---------------------------------------------------------------- what the sink holds by its log


def held(log, **terms):
    return replica(log, StoreTerms(**terms), "orders", ("id",))


def test_the_last_rows_of_a_log_are_what_the_sink_holds():
    found = held([written(1, name="a"), written(2, key=2, name="x"), written(3, name="b"), delete(4, key=2)])

    assert found.row(KEY) == row(id=1, name="b")
    assert found.row((("id", "2"),)) is None
    assert found.has_heard_of((("id", "2"),))
    assert not found.has_heard_of((("id", "3"),))


def test_a_truncate_in_the_log_empties_the_table():
    assert held([written(1, name="a"), truncate(2)]).row(KEY) is None


def test_a_value_that_an_update_left_as_it_was_is_the_one_before():
    log = [written(1, body="long", name="a"), written(2, body=None, name="b", unavailable="body")]

    assert held(log).row(KEY) == row(id=1, body="long", name="b")
    assert held(log[1:]).row(KEY) == row(id=1, name="b") | {"body": b""}


EDITED = [upsert(10, body="long", name="a"), upsert(11, body="long", name="b")]
"""Both changes tell the value; the row of the second is then written by somebody else, who leaves it as it was."""
HAND = written(9, body=None, name="by hand", unavailable="body")


def said(history, log, below=99):
    """What the last row of a sink that sets every column says of its newest change, by its log alone."""
    terms = StoreTerms(sets_every_column=True)
    finding = judge(known_of(history, terms)[KEY], below, replica(log, terms, "orders", ("id",)).row(KEY), terms)
    return finding.columns if isinstance(finding, Different) else finding


def test_a_value_that_somebody_else_left_as_it_was_is_no_placeholder_where_the_change_tells_it():
    log = [written(1, body="long", name="a"), written(2, body="long", name="b")]
    same, beside = replace(HAND, row=row(id=1, name="b")), replace(HAND, row=row(id=1, name="b", loaded_by="them"))

    assert said(EDITED, [*log, HAND]) == {"name": "value"}
    assert said(EDITED, [*log, same]) == Equal(offset=11, is_whole=False, is_delete=False)
    assert said(EDITED, [*log, beside]) == Equal(offset=11, is_whole=False, is_delete=False)
    for edit in (HAND, same, beside):
        assert walked(EDITED, [*log, edit], sets_every_column=True) == [(1, 10, "applied"), (2, 11, "applied")]


def test_a_value_that_a_write_left_out_is_the_placeholder_where_the_change_does_not_tell_it_either():
    assert said(TOAST, SPOILED) == {"body": "placeholder"}
    assert said(TOAST, [*SPOILED, HAND]) == {"name": "value", "body": "placeholder"}
    assert said(TOAST[1:], SPOILED[1:]) == {"body": "placeholder"}


def test_a_row_that_was_left_spoiled_does_not_show_a_newer_change_that_tells_another_value():
    history = [*TOAST, upsert(12, body="new", name="b")]

    assert said(history, SPOILED) == {"body": "value"}


def test_a_write_that_changes_nothing_is_not_known_to_be_the_sink_s():
    history = [TOAST[0], upsert(11, body=None, name="a", unavailable="body")]
    log = [SPOILED[0], written(2, body=None, name="a", unavailable="body")]

    assert said(history, log) == Equal(offset=11, is_whole=False, is_delete=False)


def test_a_key_is_read_by_the_names_that_the_sink_gives_its_columns():
    renamed = StoreTerms(renames={"orders.id": "order_id"})
    record = image(1, ChangeKind.DELETE, key=row(ORDER_ID=1))

    assert source_key(record, renamed, "orders", ("id",)) == KEY
    assert source_key(record, StoreTerms(), "orders", ("id",)) is None
    assert source_key(image(1, ChangeKind.DELETE), StoreTerms(), "orders", ("id",)) is None


# ---------------------------------------------------------------- how far it reaches


def covered(history, log):
    terms = StoreTerms()
    return coverage(known_of(history, terms), log, terms, "orders", ("id",))


def test_a_log_reaches_up_to_the_last_change_before_its_last_transaction():
    log = [written(1, name="a"), written(2, name="b"), written(3, name="c")]

    assert covered(HISTORY, log) == (10, 12)


def test_writes_of_one_transaction_may_be_cut_in_the_middle():
    history = [upsert(10, name="a"), upsert(11, key=2, name="b"), upsert(12, key=3, name="c")]
    log = [written(1, name="a"), written(5, key=3, name="c"), written(5, key=2, name="b")]

    assert covered(history, log).below == 11


def test_a_row_that_may_be_an_older_change_proves_no_more_than_that():
    history = [upsert(10, name="a"), upsert(11, name="b"), upsert(12, name="a"), upsert(13, name="z")]

    assert covered(history, [written(1, name="a"), written(2, name="z")]) == (12, 11)


def test_a_snapshot_in_the_log_is_no_sign_of_what_it_has_not_come_to():
    """It reads the rows in an order of its own, so a late change may come before an early one."""
    history = [upsert(10, name="a"), upsert(11, key=2, name="b"), upsert(12, key=3, name="c")]
    log = [
        replace(written(at, key=key, name=name), op="r") for at, key, name in ((1, 1, "a"), (2, 3, "c"), (3, 2, "b"))
    ]

    assert covered(history, log) == (10, 0)
    assert covered(history, [*log, written(4, key=3, name="c"), written(5, name="z")]).below == 13


def test_a_log_that_shows_no_known_change_reaches_nowhere():
    found = covered(HISTORY, [written(1, name="x"), delete(2, key=9)])

    assert found.below == 0
    assert found.after > 10**9
    assert covered(HISTORY, []).below == 0


def shown(history, log, end):
    terms = StoreTerms()
    return reach(known_of(history, terms), log, terms, "orders", ("id",), end)


def test_rows_of_a_snapshot_alone_tell_where_the_whole_of_a_log_begins_and_not_where_a_part_does():
    log = [replace(written(1, name="a"), op="r")]

    assert covered(HISTORY, log).after == 10
    assert shown(HISTORY, log, 9).after == NOWHERE.after


def test_a_record_shows_a_change_anew_only_where_the_one_before_it_of_its_key_did_not():
    history = [upsert(10, key=2, name="x"), upsert(11, key=3, name="y")]
    log = [
        replace(written(at, key=key, name=name), offset=at)
        for at, key, name in ((1, 2, "x"), (2, 3, "y"), (3, 2, "x"), (4, 3, "z"), (5, 3, "y"))
    ]

    found = shown(history, log, 9).shown

    assert [(one.change, one.place, one.is_new) for one in found] == [
        (11, 5, True), (11, 2, True), (10, 3, False), (10, 1, True),
    ]  # fmt: skip


def test_a_record_that_leaves_a_value_out_does_not_show_its_change_in_every_column():
    history = [upsert(10, body="long", name="a")]

    assert [one.is_whole for one in shown(history, [written(1, body="long", name="a")], 9).shown] == [True]
    assert [one.is_whole for one in shown(history, [written(1, "body", body=None, name="a")], 9).shown] == [False]


def only(history, found, **columns):
    """Whether a row is that of the newest change alone."""
    terms = StoreTerms()
    (known,) = known_of(history, terms).values()
    return shows_only(known, found, row(id=1, **columns), terms)


def test_a_row_is_one_changes_alone_where_no_earlier_one_at_hand_makes_it_too():
    whole, part = (Equal(offset=12, is_whole=one, is_delete=False) for one in (True, False))

    assert only(HISTORY[:3], whole, name="c") is True
    assert only(HISTORY[:3], part, name="c") is None
    assert only([upsert(10, name="c"), *HISTORY[1:3]], whole, name="c") is False


def test_a_row_with_placeholders_is_one_changes_alone_by_its_other_columns():
    spoiled = Different(offset=11, columns={"body": "placeholder"}, found={})
    other = Different(offset=11, columns={"body": "value"}, found={})
    history = [upsert(10, body="long", name="a"), upsert(11, body=None, name="b", unavailable="body")]
    first = [upsert(10, body="long", name="b"), *history[1:]]

    assert only(history, spoiled, name="b", body=UNAVAILABLE) is True
    assert only(history[1:], spoiled, name="b", body=UNAVAILABLE) is True
    assert only(first, spoiled, name="b", body=UNAVAILABLE) is False
    assert only(history, other, name="b", body="x") is False
