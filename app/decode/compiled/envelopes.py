"""Programs for changes: what of Debezium's envelope is kept, and which columns of the row are hashed, for one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastavro import parse_schema

from app.decode.compiled.shapes import Action, AtomClass, Kind, Node, Refused, Shapes
from app.decode.compiled.tables import Column, Names, Tables, tables
from app.decode.envelope import KINDS
from app.decode.position import NEEDS_FIRST, POSITIONS
from app.decode.row_plan import chosen_by, ignored_columns, unasked_columns
from app.model import LeftOut, Projection
from app.model.batches import Int64s, UInt8s
from cdc_receipts.fingerprint import Placeholder
from cdc_receipts.schemas import NamedTypes, loaded

_OF_SOURCE = ("table", "collection", "connector", "name", "db", "ts_ms")
SLOTS = ("op", *_OF_SOURCE, *sorted({name for fields in POSITIONS.values() for name in fields} - {*_OF_SOURCE}))
"""What is kept of an envelope; the first seven have these places in the kernel, too."""

NO_TABLE = b"\xff"
"""The table of a program that looks for tables only: no name, since no text has this byte."""
_POSITION_FIELDS = 8
_UNKNOWN = 0xFF
_COLUMN_OF_TEXT = "after"
"""What the one column of MongoDB's document is called, as in the reference."""


@dataclass(frozen=True, slots=True)
class Program:
    """How changes of one writer schema and table are read.

    Attributes:
        tables: nodes, columns and names; the first name is the table.
        positions: ``int64[connectors, 11]``: the connector's name, whether the first field alone decides, how many fields, slots.
        projections: ``int64[p]``, of each projection its accumulator.
        kinds: 256 bytes: by op, the kind or FF.
        left_out: ``uint8[256, p]``, by op and projection; None where nothing is left out.
    """

    tables: Tables
    positions: Int64s
    projections: Int64s
    kinds: bytes
    left_out: UInt8s | None

    def arrays(self) -> tuple[Any, ...]:
        """The kernel's first seven arguments."""
        found = self.tables
        return (found.nodes, found.columns, found.names, found.name_ends, self.positions, self.projections, self.kinds)


class EnvelopeCompiler:
    """Compiles one writer schema, for one table after another.

    Args:
        schema: as loaded JSON.
        projections: what contracts take.
        unavailable_value: the placeholder's text.

    Raises:
        Refused: it is no schema, or none that the kernel reads.
    """

    def __init__(self, schema: Any, projections: Sequence[Projection], unavailable_value: str) -> None:
        self._projections = projections
        self._placeholder = Placeholder(unavailable_value)
        try:
            bare = loaded(schema)
            parse_schema(bare)
            self._types = NamedTypes(bare)
            self._top, self._namespace = self._types.resolve(bare, "")
        except Exception as error:  # fastavro raises many kinds for a schema that is none
            raise Refused(f"no schema: {error}") from error
        if not isinstance(self._top, dict) or self._top["type"] != "record":
            raise Refused("no record")

    def program(self, table: str | None, *, is_scout: bool = False) -> Program:
        """The program for a table; for none, one that finds out which table each change is of.

        Args:
            is_scout: rows are only looked for, as where a table's rows are nothing for the kernel.

        Raises:
            Refused: the kernel can't read it, or rows of the table are chosen by their values.
        """
        try:
            return self._program(table, is_scout=is_scout or table is None)
        except Refused:
            raise
        except Exception as error:  # a schema of odd JSON, which the reference speaks about
            raise Refused(f"{type(error).__name__}: {error}") from error

    def _program(self, table: str | None, *, is_scout: bool) -> Program:
        root = Shapes(self._types).of(self._top, self._namespace)
        parts = dict(zip(root.names, root.children, strict=True))
        if b"op" not in parts or b"source" not in parts:
            raise Refused("no envelope")
        _keep(parts[b"op"], 0)
        _mark_source(parts[b"source"])
        accumulators: list[int] = [0] * len(self._projections)
        columns: list[Column] = []
        if b"after" in parts and table is not None and not is_scout:
            if any(chosen_by(one, table) for one in self._projections):
                raise Refused(f"rows of {table!r} are chosen by their values")
            columns, accumulators = self._mark_row(parts[b"after"], table)
        names = Names([NO_TABLE if table is None else table.encode()])
        positions = _positions(names)
        return Program(
            tables(root, columns, names, self._placeholder),
            positions,
            np.array(accumulators, np.int64),
            _kinds(),
            None if table is None or is_scout else _left_out(self._projections, table),
        )

    def _mark_row(self, after: Node, table: str) -> tuple[list[Column], list[int]]:
        """Mark the row's columns, and number the different sets of columns that projections leave out."""
        row = after.valued()
        if row.kind is Kind.UNION or any(child.atom is AtomClass.REFUSED for child in after.children):
            raise Refused("rows of several types")
        after.action = Action.ROW
        if row.kind is Kind.RECORD:
            named = {name.decode(): node for name, node in zip(row.names, row.children, strict=True)}
        else:
            named = {_COLUMN_OF_TEXT: row}
        ignored = ignored_columns(self._projections, table, named)
        unasked = unasked_columns(self._projections, table, ignored)
        sets = list(dict.fromkeys(ignored))
        columns: list[Column] = []
        for name, node in named.items():
            if name in unasked:
                continue
            _check(node)
            node.action, node.slot = Action.COLUMN, len(columns)
            columns.append(Column(name, node, [at for at, one in enumerate(sets) if name in one]))
        if row.kind is not Kind.RECORD:
            if not columns:
                raise Refused("a document that nobody asks for")
            after.slot = row.slot  # the action is the field's, its branch stands behind it
        return columns, [sets.index(one) for one in ignored]


def _check(node: Node) -> None:
    """A type whose atoms can't be made is refused as a whole, so that the reference says why."""
    if node.atom is AtomClass.REFUSED and node.kind is not Kind.UNION:
        raise Refused("a column of a class that can't be read")
    if node.kind is Kind.UNION:
        valued = node.valued()
        if valued is not node:
            _check(valued)
        return
    for child in node.children:
        _check(child)


def _keep(node: Node, slot: int) -> None:
    """Keep a field; what stands in an enum or a fixed would be taken for a number or a text."""
    if any(one.kind in (Kind.ENUM, Kind.FIXED) for one in (node, *node.children)):
        raise Refused("an enum or a fixed where a text or a number must be")
    node.action, node.slot = Action.SLOT, slot


def _mark_source(source: Node) -> None:
    inner = source.valued()
    if inner.kind is not Kind.RECORD or any(child.atom is AtomClass.REFUSED for child in source.children):
        raise Refused("a source that is no record")
    source.action = Action.DESCEND
    for name, node in zip(inner.names, inner.children, strict=True):
        if name.decode() in SLOTS[1:]:
            _keep(node, SLOTS.index(name.decode(), 1))


def _positions(names: Names) -> Int64s:
    rows = []
    for connector, fields in POSITIONS.items():
        slots = [SLOTS.index(name) for name in fields]
        padding = [0] * (_POSITION_FIELDS - len(slots))
        rows.append([names.add([connector.encode()]), connector in NEEDS_FIRST, len(slots), *slots, *padding])
    return np.array(rows, np.int64)


def _kinds() -> bytes:
    found = bytearray([_UNKNOWN] * 256)
    for op, kind in KINDS.items():
        found[ord(op)] = kind
    return bytes(found)


def _left_out(projections: Sequence[Projection], table: str) -> UInt8s | None:
    """What is left out by its table or its operation."""
    found = np.zeros((256, len(projections)), np.uint8)
    for at, one in enumerate(projections):
        if table in one.tables:
            found[:, at] = LeftOut.YES
        for op in one.operations:
            if len(op) == 1 and ord(op) < 256:
                found[ord(op), at] = LeftOut.YES
    return found if found.any() else None
