"""What a PostgreSQL cell's text means, type by type, odd values among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import atoms
from app.evidence.postgres import atom_of_text
from cdc_receipts.atoms import NULL, floating, integer, text
from tests.unit.evidence.values import (
    FALSE,
    TRUE,
    bits,
    clock,
    data,
    date,
    decimal,
    entries,
    instant,
    interval,
    items,
    json,
    local,
    single,
    uuid,
)

NS = 10**9
ID = "e80cc12a-bcd8-8934-d8ec-a651abd60783"

CELLS = [
    ("int2", "-9124", integer(-9124)), ("int4", "0", integer(0)), ("oid", "4294967295", integer(4_294_967_295)),
    ("int8", "9223372036854775807", integer(2**63 - 1)), ("int8", "-9223372036854775808", integer(-(2**63))),
    ("int8", "9223372036854775808", text("9223372036854775808")), ("int8", "x", text("x")),
    ("numeric", "8338832.89", decimal("8338832.89")), ("numeric", "1.50", decimal("1.5")), ("numeric", "-0", decimal("0")),
    ("numeric", "1" + "0" * 5_000, decimal("1e5000")), ("numeric", "NaN", text("NaN")),
    ("numeric", "Infinity", text("Infinity")), ("numeric", "-Infinity", text("-Infinity")),
    ("money", "$134.37", decimal("134.37")), ("money", "-$1,234,567.80", decimal("-1234567.8")),
    ("money", "($0.50)", decimal("-0.5")), ("money", "12.00 €", decimal("12")), ("money", "$12", decimal("12")),
    ("money", "1.234,50 €", text("1.234,50 €")), ("money", "12,5", text("12,5")), ("money", "($1", text("($1")),
    ("float8", "394202669465.2146", floating(394202669465.2146)), ("float8", "1e-308", floating(1e-308)),
    ("float8", "NaN", floating(float("nan"))), ("float8", "-Infinity", floating(float("-inf"))),
    ("float8", "-0", floating(0.0)), ("float4", "152973.28", single(152973.28)), ("float4", "Infinity", floating(float("inf"))),
    ("float4", "1e300", text("1e300")), ("float8", "", text("")),
    ("bool", "true", TRUE), ("bool", "f", FALSE), ("bool", "yes", text("yes")),
    ("bytea", "\\x7919a9", data(b"\x79\x19\xa9")), ("bytea", "\\x", data(b"")), ("bytea", "\\xzz", text("\\xzz")),
    ("bytea", "abc\\000\\377\\\\", data(b"abc\x00\xff\\")), ("bytea", "\\9", text("\\9")),
    ("date", "1983-04-19", date("1983-04-19")), ("date", "0044-03-15 BC", date("-0043-03-15")),
    ("date", "0001-12-31 BC", date("0000-12-31")), ("date", "12345-01-01", date("12345-01-01")),
    ("date", "infinity", text("infinity")), ("date", "2026-02-30", text("2026-02-30")),
    ("time", "19:35:51.079976", clock((19 * 3600 + 35 * 60 + 51) * NS + 79_976_000)), ("time", "24:00:00", clock(86_400 * NS)),
    ("time", "00:00:00", clock(0)), ("timetz", "14:05:06-10", text("14:05:06-10")),
    ("timestamp", "2027-12-04 18:15:43.047864", local("2027-12-04T18:15:43.047864")),
    ("timestamp", "0044-03-15 01:02:03 BC", local("-0043-03-15T01:02:03")), ("timestamp", "infinity", text("infinity")),
    ("timestamptz", "2026-12-22 23:43:19.150683+00", instant("2026-12-22T23:43:19.150683Z")),
    ("timestamptz", "2026-12-22 23:43:19+05:30", instant("2026-12-22T18:13:19Z")),
    ("timestamptz", "0001-01-01 00:00:00+00 BC", instant("0000-01-01T00:00:00Z")),
    ("timestamptz", "-infinity", text("-infinity")),
    ("uuid", ID, uuid(ID)), ("json", '{"n": 1.0, "k": "a"}', json('{"k":"a","n":1}')), ("jsonb", "{", text("{")),
    ("interval", "1 year 2 mons -3 days +04:05:06", interval(14, -3, (4 * 3600 + 5 * 60 + 6) * NS)),
    ("interval", "-1 years -2 mons +3 days -04:05:06.78", interval(-14, 3, -(14_706 * NS + 780_000_000))),
    ("interval", "822:30:01.5", interval(0, 0, 2_961_001_500_000_000)), ("interval", "00:00:00", interval(0, 0, 0)),
    ("interval", "-00:00:01", interval(0, 0, -NS)), ("interval", "1 mon", interval(1, 0, 0)),
    ("interval", "-178000000 years", interval(-2_136_000_000, 0, 0)), ("interval", "", text("")),
    ("interval", "P1Y", text("P1Y")), ("interval", "infinity", text("infinity")),
    ("interval", "999999999 years", text("999999999 years")), ("interval", "2562047789:00:54.775807", text("2562047789:00:54.775807")),
    ("bit", "101100001", bits(0b101100001)), ("varbit", "00000000000000110100", bits(0b110100)), ("bit", "0", bits(0)),
    ("varbit", "", bits(0)), ("bit", "2", text("2")),
    ("bpchar", "ab  ", text("ab  ")), ("varchar", "", text("")), ("mood", "happy", text("happy")),
    ("inet", "10.0.0.0/8", text("10.0.0.0/8")), ("int4range", "[3,94)", text("[3,94)")), ("xml", "<x/>", text("<x/>")),
    ("_int4", "{18,67,NULL}", items(integer(18), integer(67), NULL)), ("_int4", "{}", items()),
    ("_numeric", "{1.500,NULL,-99999.999}", items(decimal("1.5"), NULL, decimal("-99999.999"))),
    ("_text", '{李小龍,"a,b","q\\"\\\\","NULL","","{x}"}',
     items(text("李小龍"), text("a,b"), text('q"\\'), text("NULL"), text(""), text("{x}"))),
    ("_text", '{"two\nlines"}', items(text("two\nlines"))), ("_bool", "{t,f}", items(TRUE, FALSE)),
    ("_timestamptz", '{"2026-01-01 00:00:00+00"}', items(instant("2026-01-01T00:00:00Z"))),
    ("_date", "{2026-01-01,infinity}", items(date("2026-01-01"), text("infinity"))),
    ("_int4", "{{1,2},{3,4}}", text("{{1,2},{3,4}}")), ("_int4", "[0:1]={1,2}", text("[0:1]={1,2}")),
    ("_int4", "{1 2", text("{1 2")), ("_text", '{"a"b}', text('{"a"b}')),
    ("hstore", '"k"=>"zbxvzemp"', entries({"k": text("zbxvzemp")})), ("hstore", "", entries({})),
    ("hstore", '"b"=>NULL, "a"=>"NULL", "q\\"=>\\\\"=>"x, y"', entries({"a": text("NULL"), "b": NULL, 'q"=>\\': text("x, y")})),
    ("hstore", '"k"=>"two\nlines"', entries({"k": text("two\nlines")})), ("hstore", "k=>v", text("k=>v")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cell", "expected"), CELLS, ids=lambda value: repr(value)[:30])
def test_a_cell_is_read_by_its_type_and_is_text_where_its_type_cant_read_it(kind, cell, expected):
    assert atom_of_text(kind, cell) == expected


@pytest.mark.parametrize("kind", ["int4", "text", "_int4", "hstore", "nobody_knows_this_type"])
def test_null_is_null_whatever_the_type(kind):
    assert atom_of_text(kind, None) == NULL


KINDS = sorted({kind for kind, _, _ in CELLS})


@given(st.sampled_from(KINDS), st.text(max_size=40))
def test_no_text_is_too_odd_for_any_type(kind, cell):
    assert atoms.tag(atom_of_text(kind, cell))


def quoted(cell: str) -> str:
    return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.none() | st.text(max_size=10), max_size=5))
def test_an_array_of_texts_reads_back_whatever_its_texts_hold(found):
    cell = "{" + ",".join("NULL" if one is None else quoted(one) for one in found) + "}"

    assert atom_of_text("_text", cell) == items(*(NULL if one is None else text(one) for one in found))


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=8), max_size=4))
def test_an_hstore_reads_back_whatever_its_texts_hold(found):
    cell = ", ".join(f"{quoted(key)}=>{'NULL' if value is None else quoted(value)}" for key, value in found.items())

    assert atom_of_text("hstore", cell) == entries({k: NULL if v is None else text(v) for k, v in found.items()})
