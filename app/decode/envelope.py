"""Debezium's envelope, versions 1.x to 3.7: a plan made of a writer schema once, then one call per record.

Fields are found by name, never by place, so every version's order is read. A row is ``after``; ``before`` is never content
(under REPLICA IDENTITY DEFAULT it is invented beyond the key).
"""

from __future__ import annotations

import io
import json
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
"""What a source position is (protocol section 4, `source_duplicate`); the first field that is null makes it a null position."""

_KINDS = {"c": ChangeKind.UPSERT, "r": ChangeKind.UPSERT, "u": ChangeKind.UPSERT, "d": ChangeKind.DELETE,
          "t": ChangeKind.TRUNCATE, "m": ChangeKind.MESSAGE}  # fmt: skip


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
        bare = loaded(schema)
        self.projections = projections
        self.unavailable_value = unavailable_value
        try:
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
        self._rows: dict[str, Callable[[Any], Sequence[int]]] = {}

    def decode(self, body: bytes) -> Decoded:
        """One record's body.

        Raises:
            Undecodable: bytes that are no such record, bytes left over, an unknown op, or no row where there must be one.
        """
        stream = io.BytesIO(body)
        try:
            value: Any = schemaless_reader(stream, self.parsed, None)
        except Exception as error:  # whatever hostile bytes make of a decoder
            raise Undecodable(f"the bytes are no record of their schema: {type(error).__name__}: {error}") from error
        if stream.tell() != len(body):
            raise Undecodable(f"{len(body) - stream.tell()} bytes left over")
        op = value["op"]
        kind = _KINDS.get(op)
        if kind is None:
            raise Undecodable(f"unknown op {op!r}")
        source = value["source"] or {}
        fingerprints: Sequence[int] = self.zeros
        if kind is ChangeKind.UPSERT:
            row = value.get("after")
            if row is None:
                raise Undecodable(f"op {op} without after")
            fingerprints = self._fingerprints(source, row)
        time = source.get("ts_ms")
        return Decoded(kind, ord(op), fingerprints, NO_TIME if time is None else time, position(source, op))

    def _fingerprints(self, source: Mapping[str, Any], row: Any) -> Sequence[int]:
        table = source.get("table") or source.get("collection") or ""
        make = self._rows.get(table)
        if make is None:
            make = self._rows[table] = self._row_function(table)
        return make(row)

    def _row_function(self, table: str) -> Callable[[Any], Sequence[int]]:
        """Fingerprints of a table's rows; MongoDB's ``after`` is one JSON text, taken as a row of one column ``after``."""
        inner, namespace, _ = self.names.branch(self._after, self.namespace)
        is_text = inner["type"] != "record"
        record = {"type": "record", "name": "Row", "fields": [{"name": "after", "type": inner}]} if is_text else inner
        names = NamedTypes(record) if is_text else self.names
        if not is_text and namespace and "." not in record["name"]:
            record = {**record, "name": f"{namespace}.{record['name']}"}
        prefix = f"{table}."
        made: dict[frozenset[str], RowFingerprinter] = {}
        makers: list[RowFingerprinter] = []
        for ignored in self.projections:
            columns = frozenset(name.removeprefix(prefix) for name in ignored if name.startswith(prefix))
            if columns not in made:
                made[columns] = RowFingerprinter(record, columns, self.unavailable_value, names=names)
            makers.append(made[columns])
        if len(made) == 1:
            only, count = makers[0].fingerprint_int, len(makers)
            return (lambda row: [only({"after": row})] * count) if is_text else (lambda row: [only(row)] * count)
        return _several(makers, is_text=is_text)


def _several(makers: Sequence[RowFingerprinter], *, is_text: bool) -> Callable[[Any], Sequence[int]]:
    """Several projections: each column is hashed once, each projection is a sum."""
    widest = max(makers, key=lambda maker: len(maker.columns))
    names = {column.name for maker in makers for column in maker.columns}
    if names != {column.name for column in widest.columns}:
        return lambda row: [maker.fingerprint_int({"after": row} if is_text else row) for maker in makers]
    wanted = [[column.name for column in maker.columns] for maker in makers]

    def make(row: Any) -> Sequence[int]:
        hashes = widest.column_hashes({"after": row} if is_text else row)
        return [sum([hashes[name] for name in columns]) & 0xFFFFFFFFFFFFFFFF for columns in wanted]

    return make


def position(source: Mapping[str, Any], op: str) -> bytes | None:
    """Connector name, database, source position and op as canonical bytes; None for a null position."""
    fields = _POSITIONS.get(source.get("connector", ""))
    if fields is None or source.get(fields[0]) is None:
        return None
    values = [source.get(field) for field in fields]
    return json.dumps([source.get("connector"), source.get("name"), source.get("db"), op, *values]).encode()
