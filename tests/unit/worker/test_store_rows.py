"""A SQL store as rows of atoms: columns as they are now, and keys of which the store says where their row would stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.adapters.sql import ColumnType
from app.errors import NoSuchTable
from app.worker.store_rows import StoreRows
from cdc_receipts import texts
from cdc_receipts.atoms import decimal, floating, integer, text

UUID = "0e0f5a3c-1111-2222-3333-444455556666"
MOMENT = texts.local_timestamp("2024-01-02T03:04:05.5") or b""
INSTANT = texts.instant("2024-01-02T03:04:05.5Z") or b""
DATE = texts.date("2024-01-02") or b""


class Table:
    """A table with one row, which has every key."""

    def __init__(self, **columns: tuple[str, str | None]) -> None:
        self.cells = columns

    def columns(self, table: str) -> list[ColumnType]:
        assert table == "t"
        return [
            ColumnType(name=name, type=kind, is_nullable=True, precision=None, scale=None, length=None)
            for name, (kind, _) in self.cells.items()
        ]

    def read(self, table: str, key: Sequence[str], keys: Sequence[Any], columns: Sequence[str]) -> list[Any]:
        assert set(key) <= self.cells.keys()
        if not set(columns) <= self.cells.keys():
            raise NoSuchTable("a column is not there")
        return [tuple(self.cells[name][1] for name in columns) for _ in keys]


def rows(table: Table, scheme: str = "postgresql") -> StoreRows:
    return StoreRows(table, scheme)  # type: ignore[arg-type]


def test_a_column_that_a_sink_adds_is_there_at_the_next_look() -> None:
    """Else the first rows after it would lack a column that the store has."""
    table = Table(id=("int8", "1"))
    store = rows(table)
    assert store.read("t", ["id"], [["1"]]) == [{"id": integer(1)}]

    table.cells["extra"] = ("text", "x")

    assert store.read("t", ["id"], [["1"]]) == [{"id": integer(1), "extra": text("x")}]


def test_a_key_may_be_written_in_other_letter_case() -> None:
    assert rows(Table(ID=("int8", "1"))).read("t", ["id"], [["1"]]) == [{"ID": integer(1)}]


@pytest.mark.parametrize(
    ("atom", "scheme", "kind"),
    [
        (integer(7), "postgresql", "int8"),
        (integer(7), "postgresql", "numeric"),
        (integer(7), "postgresql", "text"),
        (text("ab"), "postgresql", "bpchar"),
        (text("open"), "postgresql", "order_state"),
        (text(UUID), "postgresql", "uuid"),
        (texts.uuid(UUID), "postgresql", "uuid"),
        (texts.uuid(UUID), "postgresql", "text"),
        (MOMENT, "postgresql", "timestamp"),
        (INSTANT, "postgresql", "timestamptz"),
        (DATE, "postgresql", "date"),
        (decimal(750, 2), "postgresql", "numeric"),
        (floating(1.5), "postgresql", "float8"),
        (b"\x01\x01", "postgresql", "bool"),
        (b"\x06\x01\x02", "postgresql", "bytea"),
        (integer(7), "mysql", "bigint unsigned"),
        (texts.uuid(UUID), "mysql", "char(36)"),
        (texts.uuid(UUID), "mysql", "uuid"),
        (MOMENT, "mysql", "datetime(6)"),
        (DATE, "mysql", "date"),
        (text("ab"), "mysql", "varchar(10)"),
    ],
)
def test_a_row_that_is_not_found_by_a_key_of_its_type_is_not_there(atom: bytes, scheme: str, kind: str) -> None:
    store = rows(Table(id=(kind, "")), scheme)
    store.read("t", ["id"], [])

    assert store.finds("t", ["id"], [atom])


@pytest.mark.parametrize(
    ("atom", "scheme", "kind"),
    [
        (
            MOMENT,
            "postgresql",
            "int8",
        ),  # microseconds since 1970, as a sink keeps them that does not know Debezium's types
        (MOMENT, "postgresql", "timestamptz"),
        (INSTANT, "postgresql", "text"),
        (DATE, "postgresql", "int4"),
        (decimal(750, 2), "postgresql", "text"),
        (b"\x0f\x0a", "postgresql", "bit"),
        (b"\x01\x01", "mysql", "tinyint(1)"),
        (b"\x06\x01\x02", "mysql", "varbinary(10)"),
        (texts.uuid(UUID), "mysql", "binary(16)"),
        (DATE, "mysql", "int"),
    ],
)
def test_a_key_that_the_store_keeps_in_its_own_way_may_have_a_row_all_the_same(
    atom: bytes, scheme: str, kind: str
) -> None:
    store = rows(Table(id=(kind, "")), scheme)
    store.read("t", ["id"], [])

    assert not store.finds("t", ["id"], [atom])


def test_a_first_look_does_with_columns_of_a_minute_ago_and_a_second_one_asks_anew() -> None:
    """What is right by old columns is right; what is wrong may lack a column that was added since."""
    now = [0.0]
    table = Table(id=("int8", "1"))
    store = StoreRows(table, "postgresql", lambda: now[0])  # type: ignore[arg-type]
    store.read("t", ["id"], [["1"]], is_fresh=False)
    table.cells["extra"] = ("text", "x")

    assert store.read("t", ["id"], [["1"]], is_fresh=False) == [{"id": integer(1)}]
    assert store.read("t", ["id"], [["1"]], is_fresh=True) == [{"id": integer(1), "extra": text("x")}]

    table.cells["more"] = ("text", "y")
    now[0] = 60.0
    assert store.read("t", ["id"], [["1"]], is_fresh=False) == [
        {"id": integer(1), "extra": text("x"), "more": text("y")}
    ]


def test_columns_are_asked_for_anew_after_a_read_that_failed() -> None:
    """One that was dropped since is read no more."""
    table = Table(id=("int8", "1"), gone=("text", "x"))
    store = rows(table)
    store.read("t", ["id"], [["1"]], is_fresh=False)
    del table.cells["gone"]

    with pytest.raises(NoSuchTable):
        store.read("t", ["id"], [["1"]], is_fresh=False)

    assert store.read("t", ["id"], [["1"]], is_fresh=False) == [{"id": integer(1)}]
