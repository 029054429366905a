"""Whether a sink's value is the source's: what is known by itself, what a tolerance allows, and what nobody can know."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evidence.agreement import agrees
from app.model.tolerances import TOLERANCES
from cdc_receipts.atoms import NULL, floating, integer, text
from tests.unit.evidence.values import (
    ATOMS,
    FALSE,
    INT64,
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
    single,
    uuid,
)

NS, DAY = 10**9, 86_400 * 10**9
ID = "e80cc12a-bcd8-8934-d8ec-a651abd60783"

BY_ITSELF = [
    # what a change of type keeps whole                          and what it does not hide
    (TRUE, integer(1), True), (TRUE, integer(0), False), (FALSE, integer(0), True), (TRUE, integer(2), False),
    (TRUE, decimal("1.0"), True), (FALSE, decimal("1"), False),
    (TRUE, bits(1), True), (FALSE, bits(0), True), (TRUE, bits(0), False),
    (TRUE, text("t"), True), (FALSE, text("false"), True), (TRUE, text("false"), False), (TRUE, text("yes"), None),
    (integer(7), decimal("7.00"), True), (integer(700), decimal("7e2"), True), (integer(7), decimal("7.01"), False),
    (integer(3), floating(3.0), True), (integer(3), floating(3.5), False), (integer(2**53 + 1), floating(2.0**53), False),
    (integer(5), bits(5), True), (integer(5), bits(4), False),
    (integer(12), text("12"), True), (integer(12), text("012"), True), (integer(12), text("13"), False),
    (integer(12), text("twelve"), None), (integer(12), text("١٢"), None), (integer(12), text(""), False), (TRUE, text(" "), False),
    (decimal("0.5"), floating(0.5), True), (decimal("0.1"), floating(0.1), False), (decimal("0.1"), floating(0.2), False),
    (decimal("1e400"), floating(float("inf")), False), (decimal("-0.00"), floating(-0.0), True),
    (decimal("1.10"), text("1.1"), True), (decimal("1.10"), text("+1.1e0"), True), (decimal("1.1"), text("1.2"), False),
    (decimal("1.1"), text("NaN"), None),
    (floating(0.1), text("0.1"), True), (floating(0.1), text("0.2"), False), (floating(float("nan")), text("NaN"), True),
    (floating(float("-inf")), text("-Infinity"), True), (floating(1e22), text("1E+22"), True),
    (floating(0.1), text("a tenth"), None), (floating(0.1), text(""), False), (single(152973.28), text("152973.28"), None), (floating(10.0), text("1_0"), None),
    (text("a"), text("a "), False), (text("a"), text("A"), False), (text("a"), NULL, False), (text(""), NULL, False),
    (text("14:05:06-10"), text("00:05:06+00"), True), (text("14:05:06.500-10:00"), text("00:05:06.5Z"), True),
    (text("14:05:06-10"), text("00:05:07+00"), False), (text("25:00Z"), text("01:00Z"), False),
    (text("10:00"), text("10:00Z"), False),
    (data(b"\x00\xff"), text("\\x00ff"), True), (data(b"\x00\xff"), text("00ff"), True),
    (data(b"\xfb\xff"), text("+/8="), True), (data(b"\xfb\xff"), text("-_8="), True), (data(b"\x00"), text("01"), None),
    (data(b"a"), data(b"b"), False), (data(b"a"), text("a"), None),
    (uuid(ID), text(ID.upper()), True), (uuid(ID), text(ID.replace("e8", "e9")), False), (uuid(ID), text("none"), None), (uuid(ID), text(""), False),
    (uuid(ID), data(bytes.fromhex(ID.replace("-", ""))), True), (uuid(ID), data(bytes(16)), False),
    (local("2026-01-02T03:04:05"), text("2026-01-02 03:04:05"), True),
    (local("2026-01-02T03:04:05"), text("2026-01-02 03:04:06"), False),
    (local("2026-01-02T00:00:00"), date("2026-01-02"), True), (local("2026-01-02T00:00:01"), date("2026-01-02"), False),
    (local("2026-01-02T03:04:05"), local("2026-01-02T03:04:05.000001"), False),
    (local("2026-01-02T03:04:05"), instant("2026-01-02T03:04:05Z"), None),
    (instant("2026-01-02T03:04:05Z"), text("2026-01-02 04:04:05+01"), True),
    (instant("2026-01-02T03:04:05Z"), text("2026-01-02 04:04:05+00"), False),
    (instant("2026-01-02T03:04:05Z"), instant("2026-01-02T03:04:05.000000001Z"), False),
    (instant("2026-01-02T00:00:00Z"), date("2026-01-02"), None),
    (date("2026-01-02"), text("2026-01-02"), True), (date("2026-01-02"), text("2026-01-03"), False),
    (date("2026-01-02"), text("tomorrow"), False), (date("2026-01-02"), text("2 Jan 2026"), None),
    (date("2026-01-02"), text("infinity"), None), (date("2026-01-02"), date("2026-01-03"), False),
    (clock(3 * NS), text("00:00:03"), True), (clock(3 * NS), clock(3 * NS + 1), False),
    (json('{"b": 1, "a": [1.50]}'), text('{"a":[15e-1],"b":1}'), True), (json('{"a": 1}'), text('{"a": 2}'), False),
    (json('{"a": 1}'), text("{"), None), (json('{"a": 1}'), text('{"a": 1'), False), (json('{"a": "b"}'), text('{ "a": "'), False),
    (json('{"a": 1}'), text("{'a': 1}"), None), (json('{"a": 1}'), text("{a=1}"), None), (json('{"a": 1}'), text('"a"=>"1"'), None),
    (json("[1, 2]"), text("[1, "), False), (json('["a"]'), text("[a]"), None), (json('["a"]'), text(""), False), (json("1"), json("2"), False),
    (json('{"k": "v", "n": null}'), entries({"k": text("v"), "n": NULL}), True),
    (json('{"k": "v"}'), entries({"k": text("w")}), False), (json('["a"]'), items(text("a")), True),
    (json('["a"]'), items(text("a"), text("b")), False), (json("[1.5]"), items(decimal("1.5")), None),
    (json("[1]"), items(floating(float("nan"))), None),
    (duration(1_500_000), duration(1_500_001), False), (duration(3_600_000_000), interval(0, 0, 3_600 * NS), True),
    (duration(86_400_000_000), interval(0, 1, 0), True), (duration(1), interval(0, 0, 2_000), False),
    (duration(1), interval(1, 0, 0), None),
    (interval(0, 1, 0), interval(0, 0, DAY), None), (interval(0, 1, 0), interval(0, 2, 0), False),
    (interval(1, 0, 0), interval(0, 30, 0), False), (interval(1, 1, 1), text("P1M1DT0.000000001S"), True),
    (interval(0, 1, 0), text("tomorrow"), False), (interval(0, 1, 0), text(""), False), (interval(0, 1, 0), text("1 day"), None),
    (bits(6), bits(7), False), (bits(6), data(b"\x06"), None), (bits(6), text("110"), None),
    (items(integer(1), text("a")), items(decimal("1"), text("a")), True), (items(integer(1)), items(integer(2)), False),
    (items(integer(1)), items(integer(1), integer(1)), False), (items(TRUE), text("{t}"), None),
    (items(integer(1), local("2026-01-02T03:04:05")), items(integer(1), instant("2026-01-02T03:04:05Z")), None),
    (items(integer(1), local("2026-01-02T03:04:05")), items(integer(2), instant("2026-01-02T03:04:05Z")), False),
    (entries({"a": integer(1)}), entries({"a": decimal("1")}), True), (entries({"a": NULL}), entries({}), False),
    (entries({"a": integer(1)}), entries({"a": integer(2)}), False), (entries({}), text("{}"), None), (entries({}), text(""), None),
    (days(1), integer(1), None), (local("1970-01-01T00:00:01"), integer(1_000_000), None), (TRUE, floating(1.0), None),
]  # fmt: skip

INFINITE_US = 9_223_372_036_825_200_000

ALLOWED = [
    # tolerance, source, sink: it allows; source, sink: it does not
    ("blanks", text("a"), text("a   "), text("a"), text(" a")),
    ("blanks", text("a  "), text("a"), text("a"), text("a\t")),
    ("double", decimal("0.1"), floating(0.1), decimal("0.1"), floating(0.1 + 2**-56)),
    ("double", decimal("0.034424748176131"), floating(0.034424748176131), decimal("0.1"), single(0.1)),
    ("double", integer(2**53 + 1), floating(2.0**53), integer(2**53 + 1), floating(2.0**53 + 2)),
    ("float32", decimal("152973.28"), single(152973.28), decimal("152973.28"), single(152973.3)),
    ("float32", floating(0.1), single(0.1), floating(0.1), floating(0.10000000000000002)),
    ("float32", integer(16_777_217), floating(16_777_216.0), integer(16_777_217), floating(16_777_220.0)),
    ("float32", text("152973.28"), single(152973.28), text("152973.28"), single(152973.3)),
    ("seconds", local("2026-01-01T00:00:01.9"), local("2026-01-01T00:00:01"), local("2026-01-01T00:00:01.9"), local("2026-01-01T00:00:01.8")),
    ("seconds", clock(1_500_000_000), clock(2 * NS), clock(1_500_000_000), clock(3 * NS)),
    ("milliseconds", instant("2026-01-01T00:00:00.0015Z"), instant("2026-01-01T00:00:00.002Z"), instant("2026-01-01T00:00:00.0015Z"), instant("2026-01-01T00:00:00.003Z")),
    ("milliseconds", local("1969-12-31T23:59:59.9999"), local("1969-12-31T23:59:59.999"), local("2026-01-01T00:00:00.0001"), local("2026-01-01T00:00:00.0002")),
    ("microseconds", clock(1_999), clock(1_000), clock(1_999), clock(1_998)),
    ("utc", local("2026-01-01T00:00:00"), instant("2026-01-01T00:00:00Z"), local("2026-01-01T00:00:00"), instant("2026-01-01T01:00:00Z")),
    ("inet", text("10.0.0.1"), text("10.0.0.1/32"), text("10.0.0.1"), text("10.0.0.1/24")),
    ("inet", text("2001:DB8::0:1"), text("2001:db8::1/128"), text("10.0.0.1"), text("10.0.0.2")),
    ("empty-is-null", text(""), NULL, text(" "), NULL),
    ("case", text("Ab"), text("AB"), text("Ab"), text("Ac")),
]  # fmt: skip


def shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(("source", "sink", "expected"), BY_ITSELF, ids=shown)
def test_what_no_tolerance_is_needed_for_is_known_by_itself(source, sink, expected):
    assert agrees(source, sink) is expected
    assert agrees(sink, source) is expected


@pytest.mark.parametrize(("word", "source", "sink", "near", "far"), ALLOWED, ids=shown)
def test_a_tolerance_allows_what_it_names_and_nothing_beside_it(word, source, sink, near, far):
    assert agrees(source, sink) is not True
    assert agrees(source, sink, (word,)) is True
    assert agrees(near, far, (word,)) is not True


def test_every_tolerance_has_a_case_that_it_allows():
    assert {word for word, *_ in ALLOWED} == set(TOLERANCES)


def test_the_tolerances_of_a_column_are_allowed_together():
    assert (
        agrees(local("2026-01-01T00:00:00.0015"), instant("2026-01-01T00:00:00.001Z"), ("utc", "milliseconds")) is True
    )
    assert agrees(text("AB  "), text("ab"), ("blanks", "case")) is True
    assert agrees(items(text("a ")), items(text("a")), ("blanks",)) is True


@pytest.mark.parametrize(("sign", "word"), [(1, "infinity"), (-1, "-infinity")])
def test_an_infinite_timestamp_is_the_number_that_debezium_writes_for_it(sign, word):
    infinite_us = INFINITE_US if sign > 0 else -9_223_372_036_832_400_000
    seconds, us = divmod(infinite_us, 10**6)
    stamp = b"\x07" + seconds.to_bytes(8, "little", signed=True) + (us * 1000).to_bytes(4, "little")

    assert agrees(stamp, text(word)) is True
    assert agrees(local("2026-01-01T00:00:00"), text(word)) is False


TOLERATED = st.sets(st.sampled_from(sorted(TOLERANCES)))


@given(ATOMS, TOLERATED)
def test_a_value_always_agrees_with_itself(atom, allowed):
    assert agrees(atom, atom, allowed) is True


@given(ATOMS, ATOMS, TOLERATED)
def test_neither_side_is_more_right_than_the_other(one, other, allowed):
    assert agrees(one, other, allowed) is agrees(other, one, allowed)


@given(ATOMS, ATOMS, TOLERATED, TOLERATED)
def test_one_more_tolerance_never_makes_a_value_wrong(one, other, fewer, more):
    before, after = agrees(one, other, fewer), agrees(one, other, fewer | more)

    assert after is before or after is True or (before is None)


@given(INT64, INT64, TOLERATED)
def test_integers_that_differ_never_agree(one, other, allowed):
    assert agrees(integer(one), integer(other), allowed) is (one == other)


@given(st.integers(-(10**20), 10**20), st.integers(-6, 6), st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_a_float_only_where_the_numbers_are_equal(unscaled, scale, number):
    written = Decimal(unscaled).scaleb(-scale)

    assert agrees(decimal(str(written)), floating(number)) is (written == Decimal(number))
    assert agrees(decimal(str(written)), floating(float(written)), ("double",)) is True


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_its_shortest_text_and_with_a_tolerance_its_decimal(number):
    assert agrees(floating(number), text(repr(number))) is True
    assert agrees(floating(number), decimal(repr(number)), ("double",)) is True


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_what_a_float32_keeps_of_a_number_is_allowed(number, digits):
    decimal_text = f"{Decimal(number):.{digits}e}"

    assert agrees(decimal(decimal_text), single(float(decimal_text)), ("float32",)) is True


@given(ATOMS, ATOMS)
def test_null_agrees_with_nothing_else(one, other):
    if NULL in (one, other) and one != other:
        assert agrees(one, other) is False
