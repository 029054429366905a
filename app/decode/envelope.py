"""Debezium's envelope, versions 1.x to 3.7: a plan made of a writer schema once, then one call per record.

Fields are found by name, never by place, so every version's order is read. A row is ``after``; ``before`` is never content
(under REPLICA IDENTITY DEFAULT it is invented beyond the key).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader

from app.decode.position import position
from app.decode.row_plan import RowPlan, ignored_columns, unasked_columns
from app.decode.selection import Atoms, Selection, Told
from app.errors import Undecodable
from app.model import NO_TIME, ChangeKind, LeftOut
from app.model.projection import Projections, as_projections
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import NamedTypes, loaded

KINDS = {"c": ChangeKind.UPSERT, "r": ChangeKind.UPSERT, "u": ChangeKind.UPSERT, "d": ChangeKind.DELETE,
         "t": ChangeKind.TRUNCATE, "m": ChangeKind.MESSAGE}  # fmt: skip
"""What an op makes of a change."""


MALFORMED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What a record whose fields are of other types than Debezium's makes of code that reads them."""

FingerprintsOf = Callable[[str, Any], Sequence[int]]
"""A row's fingerprints by projection; of the table's name and the row."""
KeyOf = Callable[[str], Atoms | None]
"""The columns of the change's record key, of the table's name; None where it has none."""
RowAtoms = Callable[[str, str, Any, frozenset[str]], Atoms]
"""Atoms of some columns of a row; of the envelope's field that it stands in, the table's name, and the row."""


def no_key(table: str) -> Atoms | None:  # noqa: ARG001 - whatever the table is
    """Where nobody asks for keys."""
    return None


class Decoded(NamedTuple):
    """One change, as far as it is needed: a row's fingerprints by projection, position as canonical bytes or None.

    ``left_out`` is by projection; empty where none leaves it out.
    """

    kind: ChangeKind
    op: int
    fingerprints: Sequence[int]
    source_ts_ms: int
    position: bytes | None
    left_out: Sequence[LeftOut] = ()


class EnvelopePlan:
    """How records of one writer schema are read.

    Args:
        schema: the writer schema as loaded JSON.
        projections: what contracts take.
        unavailable_value: the placeholder's text.

    Raises:
        Undecodable: the schema is no envelope, or can't be read by Avro.
    """

    def __init__(self, schema: Any, projections: Projections, unavailable_value: str) -> None:
        self.projections = as_projections(projections)
        self._selection = Selection(self.projections)
        self.unavailable_value = unavailable_value
        try:
            bare = loaded(schema)
            self.names = NamedTypes(bare)
            top, self.namespace, _ = self.names.branch(bare, "")
            self.parsed = parse_schema(bare)
        except Exception as error:  # fastavro raises many kinds for a schema that is none
            raise Undecodable(f"the writer schema can't be read: {error}") from error
        fields = {field["name"]: field["type"] for field in top.get("fields", ())} if top["type"] == "record" else {}
        if "op" not in fields or "source" not in fields:
            raise Undecodable(f"no envelope: a {top.get('name', top['type'])} without op and source")
        self._after = fields.get("after")
        self._rows: dict[str, RowPlan | str] = {}

    def decode(self, body: bytes, key_of: KeyOf = no_key) -> Decoded:
        """One record's body.

        Args:
            key_of: asked where rows are chosen by their values.

        Raises:
            Undecodable: bytes that are no such record, bytes left over, an unknown op, or no row where there must be one.
        """
        value = self.value(body)
        try:
            change = change_of(value, self._fingerprints)
            return chosen(change, value, self._selection, self._atoms, key_of) if self._selection.chooses else change
        except MALFORMED as error:
            raise Undecodable(f"no envelope of Debezium's: {type(error).__name__}: {error}") from error

    def value(self, body: bytes) -> Any:
        """One record's body as Avro gives it; raises `Undecodable` for bytes that are no such record, or too many."""
        stream = io.BytesIO(body)
        try:
            found: Any = schemaless_reader(stream, self.parsed, None)
        except Exception as error:  # whatever hostile bytes make of a decoder
            raise Undecodable(f"the bytes are no record of their schema: {type(error).__name__}: {error}") from error
        if stream.tell() != len(body):
            raise Undecodable(f"{len(body) - stream.tell()} bytes left over")
        return found

    def row_type(self) -> dict[str, Any]:
        """The Avro type of ``after``, without null; ``null`` where envelopes have none, as a logical message's."""
        if self._after is None:
            return {"type": "null"}
        return self.names.branch(self._after, self.namespace)[0]

    def row_maker(self) -> RowFingerprinter | None:
        """What makes atoms of ``after``; None where it is no record (MongoDB's is a text)."""
        inner = self.row_type()
        if inner["type"] != "record":
            return None
        return RowFingerprinter(inner, (), self.unavailable_value, names=self.names)

    def row_plan(self, table: str) -> RowPlan:
        """How rows of a table are read; made at its first row.

        Raises:
            Undecodable: it can't be made, so that each of the table's rows is undecodable.
        """
        plan = self._rows.get(table)
        if plan is None:
            try:
                plan = self._make_row_plan(table)
            except Exception as error:  # noqa: BLE001 - a decimal without a scale, a type that refers to itself
                plan = f"rows of {table!r} can't be fingerprinted: {error}"
            self._rows[table] = plan
        if isinstance(plan, str):
            raise Undecodable(plan)
        return plan

    def _fingerprints(self, table: str, row: Any) -> Sequence[int]:
        return self.row_plan(table).fingerprints(row)

    def _atoms(self, _: str, table: str, row: Any, only: frozenset[str]) -> Atoms:
        """``before`` is of the type of ``after``."""
        return self.row_plan(table).atoms(row, only)

    def _make_row_plan(self, table: str) -> RowPlan:
        """MongoDB's ``after`` is one JSON text, taken as a row of one column ``after``."""
        inner = self.row_type()
        is_text = inner["type"] != "record"
        fields: Any = [{"name": "after", "type": inner}] if is_text else inner["fields"]
        record = {"type": "record", "name": "Row", "fields": fields} if is_text else inner
        ignored = ignored_columns(self.projections, table, [field["name"] for field in fields])
        unasked = unasked_columns(self.projections, table, ignored)
        maker = RowFingerprinter(record, unasked, self.unavailable_value, names=self.names)
        return RowPlan(maker.columns, ignored, document if is_text else None)


def document(text: Any) -> dict[str, Any]:
    """MongoDB's document, which is one text, as a row of one column."""
    return {"after": text}


def change_of(value: Mapping[str, Any], fingerprints_of: FingerprintsOf) -> Decoded:
    """The change that an envelope's fields tell.

    Raises:
        Undecodable: an unknown op, or no row where there must be one.
    """
    op = value["op"]
    kind = kind_of(op)
    source = value.get("source") or {}
    fingerprints: Sequence[int] = ()
    if kind is ChangeKind.UPSERT:
        row = value.get("after")
        if row is None:
            raise Undecodable(f"op {op} without after")
        fingerprints = fingerprints_of(table_of(source), row)
    time = source.get("ts_ms")
    return Decoded(kind, ord(op), fingerprints, time if isinstance(time, int) else NO_TIME, position(source, op))


def chosen(
    change: Decoded, value: Mapping[str, Any], selection: Selection, atoms_of: RowAtoms, key_of: KeyOf
) -> Decoded:
    """A change with what the projections take of it."""
    table = table_of(value.get("source") or {})

    def row(side: str, only: frozenset[str]) -> Atoms | None:
        found = value.get(side)
        return None if found is None else atoms_of(side, table, found, only)

    def before(only: frozenset[str]) -> Atoms | None:
        try:
            return row("before", only)
        except (Undecodable, *MALFORMED):  # it is no content: the change can be read without it
            return None

    told = Told(lambda only: row("after", only), lambda _: key_of(table), before)
    found = selection.judge(change.kind, chr(change.op), table, told)
    return change._replace(left_out=found) if any(found) else change


def kind_of(op: Any) -> ChangeKind:
    """What an envelope's op makes of a change; raises `Undecodable` for one that nobody knows."""
    kind = KINDS.get(op)
    if kind is None:
        raise Undecodable(f"unknown op {op!r}")
    return kind


def table_of(source: Mapping[str, Any]) -> str:
    """The table, or MongoDB's collection, that a change is of; empty where the source names none."""
    return source.get("table") or source.get("collection") or ""
