"""Recorded tables: the rows of a real recording and of made ones, asked as a database is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.adapters.sql import ColumnType, RecordedTables
from app.errors import AmbiguousKey, BadInput, InvariantBroken, NoSuchTable

RECORDING = Path(__file__).parents[3] / "recordings" / "debezium-3.7" / "tables_sink_a.json.gz"


def made(tmp_path: Path, columns: dict[str, str], key: list[str], rows: list[list[str | None]]) -> RecordedTables:
    told: dict[str, Any] = {
        "t": {
            "columns": [
                {"name": name, "udt": udt, "nullable": "YES", "num_prec": None, "num_scale": None, "char_len": None}
                for name, udt in columns.items()
            ],
            "pk": key,
            "rows_as_pg_text": rows,
        }
    }
    path = tmp_path / "tables.json.gz"
    path.write_bytes(gzip.compress(json.dumps(told).encode()))
    return RecordedTables(path)


@pytest.fixture(scope="module")
def sink() -> RecordedTables:
    return RecordedTables(RECORDING)


def test_columns_and_key_are_told_as_recorded(sink):
    assert sink.key("order_items") == ("order_id", "line")
    assert sink.columns("public.order_items")[-1] == ColumnType(
        name="price", type="numeric", is_nullable=False, precision=12, scale=2, length=None
    )


def test_rows_come_in_the_order_asked_with_the_columns_asked(sink):
    assert sink.read("order_items", ["order_id", "line"], [("10", "1"), ("0", "1"), ("1", "1")], ["price", "sku"]) == [
        ("11.38", "SKU-buhcy"),
        None,
        ("15.31", "SKU-yivtl"),
    ]


def test_every_row_is_found_by_its_key_and_by_the_scan(sink):
    names = [column.name for column in sink.columns("order_items")]
    found, after = [], None
    while page := sink.scan("order_items", ["order_id", "line"], after, names, 1_000):
        found += page
        after = page[-1][:2]

    assert len(found) == 6_281
    assert [(int(row[0]), int(row[1])) for row in found] == sorted((int(row[0]), int(row[1])) for row in found)
    assert sink.read("order_items", ["order_id", "line"], [row[:2] for row in found], names) == found


@pytest.mark.parametrize(
    ("kind", "stored", "asked", "is_found"),
    [
        ("int8", "7", "+07", True),
        ("int8", "7", "abc", False),
        ("int4", "7", "2147483648", False),
        ("numeric", "1.20", "1.2", True),
        ("numeric", "NaN", "nan", True),
        ("numeric", "1.20", "x", False),
        ("uuid", "e80cc12a-bcd8-8934-d8ec-a651abd60783", "E80CC12ABCD88934D8ECA651ABD60783", True),
        ("uuid", "e80cc12a-bcd8-8934-d8ec-a651abd60783", "x", False),
        ("bool", "true", "t", True),
        ("bool", "true", "2", False),
        ("bpchar", "ab", "ab  ", True),
        ("text", "ab", "ab  ", False),
    ],
)
def test_keys_are_compared_as_values_of_their_type(tmp_path, kind, stored, asked, is_found):
    tables = made(tmp_path, {"k": kind}, ["k"], [[stored]])

    assert tables.read("t", ["k"], [[asked]], ["k"]) == [(stored,) if is_found else None]


def test_a_key_may_be_null_where_its_column_is_and_a_scan_leaves_it_out(tmp_path):
    tables = made(tmp_path, {"a": "int4", "b": "text"}, [], [["1", None], ["2", "x"]])

    assert tables.read("t", ["a", "b"], [("1", None), ("2", None)], ["a"]) == [("1",), None]
    assert tables.scan("t", ["a", "b"], None, ["a"], 9) == [("2",)]


def test_a_key_that_is_not_unique_is_an_error(tmp_path):
    tables = made(tmp_path, {"a": "int4"}, [], [["1"], ["1"]])

    with pytest.raises(AmbiguousKey):
        tables.read("t", ["a"], [["1"]], ["a"])


def test_a_table_or_column_that_was_not_recorded_is_refused_by_name(sink):
    with pytest.raises(NoSuchTable, match="table nothing: it was not recorded, only all_types, customers"):
        sink.columns("nothing")
    with pytest.raises(NoSuchTable, match="table customers: no column iban, only id, email"):
        sink.read("customers", ["id"], [["1"]], ["iban"])


def test_a_key_with_another_number_of_values_than_columns_is_a_bug(sink):
    with pytest.raises(InvariantBroken):
        sink.read("customers", ["id"], [("1", "2")], ["email"])


@pytest.mark.parametrize("text", [None, b"[]", b'{"t": {}}', b"{"])
def test_a_file_that_holds_no_tables_is_bad_input(tmp_path, text):
    path = tmp_path / "tables.json.gz"
    path.write_bytes(b"no gzip" if text is None else gzip.compress(text))

    with pytest.raises(BadInput, match=r"tables.json.gz holds no recorded tables"):
        RecordedTables(path)
