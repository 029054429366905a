"""Keys as two stores write them: the same key is found, two keys are never taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given

from app.evidence.keys import by_key, is_comparable, key_text, owner, row_key, shared_text
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL, floating, integer, text
from tests.unit.evidence.rows import delete, image, unreadable, upsert
from tests.unit.evidence.values import (
    FALSE,
    SCALARS,
    TRUE,
    bits,
    clock,
    data,
    date,
    decimal,
    entries,
    instant,
    items,
    local,
    single,
    uuid,
)

ID = "e80cc12a-bcd8-8934-d8ec-a651abd60783"


def shared(atom, *allowed):
    found = shared_text({"id": atom}, StoreTerms(tolerances={"orders.id": allowed}), "orders")
    return None if found is None else dict(found)["id"]


SAME = [
    (integer(7), decimal("7.00")), (integer(7), floating(7.0)), (integer(700), decimal("7e2")), (integer(7), text("7")),
    (decimal("0.5"), floating(0.5)), (TRUE, integer(1)), (FALSE, bits(0)), (uuid(ID), text(ID.upper())),
    (local("2026-01-02T03:04:05"), instant("2026-01-02T03:04:05Z")), (local("2026-01-02T00:00:00"), date("2026-01-02")),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_key_is_the_same_whatever_type_it_is_kept_in(one, other):
    assert shared(one) == shared(other) is not None
    assert is_comparable(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (text("a"), text("a ")), (text("a"), text("A")), (text("7"), text("7.00")), (integer(7), decimal("7.01")),
        (local("2026-01-02T00:00:00"), local("2026-01-02T00:00:00.000001")), (data(b"a"), data(b"A")),
    ],
)  # fmt: skip
def test_keys_that_differ_stay_apart(one, other):
    assert shared(one) != shared(other)


def test_a_tolerance_of_a_key_column_makes_keys_one_that_the_sink_cant_tell_apart():
    assert shared(text("a "), "blanks") == shared(text("a"), "blanks")
    assert shared(text("Ab"), "case") == shared(text("AB"), "case")


def test_numbers_are_found_as_the_floats_that_the_contract_lets_the_sink_keep():
    assert shared(decimal("0.1"), "double") == shared(floating(0.1), "double")
    assert shared(decimal("0.1"), "float32") == shared(single(0.1), "float32")
    assert shared(integer(2**53 + 1), "double") == shared(floating(2.0**53), "double")
    assert shared(decimal("0.1"), "double") != shared(decimal("0.2"), "double")
    assert shared(decimal("-0.0")) == shared(floating(-0.0)) == "0"
    assert shared(floating(float("nan"))) is None


@pytest.mark.parametrize(
    ("atom", "allowed"),
    [
        (local("2026-01-02T03:04:05.5"), "seconds"), (instant("2026-01-02T03:04:05Z"), "milliseconds"),
        (text("10.0.0.1"), "inet"),
    ],
)  # fmt: skip
def test_a_key_that_the_sink_may_have_cut_is_not_matched(atom, allowed):
    assert shared(atom, allowed) is None


@pytest.mark.parametrize("atom", [NULL, items(), entries({})])
def test_what_is_no_key_is_none(atom):
    assert key_text({"id": atom}) is None
    assert shared(atom) is None


def test_no_columns_are_no_key():
    assert key_text(None) is None
    assert key_text({}) is None
    assert shared_text(None, StoreTerms(), "orders") is None


def test_classes_whose_texts_differ_for_the_same_value_are_not_comparable():
    assert not is_comparable(data(b"a"), text("a"))
    assert not is_comparable(decimal("7.00"), text("7.00"))
    assert not is_comparable(local("2026-01-02T03:04:05"), text("2026-01-02 03:04:05"))
    assert not is_comparable(clock(0), text("00:00:00"))


@given(SCALARS)
def test_a_key_is_itself(atom):
    assert is_comparable(atom, atom)
    assert shared(atom) == shared(atom)


def test_the_changes_of_a_key_stand_together_in_their_order():
    one, two, three = upsert(1), upsert(2, key=2), delete(3)

    assert by_key([one, two, three], StoreTerms()) == {(("id", "1"),): [one, three], (("id", "2"),): [two]}


def test_a_key_of_several_columns_is_sorted_by_name():
    assert key_text({"line": integer(2), "id": decimal("7.00")}) == (("id", "7"), ("line", "2"))


def test_a_change_without_a_key_is_nobodys():
    assert by_key([upsert(1, key=None)], StoreTerms()) == {}


CODE = StoreTerms(keys={"orders": ("code",)})
REGION = StoreTerms(keys={"orders": ("id", "region")})


def keyed(images, terms):
    """By the contract's key, the offsets of its changes; those that are not known stand in brackets."""
    return {
        key: [one.offset if one.kind is not ChangeKind.UNREADABLE else [one.offset] for one in history]
        for key, history in by_key(images, terms).items()
    }


def test_the_contract_s_key_is_read_from_the_row():
    images = [upsert(1, code="a"), upsert(2, key=2, code="b"), upsert(3, code="a")]

    assert keyed(images, CODE) == {(("code", "a"),): [1, 3], (("code", "b"),): [2]}
    assert row_key(images[0], CODE) == {"code": text("a")}
    assert row_key(images[0], StoreTerms(keys={"items": ("code",)})) == images[0].key


def test_a_change_that_moves_its_row_to_another_key_leaves_the_old_one_unknown():
    images = [upsert(1, region="r1"), upsert(2, region="r2"), upsert(3, region="r1")]

    assert keyed(images, REGION) == {
        (("id", "1"), ("region", "r1")): [1, [2], 3],
        (("id", "1"), ("region", "r2")): [2, [3]],
    }


@pytest.mark.parametrize(
    "last", [delete(2), unreadable(2), upsert(2, region=None), upsert(2, unavailable="region", region="r1")]
)
def test_a_change_that_does_not_tell_its_row_s_key_leaves_that_row_unknown(last):
    assert keyed([upsert(1, region="r1"), last], REGION) == {(("id", "1"), ("region", "r1")): [1, [2]]}
    assert row_key(last, REGION) in (None, {"id": integer(1), "region": NULL})


def test_a_delete_is_placed_by_a_key_that_is_part_of_its_record_key():
    gone = image(2, ChangeKind.DELETE, key={"tenant": integer(7), "id": integer(1)})

    assert keyed([gone], StoreTerms(keys={"orders": ("id",)})) == {(("id", "1"),): [2]}


def test_a_row_without_a_record_key_has_no_order_and_is_nobodys():
    assert keyed([upsert(1, key=None, code="a")], CODE) == {}


def test_only_a_key_that_holds_the_record_key_tells_whose_a_row_is():
    assert owner(upsert(1, region="r1"), REGION) is None
    assert owner(upsert(1, code="a"), CODE) == {"id": integer(1)}
    assert owner(upsert(1), StoreTerms()) is None


def test_a_change_that_moves_its_row_to_another_table_leaves_what_stood_before_unknown():
    by_value = StoreTerms(table_name="${column.code}")
    images = [upsert(1, code="a"), upsert(2, code="a"), upsert(3, code="b"), delete(4)]

    assert keyed(images, by_value) == {(("id", "1"),): [1, 2, [3], 3, [4], 4]}
    assert [by_value.table_of(one) for one in images] == ["a", "a", "b", ""]
    assert by_value.table_of(upsert(5, code="x.y")) == "x_y"
