"""The grammars of protocol section 2: what a class can read, and that everything else is text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_receipts import texts
from cdc_receipts.canonical_json import canonical_json, read_deep


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("150", b"15e1"),
        ("1.5", b"15e-1"),
        ("-0.0", b"0e0"),
        ("1e400", b"1e400"),
        ("12E-3", b"12e-3"),
        ("1E+2", b"1e2"),
        ('{"b":1,"a":2,"b":3}', b'{"a":2e0,"b":3e0}'),
        ('"\\u0041\\/\\n"', b'"A/\\u000a"'),
        ('"\\ud83d\\ude00"', '"\U0001f600"'.encode()),
        (" [ true , false , null ] ", b"[true,false,null]"),
        ("{}", b"{}"),
        ("[]", b"[]"),
        ('{"\\u0061":1,"a":2}', b'{"a":2e0}'),
    ],
)
def test_json_has_one_canonical_text(text, canonical):
    assert canonical_json(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "NaN", "Infinity", "-", "01", "1.", ".5", "+1", "[1,]", '{"a":1,}', "{a:1}", '"\\ud800"', "\ufeff1", '"\n"', "1 2",
     "tru", '"\\x"', "[1", '{"a"}', "\u00a01"],
)  # fmt: skip
def test_what_is_no_rfc_8259_text_is_not_read(text):
    assert canonical_json(text) is None


@pytest.mark.parametrize("number", [*range(0x100), 0x2028, 0xFFFF, 0x1F600])
def test_a_string_escapes_quotes_backslashes_and_controls_in_one_way_and_nothing_else(number):
    char = chr(number)
    written = "\\" + char if char in '"\\' else f"\\u{number:04x}" if number < 0x20 else char

    assert canonical_json(json.dumps(f"a{char}b")) == f'"a{written}b"'.encode()


def test_depth_does_not_exhaust_the_stack():
    deep = "[" * 200_000 + "]" * 200_000

    assert canonical_json(deep) == deep.encode()


def test_exponents_have_no_bound():
    assert canonical_json("1e" + "9" * 10_000) == b"1e" + b"9" * 10_000
    assert canonical_json("10e" + "9" * 10_000) == b"1e1" + b"0" * 10_000
    assert canonical_json("1.5e-1" + "0" * 10_000) == b"15e-1" + b"0" * 9_999 + b"1"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(values)
def test_spacing_and_order_of_keys_are_irrelevant(value):
    assert canonical_json(json.dumps(value)) == canonical_json(json.dumps(value, indent=1, ensure_ascii=False))


@given(values, st.booleans(), st.integers(0, 40), st.text('{}[]",:\\ue+-.0159nultrfasNI \n', max_size=3))
def test_both_readers_agree_on_every_text_also_on_broken_ones(value, is_ascii, place, typo):
    text = json.dumps(value, ensure_ascii=is_ascii)
    for told in (text, text[:place] + typo + text[place:]):
        assert canonical_json(told) == read_deep(told)


@given(values)
def test_a_canonical_text_is_read_as_itself(value):
    canonical = canonical_json(json.dumps(value))

    assert canonical is not None
    assert canonical_json(canonical.decode()) == canonical


@pytest.mark.parametrize(
    ("read", "text", "is_read"),
    [
        (texts.instant, "2024-02-29T12:30:00Z", True),
        (texts.instant, "2023-02-29T12:30:00Z", False),
        (texts.instant, "2024-02-29T12:30:60Z", False),
        (texts.instant, "2024-02-29T12:30", False),
        (texts.instant, "2024-02-29T12:30+05:30", True),
        (texts.instant, "+12345-01-01T00:00:00.123456789-11:00", True),
        (texts.instant, "0000-02-29T00:00Z", True),
        (texts.instant, "2024-02-29t12:30Z", False),
        (texts.instant, "2024-02-29T24:00Z", False),
        (texts.date, "2024-01-01", True),
        (texts.date, "2024-13-01", False),
        (texts.time_of_day, "23:59:59.9", True),
        (texts.time_of_day, "23:59:59.1234567890", False),
        (texts.uuid, "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", True),
        (texts.uuid, "6BA7B8109DAD11D180B400C04FD430C8", False),
        (texts.interval, "P1Y2M3DT4H5M6.78S", True),
        (texts.interval, "PT-0.5S", True),
        (texts.interval, "P", False),
        (texts.interval, "P1YT", False),
        (texts.interval, "P400000000Y", False),
        (texts.interval, "PT\u0661S", False),
    ],
)
def test_a_class_reads_its_grammar_and_nothing_else(read, text, is_read):
    assert (read(text) is not None) == is_read


def test_an_instant_is_in_utc_and_years_are_proleptic():
    """1970-01-01T00:30+01:00 is half an hour before the epoch; year 0 is a leap year."""
    before = texts.instant("1970-01-01T00:30:00+01:00")

    assert before == b"\x08" + (-1800).to_bytes(8, "little", signed=True) + bytes(4)
    assert texts.date("0000-03-01") == b"\x09" + (-719468).to_bytes(8, "little", signed=True)
    assert texts.date("-0001-12-31") == b"\x09" + (-719529).to_bytes(8, "little", signed=True)
