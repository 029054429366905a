"""What one row of a sink says of the changes of its key: what is right, what is wrong, and what proves nothing."""

from __future__ import annotations

import pytest

from app.evidence.keys import by_key
from app.evidence.postgres import packed_list, packed_map
from app.evidence.states import UNKNOWN, Absent, Different, Equal, judge, placeholder_atoms, placeholders, states
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL
from tests.unit.evidence.rows import UNAVAILABLE, delete, image, row, truncate, unreadable, upsert
from tests.unit.evidence.values import date, instant, items

ALL = 1_000
"""A progress above every change."""


def said(history, held, below=ALL, **terms):
    """What a row says of a key's changes."""
    given = StoreTerms(**terms)
    return judge(states(history, given), below, held, given)


def whole(offset, is_delete=False):
    return Equal(offset=offset, is_whole=True, is_delete=is_delete)


def present(offset):
    return Equal(offset=offset, is_whole=False, is_delete=False)


def wrong(offset, **columns):
    return (offset, columns)


def told(finding):
    """A finding without the sink's values."""
    return (finding.offset, finding.columns) if isinstance(finding, Different) else finding


SOFT = {"deletes": "soft"}
INSERT, UPDATE = upsert(1, name="a"), upsert(5, name="b")
OLD, NEW = row(id=1, name="a"), row(id=1, name="b")


def test_a_row_that_is_what_the_newest_change_says_is_that_change():
    assert said([INSERT, UPDATE], NEW) == whole(5)
    assert said([INSERT, delete(5)], None) == whole(5, is_delete=True)


def test_a_row_that_shows_an_older_change_shows_that_the_newest_never_arrived():
    assert said([INSERT, UPDATE], OLD) == Absent(offset=5)
    assert said([INSERT, UPDATE], None) == Absent(offset=5)
    assert said([INSERT], None) == Absent(offset=1)
    assert said([INSERT, delete(5)], OLD) == Absent(offset=5)


def test_a_row_that_no_change_made_is_different_in_the_columns_that_are_wrong():
    assert told(said([INSERT, UPDATE], row(id=1, name="c"))) == wrong(5, name="value")
    assert told(said([INSERT, UPDATE], row(id=1, name=None))) == wrong(5, name="null")
    assert told(said([INSERT, UPDATE], row(id=1))) == wrong(5, name="absent")
    assert told(said([INSERT, UPDATE], row(id=2, name=UNAVAILABLE))) == wrong(5, id="value", name="placeholder")
    assert told(said([INSERT, delete(5)], row(id=1, name="c"))) == wrong(5)


def test_what_the_sink_holds_in_wrong_columns_is_kept_for_the_receipt():
    assert said([INSERT], row(id=1, name="c")).found == row(name="c")


def test_nothing_is_said_of_a_key_that_has_no_change_below_the_progress():
    assert said([UPDATE], None, below=5) is None
    assert said([], None) is None


def test_a_sink_that_is_ahead_of_its_progress_is_right():
    history = [INSERT, UPDATE, upsert(7, name="c"), delete(8), upsert(9, name="d")]

    for held, offset in ((OLD, 1), (NEW, 5), (row(id=1, name="c"), 7), (row(id=1, name="d"), 9)):
        assert said(history, held, below=2) == whole(offset)
    assert said(history, None, below=2) == whole(8, is_delete=True)
    assert said(history, row(id=1, name="x"), below=2) is None


def test_a_row_that_is_wrong_is_told_of_the_change_that_it_is_nearest_to():
    """With newer changes on their way it may be one of those that was spoiled: then nothing is said yet."""
    history = [upsert(1, name="a", city="x", zip="1"), upsert(5, name="b", city="y", zip="1")]
    spoiled_first, spoiled_second = row(id=1, name="a", city="x", zip="9"), row(id=1, name="b", city="y", zip="9")

    assert told(said(history, spoiled_first, below=2)) == wrong(1, zip="value")
    assert said(history, spoiled_second, below=2) is None
    assert said(history, row(id=1, name="a", city="y", zip="1"), below=2) is None
    assert told(said(history, spoiled_second)) == wrong(5, zip="value")


def test_a_row_that_should_be_gone_may_be_that_of_a_newer_change():
    history = [INSERT, delete(5), upsert(7, name="b")]

    assert said(history, row(id=1, name="x"), below=6) is None
    assert told(said(history[:2], row(id=1, name="x"), below=6)) == wrong(5)
    assert said(history, OLD, below=6) == Absent(offset=5)


def test_a_soft_delete_that_is_ahead_and_wrong_convicts_no_earlier_change():
    history = [INSERT, delete(5)]

    assert said(history, row(id=1, name="", __deleted="true"), below=2, **SOFT) is None
    assert told(said(history, row(id=1, name="", __deleted="true"), **SOFT)) == wrong(5, name="value")


def test_of_several_changes_that_a_row_may_be_the_first_is_claimed():
    toggled = [upsert(1, name="a"), upsert(2, name="b"), upsert(3, name="a"), upsert(4, name="a")]

    assert said(toggled, OLD, below=2) == whole(1)
    assert said(toggled, OLD) == whole(4)
    assert said(toggled, OLD, below=3) == whole(3)
    assert said(toggled, NEW) == Absent(offset=4)


def test_a_key_that_came_back_after_its_delete_must_have_a_row():
    history = [INSERT, delete(5), upsert(7, name="a")]

    assert said(history, OLD) == whole(7)
    assert said(history, None) == Absent(offset=7)
    assert said(history, OLD, below=6) == whole(7)


def test_nobody_looks_at_columns_that_the_change_or_the_contract_leaves_out():
    assert said([upsert(1, name="a")], row(id=1, name="a", audit="x")) == whole(1)
    assert said([upsert(1, name="a", seen=1)], row(id=1, name="a", seen=2), ignore_columns=("orders.seen",)) == whole(1)
    assert told(
        said([upsert(1, name="a", seen=1)], row(id=1, name="a", seen=2), ignore_columns=("other.seen",))
    ) == wrong(1, seen="value")


def test_a_column_that_the_sink_lacks_agrees_with_null_alone():
    assert said([upsert(1, name=None)], row(id=1)) == whole(1)
    assert told(said([upsert(1, name="")], row(id=1))) == wrong(1, name="absent")
    assert told(said([upsert(1, name=None)], row(id=1, name=""))) == wrong(1, name="value")


def test_columns_that_came_and_went_between_changes_are_asked_of_the_change_that_has_them():
    history = [upsert(1, note="a"), upsert(2, note="b", vip=True), upsert(3, remark="c", vip=True)]

    assert said(history, row(id=1, note="b", vip=True, remark="c")) == whole(3)
    assert said(history, row(id=1, note="b", vip=True)) == Absent(offset=3)
    assert said(history, row(id=1, note="a"), below=2) == whole(1)


def test_a_value_in_a_column_that_came_later_is_no_older_change_s():
    history = [upsert(10, name="a"), upsert(11, name="a", vip=True)]

    assert said(history, row(id=1, name="a")) == said(history, row(id=1, name="a", vip=None)) == Absent(offset=11)
    assert said(history, row(id=1, name="a", vip=False)).columns == {"vip": "value"}


def test_columns_are_found_under_their_new_names_and_in_the_letter_case_of_the_store():
    renames = {"orders.total": "amount"}

    assert said([upsert(1, total=5)], row(id=1, amount=5), renames=renames) == whole(1)
    assert told(said([upsert(1, total=5)], row(id=1, total=5), renames=renames)) == wrong(1, total="absent")
    assert said([upsert(1, createdAt="x", Note=None)], row(ID=1, createdat="x", note=None)) == whole(1)
    assert told(said([upsert(1, Name="x")], row(id=1, NAME="x", name="x"))) == wrong(1, Name="absent")


def test_a_tolerance_of_the_contract_is_asked_by_column():
    history = [upsert(1, code="a")]

    assert said(history, row(id=1, code="a  "), tolerances={"orders.code": ("blanks",)}) == whole(1)
    assert said(history, row(id=1, code="a  "), tolerances={"*.code": ("blanks",)}) == whole(1)
    assert said(history, row(id=1, code="A  "), tolerances={"*": ("blanks",), "orders.code": ("case",)}) == whole(1)
    assert told(said(history, row(id=1, code="a  "), tolerances={"other.code": ("blanks",)})) == wrong(1, code="value")


def test_what_cant_be_compared_counts_as_presence():
    assert said([upsert(1, at=instant("2026-01-01T00:00:00Z"))], row(id=1, at=items())) == present(1)
    assert said([upsert(1, name="a")], row(id=1) | {"name": UNKNOWN}) == present(1)


# ---------------------------------------------------------------- values that a change leaves out


def test_an_unavailable_value_is_that_of_the_change_before_it():
    history = [upsert(1, name="a", body="long"), upsert(5, name="b", body=None, unavailable="body")]

    assert said(history, row(id=1, name="b", body="long")) == whole(5)
    assert told(said(history, row(id=1, name="b", body="other"))) == wrong(5, body="value")
    assert told(said(history, row(id=1, name="b", body=UNAVAILABLE))) == wrong(5, body="placeholder")


def test_an_unavailable_value_that_no_change_told_is_not_compared_but_is_no_placeholder():
    history = [upsert(5, name="b", body=None, unavailable="body")]

    assert said(history, row(id=1, name="b", body="whatever")) == present(5)
    assert said(history, row(id=1, name="b")) == present(5)
    assert told(said(history, row(id=1, name="b", body=UNAVAILABLE))) == wrong(5, body="placeholder")
    assert said(history, row(id=1, name="b", body=UNAVAILABLE), ignore_columns=("orders.body",)) == present(5)


def test_values_are_carried_over_many_changes_but_not_over_a_delete():
    carried = [upsert(1, body="x"), upsert(2, body=None, unavailable="body"), upsert(3, body=None, unavailable="body")]
    gone = [upsert(1, body="x"), delete(2), upsert(3, body=None, unavailable="body")]

    assert told(said(carried, row(id=1, body="y"))) == wrong(3, body="value")
    assert said(gone, row(id=1, body="y")) == present(3)


FORMS = {
    "text": b"\x05" + UNAVAILABLE.encode(), "bytes": b"\x06" + UNAVAILABLE.encode(),
    "texts": packed_list([b"\x05" + UNAVAILABLE.encode()]),
    "map": packed_map([(UNAVAILABLE.encode(), b"\x05" + UNAVAILABLE.encode())]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_placeholder_is_found_in_every_form(form):
    history = [upsert(1, name="a", body=b"\x06long")]

    assert told(said(history, row(id=1, name="a", body=FORMS[form]))) == wrong(1, body="placeholder")


def test_a_placeholder_of_a_later_change_is_told_of_that_change():
    history = [upsert(1, name="a", body="x"), upsert(5, name="b", body=None, unavailable="body")]

    assert told(said(history, row(id=1, name="b", body=UNAVAILABLE), below=2)) == wrong(5, body="placeholder")


def test_every_form_of_the_placeholder_is_known():
    numbers = packed_list([b"\x02" + byte.to_bytes(8, "little") for byte in UNAVAILABLE.encode()])

    assert {FORMS["text"], FORMS["bytes"], FORMS["texts"], FORMS["map"], numbers} < placeholder_atoms(UNAVAILABLE)


def test_a_text_that_is_the_placeholder_at_the_source_too_is_right():
    assert said([upsert(1, name=UNAVAILABLE)], row(id=1, name=UNAVAILABLE)) == whole(1)


def test_placeholders_are_told_from_other_differences():
    terms = StoreTerms()
    state = states([upsert(1, name="a", body="long")], terms)[0]

    found = placeholders(state, row(id=1, name="a", body=UNAVAILABLE), terms)
    assert found is not None
    assert found.columns == {"body": "placeholder"}
    assert placeholders(state, row(id=1, name="b", body=UNAVAILABLE), terms) is None
    assert placeholders(state, row(id=1, name="a", body="long"), terms) is None
    assert placeholders(state, None, terms) is None


# ---------------------------------------------------------------- deletes


def test_deletes_that_the_contract_ignores_are_no_changes():
    history = [INSERT, delete(5)]

    assert said(history, OLD, deletes="ignore") == whole(1)
    assert said(history, None, deletes="ignore") == Absent(offset=1)
    assert said([delete(5)], OLD, deletes="ignore") is None
    assert by_key([delete(5)], StoreTerms(deletes="ignore")) == {}


@pytest.mark.parametrize(
    "mark", ["true", "TRUE", "t", "Y", 1, True, instant("2026-01-01T00:00:00Z"), date("2026-01-01")]
)
def test_a_row_that_is_marked_as_deleted_is_a_soft_delete(mark):
    assert said([INSERT, delete(5)], row(id=1, name="a", __deleted=mark), **SOFT) == whole(5, is_delete=True)


@pytest.mark.parametrize("mark", ["false", "f", 0, False, None, ""])
def test_a_row_that_is_not_marked_was_never_deleted(mark):
    assert said([INSERT, delete(5)], row(id=1, name="a", __deleted=mark), **SOFT) == Absent(offset=5)
    assert said([INSERT], row(id=1, name="a", __deleted=mark), **SOFT) == whole(1)


def test_a_sink_without_the_mark_has_no_soft_delete():
    assert said([INSERT, delete(5)], OLD, **SOFT) == Absent(offset=5)
    assert said([INSERT], OLD, **SOFT) == whole(1)


def test_a_mark_that_cant_be_read_is_not_compared():
    held = row(id=1, name="a") | {"__deleted": UNKNOWN}

    assert said([INSERT, delete(5)], held, **SOFT) == Equal(offset=5, is_whole=False, is_delete=True)


def test_a_soft_deleted_row_must_keep_its_values_and_be_there():
    assert told(said([INSERT, delete(5)], row(id=1, name="", __deleted="true"), **SOFT)) == wrong(5, name="value")
    assert said([INSERT, delete(5)], None, **SOFT) == Absent(offset=5)


def test_a_soft_deleted_row_that_comes_back_is_marked_no_more():
    history = [INSERT, delete(5), upsert(7, name="b")]

    assert said(history, row(id=1, name="b", __deleted="false"), **SOFT) == whole(7)
    assert told(said(history, row(id=1, name="b", __deleted="true"), **SOFT)) == wrong(7, __deleted="value")
    assert said(history, row(id=1, name="a", __deleted="true"), **SOFT) == Absent(offset=7)


def test_of_a_soft_delete_whose_row_nobody_told_only_the_mark_is_compared():
    assert said([delete(5)], row(id=1, name="z", __deleted="true"), **SOFT) == Equal(
        offset=5, is_whole=False, is_delete=True
    )
    assert told(said([delete(5)], row(id=1, name="z", __deleted="false"), **SOFT)) == wrong(5, __deleted="value")
    assert said([INSERT, delete(5)], row(id=1, name="a", gone_at=1), soft_delete="gone_at", **SOFT) == whole(5, True)


# ---------------------------------------------------------------- truncates


EMPTIED = {"truncates": True}


def test_that_a_row_is_gone_after_a_truncate_proves_nothing_of_it_or_of_what_came_before():
    assert said([INSERT, truncate(5)], None, **EMPTIED) is None
    assert said([INSERT, truncate(5)], None, below=3, **EMPTIED) is None
    assert said([INSERT, truncate(5), upsert(6, name="b"), delete(7)], None, below=3, **EMPTIED) is None


def test_a_row_that_outlived_a_truncate_shows_that_the_truncate_never_arrived():
    assert said([INSERT, truncate(5)], OLD, **EMPTIED) == Absent(offset=5)
    assert said([INSERT, truncate(5)], row(id=1, name="x"), **EMPTIED) == Absent(offset=5)
    assert said([INSERT, truncate(5)], OLD, below=3, **EMPTIED) == whole(1)


def test_a_row_behind_a_truncate_may_be_that_of_a_newer_change():
    history = [INSERT, truncate(5), upsert(7, name="b")]

    assert said(history, row(id=1, name="x"), below=6, **EMPTIED) is None
    assert said(history, OLD, below=6, **EMPTIED) == Absent(offset=5)


def test_a_key_that_came_back_after_a_truncate_must_have_a_row():
    history = [INSERT, truncate(5), UPDATE]

    assert said(history, NEW, **EMPTIED) == whole(5)
    assert said([INSERT, truncate(4), upsert(6, name="b")], None, **EMPTIED) == Absent(offset=6)


def test_truncates_that_the_contract_ignores_are_no_changes():
    assert said([INSERT, truncate(5)], OLD) == whole(1)
    assert by_key([INSERT, truncate(5)], StoreTerms()) == {(("id", "1"),): [INSERT]}


def test_a_truncate_of_another_source_partition_may_have_taken_the_row():
    terms = StoreTerms(truncates=True)
    known = states([INSERT, UPDATE], terms)

    assert judge(known, ALL, None, terms, may_be_gone=True) is None
    assert judge(known, ALL, OLD, terms, may_be_gone=True) == Absent(offset=5)
    assert judge(known, ALL, NEW, terms, may_be_gone=True) == whole(5)


# ---------------------------------------------------------------- changes that can't be read


def test_after_a_change_that_cant_be_read_any_row_may_be_right():
    history = [INSERT, unreadable(5)]

    for held in (OLD, NEW, None):
        assert said(history, held) is None


def test_before_a_change_that_cant_be_read_the_row_may_be_ahead():
    history = [INSERT, unreadable(5)]

    assert said(history, OLD, below=2) == whole(1)
    assert said(history, NEW, below=2) is None
    assert said(history, None, below=2) is None


def test_behind_a_change_that_cant_be_read_rows_are_judged_again():
    history = [upsert(1, name="a", body="x"), unreadable(5), upsert(6, name="b", body=None, unavailable="body")]

    assert said(history, row(id=1, name="b", body="y")) == present(6)
    assert said(history, row(id=1, name="a", body="x")) == Absent(offset=6)
    assert told(said(history, row(id=1, name="c", body="x"))) == wrong(6, name="value")
    assert said(history, None) == Absent(offset=6)


def test_a_change_that_may_be_anybodys_is_everybodys():
    anybody = unreadable(5, key=None, hides="key")

    assert by_key([INSERT, anybody, upsert(6, key=2)], StoreTerms())[("id", "1"),] == [INSERT, anybody]
    assert ("id", "2") in next(reversed(by_key([INSERT, anybody, upsert(6, key=2)], StoreTerms())))


def test_a_change_that_may_be_a_truncate_concerns_sinks_that_apply_them():
    maybe = unreadable(5, key=None, hides="truncate")

    assert by_key([INSERT, maybe], StoreTerms()) == {(("id", "1"),): [INSERT]}
    assert said([INSERT, maybe], None, **EMPTIED) is None


def test_bytes_that_nobody_can_make_sense_of_concern_no_key():
    assert by_key([INSERT, unreadable(5, key=None)], StoreTerms(truncates=True)) == {(("id", "1"),): [INSERT]}


def test_a_document_that_is_one_text_is_not_compared_with_rows():
    assert said([image(1, ChangeKind.UPSERT, key=row(id=1))], row(id=1)) is None


def test_a_message_has_no_row():
    assert by_key([image(1, ChangeKind.MESSAGE, key=row(prefix="p"))], StoreTerms()) == {}


def test_null_is_one_value():
    assert said([upsert(1, name=None)], {"id": row(id=1)["id"], "name": NULL}) == whole(1)


def said_by_key(history, key, held, keys, **terms):
    """What a row says that was found by the contract's key."""
    given = StoreTerms(keys={"orders": keys}, **terms)
    known = states(by_key(history, given)[tuple(sorted((name, str(value)) for name, value in key.items()))], given)
    return judge(known, ALL, held, given)


MOVED = [upsert(1, region="a", name="x"), upsert(2, region="b", name="y")]


def test_a_row_that_another_change_moved_away_says_nothing_wherever_it_stands():
    for held in (None, row(id=1, region="a", name="x"), row(id=1, region="a", name="z")):
        assert said_by_key(MOVED, {"id": 1, "region": "a"}, held, ("id", "region")) is None


def test_a_row_under_the_contract_s_newest_key_is_judged_by_it():
    key = {"id": 1, "region": "b"}

    assert said_by_key(MOVED, key, row(id=1, region="b", name="y"), ("id", "region")) == whole(2)
    assert said_by_key(MOVED, key, None, ("id", "region")) == Absent(offset=2)
    assert told(said_by_key(MOVED, key, row(id=1, region="b", name="z"), ("id", "region"))) == wrong(2, name="value")


def test_a_row_that_another_record_key_wrote_convicts_nobody():
    history, key, by = [upsert(1, code="c", name="x"), upsert(5, code="c", name="y")], {"code": "c"}, ("code",)

    assert said_by_key(history, key, row(id=2, code="c", name="z"), by) is None
    assert said_by_key(history, key, row(code="c", name="z"), by) is None
    assert said_by_key(history, key, row(id=1, code="c", name="y"), by) == whole(5)
    assert said_by_key(history, key, row(id=1, code="c", name="x"), by) == Absent(offset=5)
    assert told(said_by_key(history, key, row(id=1, code="c", name="z"), by)) == wrong(5, name="value")


def test_a_row_that_others_may_have_deleted_is_missing_only_where_none_is_ever_deleted():
    history, key, by = [upsert(1, code="c")], {"code": "c"}, ("code",)

    assert said_by_key(history, key, None, by) is None
    assert said_by_key(history, key, None, by, deletes="soft") is None
    assert said_by_key(history, key, None, by, deletes="ignore", truncates=True) is None
    assert said_by_key(history, key, None, by, deletes="ignore") == Absent(offset=1)


def test_a_value_that_a_change_leaves_out_may_be_another_record_key_s():
    history = [upsert(1, code="c", body="x"), upsert(5, code="c", body="", unavailable="body")]

    found = said_by_key(history, {"code": "c"}, row(id=1, code="c", body="other"), ("code",))

    assert found == present(5)
