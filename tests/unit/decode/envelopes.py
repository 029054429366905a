"""Debezium envelopes as tests write them: schemas of every version's field order, and framed records of them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from fastavro import parse_schema, schemaless_writer

from app.decode.schemas import RecordedSchemas
from app.model import ChangeBatch, RawBatch, RawRecord
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.kernel.agreement import BothDecoders

ID = 7
TIMES = ("ts_ms", "ts_us", "ts_ns")
ORDERS = {
    "1.x": ("before", "after", "source", "op", "ts_ms", "transaction"),
    "2.6": ("before", "after", "source", "op", *TIMES, "transaction"),
    "3.7": ("before", "after", "source", "transaction", "op", *TIMES),
    "any": ("op", *TIMES, "source", "transaction", "before", "after"),
}
"""The envelope's fields in the order that versions write them."""

Fields = Sequence[tuple[str, Any]]

SOURCE: Fields = (
    ("connector", "string"), ("name", "string"), ("ts_ms", ["null", "long"]), ("db", "string"), ("table", "string"),
    ("txId", ["null", "long"]), ("lsn", ["null", "long"]),
)  # fmt: skip
CAME_FROM = {"connector": "postgresql", "name": "shop", "ts_ms": 5, "db": "d", "table": "orders", "txId": 1, "lsn": 2}


def record(name: str, fields: Fields, **rest: Any) -> dict[str, Any]:
    """An Avro record."""
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **rest}


def envelope(columns: Fields, source: Any = None, version: str = "3.7") -> dict[str, Any]:
    """The schema of an envelope; the record that stands second in it is a reference."""
    value: Any = record("Value", columns)
    types: dict[str, Any] = {
        "source": record("Source", SOURCE) if source is None else source,
        "op": "string",
        "transaction": ["null", record("block", (("id", "string"),), namespace="event")],
        **{name: ["null", "long"] for name in TIMES},
    }
    fields = []
    for name in ORDERS[version]:
        if name in {"before", "after"}:
            fields.append((name, ["null", value]))
            value = "Value"
        else:
            fields.append((name, types[name]))
    return record("Envelope", fields, namespace="shop.public.orders")


def body(schema: Any, datum: Any) -> bytes:
    """The Avro bytes of a datum."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(json.loads(json.dumps(schema))), datum)
    return out.getvalue()


def framed(schema: Any, datum: Any, schema_id: int = ID) -> bytes:
    """The bytes on the wire."""
    return struct.pack(">bi", 0, schema_id) + body(schema, datum)


def change(op: str, after: Any = None, source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An envelope's datum."""
    blank = dict.fromkeys(("before", "transaction", *TIMES))
    return {**blank, "op": op, "after": after, "source": {**CAME_FROM, **(source or {})}}


def decoded(
    schema: Any,
    values: Sequence[bytes | None],
    ignored: Sequence[frozenset[str]] = (frozenset(),),
    key: bytes | None = b"k",
) -> ChangeBatch:
    """What the reference decoder makes of some values, all of one key."""
    records = [RawRecord(offset, 100 + offset, key, value) for offset, value in enumerate(values)]
    raw = RawBatch.of("t", 0, records, 0, len(records))
    return BothDecoders(RecordedSchemas({ID: json.dumps(schema)}), ignored, UNAVAILABLE_VALUE).decode(raw)


def only_reason(schema: Any, value: bytes) -> str:
    """Why the one value given is undecodable."""
    found = decoded(schema, [value])
    assert found.kinds.tolist() == [6]
    return found.reasons[0]
