"""Debezium's envelope, versions 1.x to 3.7: a plan made of a writer schema once, then one call per record.

Fields are found by name, never by place, so every version's order is read. A row is ``after``; ``before`` is never content
(under REPLICA IDENTITY DEFAULT it is invented beyond the key).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader

from app.errors import Undecodable
from app.model import NO_TIME, ChangeKind
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import NamedTypes, loaded

_POSITIONS: dict[str, tuple[str, ...]] = {
    "postgresql": ("lsn", "txId"),
    "mysql": ("file", "pos", "row", "gtid"),
    "mariadb": ("file", "pos", "row", "gtid"),
    "sqlserver": ("commit_lsn", "change_lsn", "event_serial_no"),
    "oracle": ("commit_scn", "txId", "scn", "rs_id", "ssn", "txSeq"),
    "mongodb": ("ts_ms", "ord", "lsid", "txnNumber"),
}
"""What a source position is (protocol section 4, `source_duplicate`); it is null where all its fields are."""

_KINDS = {"c": ChangeKind.UPSERT, "r": ChangeKind.UPSERT, "u": ChangeKind.UPSERT, "d": ChangeKind.DELETE,
          "t": ChangeKind.TRUNCATE, "m": ChangeKind.MESSAGE}  # fmt: skip


_MASK = (1 << 64) - 1
MALFORMED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What a record whose fields are of other types than Debezium's makes of code that reads them."""

RowFunction = Callable[[Any], Sequence[int]]
"""A row's fingerprints by projection."""


class Decoded(NamedTuple):
    """One change, as far as it is needed: fingerprints by projection, position as canonical bytes or None."""

    kind: ChangeKind
    op: int
    fingerprints: Sequence[int]
    source_ts_ms: int
    position: bytes | None


class EnvelopePlan:
    """How records of one writer schema are read.

    Args:
        schema: the writer schema as loaded JSON.
        projections: ``table.column`` texts ignored, one set a projection.
        unavailable_value: the placeholder's text.

    Raises:
        Undecodable: the schema is no envelope, or can't be read by Avro.
    """

    def __init__(self, schema: Any, projections: Sequence[Collection[str]], unavailable_value: str) -> None:
        self.projections = projections
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
        self.zeros = [0] * len(projections)
        self._after = fields.get("after")
        self._rows: dict[str, RowFunction | str] = {}

    def decode(self, body: bytes) -> Decoded:
        """One record's body.

        Raises:
            Undecodable: bytes that are no such record, bytes left over, an unknown op, or no row where there must be one.
        """
        value = self.value(body)
        try:
            return self._change(value)
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

    def _change(self, value: Mapping[str, Any]) -> Decoded:
        op = value["op"]
        kind = kind_of(op)
        source = value["source"] or {}
        fingerprints: Sequence[int] = self.zeros
        if kind is ChangeKind.UPSERT:
            row = value.get("after")
            if row is None:
                raise Undecodable(f"op {op} without after")
            fingerprints = self._row_function(source.get("table") or source.get("collection") or "")(row)
        time = source.get("ts_ms")
        return Decoded(kind, ord(op), fingerprints, time if isinstance(time, int) else NO_TIME, position(source, op))

    def _row_function(self, table: str) -> RowFunction:
        """Made at a table's first row; one that can't be made makes each of its rows undecodable."""
        make = self._rows.get(table)
        if make is None:
            try:
                make = self._make_row_function(table)
            except Exception as error:  # noqa: BLE001 - a decimal without a scale, a type that refers to itself
                make = f"rows of {table!r} can't be fingerprinted: {error}"
            self._rows[table] = make
        if isinstance(make, str):
            raise Undecodable(make)
        return make

    def _make_row_function(self, table: str) -> RowFunction:
        """Each column is hashed once, and a projection is a subtraction.

        MongoDB's ``after`` is one JSON text, taken as a row of one column ``after``.
        """
        prefix = f"{table}."
        ignored = [
            frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))
            for names in self.projections
        ]
        everywhere = frozenset.intersection(*ignored) if ignored else frozenset()
        inner = self.row_type()
        is_text = inner["type"] != "record"
        record = {"type": "record", "name": "Row", "fields": [{"name": "after", "type": inner}]} if is_text else inner
        maker = RowFingerprinter(record, everywhere, self.unavailable_value, names=self.names)
        left_out = [[at for at, column in enumerate(maker.columns) if column.name in names] for names in ignored]

        def make(row: Any) -> Sequence[int]:
            hashes = maker.column_hashes({"after": row} if is_text else row)
            total = sum(hashes)
            return [(total - sum([hashes[at] for at in places]) if places else total) & _MASK for places in left_out]

        return make


def kind_of(op: str | None) -> ChangeKind:
    """What an envelope's op makes of a change; raises `Undecodable` for one that nobody knows."""
    kind = _KINDS.get(op or "")
    if kind is None:
        raise Undecodable(f"unknown op {op!r}")
    return kind


def position(source: Mapping[str, Any], op: str) -> bytes | None:
    """Connector name, database, source position and op as canonical bytes; None for a null position.

    PostgreSQL's position is null where its lsn is: a transaction's number alone is no place in it.
    """
    connector = source.get("connector")
    fields = _POSITIONS.get(connector) if isinstance(connector, str) else None
    if fields is None:
        return None
    values = [source.get(field) for field in fields]
    if values[0] is None and (connector == "postgresql" or values.count(None) == len(values)):
        return None
    return ascii((connector, source.get("name"), source.get("db"), op, *values)).encode()
