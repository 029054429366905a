"""One logical row in both encodings: as Confluent's AvroConverter and as Kafka Connect's JsonConverter write it.

Written from the converters' rules and without the decoder's code, so that a mistake there does not repeat itself here.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

CONNECT, DEBEZIUM = "org.apache.kafka.connect.data.", "io.debezium."
PLACEHOLDER = "__debezium_unavailable_value"
PLACEHOLDER_UUID = "b68a35a7-17ad-35b3-af2a-ae46edb4545a"

_EXACT = Context(prec=200)
"""Rounds nothing."""


@dataclass(frozen=True)
class Kind:
    """A column's type: its schema in both encodings, its values, how each encoding writes one, the contract's word.

    A Connect value is what Java's Struct would hold; ``json`` gives JSON text, ``avro`` what fastavro writes. ``is_plain``
    says that without a schema the JSON type alone gives the same class.
    """

    connect: dict[str, Any]
    avro: Any
    values: st.SearchStrategy[Any]
    json: Callable[[Any], str] = json.dumps
    to_avro: Callable[[Any], Any] = lambda value: value
    word: str | None = None
    is_plain: bool = False


class Column(NamedTuple):
    name: str
    kind: Kind
    value: Any


def scalar(connect: str, avro: str, values: Any, name: str | None = None, **rest: Any) -> Kind:
    """A primitive, perhaps with a semantic name."""
    if name is None:
        return Kind({"type": connect}, {"type": avro}, values, **rest)
    return Kind(
        {"type": connect, "name": name, "version": 1},
        {"type": avro, "connect.version": 1, "connect.name": name},
        values,
        **rest,
    )


def base64(data: bytes) -> str:
    return json.dumps(b64encode(data).decode())


def number(value: float, *, is_single: bool) -> str:
    """As Java's Float.toString and Double.toString tell a number from its neighbours; Jackson quotes what is none."""
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    return str(np.float32(value)) if is_single else repr(value)


def whole(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def minimal(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def decimal(scale: int, *, is_numeric: bool) -> Kind:
    """``decimal.format`` is BASE64 or NUMERIC; the value is the unscaled one. fastavro writes no negative ``logicalType`` scale."""
    name, parameters = CONNECT + "Decimal", {"scale": str(scale)}
    return Kind(
        {"type": "bytes", "name": name, "version": 1, "parameters": parameters},
        {"type": "bytes", "scale": scale, "precision": 64, "connect.version": 1, "connect.parameters": parameters,
         "connect.name": name},
        whole(200),
        (lambda value: str(Decimal(value).scaleb(-scale, _EXACT))) if is_numeric else (lambda value: base64(minimal(value))),
        minimal,
        f"decimal({scale})",
    )  # fmt: skip


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
strings = texts | st.just(PLACEHOLDER)
blobs = st.binary(max_size=6) | st.just(PLACEHOLDER.encode())
dated = st.sampled_from(["2020-02-30T00:00:00Z", "2023-03-23T22:00:10.123456Z", "0000-02-29T23:59+14:00"]) | texts


def _struct(name: str | None, *fields: tuple[str, Kind]) -> Kind:
    def to_json(value: dict[str, Any]) -> str:
        return "{" + ",".join(f"{json.dumps(n)}:{kind.json(value[n])}" for n, kind in fields) + "}"

    named = {} if name is None else {"name": name}
    return Kind(
        {"type": "struct", "fields": [{**kind.connect, "field": n} for n, kind in fields], **named},
        {"type": "record", "name": "Struct", "fields": [{"name": n, "type": k.avro} for n, k in fields]}
        | ({} if name is None else {"connect.name": name}),
        st.fixed_dictionaries({n: kind.values for n, kind in fields}),
        to_json,
        lambda value: {n: kind.to_avro(value[n]) for n, kind in fields},
    )


def _list(item: Kind) -> Kind:
    return Kind(
        {"type": "array", "items": item.connect},
        {"type": "array", "items": item.avro},
        st.lists(item.values, max_size=3),
        lambda value: "[" + ",".join(item.json(one) for one in value) + "]",
        lambda value: [item.to_avro(one) for one in value],
        None if item.word is None else f"list({item.word})",
        item.is_plain,
    )


def _map(item: Kind) -> Kind:
    return Kind(
        {"type": "map", "keys": {"type": "string"}, "values": item.connect},
        {"type": "map", "values": item.avro},
        st.dictionaries(texts, item.values, max_size=3) | st.just({PLACEHOLDER: PLACEHOLDER})
        if item.connect["type"] == "string"
        else st.dictionaries(texts, item.values, max_size=3),
        lambda value: "{" + ",".join(f"{json.dumps(key)}:{item.json(one)}" for key, one in value.items()) + "}",
        lambda value: {key: item.to_avro(one) for key, one in value.items()},
        None if item.word is None else f"map({item.word})",
        item.is_plain,
    )


def _entries(key: Kind, item: Kind) -> Kind:
    """A map whose keys are no required texts: pairs in JSON, MapEntry records in Avro."""
    is_text = key.connect["type"] == "string"
    fields = [{"name": "key", "type": key.avro}, {"name": "value", "type": item.avro}]

    def to_json(value: dict[Any, Any]) -> str:
        if is_text:
            return "{" + ",".join(f"{key.json(k)}:{item.json(one)}" for k, one in value.items()) + "}"
        return "[" + ",".join(f"[{key.json(k)},{item.json(one)}]" for k, one in value.items()) + "]"

    return Kind(
        {"type": "map", "keys": key.connect, "values": item.connect},
        {"type": "array", "items": {"type": "record", "name": "Struct", "fields": fields}},
        st.dictionaries(texts if is_text else key.values, item.values, max_size=3),
        to_json,
        lambda value: [{"key": key.to_avro(k), "value": item.to_avro(one)} for k, one in value.items()],
    )


def optional(kind: Kind) -> Kind:
    """The same, and null."""
    return Kind(
        {**kind.connect, "optional": True},
        ["null", kind.avro],
        st.none() | kind.values,
        lambda value: "null" if value is None else kind.json(value),
        lambda value: None if value is None else kind.to_avro(value),
        kind.word,
        kind.is_plain,
    )


INT8 = scalar("int8", "int", whole(8), word="int", is_plain=True)
INT32 = scalar("int32", "int", whole(32), word="int", is_plain=True)
INT64 = scalar("int64", "long", whole(64), word="int", is_plain=True)
STRING = scalar("string", "string", strings, word="text", is_plain=True)
BYTES = scalar("bytes", "bytes", blobs, json=base64, word="bytes")
DOUBLE = scalar("double", "double", st.floats(), json=lambda v: number(v, is_single=False), word="float64")
FINITE = scalar(
    "double", "double", st.floats(allow_nan=False, allow_infinity=False), json=repr, word="float64", is_plain=True
)
SINGLE = scalar("float", "float", st.floats(width=32), json=lambda v: number(v, is_single=True), word="float32")

SCALARS: Sequence[Kind] = (
    scalar("boolean", "boolean", st.booleans(), word="boolean", is_plain=True),
    INT8, scalar("int16", "int", whole(16), is_plain=True), INT32, INT64, STRING, BYTES, DOUBLE, FINITE, SINGLE,
    *(
        scalar(f"int{bits}", "int" if bits == 32 else "long", whole(bits), name, word=word)
        for bits, name, word in (
            (32, DEBEZIUM + "time.Year", "year"), (32, DEBEZIUM + "time.Date", "date"), (32, CONNECT + "Date", "date"),
            (32, DEBEZIUM + "time.Time", "time-ms"), (32, CONNECT + "Time", "time-ms"),
            (64, DEBEZIUM + "time.MicroTime", "time-us"), (64, DEBEZIUM + "time.NanoTime", "time-ns"),
            (64, DEBEZIUM + "time.Timestamp", "timestamp-ms"), (64, CONNECT + "Timestamp", "timestamp-ms"),
            (64, DEBEZIUM + "time.MicroTimestamp", "timestamp-us"), (64, DEBEZIUM + "time.NanoTimestamp", "timestamp-ns"),
            (64, DEBEZIUM + "time.MicroDuration", "duration-us"), (64, DEBEZIUM + "time.NanoDuration", "duration-ns"),
        )
    ),
    *(
        scalar("string", "string", values, DEBEZIUM + name, word=word)
        for name, word, values in (
            ("data.Enum", "enum", strings), ("data.EnumSet", "text", strings), ("data.Xml", "text", strings),
            ("data.Json", "json", st.sampled_from(['{"b": 1.50, "a": [true]}', "{", PLACEHOLDER, "1e400"]) | texts),
            ("data.Uuid", "uuid", st.uuids().map(str) | strings), ("time.ZonedTimestamp", "zoned-timestamp", dated),
            ("time.IsoTimestamp", "iso-timestamp", dated), ("time.IsoDate", "iso-date", st.dates().map(str) | texts),
            ("time.IsoTime", "iso-time", st.times().map(str) | texts),
            ("time.Interval", "interval", st.sampled_from(["P1Y2M3DT4H5M6.78S", "P", "PT-0.5S"]) | texts),
        )
    ),
    scalar("bytes", "bytes", blobs, DEBEZIUM + "data.Bits", json=base64, word="bits"),
    *(decimal(scale, is_numeric=is_numeric) for scale in (-3, 0, 2, 30) for is_numeric in (False, True)),
)  # fmt: skip

VARIABLE = _struct(DEBEZIUM + "data.VariableScaleDecimal", ("scale", INT32), ("value", BYTES))
POINT = _struct(
    DEBEZIUM + "data.geometry.Point", ("x", DOUBLE), ("y", DOUBLE), ("wkb", optional(BYTES)), ("srid", optional(INT32))
)
NESTED: Sequence[Kind] = (
    Kind(**{**VARIABLE.__dict__, "word": "decimal"}), Kind(**{**POINT.__dict__, "word": "geometry"}),
    _struct(None, ("a", _list(optional(SCALARS[-1]))), ("b", _map(optional(STRING)))),
    *(_list(kind) for kind in (*SCALARS, POINT, optional(INT64))),
    *(_map(kind) for kind in (*SCALARS, optional(STRING), optional(BYTES))),
    _entries(scalar("int16", "int", whole(16)), optional(DOUBLE)), _entries(optional(STRING), INT32),
    Kind(**{**_list(STRING).__dict__, "values": st.sampled_from([[PLACEHOLDER], [PLACEHOLDER_UUID], [PLACEHOLDER, "a"]])}),
    Kind(**{**_list(INT32).__dict__, "values": st.sampled_from([list(PLACEHOLDER.encode()), [1]])}),
    Kind(**{**_list(BYTES).__dict__, "values": st.sampled_from([[PLACEHOLDER.encode()], [b""]])}),
)  # fmt: skip

kinds = st.sampled_from([*SCALARS, *NESTED]).flatmap(lambda kind: st.sampled_from([kind, optional(kind)]))


@st.composite
def rows(draw: Any) -> list[Column]:
    """Some columns of any kinds, each with a value."""
    names = draw(st.lists(st.sampled_from(["id", "note", "total", "at", "_x"]), unique=True, min_size=1))
    chosen = [draw(kinds) for _ in names]
    return [Column(name, kind, draw(kind.values)) for name, kind in zip(names, chosen, strict=True)]


def renamed(schema: Any, numbers: Any = None) -> Any:
    """Records by names of their own, since Avro lets no name be defined twice."""
    numbers = count() if numbers is None else numbers
    if isinstance(schema, list):
        return [renamed(item, numbers) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = {"name": f"R{next(numbers)}"} if schema.get("type") == "record" else {}
    parts = {key: renamed(value, numbers) for key, value in schema.items() if key in {"type", "items", "values"}}
    if "fields" in schema:
        parts["fields"] = [{**field, "type": renamed(field["type"], numbers)} for field in schema["fields"]]
    return {**schema, **parts, **named}


def json_object(columns: Sequence[Column]) -> str:
    """A row as JsonConverter writes it."""
    return "{" + ",".join(f"{json.dumps(name)}:{kind.json(value)}" for name, kind, value in columns) + "}"


def json_envelope(columns: Sequence[Column], source: dict[str, Any]) -> str:
    """A create, without its schema."""
    return f'{{"before":null,"after":{json_object(columns)},"source":{json.dumps(source)},"op":"c","ts_ms":1}}'


def json_schema(columns: Sequence[Column]) -> str:
    """The envelope's schema, as far as rows need it."""
    row = {
        "type": "struct", "optional": True, "name": "shop.orders.Value",
        "fields": [{**kind.connect, "optional": kind.connect.get("optional", False), "field": name}
                   for name, kind, _ in columns],
    }  # fmt: skip
    source = {"type": "struct", "fields": [], "optional": False, "field": "source"}
    fields = [{**row, "field": "before"}, {**row, "field": "after"}, source, {"type": "string", "field": "op"}]
    return json.dumps({"type": "struct", "fields": fields, "optional": False, "name": "shop.orders.Envelope"})


def avro_row(columns: Sequence[Column]) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """A row's Avro columns, and the row as fastavro writes it."""
    numbers = count()
    fields = [(name, renamed(kind.avro, numbers)) for name, kind, _ in columns]
    return fields, {name: kind.to_avro(value) for name, kind, value in columns}
