"""Tables that were recorded beside their topics, as a `Store`: offline verification reads rows the same way.

The file is gzipped JSON: ``{table: {"columns": [{"name", "udt", "nullable", "num_prec", "num_scale", "char_len", …}],
"pk": [column, …], "rows_as_pg_text": [[cell, …], …]}}``, cells in PostgreSQL's texts.
"""

from __future__ import annotations

import gzip
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from app.adapters.sql.address import table_parts
from app.adapters.sql.store import Cells, ColumnType, Key
from app.errors import AmbiguousKey, BadInput, NoSuchTable, require

INTEGER_BITS = {"int2": 16, "int4": 32, "int8": 64}

Value = tuple[int, int | Decimal | str]
"""A key's value to compare: equal exactly if the database's are, in the types' order."""


@dataclass(slots=True)
class _Table:
    """One table; ``indexes`` are made when a key is first used."""

    columns: tuple[ColumnType, ...]
    key: tuple[str, ...]
    rows: list[Cells]
    places: dict[str, int]
    indexes: dict[tuple[str, ...], dict[tuple[Value | None, ...], list[Cells]]] = field(default_factory=dict)


class RecordedTables:
    """A `Store` over one file.

    Integers, numerics, uuids, booleans and blank-padded texts are compared as such, other types by their text; in key order,
    texts stand by code point.

    Raises:
        BadInput: the file is no recording of tables.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                self._tables = {name: _table(told) for name, told in json.load(file).items()}
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path} holds no recorded tables: {type(error).__name__}: {error}") from error

    def columns(self, table: str) -> list[ColumnType]:
        """See `Store.columns`."""
        return list(self._found(table).columns)

    def key(self, table: str) -> tuple[str, ...]:
        """See `Store.key`."""
        return self._found(table).key

    def read(self, table: str, key: Sequence[str], keys: Sequence[Key], columns: Sequence[str]) -> list[Cells | None]:
        """See `Store.read`."""
        require(
            all(len(values) == len(key) for values in keys), f"a key of {table} has another number of values than {key}"
        )
        found = self._found(table, (*key, *columns))
        readers = _readers(found, key)
        index = _index(found, tuple(key))
        places = [found.places[name] for name in columns]
        return [self._one(index, _values(readers, values), places, table) for values in keys]

    def scan(
        self, table: str, key: Sequence[str], after: Key | None, columns: Sequence[str], limit: int
    ) -> list[Cells]:
        """See `Store.scan`."""
        found = self._found(table, (*key, *columns))
        index = _index(found, tuple(key))
        order = sorted(values for values in index if None not in values)
        begin = 0 if after is None else bisect_right(order, _values(_readers(found, key), after) or ())
        places = [found.places[name] for name in columns]
        rows = [row for values in order[begin : begin + limit] for row in index[values]]
        return [tuple(row[place] for place in places) for row in rows[:limit]]

    def close(self) -> None:
        """See `Store.close`; there is nothing to give back."""

    def _found(self, table: str, names: Sequence[str] = ()) -> _Table:
        """A table by its name as recorded, else by the last part of a qualified one."""
        found = self._tables.get(table) or self._tables.get(table_parts(table)[1])
        if found is None:
            raise NoSuchTable(f"{self._path}, table {table}: it was not recorded, only {', '.join(self._tables)}")
        missing = [name for name in dict.fromkeys(names) if name not in found.places]
        if missing:
            raise NoSuchTable(
                f"{self._path}, table {table}: no column {', '.join(missing)}, only {', '.join(found.places)}"
            )
        return found

    def _one(
        self,
        index: dict[tuple[Value | None, ...], list[Cells]],
        values: tuple[Value | None, ...] | None,
        places: Sequence[int],
        table: str,
    ) -> Cells | None:
        rows = [] if values is None else index.get(values, [])
        if len(rows) > 1:
            raise AmbiguousKey(
                f"{self._path}, table {table}: one key finds more than one row. Name a key that is unique"
            )
        return tuple(rows[0][place] for place in places) if rows else None


def _table(told: dict[str, Any]) -> _Table:
    columns = tuple(
        ColumnType(
            name=column["name"],
            type=column["udt"],
            is_nullable=column["nullable"] == "YES",
            precision=column["num_prec"],
            scale=column["num_scale"],
            length=column["char_len"],
        )
        for column in told["columns"]
    )
    return _Table(
        columns=columns,
        key=tuple(told["pk"]),
        rows=[tuple(row) for row in told["rows_as_pg_text"]],
        places={column.name: place for place, column in enumerate(columns)},
    )


def _index(table: _Table, key: tuple[str, ...]) -> dict[tuple[Value | None, ...], list[Cells]]:
    """Rows by the values of some columns."""
    if key not in table.indexes:
        readers, places = _readers(table, key), [table.places[name] for name in key]
        index: dict[tuple[Value | None, ...], list[Cells]] = {}
        for row in table.rows:
            values = _values(readers, [row[place] for place in places])
            require(values is not None, f"a recorded cell of {key} is no value of its column's type")
            index.setdefault(values or (), []).append(row)
        table.indexes[key] = index
    return table.indexes[key]


def _readers(table: _Table, key: Sequence[str]) -> list[Callable[[str], Value]]:
    types = {column.name: column.type for column in table.columns}
    return [_reader(types[name]) for name in key]


def _values(readers: Sequence[Callable[[str], Value]], key: Key) -> tuple[Value | None, ...] | None:
    """A key's values; None where one of its texts is no value of its type."""
    try:
        return tuple(None if text is None else read(text) for read, text in zip(readers, key, strict=True))
    except (ValueError, InvalidOperation):
        return None


def _reader(kind: str) -> Callable[[str], Value]:
    """What reads a text as a value of a type; it raises ValueError or InvalidOperation where it is none."""
    if kind in INTEGER_BITS:
        return lambda text: (0, _whole(text, INTEGER_BITS[kind]))
    return {"numeric": _numeric, "uuid": _uuid, "bool": _truth, "bpchar": _padded}.get(kind, lambda text: (0, text))


def _whole(text: str, bits: int) -> int:
    if not re.fullmatch(r"\s*[+-]?\d+\s*", text, re.ASCII) or not -(1 << bits - 1) <= int(text) < 1 << bits - 1:
        raise ValueError(text)
    return int(text)


def _numeric(text: str) -> Value:
    """NaN stands above all and equals itself, as in PostgreSQL."""
    number = Decimal(text)
    return (1, 0) if number.is_nan() else (0, number)


def _uuid(text: str) -> Value:
    digits = text.lower().replace("-", "").strip("{}")
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        raise ValueError(text)
    return (0, digits)


def _truth(text: str) -> Value:
    words = ({"f", "false", "n", "no", "off", "0"}, {"t", "true", "y", "yes", "on", "1"})
    for truth, allowed in enumerate(words):
        if text.strip().lower() in allowed:
            return (0, truth)
    raise ValueError(text)


def _padded(text: str) -> Value:
    return (0, text.rstrip(" "))
