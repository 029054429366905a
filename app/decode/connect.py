"""Types of Connect as JsonConverter writes them: each becomes the Avro type that AvroConverter would make of it, and a reader.

The reader turns a parsed JSON value into what an Avro decoder would have given, so that fingerprints are made by one code
for both encodings. Numbers arrive as int and `Decimal`, so that none has lost a digit. A value that contradicts its type
raises ValueError, with the field and without the value: what a row says is not for logs.

Source of the encodings: org.apache.kafka.connect.json.JsonConverter; of the Avro types: Confluent's AvroData.
"""

from __future__ import annotations

import math
import re
import struct
from binascii import a2b_base64
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from cdc_receipts.atoms import DEBEZIUM, DECIMAL

Read = Callable[[Any], Any]

VARIABLE_DECIMAL = DEBEZIUM + "data.VariableScaleDecimal"
MOST_DIGITS = 4_300
"""Digits of a number, and powers of ten that it is moved by: what Python's int reads too, far beyond any database's."""

_INT64 = range(-(1 << 63), 1 << 63)
_INT32 = range(-(1 << 31), 1 << 31)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,9})?")
_FLOAT_TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Jackson, which JsonConverter writes with, puts these in quotes."""
_float32 = struct.Struct("<f")


class Typed(NamedTuple):
    """A type: as Avro, and what reads its JSON values."""

    avro: Any
    read: Read


def typed(schema: Any) -> Typed:
    """The type that a schema in JsonConverter's form stands for.

    A null, or a field that is not there, is null where the type is optional, its default where it is not and has one.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no schema of Connect's.
    """
    avro, read = _inner(schema)
    if schema.get("optional"):
        return Typed(["null", avro], lambda value: None if value is None else read(value))
    default = schema.get("default")

    def required(value: Any) -> Any:
        if value is None:
            if default is None:
                raise ValueError("a null, or no field at all, where the schema asks for a value")
            return read(default)
        return read(value)

    return Typed(avro, required)


def row_type(schema: Any, ignored: Collection[str] = ()) -> Typed:
    """The type of a struct without some of its fields, of which nothing is asked: a row without ignored columns."""
    return _struct(schema, ignored)


def _inner(schema: Any) -> Typed:
    kind, name = schema["type"], schema.get("name")
    if name == DECIMAL and kind == "bytes":
        scale = (schema.get("parameters") or {}).get("scale")
        avro: Any = {"type": "bytes", "connect.name": name}
        if scale is None:  # it is refused, as Avro's, by who makes atoms of it
            return Typed(avro, _bytes)
        return Typed(avro | {"connect.parameters": {"scale": scale}}, _decimal_of(int(scale)))
    if kind in _SCALARS:
        avro_kind, read = _SCALARS[kind]
        return Typed({"type": avro_kind} | ({} if name is None else {"connect.name": name}), read)
    if kind == "array":
        items = typed(schema["items"])
        return Typed({"type": "array", "items": items.avro}, _list_of(items.read))
    if kind == "map":
        return _map(schema)
    if kind == "struct":
        return Typed(_VARIABLE, _variable_decimal) if name == VARIABLE_DECIMAL else _struct(schema)
    raise ValueError(f"no type of Connect's: {kind!r}")


def _struct(schema: Any, ignored: Collection[str] = ()) -> Typed:
    """Values are records of every field; a field that the schema does not name contradicts it."""
    names = frozenset(field["field"] for field in schema["fields"])
    fields = [(field["field"], typed(field)) for field in schema["fields"] if field["field"] not in ignored]
    avro = {"type": "record", "name": "Struct", "fields": [{"name": name, "type": kind.avro} for name, kind in fields]}
    if schema.get("name") is not None:
        avro["connect.name"] = schema["name"]
    readers = [(name, kind.read) for name, kind in fields]

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(value, "an object")
        if not value.keys() <= names:
            raise ValueError(f"it has {sorted(value.keys() - names)!r}, which its schema does not name")
        return read_fields(readers, value)

    return Typed(avro, read)


def read_fields(readers: Collection[tuple[str, Read]], value: Mapping[str, Any]) -> dict[str, Any]:
    """Each field by its reader.

    Raises:
        ValueError: a field's value contradicts its type; the message names the field.
    """
    found = {}
    for name, read in readers:
        try:
            found[name] = read(value.get(name))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name!r}: {error}") from error
    return found


def _list_of(read: Read) -> Read:
    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise wrong(value, "a list")
        return [read(item) for item in value]

    return read_list


def _map(schema: Any) -> Typed:
    """Keys that are required texts make an Avro map; others make a list of entries, and so does AvroData.

    JsonConverter writes an object for any text keys, a list of pairs for all others.
    """
    keys, values = typed(schema["keys"]), typed(schema["values"])
    is_text = schema["keys"]["type"] == "string"
    if is_text and not schema["keys"].get("optional"):

        def read_map(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise wrong(value, "an object")
            return {key: values.read(item) for key, item in value.items()}

        return Typed({"type": "map", "values": values.avro}, read_map)

    def read_entries(value: Any) -> list[dict[str, Any]]:
        if is_text and isinstance(value, dict):
            value = list(value.items())
        if not isinstance(value, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
            raise wrong(value, "a list of pairs")
        return [{"key": keys.read(key), "value": values.read(item)} for key, item in value]

    fields = [{"name": "key", "type": keys.avro}, {"name": "value", "type": values.avro}]
    return Typed({"type": "array", "items": {"type": "record", "name": "MapEntry", "fields": fields}}, read_entries)


def wrong(value: Any, wanted: str) -> ValueError:
    """The error for a value of another kind; says the kinds, never the value."""
    kinds = {bool: "a boolean", int: "a number", Decimal: "a number", float: "a number", str: "a text", list: "a list"}
    given = "null" if value is None else kinds.get(type(value), "an object")
    return ValueError(f"{given} where {wanted} must be")


# ---------------------------------------------------------------- scalars


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong(value, "a boolean")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, Decimal):
        value = unscaled(value, 0)
    if type(value) is not int:  # a boolean is one, too
        raise wrong(value, "an integer")
    if value not in _INT64:
        raise ValueError("a number beyond int64")
    return value


def _double(value: Any) -> float:
    if isinstance(value, str) and value in _FLOAT_TEXTS:
        return _FLOAT_TEXTS[value]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise wrong(value, "a number")
    return float(value)


def _single(value: Any) -> float:
    """The float32 nearest to the text, widened: going through float64 alone would round twice.

    >>> _single(Decimal("1.1")), _single(Decimal("1.00000005960464477540"))
    (1.100000023841858, 1.0000001192092896)
    """
    double = _double(value)
    if not math.isfinite(double):
        return double
    below, above = _narrow(math.nextafter(double, -math.inf)), _narrow(math.nextafter(double, math.inf))
    exact = Decimal(value)
    if below == above or exact == Decimal(double):
        return _narrow(double)
    return above if exact > Decimal(double) else below  # the float64 is the middle between two float32


def _narrow(value: float) -> float:
    narrow: float = _float32.unpack(_float32.pack(value))[0]
    return narrow


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(value, "a text")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise wrong(value, "base64")
    try:
        return a2b_base64(value, strict_mode=True)
    except ValueError:
        raise ValueError("a text that is no base64 where bytes must be") from None


_SCALARS: dict[str, tuple[str, Read]] = {
    "boolean": ("boolean", _boolean),
    "int8": ("int", _integer),
    "int16": ("int", _integer),
    "int32": ("int", _integer),
    "int64": ("long", _integer),
    "float": ("float", _single),
    "float32": ("float", _single),  # JsonConverter's own words are float and double
    "double": ("double", _double),
    "float64": ("double", _double),
    "string": ("string", _text),
    "bytes": ("bytes", _bytes),
}


# ---------------------------------------------------------------- decimals

_VARIABLE = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "connect.name": VARIABLE_DECIMAL,
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
}


def unscaled(number: Decimal, scale: int) -> int:
    """The number times ten to the power of the scale, exactly.

    Raises:
        ValueError: it has more digits after the point than the scale, or too many digits.
    """
    if not number.is_finite():
        raise ValueError("NaN or Infinity where a number must be")
    _, digits, exponent = number.as_tuple()
    shift = int(exponent) + scale
    if not number:
        return 0
    if len(digits) > MOST_DIGITS or shift > MOST_DIGITS:
        raise ValueError(f"a number of more than {MOST_DIGITS} digits")
    whole = int(Decimal((0, digits, 0)))
    if shift < 0:
        whole, rest = divmod(whole, 10 ** min(-shift, len(digits)))
        if rest or -shift > len(digits):
            raise ValueError(f"more digits after the point than the scale, {scale}, has")
    else:
        whole *= int(10**shift)
    return -whole if number.is_signed() else whole


def parts(number: Decimal) -> tuple[int, int]:
    """The unscaled value and the scale of a number as it is written; raises ValueError beyond what an atom holds."""
    scale = -int(number.as_tuple().exponent) if number.is_finite() else 0
    if scale not in _INT32:
        raise ValueError("a number whose scale is beyond int32")
    return unscaled(number, scale), scale


def _decimal_of(scale: int) -> Read:
    """Decimals of one scale: base64 of the unscaled value, or numbers (``decimal.format=NUMERIC``), also as texts.

    A text that is base64 is base64, since JsonConverter writes numbers without quotes.
    """

    def read(value: Any) -> bytes:
        if isinstance(value, str):
            try:
                return a2b_base64(value, strict_mode=True)
            except ValueError:  # then it is a number in quotes, or nothing
                pass
        return _signed(unscaled(_number(value), scale))

    return read


def _variable_decimal(value: Any) -> dict[str, Any]:
    """A struct of scale and unscaled value; where the contract says ``decimal``, also a number, in quotes or not."""
    if isinstance(value, dict):
        if value.keys() != {"scale", "value"}:
            raise ValueError("an object of other fields than scale and value")
        scale = _integer(value["scale"])
        if scale not in _INT32:
            raise ValueError("a scale beyond int32")
        return {"scale": scale, "value": _bytes(value["value"])}
    whole, scale = parts(_number(value))
    return {"scale": scale, "value": _signed(whole)}


def _number(value: Any) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise wrong(value, "a decimal")
    return Decimal(value)


def _signed(number: int) -> bytes:
    """Big-endian two's complement, as Connect's Decimal is."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
