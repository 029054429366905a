"""What Connect's own classes made of values is what the tolerances let through; the outputs are those of Connect 4.3."""

from __future__ import annotations

import pytest

from app.evidence.agreement import agrees
from app.evidence.conversions import cast, converted
from cdc_receipts.atoms import floating, integer, text
from tests.unit.evidence.sinks import KINDS
from tests.unit.evidence.values import TRUE, data, decimal, instant, local, single

KEPT = [
    # the column, the cast, the source's value, what Connect made of it
    ("id", "string", integer(5_000_000_000), text("5000000000")), ("id", "float32", integer(5_000_000_000), single(5e9)),
    ("small", "float64", integer(300), floating(300.0)), ("ratio", "string", floating(1e-7), text("1.0E-7")),
    ("ratio", "string", floating(1e10 + 0.1), text("1.00000000001E10")), ("part", "string", single(0.1), text("0.1")),
    ("part", "float64", single(0.1), floating(0.10000000149011612)), ("flag", "int16", TRUE, integer(1)),
    ("flag", "string", TRUE, text("true")), ("code", "int32", text("7"), integer(7)), ("code", "float32", text("7"), single(7.0)),
    ("total", "float64", decimal("12.34"), floating(12.34)), ("total", "string", decimal("12.34"), text("12.34")),
    ("total", "string", decimal("1e-9"), text("1E-9")), ("raw", "string", data(b"\x01\x02"), text("AQI=")),
    ("seen", "string", instant("2020-01-01T00:00:00.123456Z"), text("2020-01-01T00:00:00.123456Z")),
    ("at", "string", local("2023-11-14T22:13:20.123"), text("2023-11-14T22:13:20.123Z")),
]  # fmt: skip


@pytest.mark.parametrize(("column", "to", "value", "made"), KEPT)
def test_what_a_cast_made_of_a_value_agrees_with_it(column, to, value, made):
    words = cast(KINDS[column], to).words

    assert words is not None
    assert agrees(value, made, words) is True


@pytest.mark.parametrize(
    ("column", "options", "value", "made"),
    [
        ("made", {"target.type": "Timestamp", "unix.precision": "microseconds"},
         local("2023-11-14T22:13:20.123456"), local("2023-11-14T22:13:20.123")),
        ("made", {"target.type": "string", "unix.precision": "microseconds", "format": "yyyy-MM-dd HH:mm:ss"},
         local("2023-11-14T22:13:20.123456"), text("2023-11-14 22:13:20")),
        ("at", {"target.type": "string", "format": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"},
         local("2023-11-14T22:13:20.123"), text("2023-11-14T22:13:20.123Z")),
    ],
)  # fmt: skip
def test_what_a_converter_made_of_a_time_agrees_with_it(column, options, value, made):
    words = converted(KINDS[column], options).words

    assert words is not None
    assert agrees(value, made, words) is True


@pytest.mark.parametrize("to", ["int8", "int16", "int32"])
def test_a_cast_that_wraps_is_none_that_keeps_values(to):
    assert cast(KINDS["id"], to).words is None
