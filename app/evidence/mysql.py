"""What a MySQL cell's text means: atoms of values as ``CAST(column AS CHAR)`` writes them.

Binary types come as ``0x`` and hexadecimal digits, bit as a whole number; the session's time zone is UTC. A text that its
type can't read is text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from app.evidence import postgres
from cdc_receipts import atoms, texts

Reader = Callable[[str], bytes | None]

_TYPE = re.compile(r"(\w+)(?:\(([^)]*)\))?")
_TIME = re.compile(r"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,9}))?")


def atom_of_text(kind: str, text: str | None) -> bytes:
    """The atom of a cell.

    Args:
        kind: the column's ``COLUMN_TYPE``: ``int unsigned``, ``datetime(6)``, ``tinyint(1)``.
        text: the cell's text, None for NULL.
    """
    if text is None:
        return atoms.NULL
    found = _TYPE.match(kind.lower())
    read = _READERS.get(found[1]) if found else None
    atom = read(text) if read else None
    return atoms.text(text) if atom is None else atom


def _integer(text: str) -> bytes | None:
    """An unsigned bigint may be beyond int64: then it is a decimal, which equals the integer that it is."""
    if not re.fullmatch(r"-?\d{1,20}", text):
        return None
    number = int(text)
    return atoms.integer(number) if -(1 << 63) <= number < 1 << 63 else atoms.decimal(number, 0)


def _binary(text: str) -> bytes | None:
    try:
        return b"\x06" + bytes.fromhex(text[2:]) if text.startswith("0x") else None
    except ValueError:
        return None


def _bits(text: str) -> bytes | None:
    if not text.isdigit():
        return None
    number = int(text)
    return b"\x0f" + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _time(text: str) -> bytes | None:
    """May be negative or past 24 hours."""
    parts = _TIME.fullmatch(text)
    if parts is None:
        return None
    sign, hours, minutes, seconds, fraction = parts.groups()
    ns = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 10**9 + int((fraction or "").ljust(9, "0"))
    return b"\x0a" + struct.pack("<q", -ns if sign else ns)


def _local(text: str) -> bytes | None:
    return texts.local_timestamp(text.replace(" ", "T", 1))


def _instant(text: str) -> bytes | None:
    return texts.instant(text.replace(" ", "T", 1) + "Z")


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "year"), _integer),
    **dict.fromkeys(("decimal", "numeric"), lambda text: postgres.read_number("numeric", text)),
    **dict.fromkeys(("float", "double", "real"), lambda text: postgres.read_number("float8", text)),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _binary),
    "bit": _bits,
    "date": texts.date,
    "time": _time,
    "datetime": _local,
    "timestamp": _instant,
    "json": texts.json_text,
}
