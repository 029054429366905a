"""Atoms read back: each class writes texts that it reads again, in every year and at every size."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import atoms
from app.decode.atoms import Tag
from app.errors import BadInput
from app.evidence.postgres import atom_of_text
from cdc_receipts import texts
from cdc_receipts.atoms import NULL, floating, integer, text
from tests.unit.evidence.values import (
    ATOMS,
    INT64,
    SCALARS,
    TRUE,
    bits,
    clock,
    data,
    date,
    days,
    decimal,
    duration,
    entries,
    instant,
    interval,
    items,
    json,
    local,
    uuid,
)

NS = 10**9
ID = "e80cc12a-bcd8-8934-d8ec-a651abd60783"


@pytest.mark.parametrize(
    ("atom", "written"),
    [
        (TRUE, "true"), (integer(-7), "-7"), (decimal("7.00"), "7"), (decimal("7e2"), "700"), (decimal("-0.050"), "-0.05"),
        (floating(7.0), "7.0"), (floating(float("nan")), "nan"), (text("a "), "a "), (data(b"\x00\xff"), "\\x00ff"),
        (uuid(ID.upper()), ID), (json('{"b":1,"a":2}'), '{"a":2e0,"b":1e0}'), (bits(6), "6"), (duration(5), "5"),
        (clock(3_661 * NS + 5), "01:01:01.000000005"), (clock(-NS), "-00:00:01"), (clock(90_000 * NS), "25:00:00"),
        (local("2026-01-02T03:04:05.600"), "2026-01-02T03:04:05.6"), (instant("2026-01-02T03:04:05+01:00"), "2026-01-02T02:04:05Z"),
        (date("0001-01-01"), "0001-01-01"), (date("9999-12-31"), "9999-12-31"), (date("-0005-02-28"), "-0005-02-28"),
        (date("0000-02-29"), "0000-02-29"), (date("12345-06-07"), "12345-06-07"), (date("-12345-06-07"), "-12345-06-07"),
        (local("-0005-12-31T23:59:59.999999999"), "-0005-12-31T23:59:59.999999999"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_one_text(atom, written):
    assert atoms.written(atom) == written


@pytest.mark.parametrize("atom", [NULL, items(text("a")), entries({"a": NULL})])
def test_what_has_no_one_text_is_refused(atom):
    with pytest.raises(BadInput, match="can't be written as one text"):
        atoms.written(atom)


def test_a_decimal_with_a_hostile_exponent_is_not_written_out():
    assert len(atoms.written(b"\x03" + (-(2**31)).to_bytes(4, "little", signed=True) + b"\x01")) < 20


@given(st.integers(-(10**7), 10**7))
def test_dates_of_any_year_are_read_again(number):
    assert texts.date(atoms.written(days(number))) == days(number)


@given(INT64, st.integers(0, NS - 1))
def test_moments_of_any_year_are_read_again(seconds, ns):
    for tag, read in ((b"\x07", texts.local_timestamp), (b"\x08", texts.instant)):
        atom = tag + seconds.to_bytes(8, "little", signed=True) + ns.to_bytes(4, "little")

        assert read(atoms.written(atom)) == atom


READ_AGAIN = {
    Tag.BOOLEAN: "bool", Tag.INTEGER: "int8", Tag.DECIMAL: "numeric", Tag.FLOAT: "float8", Tag.TEXT: "text",
    Tag.BYTES: "bytea", Tag.UUID: "uuid", Tag.JSON: "jsonb",
}  # fmt: skip


@given(SCALARS)
def test_what_is_written_for_a_store_is_what_the_store_reads(atom):
    kind = READ_AGAIN.get(atoms.tag(atom))
    if kind is not None:
        assert atom_of_text(kind, atoms.written(atom)) == atom


@given(st.integers(), st.integers(-1_000, 1_000))
def test_decimals_are_exact(unscaled, scale):
    number = Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))

    assert atoms.decimal(decimal(str(number))) == number


@given(ATOMS)
def test_every_value_can_be_shown_to_people(atom):
    assert (atoms.plain(atom) is None) == (atom == NULL)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), INT64)
def test_intervals_of_any_length_are_read_again(months, number, ns):
    assert texts.interval(atoms.written(interval(months, number, ns))) == interval(months, number, ns)


def test_lists_and_maps_give_their_parts():
    assert atoms.items(items(text("a"), NULL, items(integer(1)))) == [text("a"), NULL, items(integer(1))]
    assert atoms.entries(entries({"b": NULL, "a": text("")})) == {"a": text(""), "b": NULL}
    assert atoms.plain(items(entries({"n": decimal("1.50")}), TRUE)) == [{"n": "1.5"}, True]
