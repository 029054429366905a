"""Source positions, by which ``source_duplicate`` is found (protocol section 4), as canonical bytes.

    connector, name, db, op, and the connector's fields, each:
    00                                    null
    02, int64 little-endian               a whole number
    05, uint32 little-endian size, UTF-8  a text
    ff, uint32 little-endian size, ASCII  anything else, which no connector writes: as Python shows it

The kernel writes the same bytes (app/native/src/changes.c).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

POSITIONS: dict[str, tuple[str, ...]] = {
    "postgresql": ("lsn", "txId"),
    "mysql": ("file", "pos", "row", "gtid"),
    "mariadb": ("file", "pos", "row", "gtid"),
    "sqlserver": ("commit_lsn", "change_lsn", "event_serial_no"),
    "oracle": ("commit_scn", "txId", "scn", "rs_id", "ssn", "txSeq"),
    "mongodb": ("ts_ms", "ord", "lsid", "txnNumber"),
}
"""What a source position is; it is null where all its fields are."""

NEEDS_FIRST = frozenset({"postgresql"})
"""Connectors whose position is null where its first field is: a transaction's number alone is no place in PostgreSQL's log."""

_INT64 = range(-(1 << 63), 1 << 63)
_number = struct.Struct("<Bq").pack
_head = struct.Struct("<BI").pack


def position(source: Mapping[str, Any], op: str) -> bytes | None:
    """A position and its op; None for a null position, and where the connector is none that we know."""
    connector = source.get("connector")
    fields = POSITIONS.get(connector) if isinstance(connector, str) else None
    if fields is None:
        return None
    values = [source.get(field) for field in fields]
    if values[0] is None and (connector in NEEDS_FIRST or values.count(None) == len(values)):
        return None
    return b"".join(map(_written, (connector, source.get("name"), source.get("db"), op, *values)))


def _written(value: Any) -> bytes:
    if value is None:
        return b"\x00"
    if type(value) is int and value in _INT64:
        return _number(0x02, value)
    tag, data = (0x05, _utf8(value)) if isinstance(value, str) else (0xFF, ascii(value).encode())
    return _head(tag, len(data)) + data


def _utf8(text: str) -> bytes:
    """JSON may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
