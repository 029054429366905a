"""Change records as the oracle sees them: kind, key, position and row (protocol sections 1, 2 and 4)."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastavro import parse_schema, schemaless_reader
from xxhash import xxh64_intdigest

from tests.simulation.fingerprints import fingerprint
from tests.simulation.recording import Record

UPSERTS = {"c", "r", "u"}
KINDS = {"d": "delete", "t": "truncate", "m": "message"}


class Undecodable(Exception):
    """Bytes that can't be read as what they should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change; ``kind`` is upsert, delete, truncate, message, tombstone or undecodable."""

    topic: str
    partition: int
    offset: int
    kind: str
    key_hash: bytes | None
    timestamp: int
    op: str | None = None
    source_ts_ms: int | None = None
    table: str | None = None
    position: tuple[Any, ...] | None = None
    row: Mapping[str, Any] | None = None
    fields: list[Any] = field(default_factory=list)
    key: Mapping[str, Any] | None = None
    """The record key's columns."""

    @property
    def made_at(self) -> int:
        """Milliseconds from which a receipt's lateness counts."""
        return self.timestamp if self.source_ts_ms is None else self.source_ts_ms

    def expected_fingerprint(self, ignored_columns: list[str], placeholder: str) -> bytes:
        """What a sink's fingerprint has to be; ``ignored_columns`` are the contract's, as ``table.column``."""
        ignored = [
            column for table, _, column in (name.rpartition(".") for name in ignored_columns) if table == self.table
        ]
        return fingerprint(self.fields, self.row or {}, ignored, placeholder)


class Registry:
    """Schemas by id, and reading with them."""

    def __init__(self, schemas: Mapping[int, Any]) -> None:
        self.raw = {number: without_logical_types(schema) for number, schema in schemas.items()}
        self._parsed: dict[int, Any] = {}

    def read(self, data: bytes) -> tuple[Any, Any]:
        """The schema and the value of framed bytes.

        Raises:
            Undecodable: another framing, an unknown schema, bytes that are too many or too few.
        """
        if len(data) < 5 or data[0]:
            raise Undecodable("framing")
        number = int.from_bytes(data[1:5], "big")
        if number not in self.raw:
            raise Undecodable(f"schema {number}")
        if number not in self._parsed:
            self._parsed[number] = parse_schema(self.raw[number])
        body = io.BytesIO(data[5:])
        try:
            value = schemaless_reader(body, self._parsed[number], None)
        except (EOFError, IndexError, ValueError, OverflowError, MemoryError, struct.error) as error:
            raise Undecodable(str(error)) from error
        if body.read(1):
            raise Undecodable("bytes left over")
        return self.raw[number], value


def without_logical_types(schema: Any) -> Any:
    """A schema whose values are read as they are written."""
    if isinstance(schema, dict):
        return {name: without_logical_types(part) for name, part in schema.items() if name != "logicalType"}
    return [without_logical_types(part) for part in schema] if isinstance(schema, list) else schema


def key_hash(key: bytes | None) -> bytes | None:
    """16 bytes of a record's key without its framing."""
    if key is None:
        return None
    body = key[5:]
    return b"".join(struct.pack("<Q", xxh64_intdigest(body, seed)) for seed in (0, 1))


def row_fields(schema: Any) -> list[Any]:
    """The columns that ``after`` of an envelope may have."""
    by_name: dict[str, list[Any]] = {}

    def collect(part: Any) -> None:
        if isinstance(part, list):
            for branch in part:
                collect(branch)
        elif isinstance(part, dict):
            if part.get("type") == "record":
                by_name[part["name"]] = part["fields"]
                for inner in part["fields"]:
                    collect(inner["type"])
            elif isinstance(part.get("type"), dict):
                collect(part["type"])

    collect(schema)
    (after,) = (inner["type"] for inner in schema["fields"] if inner["name"] == "after")
    (row,) = (branch for branch in after if branch != "null")
    return by_name[row if isinstance(row, str) else row["name"]]


def read_change(record: Record, registry: Registry) -> Change:
    """What a change record says."""
    common = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key_hash": key_hash(record.key),
        "timestamp": record.timestamp,
    }
    if record.value is None:
        return Change(kind="tombstone", **common)
    try:
        schema, value = registry.read(record.value)
        key = None if record.key is None else registry.read(record.key)[1]
        return replace(_of_envelope(schema, value, common), key=key)
    except Undecodable:
        return Change(kind="undecodable", **common)


def _of_envelope(schema: Any, value: Any, common: dict[str, Any]) -> Change:
    if not isinstance(value, dict) or not {"op", "after", "source"} <= value.keys():
        raise Undecodable("no envelope")
    op, after, source = value["op"], value["after"], value["source"]
    if op not in UPSERTS | KINDS.keys():
        raise Undecodable(f"op {op}")
    if op in UPSERTS and after is None:
        raise Undecodable("no row")
    place = (source.get("lsn"), source.get("txId"))
    return Change(
        kind="upsert" if op in UPSERTS else KINDS[op],
        op=op,
        source_ts_ms=source.get("ts_ms"),
        table=source.get("table"),
        position=None if None in place else (source["name"], source["db"], *place),
        row=after if op in UPSERTS else None,
        fields=row_fields(schema) if op in UPSERTS else [],
        **common,
    )
