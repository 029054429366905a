"""Atoms: one tag byte and a payload for each value (protocol section 2).

`atom_of` compiles an Avro type into a function from a decoded value to its atom, once per schema; the class is chosen by
``connect.name`` of the union's non-null branch alone. Integers in payloads are little-endian two's complement.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from cdc_receipts import texts
from cdc_receipts.schemas import NamedTypes

Atom = Callable[[Any], bytes]

NULL = b"\x00"
NAN = b"\x04" + bytes.fromhex("000000000000f87f")
DEBEZIUM, CONNECT = "io.debezium.", "org.apache.kafka.connect.data."
DECIMAL = CONNECT + "Decimal"

_U64 = (1 << 64) - 1
_uint32 = struct.Struct("<I").pack
_double = struct.Struct("<d").pack
_tagged_int64 = struct.Struct("<Bq").pack
_tagged_instant = struct.Struct("<BqI").pack


class NoScale(ValueError):
    """A decimal's schema has no scale: the change is undecodable."""


def atom_of(schema: Any, names: NamedTypes, namespace: str = "") -> Atom:
    """The function that makes atoms of values of an Avro type.

    Raises:
        NoScale: a Decimal without a scale.
    """
    inner, namespace, is_nullable = names.branch(schema, namespace)
    make = _maker(inner, names, namespace)
    if not is_nullable:
        return make
    return lambda value: NULL if value is None else make(value)


def _maker(inner: dict[str, Any], names: NamedTypes, namespace: str) -> Atom:
    kind, name = inner["type"], inner.get("connect.name", "")
    match kind:
        case "null":
            return lambda _: NULL
        case "boolean":
            return lambda value: b"\x01\x01" if value else b"\x01\x00"
        case "int" | "long":
            return _INTEGERS.get(name, integer)
        case "float" | "double":
            return floating
        case "bytes" | "fixed":
            return _bytes_maker(inner, name)
        case "string" | "enum":
            read = _TEXTS.get(name)
            return text if read is None else _read_or_text(read)
        case "array":
            return _list_maker(atom_of(inner["items"], names, namespace))
        case "map":
            values = atom_of(inner["values"], names, namespace)
            return lambda value: entries([(key.encode(), values(item)) for key, item in value.items()])
        case _:
            return _record_maker(inner, names, namespace)


integer: Atom = partial(_tagged_int64, 0x02)
"""Tag 02."""


def floating(value: float) -> bytes:
    """Tag 04: -0.0 becomes 0.0, and every NaN is one."""
    return NAN if value != value else b"\x04" + _double(value + 0.0)  # noqa: PLR0124 - only NaN differs from itself


def text(value: str) -> bytes:
    """Tag 05."""
    return b"\x05" + value.encode()


def decimal(unscaled: int, scale: int) -> bytes:
    """Tag 03: scale and unscaled value after stripping trailing zeros; zero is scale 0."""
    if unscaled == 0:
        return b"\x03\x00\x00\x00\x00\x00"
    while unscaled % 10 == 0:
        unscaled //= 10
        scale -= 1
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return b"\x03" + (scale & 0xFFFFFFFF).to_bytes(4, "little") + unscaled.to_bytes(size, "big", signed=True)


def bits(value: bytes) -> bytes:
    """Tag 0f: Debezium's little-endian bytes as a big-endian number without leading zeros."""
    return b"\x0f" + value.rstrip(b"\x00")[::-1]


def _int64(value: int) -> bytes:
    """A product that is too large wraps, as it does in two's complement."""
    return (value & _U64).to_bytes(8, "little")


def _timestamp(per_second: int) -> Atom:
    to_ns = 10**9 // per_second

    def make(value: int) -> bytes:
        seconds, rest = divmod(value, per_second)
        return _tagged_instant(0x07, seconds, rest * to_ns)

    return make


def _time(to_ns: int) -> Atom:
    return lambda value: b"\x0a" + _int64(value * to_ns)


def _nano_duration(value: int) -> bytes:
    """Cut toward zero."""
    micros = abs(value) // 1000
    return b"\x0d" + _int64(micros if value >= 0 else -micros)


_INTEGERS: dict[str, Atom] = {
    DEBEZIUM + "time.Timestamp": _timestamp(1_000),
    CONNECT + "Timestamp": _timestamp(1_000),
    DEBEZIUM + "time.MicroTimestamp": _timestamp(1_000_000),
    DEBEZIUM + "time.NanoTimestamp": _timestamp(1_000_000_000),
    DEBEZIUM + "time.Date": partial(_tagged_int64, 0x09),
    CONNECT + "Date": partial(_tagged_int64, 0x09),
    DEBEZIUM + "time.Time": _time(1_000_000),
    CONNECT + "Time": _time(1_000_000),
    DEBEZIUM + "time.MicroTime": _time(1_000),
    DEBEZIUM + "time.NanoTime": _time(1),
    DEBEZIUM + "time.MicroDuration": partial(_tagged_int64, 0x0D),
    DEBEZIUM + "time.NanoDuration": _nano_duration,
}

_TEXTS: dict[str, Callable[[str], bytes | None]] = {
    DEBEZIUM + "time.ZonedTimestamp": texts.instant,
    DEBEZIUM + "time.IsoTimestamp": texts.local_timestamp,
    DEBEZIUM + "time.IsoDate": texts.date,
    DEBEZIUM + "time.IsoTime": texts.time_of_day,
    DEBEZIUM + "data.Uuid": texts.uuid,
    DEBEZIUM + "data.Json": texts.json_text,
    DEBEZIUM + "time.Interval": texts.interval,
}


def _read_or_text(read: Callable[[str], bytes | None]) -> Atom:
    """A string that its class can't read is text."""

    def make(value: str) -> bytes:
        atom = read(value)
        return text(value) if atom is None else atom

    return make


def _bytes_maker(inner: dict[str, Any], name: str) -> Atom:
    if name == DECIMAL:
        scale = inner.get("connect.parameters", {}).get("scale", inner.get("scale"))
        if scale is None:
            raise NoScale("a Decimal has neither connect.parameters.scale nor scale in its schema")
        places = int(scale)
        return lambda value: decimal(int.from_bytes(value, "big", signed=True), places)
    if name == DEBEZIUM + "data.Bits":
        return bits
    return lambda value: b"\x06" + value


def _list_maker(item: Atom) -> Atom:
    return lambda values: items([item(value) for value in values])


def items(atoms: list[bytes]) -> bytes:
    """Tag 10, of its elements' atoms."""
    parts = [b"\x10", _uint32(len(atoms))]
    for atom in atoms:
        parts += (_uint32(len(atom)), atom)
    return b"".join(parts)


def _record_maker(inner: dict[str, Any], names: NamedTypes, namespace: str) -> Atom:
    if inner.get("connect.name") == DEBEZIUM + "data.VariableScaleDecimal":
        return lambda value: decimal(int.from_bytes(value["value"], "big", signed=True), value["scale"])
    members = [(field["name"], atom_of(field["type"], names, namespace)) for field in inner["fields"]]
    return lambda value: entries([(name.encode(), make(value[name])) for name, make in members])


def entries(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Tag 11, of its keys and their values' atoms."""
    parts = [b"\x11", _uint32(len(pairs))]
    for key, atom in sorted(pairs):
        parts += (_uint32(len(key)), key, _uint32(len(atom)), atom)
    return b"".join(parts)
