"""The three evidence records (protocol section 3): Avro with Confluent framing.

Framing is 00, the schema's id as int32 big-endian, the body. A batch packs n receipts of one sink and source partition
into little-endian arrays, in the order applied.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fastavro import parse_schema, schemaless_writer


class Status(IntEnum):
    """Avro enum ``ReceiptStatus``; the value is the enum's index."""

    APPLIED = 0
    DELETED = 1
    SKIPPED = 2
    REJECTED = 3


class MarkKind(IntEnum):
    """Avro enum ``MarkKind``; the value is the enum's index."""

    PROGRESS = 0
    FENCE = 1
    START = 2
    SKIP = 3
    END = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a sink did with one change; ``applied_at`` is in ms since the epoch, ``fingerprint`` 8 bytes or None."""

    sink: str
    topic: str
    partition: int
    offset: int
    status: Status
    fingerprint: bytes | None
    applied_at: int
    sequence: int | None = None
    command_id: str | None = None
    error: tuple[str, str] | None = None
    evidence: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether a batch can hold it: nothing but offset, status, fingerprint and time."""
        return (self.sequence, self.command_id, self.error, self.evidence) == (None, None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a sink, probe or operator says about a whole source partition; ``at`` is in ms since the epoch."""

    sink: str
    topic: str
    partition: int
    kind: MarkKind
    offset: int
    at: int
    to_offset: int | None = None
    generation: int = 0
    reason: str | None = None


_OPTIONAL_TEXT = {"type": ["null", "string"], "default": None}
_WHOM = [
    {"name": "sink", "type": "string"},
    {"name": "topic", "type": "string"},
    {"name": "partition", "type": "int"},
]
_STATUS = {"type": "enum", "name": "ReceiptStatus", "symbols": [status.name for status in Status]}
_FINGERPRINT = {"type": "fixed", "name": "Fingerprint", "size": 8}
_ERROR = {
    "type": "record",
    "name": "ReceiptError",
    "fields": [{"name": "code", "type": "string"}, {"name": "message", "type": "string"}],
}


def _record(name: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "cdc_verifier", "fields": [*_WHOM, *fields]}


_RECEIPT = _record(
    "DeliveryReceipt",
    [
        {"name": "offset", "type": "long"},
        {"name": "status", "type": _STATUS},
        {"name": "fingerprint", "type": ["null", _FINGERPRINT], "default": None},
        {"name": "applied_at", "type": "long"},
        {"name": "sequence", "type": ["null", "long"], "default": None},
        {"name": "command_id", **_OPTIONAL_TEXT},
        {"name": "error", "type": ["null", _ERROR], "default": None},
        {"name": "evidence", **_OPTIONAL_TEXT},
    ],
)
_BATCH = _record(
    "DeliveryReceiptBatch",
    [
        {"name": "base_offset", "type": "long"},
        {"name": "offset_deltas", "type": "bytes"},
        {"name": "statuses", "type": "bytes"},
        {"name": "fingerprints", "type": ["null", "bytes"], "default": None},
        {"name": "base_applied_at", "type": "long"},
        {"name": "applied_at_deltas", "type": "bytes"},
    ],
)
_MARK = _record(
    "SinkMark",
    [
        {"name": "kind", "type": {"type": "enum", "name": "MarkKind", "symbols": [kind.name for kind in MarkKind]}},
        {"name": "offset", "type": "long"},
        {"name": "to_offset", "type": ["null", "long"], "default": None},
        {"name": "generation", "type": "int", "default": 0},
        {"name": "at", "type": "long"},
        {"name": "reason", **_OPTIONAL_TEXT},
    ],
)

SCHEMAS: dict[str, str] = {schema["name"]: json.dumps(schema) for schema in (_RECEIPT, _BATCH, _MARK)}
"""Avro JSON text by record name."""

_PARSED = {name: parse_schema(json.loads(text)) for name, text in SCHEMAS.items()}
MAX_DELTA = (1 << 32) - 1


def framed(schema_id: int, body: bytes) -> bytes:
    """Confluent framing."""
    return struct.pack(">bi", 0, schema_id) + body


def encode_receipt(receipt: Receipt, schema_id: int) -> bytes:
    """One receipt as a `DeliveryReceipt`."""
    error = None if receipt.error is None else {"code": receipt.error[0], "message": receipt.error[1]}
    fields = {name: getattr(receipt, name) for name in Receipt.__slots__}
    return _encoded("DeliveryReceipt", fields | {"status": receipt.status.name, "error": error}, schema_id)


def encode_batch(receipts: Sequence[Receipt], schema_id: int) -> bytes:
    """Plain receipts of one sink and source partition as a `DeliveryReceiptBatch`, in the order given.

    Raises:
        ValueError: no receipts; receipts of several source partitions; some with and some without a fingerprint; one that
            is not plain; offsets or times too far apart for uint32 deltas.
    """
    if not can_batch(receipts):
        raise ValueError("a batch holds plain receipts of one source partition, all or none with a fingerprint")
    base_offset = min(receipt.offset for receipt in receipts)
    base_time = min(receipt.applied_at for receipt in receipts)
    count = len(receipts)
    fields = {
        "sink": receipts[0].sink,
        "topic": receipts[0].topic,
        "partition": receipts[0].partition,
        "base_offset": base_offset,
        "offset_deltas": struct.pack(f"<{count}I", *(receipt.offset - base_offset for receipt in receipts)),
        "statuses": bytes(receipt.status for receipt in receipts),
        "fingerprints": b"".join(receipt.fingerprint for receipt in receipts if receipt.fingerprint is not None)
        or None,
        "base_applied_at": base_time,
        "applied_at_deltas": struct.pack(f"<{count}I", *(receipt.applied_at - base_time for receipt in receipts)),
    }
    return _encoded("DeliveryReceiptBatch", fields, schema_id)


def can_batch(receipts: Sequence[Receipt]) -> bool:
    """Whether `encode_batch` takes these receipts."""
    if not receipts or not all(receipt.is_plain for receipt in receipts):
        return False
    shared = {(r.sink, r.topic, r.partition, r.fingerprint is None) for r in receipts}
    offsets, times = [r.offset for r in receipts], [r.applied_at for r in receipts]
    return len(shared) == 1 and max(max(offsets) - min(offsets), max(times) - min(times)) <= MAX_DELTA


def encode_mark(mark: Mark, schema_id: int) -> bytes:
    """One mark as a `SinkMark`."""
    fields = {name: getattr(mark, name) for name in Mark.__slots__}
    return _encoded("SinkMark", fields | {"kind": mark.kind.name}, schema_id)


def _encoded(name: str, fields: dict[str, Any], schema_id: int) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, _PARSED[name], fields)
    return framed(schema_id, buffer.getvalue())
