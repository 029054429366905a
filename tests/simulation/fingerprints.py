"""Row fingerprints, protocol section 2, one value at a time: an independent second reading of that page.

It knows the types that the worlds and the small recordings use; a type that it does not know is an error, never a guess.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xxhash import xxh64_intdigest

Schema = Mapping[str, Any]

WRAP = 1 << 64
NANOS = 1_000_000_000

LOCAL_TIMESTAMPS = {
    "io.debezium.time.Timestamp": 1_000,
    "org.apache.kafka.connect.data.Timestamp": 1_000,
    "io.debezium.time.MicroTimestamp": 1_000_000,
    "io.debezium.time.NanoTimestamp": NANOS,
}
"""Ticks a second."""

TIMES_OF_DAY = {
    "io.debezium.time.Time": 1_000_000,
    "org.apache.kafka.connect.data.Time": 1_000_000,
    "io.debezium.time.MicroTime": 1_000,
    "io.debezium.time.NanoTime": 1,
}
"""Nanoseconds a tick."""

DATES = {"io.debezium.time.Date", "org.apache.kafka.connect.data.Date"}
DECIMAL = "org.apache.kafka.connect.data.Decimal"
PLAIN_TEXT = {
    None,
    "io.debezium.data.Enum",
    "io.debezium.data.EnumSet",
    "io.debezium.data.Xml",
    "io.debezium.data.Ltree",
}
UUID_TEXT = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Number:
    """A JSON number as it was written; floats would lose digits."""

    def __init__(self, text: str) -> None:
        self.text = text


def signed(value: int, width: int) -> bytes:
    """Little-endian two's complement."""
    return value.to_bytes(width, "little", signed=True)


def counted(parts: Iterable[bytes]) -> bytes:
    """Each part after its length, uint32."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def decimal(unscaled: int, scale: int) -> bytes:
    """Tag 03: both stripped of trailing zeros."""
    if not unscaled:
        return b"\x03" + signed(0, 4) + b"\x00"
    while unscaled % 10 == 0:
        unscaled, scale = unscaled // 10, scale - 1
    width = 1
    while not -(1 << 8 * width - 1) <= unscaled < 1 << 8 * width - 1:
        width += 1
    return b"\x03" + signed(scale, 4) + unscaled.to_bytes(width, "big", signed=True)


def json_number(text: str) -> str:
    """``<integer>e<exponent>`` without trailing zeros.

    >>> json_number("150"), json_number("1.50"), json_number("-0.0"), json_number("2E+3")
    ('15e1', '15e-1', '0e0', '2e3')
    """
    sign, whole, fraction, exponent = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", text).groups("")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return f"{sign}{stripped}e{power + len(digits) - len(stripped)}" if stripped else "0e0"


def json_string(text: str) -> str:
    """Only quote, backslash and control characters are escaped; a lone surrogate is no text."""
    text.encode()
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub("[\x00-\x1f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def json_text(value: Any) -> str:
    """The canonical text of a parsed JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Number():
            return json_number(value.text)
        case str():
            return json_string(value)
        case list():
            return "[" + ",".join(json_text(item) for item in value) + "]"
    return "{" + ",".join(json_string(key) + ":" + json_text(value[key]) for key in sorted(value)) + "}"


def _no_constant(name: str) -> None:
    raise ValueError(name)


def text_atom(name: str | None, value: str) -> bytes:
    """A string: json or uuid if its name says so and it can be read as that, else text."""
    if name == "io.debezium.data.Uuid" and UUID_TEXT.fullmatch(value):
        return b"\x0b" + bytes.fromhex(value.replace("-", ""))
    if name == "io.debezium.data.Json":
        try:
            parsed = json.loads(value, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
            return b"\x0c" + json_text(parsed).encode()
        except ValueError:
            return b"\x05" + value.encode()
    if name not in PLAIN_TEXT and name != "io.debezium.data.Uuid":
        raise NotImplementedError(name)
    return b"\x05" + value.encode()


def integer_atom(name: str | None, value: int) -> bytes:
    """An int or long: a time if its name says so, else an integer."""
    if name in LOCAL_TIMESTAMPS:
        ticks = LOCAL_TIMESTAMPS[name]
        seconds, rest = divmod(value, ticks)
        return b"\x07" + signed(seconds, 8) + signed(rest * (NANOS // ticks), 4)
    if name in TIMES_OF_DAY:
        return b"\x0a" + signed(value * TIMES_OF_DAY[name], 8)
    if name in DATES:
        return b"\x09" + signed(value, 8)
    if name not in {None, "io.debezium.time.Year"}:
        raise NotImplementedError(name)
    return b"\x02" + signed(value, 8)


def float_atom(value: float) -> bytes:
    """One NaN, one zero."""
    if value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return b"\x04" + struct.pack("<Q", 0x7FF8000000000000)
    return b"\x04" + struct.pack("<d", value + 0.0)


def bytes_atom(schema: Schema, value: bytes) -> bytes:
    """Bytes: a decimal if the name says so."""
    if schema.get("connect.name") == DECIMAL:
        scale = schema.get("connect.parameters", {}).get("scale", schema.get("scale"))
        return decimal(int.from_bytes(value, "big", signed=True), int(scale))
    if schema.get("connect.name") is not None:
        raise NotImplementedError(schema["connect.name"])
    return b"\x06" + value


def list_atom(schema: Schema, value: list[Any]) -> bytes:
    """Tag 10: the number of elements, and each after its length."""
    return b"\x10" + struct.pack("<I", len(value)) + counted(atom(schema["items"], item) for item in value)


def map_atom(schema: Schema, value: Mapping[str, Any]) -> bytes:
    """Tag 11: sorted by the keys' bytes."""
    pairs = sorted((key.encode(), atom(schema["values"], item)) for key, item in value.items())
    return b"\x11" + struct.pack("<I", len(pairs)) + counted(part for pair in pairs for part in pair)


ATOMS: dict[str, Callable[[Schema, Any], bytes]] = {
    "boolean": lambda _, value: b"\x01" + bytes([value]),
    "int": lambda schema, value: integer_atom(schema.get("connect.name"), value),
    "long": lambda schema, value: integer_atom(schema.get("connect.name"), value),
    "float": lambda _, value: float_atom(value),
    "double": lambda _, value: float_atom(value),
    "bytes": bytes_atom,
    "string": lambda schema, value: text_atom(schema.get("connect.name"), value),
    "array": list_atom,
    "map": map_atom,
}
"""By the Avro type."""


def atom(schema: Any, value: Any) -> bytes:
    """Tag byte and payload of one value; ``schema`` is its Avro schema, names not resolved."""
    if value is None:
        return b"\x00"
    if isinstance(schema, list):
        (schema,) = (branch for branch in schema if branch != "null")
    if isinstance(schema, str):
        schema = {"type": schema}
    if schema["type"] not in ATOMS:
        raise NotImplementedError(schema["type"])
    return ATOMS[schema["type"]](schema, value)


def is_placeholder(value: Any, text: str) -> bool:
    """Whether a value stands for one that the source did not have at hand."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    java_uuid = str(uuid.UUID(bytes=digest, version=3))
    stand_ins = (text, text.encode(), [text], [text.encode()], [java_uuid], list(text.encode()), {text: text})
    return any(value == stand_in for stand_in in stand_ins)


def column_hash(name: str, value_atom: bytes) -> int:
    """One column's part of the sum."""
    return xxh64_intdigest(value_atom, xxh64_intdigest(name.encode(), 0))


def fingerprint(fields: list[Schema], row: Mapping[str, Any], ignored: Iterable[str], placeholder: str) -> bytes:
    """The expected fingerprint of a row: 8 bytes, little-endian."""
    skipped = set(ignored)
    total = sum(
        column_hash(field["name"], atom(field["type"], row[field["name"]]))
        for field in fields
        if field["name"] not in skipped and not is_placeholder(row[field["name"]], placeholder)
    )
    return struct.pack("<Q", total % WRAP)
