"""The table whose changes are benchmarked, and its change events as bytes, some hundred thousand a second.

The envelope is Debezium's for PostgreSQL as a real connector wrote it (out of tests/recordings), with the columns of this
table in place of the recorded one's. A row is an id of its own and one of `CONTENTS` contents: the bytes of contents are
made once, by fastavro, and so are their parts of the fingerprint, by the reference. A fingerprint is a sum over columns
(protocol section 2), so that of a row is the content's part plus the id's, no other than the reference would say.
"""

from __future__ import annotations

import io
import json
import random
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_writer

from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded

RECORDED = Path(__file__).parents[1] / "tests" / "recordings" / "debezium-3.7" / "schemas.json"
ENVELOPE = "20"
"""The recorded envelope's schema id; of the table `orders`."""

CONTENTS = 997
"""Distinct contents; a prime, so that they meet ids in no rhythm."""
LSN_STEP = 56
FIRST_LSN = 24_023_128
_MASK = (1 << 64) - 1

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "long"},
    {"name": "email", "type": ["null", "string"], "default": None},
    {
        "name": "amount",
        "type": [
            "null",
            {
                "type": "bytes",
                "scale": 2,
                "precision": 10,
                "connect.version": 1,
                "connect.parameters": {"scale": "2", "connect.decimal.precision": "10"},
                "connect.name": "org.apache.kafka.connect.data.Decimal",
                "logicalType": "decimal",
            },
        ],
        "default": None,
    },
    {
        "name": "updated_at",
        "type": ["null", {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}],
        "default": None,
    },
]


def value_schema() -> str:
    """The envelope's schema, as a registry would tell it."""
    text = json.loads(RECORDED.read_text(encoding="utf-8"))[ENVELOPE].replace(
        "shop.public.orders", "commerce.public.accounts"
    )
    schema = json.loads(text)
    _row_record(schema)["fields"] = COLUMNS
    return json.dumps(schema)


def key_schema() -> str:
    """The record key's schema."""
    return json.dumps({
        "type": "record", "name": "Key", "namespace": "commerce.public.accounts",
        "fields": [{"name": "id", "type": "long"}], "connect.name": "commerce.public.accounts.Key",
    })  # fmt: skip


def _row_record(schema: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = schema["fields"][0]["type"][1]
    return record


def varint(value: int) -> bytes:
    """A number that is not negative as Avro's int or long: zigzag, then seven bits a byte, lowest first.

    >>> varint(0), varint(63), varint(64)
    (b'\\x00', b'~', b'\\x80\\x01')
    """
    left = value << 1
    if left < 128:
        return bytes((left,))
    found = bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    found.append(left)
    return bytes(found)


def text(value: str) -> bytes:
    """A text as Avro's string."""
    data = value.encode()
    return varint(len(data)) + data


class Accounts:
    """Makes changes: updates of rows, each with the row before and the row after it.

    Args:
        key_id, value_id: ids of the schemas, for the framing.
    """

    def __init__(self, key_id: int, value_id: int) -> None:
        self._key_head = struct.pack(">bi", 0, key_id)
        self._value_head = struct.pack(">bi", 0, value_id)
        schema = loaded(value_schema())
        columns = RowFingerprinter(json.dumps(_row_record(schema))).columns
        self._id_hash = columns[0].hash
        rows = [_content(number) for number in range(CONTENTS)]
        others = parse_schema(_row_record(schema) | {"name": "Content", "fields": _row_record(schema)["fields"][1:]})
        self._contents = [_written(others, row) for row in rows]
        self._parts = [sum(column.hash(row[column.name]) for column in columns[1:]) for row in rows]
        self._source = text("3.7.0.Final") + text("postgresql") + text("commerce")
        self._table = text("public") + text("accounts")

    def change(self, account: int, content: int, number: int, ts_ms: int) -> tuple[bytes, bytes]:
        """Key and value of one update.

        Args:
            account: the row's id; content: of the row after it, below `CONTENTS`.
            number: of the change in the whole load, for its place in the source's log.
            ts_ms: when the source committed it, ms since the epoch.
        """
        row_id, lsn = varint(account), FIRST_LSN + number * LSN_STEP
        ts, ts_us_ns, envelope_times = _times(ts_ms)
        value = b"".join((
            self._value_head,
            b"\x02", row_id, self._contents[content - 1],
            b"\x02", row_id, self._contents[content],
            self._source, ts, b"\x00\x0afalse\x08shop", b"\x02", text(f'["{lsn - LSN_STEP}","{lsn}"]'), ts_us_ns,
            self._table, b"\x02", varint(1_000 + number), b"\x02", varint(lsn), b"\x00\x00\x00",
            b"\x00", b"\x02u", envelope_times,
        ))  # fmt: skip
        return self._key_head + row_id, value

    def fingerprint(self, account: int, content: int) -> int:
        """The fingerprint of the row after a change."""
        value: int = self._parts[content] + self._id_hash(account) & _MASK
        return value


@lru_cache(maxsize=64)
def _times(ts_ms: int) -> tuple[bytes, bytes, bytes]:
    """Of one millisecond: the source's ts_ms; its ts_us and ts_ns; the envelope's three, which are later by three."""
    later = ts_ms + 3
    finer = b"\x02" + varint(ts_ms * 1_000) + b"\x02" + varint(ts_ms * 1_000_000)
    envelope = b"".join(b"\x02" + varint(later * factor) for factor in (1, 1_000, 1_000_000))
    return varint(ts_ms), finer, envelope


def _content(number: int) -> dict[str, Any]:
    rng = random.Random(number)
    return {
        "email": f"user{number:08d}.{rng.getrandbits(64):016x}@mail.customers.example.org",
        "amount": rng.randrange(1, 10**8).to_bytes(4, "big"),
        "updated_at": 1_767_225_600_000_000 + rng.randrange(10**13),
    }


def _written(schema: Any, row: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, schema, row)
    return buffer.getvalue()
