"""Which changes a contract takes: by table, by operation, and by the values of a row's columns (protocol section 4, exempt).

What is asked of a value is whether it is one of a list of texts, each the value as `app.decode.atoms.written` writes it; null
is none of them. A change is judged by its own row. What a row does not tell (a value that is unavailable, the row of a
delete) is told by the record's key, and by the before image where the contract says that those are whole: PostgreSQL
invents what stands there beyond the key unless the table's replica identity is FULL. What nothing tells is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from app.decode.atoms import written
from app.decode.row_plan import chosen_by
from app.errors import BadInput
from app.model import ChangeKind, LeftOut, Projection
from cdc_receipts.atoms import NULL

MOST_TABLES = 1_024
"""Tables that are remembered; a topic has a few, and hostile records must not fill the memory."""

Atoms = Mapping[str, bytes]
AtomsOf = Callable[[frozenset[str]], Atoms | None]
"""Atoms of some columns, as far as they have a value; None for no row."""


class Told(NamedTuple):
    """Where the columns of a change's row stand; each is asked only where some projection must know."""

    after: AtomsOf
    key: AtomsOf
    before: AtomsOf


class Selection:
    """What some projections take.

    Attributes:
        chooses: whether any of them leaves changes out.
        chooses_rows: whether any of them asks for values.
    """

    def __init__(self, projections: Sequence[Projection]) -> None:
        self.chooses = any(one.chooses for one in projections)
        self.chooses_rows = any(one.rows or one.rows_out for one in projections)
        self._projections = projections
        self._tables: dict[str, list[_TableRows | None]] = {}

    def judge(self, kind: ChangeKind, op: str, table: str, told: Told) -> list[LeftOut]:
        """Of each projection, whether it leaves a change out."""
        rows = self._tables.get(table)
        if rows is None:
            rows = [_rows_of(one, table) for one in self._projections]
            if len(self._tables) < MOST_TABLES:
                self._tables[table] = rows
        found = []
        for one, chosen in zip(self._projections, rows, strict=True):
            if table in one.tables or op in one.operations:
                found.append(LeftOut.YES)
            elif chosen is None or kind not in (ChangeKind.UPSERT, ChangeKind.DELETE):
                found.append(LeftOut.NO)
            else:
                found.append(chosen.judge(kind, told))
        return found


class _TableRows:
    """How one projection chooses the rows of one table."""

    def __init__(self, projection: Projection, table: str) -> None:
        prefix = f"{table}."
        self._in, self._out = (
            [(name.removeprefix(prefix), frozenset(values)) for name, values in some if name.startswith(prefix)]
            for some in (projection.rows, projection.rows_out)
        )
        self._is_whole = projection.before == "whole"
        self._columns = frozenset(chosen_by(projection, table))

    def judge(self, kind: ChangeKind, told: Told) -> LeftOut:
        """One condition that fails leaves the change out, whatever the others are."""
        found = list(self._conditions(self._texts(kind, told)))
        if False in found:
            return LeftOut.YES
        return LeftOut.UNKNOWN if None in found else LeftOut.NO

    def _conditions(self, texts: Mapping[str, str | None]) -> Iterator[bool | None]:
        for name, values in self._in:
            yield texts[name] in values if name in texts else None
        for name, values in self._out:
            yield texts[name] not in values if name in texts else None

    def _texts(self, kind: ChangeKind, told: Told) -> dict[str, str | None]:
        """By column its text, None for null; a column that nothing tells is not there."""
        if kind is ChangeKind.UPSERT:
            found = _read(told.after(self._columns), self._columns)
        else:  # no table's key is null: what is was invented
            key = {name: atom for name, atom in (told.key(self._columns) or {}).items() if atom != NULL}
            found = _read(key, self._columns)
        if self._is_whole and len(found) < len(self._columns):
            # of an update, a value that is unavailable is the one from before
            lacking = self._columns.difference(found)
            found |= _read(told.before(lacking), lacking)
        return found


def _rows_of(projection: Projection, table: str) -> _TableRows | None:
    return _TableRows(projection, table) if chosen_by(projection, table) else None


def _read(atoms: Atoms | None, columns: frozenset[str]) -> dict[str, str | None]:
    """Some columns as texts; one whose value has no text (a list, a map) is not there, for nothing is known of it."""
    found: dict[str, str | None] = {}
    for name, atom in (atoms or {}).items():
        if name in columns:
            try:
                found[name] = None if atom == NULL else written(atom)
            except BadInput:
                continue
    return found
