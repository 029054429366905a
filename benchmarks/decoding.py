"""Decoding alone: microseconds a change and a receipt, in batches of 3,000, with the kernel and with the reference.

python -m benchmarks.decoding
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.adapters.recording import Recording
from app.decode.changes import ReferenceChangeDecoder
from app.decode.decoders import change_decoder, evidence_decoder
from app.decode.evidence import EvidenceDecoder
from app.decode.schemas import RecordedSchemas
from app.model import RawBatch, RawRecord
from cdc_receipts.atoms import CONNECT, DEBEZIUM
from cdc_receipts.codec import SCHEMAS, Receipt, Status, encode_receipt
from tests.unit.decode.envelopes import ID, SOURCE, change, envelope, framed, record

ROOT = Path(__file__).parents[1]
ROWS, ROUNDS = 3_000, 30
TS = 1_790_000_000_000
UNAVAILABLE = "__debezium_unavailable_value"


def updates() -> tuple[RecordedSchemas, RawBatch]:
    """Updates of rows of four columns, with the row before and after."""
    decimal = {"type": "bytes", "connect.name": CONNECT + "Decimal", "connect.parameters": {"scale": "2"}}
    stamp = {"type": "long", "connect.name": DEBEZIUM + "time.MicroTimestamp"}
    source = (*SOURCE[:3], ("version", "string"), ("snapshot", ["string", "null"]), *SOURCE[3:], ("sequence", ["null", "string"]),
              ("ts_us", ["null", "long"]), ("ts_ns", ["null", "long"]), ("schema", "string"), ("xmin", ["null", "long"]))  # fmt: skip
    schema = envelope(
        (("id", "int"), ("email", "string"), ("amount", decimal), ("at", stamp)), record("Source", source)
    )
    values = []
    for number in range(ROWS):
        after = {"id": number, "email": f"user{number}.{number:016x}@customers.example.org", "at": TS * 1000 + number,
                 "amount": (number * 7919).to_bytes(4, "big")}  # fmt: skip
        more = {"version": "3.6.0.Final", "snapshot": "false", "sequence": f'["{24_023_128 + number}","{24_023_184 + number}"]',
                "ts_us": TS * 1000, "ts_ns": TS * 1_000_000, "schema": "public", "xmin": None, "ts_ms": TS,
                "txId": 1000 + number, "lsn": 24_023_184 + number}  # fmt: skip
        datum = change("u", after, more) | {
            "before": after | {"at": 1},
            "ts_ms": TS,
            "ts_us": TS * 1000,
            "ts_ns": TS * 10**6,
        }
        values.append((b"\0\0\0\0\1" + bytes([number % 128]), framed(schema, datum)))
    return RecordedSchemas({ID: json.dumps(schema)}), _batch(values)


def changes() -> tuple[RecordedSchemas, RawBatch]:
    """Real changes of one table, over and over."""
    recording = Recording(ROOT / "tests/recordings/debezium-3.7")
    found = [
        (raw.key(row), value)
        for raw in recording.partitions("shop.public.orders")
        for row, value in enumerate(raw.values())
        if value is not None
    ]
    return recording.schemas(), _batch([found[row % len(found)] for row in range(ROWS)])


def receipts() -> tuple[RecordedSchemas, RawBatch]:
    """Receipts of one sink, each with a fingerprint."""
    written = [
        Receipt(
            sink="warehouse", topic="shop.public.orders", partition=1, offset=1_000_000 + row, status=Status.APPLIED,
            fingerprint=row.to_bytes(8, "little"), applied_at=1_700_000_000_000 + row,
        )
        for row in range(ROWS)
    ]  # fmt: skip
    return RecordedSchemas({1: SCHEMAS["DeliveryReceipt"]}), _batch(
        [(b"key", encode_receipt(one, 1)) for one in written]
    )


def _batch(pairs: list[tuple[bytes | None, bytes]]) -> RawBatch:
    records = [RawRecord(row, 0, key, value) for row, (key, value) in enumerate(pairs)]
    return RawBatch.of("t", 0, records, 0, len(records))


def best_us(decode: Callable[[RawBatch], Any], raw: RawBatch, rounds: int) -> float:
    """Microseconds a record, of the quickest round."""
    times = []
    for _ in range(rounds + 1):
        began = time.thread_time()
        decode(raw)
        times.append(time.thread_time() - began)
    return min(times[1:]) / len(raw) * 1e6


def run() -> dict[str, float]:
    """Every number by what it is of; changes are recorded ones of six columns, one of them JSON."""
    schemas, raw = changes()
    answers, evidence = receipts()
    writers, updated = updates()
    columns = ["note", "total", "status", "customer_id", "placed_at", "id", "x"]
    eight = [frozenset(), *(frozenset({f"orders.{name}"}) for name in columns)]
    return {
        "bytes_an_update": sum(map(len, filter(None, updated.values()))) / ROWS,
        "update_us": best_us(change_decoder(writers, [frozenset()], UNAVAILABLE).decode, updated, ROUNDS),
        "update_by_the_reference_us": best_us(
            ReferenceChangeDecoder(writers, [frozenset()], UNAVAILABLE).decode, updated, 3
        ),
        "bytes_a_change": sum(map(len, filter(None, raw.values()))) / ROWS,
        "change_us": best_us(change_decoder(schemas, [frozenset()], UNAVAILABLE).decode, raw, ROUNDS),
        "change_of_8_projections_us": best_us(change_decoder(schemas, eight, UNAVAILABLE).decode, raw, ROUNDS),
        "receipt_us": best_us(evidence_decoder(answers).decode, evidence, ROUNDS),
        "change_by_the_reference_us": best_us(
            ReferenceChangeDecoder(schemas, [frozenset()], UNAVAILABLE).decode, raw, 3
        ),
        "receipt_by_the_reference_us": best_us(EvidenceDecoder(answers).decode, evidence, 3),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
