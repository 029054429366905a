"""What Connect's Cast and TimestampConverter leave of a column's values: the tolerances they call for, or nothing comparable.

What they do was tried with Connect 4.3: a cast to a narrower integer wraps silently, one of a time is one of its bare number,
one of an instant's text keeps it; a converter counts milliseconds unless ``unix.precision`` says otherwise, whatever the
column's own type says, and refuses what is an int32 and no date or time of Connect's own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from app.evidence.options import Config
from app.evidence.streams import UNITS, Kind
from cdc_receipts.atoms import CONNECT, DEBEZIUM, DECIMAL

_TIME = DEBEZIUM + "time."
_AVRO = {
    "int8": "int", "int16": "int", "int32": "int", "int64": "long", "float32": "float", "float64": "double",
    "boolean": "boolean", "string": "string",
}  # fmt: skip
_CASTS: dict[str, dict[str, tuple[str, ...]]] = {
    "int": {"int32": (), "int64": (), "float32": ("float32",), "float64": (), "string": ()},
    "long": {"int64": (), "float32": ("float32",), "float64": ("double",), "string": ()},
    "boolean": {"boolean": (), "int8": (), "int16": (), "int32": (), "int64": (), "string": ()},
    "float": {"float32": (), "float64": (), "string": ("float32",)},
    "double": {"float32": ("float32",), "float64": (), "string": ()},
    "string": {"int8": (), "int16": (), "int32": (), "int64": (), "float32": ("float32",), "float64": (), "string": ()},
    "bytes": {"string": ()},
    DECIMAL: {"float32": ("float32",), "float64": ("double",), "string": ()},
    CONNECT + "Timestamp": {"string": ()},
    CONNECT + "Date": {"string": ()},
}
"""By the Avro type, or a type's name: what it can be cast to without a value becoming another one, and the tolerances."""
_WHOLE = re.compile(r"yyyy-MM-dd(?:'T'| )HH:mm:ss(\.SSS)?(?:'Z'|X{1,3})?")
"""Formats that keep a time to seconds, or to milliseconds."""


class Left(NamedTuple):
    """What is left of a column: its type, and the tolerances; ``words`` is None where its values are other ones, and why."""

    kind: Kind
    words: tuple[str, ...] | None
    why: str = ""


def cast(kind: Kind, to: str) -> Left:
    """What a cast to one of Connect's types leaves."""
    found = Kind(_AVRO.get(to, ""))
    if kind.name.startswith(_TIME) and kind.type in ("int", "long") and kind.name != _TIME + "Year":
        return Left(found, None, f"makes {kind.name} a bare number")
    if kind.name == DEBEZIUM + "data.Bits":
        return Left(found, None, "makes bits a text")
    rules = _CASTS.get(kind.name) or _CASTS.get(kind.type, {})
    if kind.name and kind.type == "string" and to != "string":
        rules = {}
    words = rules.get(to)
    is_narrowed = words is None and kind.type in ("int", "long") and to.startswith("int")
    why = "may lose something of its values" + (
        ": take it out of ignore_columns if all of them fit" if is_narrowed else ""
    )
    return Left(found, words, "" if words is not None else why)


def converted(kind: Kind, given: Config) -> Left:
    """What a TimestampConverter leaves, by its options."""
    target, unit = given.get("target.type", ""), given.get("unix.precision", "milliseconds")
    after = Kind("long", CONNECT + "Timestamp") if target == "Timestamp" else Kind()
    own = UNITS.get(kind.name.removeprefix(_TIME), "") if kind.name.startswith(_TIME) else ""
    if kind.type == "string":
        return Left(after, None, "is read by a format that may not fit its texts")
    if own and own != unit:
        return Left(after, None, f"is in {own} and is read as {unit} (unix.precision): its values become other ones")
    if not own and kind.name not in (CONNECT + "Timestamp", CONNECT + "Date"):
        return Left(after, None, "is of no type whose conversion is known here")
    is_date = kind.name == CONNECT + "Date"
    match target:
        case "Timestamp":
            return Left(after, () if own in ("", "milliseconds") else ("milliseconds",))
        case "Date" if is_date:
            return Left(kind, ())
        case "string":
            return _formatted(given.get("format", ""), is_date=is_date)
    return Left(after, None, f"is converted to {target or 'nothing'}, which can't be compared with it")


def _formatted(pattern: str, *, is_date: bool) -> Left:
    text = Kind("string")
    if is_date and pattern == "yyyy-MM-dd":
        return Left(text, ())
    whole = _WHOLE.fullmatch(pattern)
    if whole is None or is_date:
        return Left(text, None, f"is written as {pattern}, which can't be compared with it")
    return Left(text, ("milliseconds" if whole[1] else "seconds",))
