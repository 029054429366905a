"""A source position is bytes that say each of its parts and no other position's."""

import struct

import pytest

from app.decode.position import POSITIONS, position

SOURCE = {"connector": "postgresql", "name": "shop", "db": None, "lsn": 2, "txId": None}


def sized(tag, text):
    return bytes([tag]) + struct.pack("<I", len(text)) + text


def test_parts_stand_in_order_each_with_its_tag():
    number = b"\x02" + struct.pack("<q", 2)

    assert position(SOURCE, "c") == (
        sized(5, b"postgresql") + sized(5, b"shop") + b"\0" + sized(5, b"c") + number + b"\0"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("ä", sized(5, "ä".encode())), ("\ud800", sized(5, b"\xed\xa0\x80")), (2**63, sized(0xFF, b"9223372036854775808")),
        (True, sized(0xFF, b"True")), (-(2**63), b"\x02" + b"\0" * 7 + b"\x80"), ({"a": "ä"}, sized(0xFF, b"{'a': '\\xe4'}")),
    ],
)  # fmt: skip
def test_every_value_that_json_may_hold_is_written(value, written):
    found = position(SOURCE | {"txId": value}, "c")

    assert found is not None
    assert found.endswith(written)


def test_parts_of_other_kinds_or_places_make_another_position():
    parts = [
        {}, {"name": "shopp"}, {"db": "shop", "name": None}, {"lsn": "2"}, {"txId": 2}, {"lsn": 2.0}, {"lsn": 1, "txId": 2},
    ]  # fmt: skip
    found = [position(SOURCE | part, op) for part in parts for op in ("c", "u")]

    assert len(set(found)) == len(found)


@pytest.mark.parametrize("connector", sorted(POSITIONS))
def test_a_position_of_nulls_is_none(connector):
    assert position({"connector": connector}, "c") is None


def test_a_connector_that_nobody_knows_has_no_positions():
    assert position(SOURCE | {"connector": "db2"}, "c") is None
    assert position(SOURCE | {"connector": 7}, "c") is None
