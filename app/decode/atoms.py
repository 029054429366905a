"""Atoms read back: what stands in one, for comparing values that two systems keep in different classes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from app.errors import BadInput

NS = 10**9
MOST_EXPONENT = 1_000
"""Beyond it a decimal is not written out; no database's number has as many zeros."""


class Tag(IntEnum):
    """The first byte of an atom (protocol section 2)."""

    NULL = 0x00
    BOOLEAN = 0x01
    INTEGER = 0x02
    DECIMAL = 0x03
    FLOAT = 0x04
    TEXT = 0x05
    BYTES = 0x06
    LOCAL_TIMESTAMP = 0x07
    INSTANT = 0x08
    DATE = 0x09
    TIME_OF_DAY = 0x0A
    UUID = 0x0B
    JSON = 0x0C
    DURATION = 0x0D
    INTERVAL = 0x0E
    BITS = 0x0F
    LIST = 0x10
    MAP = 0x11


def tag(atom: bytes) -> Tag:
    """The class of an atom."""
    return Tag(atom[0])


def integer(atom: bytes) -> int:
    """Of INTEGER, DATE (days), TIME_OF_DAY (ns) and DURATION (us): the int64; of BOOLEAN 0 or 1; of BITS the number."""
    if atom[0] == Tag.BITS:
        return int.from_bytes(atom[1:], "big")
    return int.from_bytes(atom[1:], "little", signed=atom[0] != Tag.BOOLEAN)


def decimal(atom: bytes) -> Decimal:
    """Of DECIMAL: the number, exactly."""
    scale = int.from_bytes(atom[1:5], "little", signed=True)
    unscaled = int.from_bytes(atom[5:], "big", signed=True)
    return Decimal((int(unscaled < 0), _digits(unscaled), -scale))


def _digits(number: int) -> tuple[int, ...]:
    return tuple(int(digit) for digit in Decimal(abs(number)).as_tuple().digits)


def floating(atom: bytes) -> float:
    """Of FLOAT: the number."""
    found: float = struct.unpack("<d", atom[1:])[0]
    return found


def text(atom: bytes) -> str:
    """Of TEXT: the text; of JSON: its canonical text."""
    return atom[1:].decode()


def nanoseconds(atom: bytes) -> int:
    """Of LOCAL_TIMESTAMP and INSTANT: nanoseconds since 1970-01-01."""
    return int.from_bytes(atom[1:9], "little", signed=True) * NS + int.from_bytes(atom[9:], "little")


def interval(atom: bytes) -> tuple[int, int, int]:
    """Of INTERVAL: months, days, nanoseconds."""
    found: tuple[int, int, int] = struct.unpack("<iiq", atom[1:])
    return found


def items(atom: bytes) -> list[bytes]:
    """Of LIST: its elements' atoms."""
    return [part for _, part in _parts(atom, has_keys=False)]


def entries(atom: bytes) -> dict[str, bytes]:
    """Of MAP: its values' atoms by key."""
    return {key.decode(): part for key, part in _parts(atom, has_keys=True)}


def _parts(atom: bytes, *, has_keys: bool) -> Iterator[tuple[bytes, bytes]]:
    at = 5
    for _ in range(int.from_bytes(atom[1:5], "little")):
        key = b""
        if has_keys:
            size = int.from_bytes(atom[at : at + 4], "little")
            key, at = atom[at + 4 : at + 4 + size], at + 4 + size
        size = int.from_bytes(atom[at : at + 4], "little")
        yield key, atom[at + 4 : at + 4 + size]
        at += 4 + size


def plain(atom: bytes) -> Any:
    """A value for people and for JSON: numbers, texts, lists, objects; what JSON can't hold is text."""
    match tag(atom):
        case Tag.NULL:
            return None
        case Tag.BOOLEAN:
            return bool(integer(atom))
        case Tag.INTEGER | Tag.BITS:
            return integer(atom)
        case Tag.FLOAT:
            return floating(atom)
        case Tag.LIST:
            return [plain(item) for item in items(atom)]
        case Tag.MAP:
            return {key: plain(value) for key, value in entries(atom).items()}
    return written(atom)


def written(atom: bytes) -> str:
    """The value as one text that a store reads: ISO 8601, digits, hexadecimal behind a backslash and an x.

    Raises:
        BadInput: null, a list or a map.
    """
    write = _WRITERS.get(atom[0])
    if write is None:
        raise BadInput(f"a value of the class {tag(atom).name.lower()} can't be written as one text")
    return write(atom)


def _decimal(atom: bytes) -> str:
    number = decimal(atom)
    return f"{number:f}" if abs(number.adjusted()) < MOST_EXPONENT else str(number)


def _uuid(atom: bytes) -> str:
    digits = atom[1:].hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _moment(atom: bytes) -> str:
    day, rest = divmod(nanoseconds(atom), 86_400 * NS)
    return f"{_date(day)}T{_clock(rest)}{'Z' if atom[0] == Tag.INSTANT else ''}"


def _interval(atom: bytes) -> str:
    months, days, ns = interval(atom)
    seconds, rest = divmod(abs(ns), NS)
    return f"P{months}M{days}DT{'-' if ns < 0 else ''}{seconds}.{rest:09d}S"


def _clock(ns: int) -> str:
    sign = "-" if ns < 0 else ""
    seconds, rest = divmod(abs(ns), NS)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _date(days: int) -> str:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, any year: the eras of 400 years are alike."""
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    rest = day - (365 * year + year // 4 - year // 100)
    month = (5 * rest + 2) // 153
    month_day = rest - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (month <= 2)
    return f"{'-' if year < 0 else ''}{abs(year):04d}-{month:02d}-{month_day:02d}"


_WRITERS: Mapping[int, Callable[[bytes], str]] = MappingProxyType(
    {
        Tag.BOOLEAN: lambda atom: "true" if integer(atom) else "false",
        Tag.INTEGER: lambda atom: str(integer(atom)),
        Tag.DECIMAL: _decimal,
        Tag.FLOAT: lambda atom: repr(floating(atom)),
        Tag.TEXT: text,
        Tag.BYTES: lambda atom: "\\x" + atom[1:].hex(),
        Tag.LOCAL_TIMESTAMP: _moment,
        Tag.INSTANT: _moment,
        Tag.DATE: lambda atom: _date(integer(atom)),
        Tag.TIME_OF_DAY: lambda atom: _clock(integer(atom)),
        Tag.UUID: _uuid,
        Tag.JSON: text,
        Tag.DURATION: lambda atom: str(integer(atom)),
        Tag.INTERVAL: _interval,
        Tag.BITS: lambda atom: str(integer(atom)),
    }
)
