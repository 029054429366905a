"""Schemas of everything a world holds, and their encoding with Confluent framing (protocol section 3)."""

from __future__ import annotations

import io
from typing import Any

from fastavro import parse_schema, schemaless_writer

NULLABLE_TEXT = {"type": ["null", "string"], "default": None}
NULLABLE_LONG = {"type": ["null", "long"], "default": None}
SPACE = "cdc_verifier"
STATUSES = ["APPLIED", "DELETED", "SKIPPED", "REJECTED"]
MARKS = ["PROGRESS", "FENCE", "START", "SKIP", "END"]

RECEIPT: dict[str, Any] = {
    "type": "record",
    "name": "DeliveryReceipt",
    "namespace": SPACE,
    "fields": [
        {"name": "sink", "type": "string"},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "status", "type": {"type": "enum", "name": "ReceiptStatus", "symbols": STATUSES}},
        {
            "name": "fingerprint",
            "type": ["null", {"type": "fixed", "name": "Fingerprint", "size": 8}],
            "default": None,
        },
        {"name": "applied_at", "type": "long"},
        {"name": "sequence", **NULLABLE_LONG},
        {"name": "command_id", **NULLABLE_TEXT},
        {
            "name": "error",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "ReceiptError",
                    "fields": [{"name": "code", "type": "string"}, {"name": "message", "type": "string"}],
                },
            ],
            "default": None,
        },
        {"name": "evidence", **NULLABLE_TEXT},
    ],
}

BATCH: dict[str, Any] = {
    "type": "record",
    "name": "DeliveryReceiptBatch",
    "namespace": SPACE,
    "fields": [
        {"name": "sink", "type": "string"},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "base_offset", "type": "long"},
        {"name": "offset_deltas", "type": "bytes"},
        {"name": "statuses", "type": "bytes"},
        {"name": "fingerprints", "type": ["null", "bytes"], "default": None},
        {"name": "base_applied_at", "type": "long"},
        {"name": "applied_at_deltas", "type": "bytes"},
    ],
}

MARK: dict[str, Any] = {
    "type": "record",
    "name": "SinkMark",
    "namespace": SPACE,
    "fields": [
        {"name": "sink", "type": "string"},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "kind", "type": {"type": "enum", "name": "MarkKind", "symbols": MARKS}},
        {"name": "offset", "type": "long"},
        {"name": "to_offset", **NULLABLE_LONG},
        {"name": "generation", "type": "int", "default": 0},
        {"name": "at", "type": "long"},
        {"name": "reason", **NULLABLE_TEXT},
    ],
}

LOSS: dict[str, Any] = {
    "type": "record",
    "name": "EvidenceLoss",
    "namespace": SPACE,
    "fields": [
        {"name": "sink", **NULLABLE_TEXT},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "origin_topic", "type": "string"},
        {"name": "origin_partition", "type": "int"},
        {"name": "from_offset", "type": "long"},
        {"name": "to_offset", "type": "long"},
        {"name": "at", "type": "long", "default": 0},
    ],
}

WAIVER: dict[str, Any] = {
    "type": "record",
    "name": "Waiver",
    "namespace": SPACE,
    "fields": [
        {"name": "sink", "type": "string"},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "who", "type": "string"},
        {"name": "reason", "type": "string"},
        {"name": "at", "type": "long"},
    ],
}

RECEIPT_ID, BATCH_ID, MARK_ID, LOSS_ID, WAIVER_ID = 1, 2, 3, 4, 5
EVIDENCE = {RECEIPT_ID: RECEIPT, BATCH_ID: BATCH, MARK_ID: MARK, LOSS_ID: LOSS, WAIVER_ID: WAIVER}


def named(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """A Connect type of its own name over an Avro type."""
    return {"type": kind, "connect.version": 1, "connect.name": name, **more}


COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "long"},
    {"name": "email", **NULLABLE_TEXT},
    {
        "name": "amount",
        "type": [
            "null",
            named(
                "bytes",
                "org.apache.kafka.connect.data.Decimal",
                scale=2,
                precision=10,
                logicalType="decimal",
                **{"connect.parameters": {"scale": "2", "connect.decimal.precision": "10"}},
            ),
        ],
        "default": None,
    },
    {"name": "payload", "type": ["null", named("string", "io.debezium.data.Json")], "default": None},
    {"name": "updated_at", "type": ["null", named("long", "io.debezium.time.MicroTimestamp")], "default": None},
    {"name": "born", "type": ["null", named("int", "io.debezium.time.Date")], "default": None},
    {"name": "token", "type": ["null", named("string", "io.debezium.data.Uuid")], "default": None},
    {"name": "is_open", "type": ["null", "boolean"], "default": None},
    {"name": "weight", "type": ["null", "double"], "default": None},
    {"name": "body", **NULLABLE_TEXT},
    {"name": "scan", "type": ["null", "bytes"], "default": None},
    {"name": "tags", "type": ["null", {"type": "array", "items": ["null", "string"]}], "default": None},
]

TIER = {
    "name": "tier",
    "type": [{"type": "int", "connect.type": "int16", "connect.default": 3}, "null"],
    "default": 3,
}
"""A column that a table gets while it is captured."""

LARGE = {"body": str, "scan": bytes, "tags": list}
"""Columns that PostgreSQL may store out of line, by how their placeholder looks."""


def envelope(topic: str, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Debezium's envelope of a PostgreSQL table."""
    value = {"type": "record", "name": "Value", "fields": columns, "connect.name": f"{topic}.Value"}
    source = {
        "type": "record",
        "name": "Source",
        "namespace": "io.debezium.connector.postgresql",
        "fields": [
            {"name": "version", "type": "string"},
            {"name": "connector", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "ts_ms", **NULLABLE_LONG},
            {"name": "snapshot", "type": ["string", "null"], "default": "false"},
            {"name": "db", "type": "string"},
            {"name": "schema", "type": "string"},
            {"name": "table", "type": "string"},
            {"name": "txId", **NULLABLE_LONG},
            {"name": "lsn", **NULLABLE_LONG},
        ],
        "connect.name": "io.debezium.connector.postgresql.Source",
    }
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": topic,
        "connect.version": 2,
        "connect.name": f"{topic}.Envelope",
        "fields": [
            {"name": "before", "type": ["null", value], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", **NULLABLE_LONG},
        ],
    }


def key(topic: str) -> dict[str, Any]:
    """The record key of a table."""
    return {
        "type": "record",
        "name": "Key",
        "namespace": topic,
        "fields": [{"name": "id", "type": "long"}],
        "connect.name": f"{topic}.Key",
    }


class Encoder:
    """Framed Avro by schema id."""

    def __init__(self, schemas: dict[int, Any]) -> None:
        self._parsed = {number: parse_schema(schema) for number, schema in schemas.items()}

    def encode(self, number: int, value: Any) -> bytes:
        """00, the id as int32 big-endian, and the body."""
        body = io.BytesIO()
        schemaless_writer(body, self._parsed[number], value)
        return b"\x00" + number.to_bytes(4, "big") + body.getvalue()
