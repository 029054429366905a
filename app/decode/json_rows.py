"""How rows of JSON change events are read: by the schema that comes with them, or by the contract and their JSON types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.decode.connect import Typed, read_fields, row_type, typed
from app.decode.envelope import MALFORMED, document
from app.decode.row_plan import RowPlan, ignored_columns, unasked_columns
from app.decode.untyped import geometry_atom, untyped_atom, untyped_check
from app.errors import Undecodable
from app.model.column_types import GEOMETRY, connect_type
from app.model.projection import Projection
from cdc_receipts.fingerprint import Column, Placeholder, RowFingerprinter

MOST_PLANS = 1_024
"""Plans kept; a topic has a few, and hostile records must not fill the memory."""

_DOCUMENT_WORD = "json"
"""What MongoDB's document is, with a schema or without."""


class Rows(Protocol):
    """What both kinds of rows do."""

    def plan(self, side: str, table: str, row: Any) -> RowPlan:
        """How a row is read; ``side`` is the envelope's field, ``after`` or ``before``.

        Raises:
            Undecodable: rows like it can't be read.
        """


class SchemaRows:
    """Rows of one schema of JsonConverter's: that of an envelope, or of a key.

    Raises:
        Undecodable: it is no schema of a struct.
    """

    def __init__(self, schema: Any, projections: Sequence[Projection], unavailable_value: str) -> None:
        try:
            self._fields = {field["field"]: field for field in schema["fields"]}
        except MALFORMED as error:
            raise Undecodable("no envelope: its schema is no struct's") from error
        self._projections = projections
        self._unavailable_value = unavailable_value
        self._plans: dict[tuple[str, str], RowPlan | str] = {}

    def plan(self, side: str, table: str, row: Any) -> RowPlan:  # noqa: ARG002 - the schema says it all
        plan = self._plans.get((side, table))
        if plan is None:
            try:
                plan = self._make(side, table)
            except Exception as error:  # noqa: BLE001 - whatever a schema can lack
                plan = f"rows of {table!r} can't be fingerprinted: {type(error).__name__}: {error}"
            keep(self._plans, (side, table), plan)
        if isinstance(plan, str):
            raise Undecodable(plan)
        return plan

    def _make(self, side: str, table: str) -> RowPlan:
        schema = self._fields.get(side)
        if schema is None:
            return _refuse(f"the schema has no field {side}")
        is_struct = schema["type"] == "struct"
        names = [field["field"] for field in schema["fields"]] if is_struct else ["after"]
        ignored = ignored_columns(self._projections, table, names)
        unasked = unasked_columns(self._projections, table, ignored)
        if is_struct:
            kind = row_type(schema, unasked)
            return RowPlan(RowFingerprinter(kind.avro, (), self._unavailable_value).columns, ignored, kind.read)
        if schema["type"] != "string":
            return _refuse(f"the field {side} is neither a struct nor MongoDB's text")
        kind = typed(schema)
        columns = [] if "after" in unasked else [_column("after", kind, self._unavailable_value)]
        return RowPlan(columns, ignored, lambda text: document(kind.read(text)))


def _refuse(reason: str) -> RowPlan:
    raise ValueError(reason)


class PlainRows:
    """Rows without a schema.

    A column that the contract names is read as its type; any other is taken by its JSON type. The columns are those that
    the object has: one that is not there takes no part.

    Args:
        column_types: the contract's type word by ``table.column``.
    """

    def __init__(
        self, column_types: Mapping[str, str], projections: Sequence[Projection], unavailable_value: str
    ) -> None:
        self._column_types = column_types
        self._projections = projections
        self._unavailable_value = unavailable_value
        self._is_placeholder = untyped_check(Placeholder(unavailable_value))
        self._plans: dict[tuple[str, tuple[str, ...] | None], RowPlan] = {}

    def plan(self, side: str, table: str, row: Any) -> RowPlan:
        if not isinstance(row, dict | str):
            raise Undecodable(f"the field {side} is neither an object nor MongoDB's text")
        shape = tuple(row) if isinstance(row, dict) else None
        plan = self._plans.get((table, shape))
        if plan is None:
            plan = self._make(table, ("after",) if shape is None else shape, is_text=shape is None)
            keep(self._plans, (table, shape), plan)
        return plan

    def _make(self, table: str, names: tuple[str, ...], *, is_text: bool) -> RowPlan:
        ignored = ignored_columns(self._projections, table, names)
        unasked = unasked_columns(self._projections, table, ignored)
        columns, readers = [], []
        for name in names:
            if name in unasked:
                continue
            word = self._column_types.get(f"{table}.{name}", _DOCUMENT_WORD if is_text else None)
            schema = None if word is None else connect_type(word)
            if schema is None:
                columns.append(Column(name, untyped_atom, self._is_placeholder))
            elif schema.get("name") == GEOMETRY:
                columns.append(Column(name, geometry_atom, None))
            else:
                kind = typed(schema)
                columns.append(_column(name, kind, self._unavailable_value))
                readers.append((name, kind.read))

        def read(row: Any) -> dict[str, Any]:
            values = document(row) if is_text else row
            return {**values, **read_fields(readers, values)}

        return RowPlan(columns, ignored, read)


def _column(name: str, kind: Typed, unavailable_value: str) -> Column:
    record = {"type": "record", "name": "Row", "fields": [{"name": name, "type": kind.avro}]}
    return RowFingerprinter(record, (), unavailable_value).columns[0]


def keep(plans: dict[Any, Any], key: Any, plan: Any) -> None:
    """Keep a plan; all are forgotten where there are too many."""
    if len(plans) >= MOST_PLANS:
        plans.clear()
    plans[key] = plan
