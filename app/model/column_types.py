"""Types of columns whose change events carry no schema: the contract's words for them, each with the Connect type it stands for.

A word stands for one of Connect's or Debezium's types (protocol section 2), so that what is declared and what a schema says
are read by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_DEBEZIUM, _CONNECT = "io.debezium.", "org.apache.kafka.connect.data."

GEOMETRY = _DEBEZIUM + "data.geometry"
"""Stands for any struct of this family: of its fields ``wkb`` is bytes, ``x`` and ``y`` are float64, others as JSON says."""

WORDS: Mapping[str, tuple[str, str | None]] = MappingProxyType({
    "boolean": ("boolean", None),
    "int": ("int64", None),
    "year": ("int32", _DEBEZIUM + "time.Year"),
    "decimal": ("struct", _DEBEZIUM + "data.VariableScaleDecimal"),
    "float32": ("float", None),
    "float64": ("double", None),
    "text": ("string", None),
    "enum": ("string", _DEBEZIUM + "data.Enum"),
    "bytes": ("bytes", None),
    "timestamp-ms": ("int64", _DEBEZIUM + "time.Timestamp"),
    "timestamp-us": ("int64", _DEBEZIUM + "time.MicroTimestamp"),
    "timestamp-ns": ("int64", _DEBEZIUM + "time.NanoTimestamp"),
    "iso-timestamp": ("string", _DEBEZIUM + "time.IsoTimestamp"),
    "zoned-timestamp": ("string", _DEBEZIUM + "time.ZonedTimestamp"),
    "date": ("int32", _DEBEZIUM + "time.Date"),
    "iso-date": ("string", _DEBEZIUM + "time.IsoDate"),
    "time-ms": ("int32", _DEBEZIUM + "time.Time"),
    "time-us": ("int64", _DEBEZIUM + "time.MicroTime"),
    "time-ns": ("int64", _DEBEZIUM + "time.NanoTime"),
    "iso-time": ("string", _DEBEZIUM + "time.IsoTime"),
    "uuid": ("string", _DEBEZIUM + "data.Uuid"),
    "json": ("string", _DEBEZIUM + "data.Json"),
    "duration-us": ("int64", _DEBEZIUM + "time.MicroDuration"),
    "duration-ns": ("int64", _DEBEZIUM + "time.NanoDuration"),
    "interval": ("string", _DEBEZIUM + "time.Interval"),
    "bits": ("bytes", _DEBEZIUM + "data.Bits"),
    "geometry": ("struct", GEOMETRY),
})  # fmt: skip
"""Every simple word: the schema's ``type`` and ``name``."""

_SCALED = re.compile(r"decimal\((-?[0-9]{1,4})\)")
_OF = re.compile(r"(list|map)\((.+)\)")
_DEEPEST = 8
"""Lists and maps within each other; far more than any database has."""

ALLOWED = ", ".join((*WORDS, "decimal(<scale>)", "list(<type>)", "map(<type>)"))


def connect_type(word: str, depth: int = 0) -> dict[str, Any]:
    """The Connect schema, as JsonConverter writes it, that a word stands for; always optional.

    Raises:
        ValueError: there is no such word.

    >>> connect_type("list(date)")["items"]["name"]
    'io.debezium.time.Date'
    """
    found = _OF.fullmatch(word)
    if found is not None and depth < _DEEPEST:
        inner = connect_type(found[2], depth + 1)
        if inner.get("name") == GEOMETRY:
            raise ValueError(f"no type {word!r}; a geometry stands alone")
        if found[1] == "list":
            return {"type": "array", "items": inner, "optional": True}
        return {"type": "map", "keys": {"type": "string"}, "values": inner, "optional": True}
    scaled = _SCALED.fullmatch(word)
    if scaled is not None:
        name, parameters = _CONNECT + "Decimal", {"scale": scaled[1]}
        return {"type": "bytes", "name": name, "parameters": parameters, "optional": True}
    if word not in WORDS:
        raise ValueError(f"no type {word!r}; there are: {ALLOWED}")
    kind, known_as = WORDS[word]
    return {"type": kind, "optional": True} | ({} if known_as is None else {"name": known_as})
