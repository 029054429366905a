"""Values whose type nobody said: change events without schemas, columns that the contract does not name.

The class is the JSON value's own: null 00, boolean 01, integer 02, other numbers 04, text 05, list 10, object 11. A number
that its class can't hold is a decimal (03), exactly: an integer beyond int64, and what no float64 was written as, because
it has more than 17 significant digits or a size beyond float64's.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.decode.connect import parts, typed, wrong
from cdc_receipts.atoms import NULL, decimal, entries, floating, integer, items, text
from cdc_receipts.fingerprint import Placeholder

FLOAT_DIGITS = 17
"""Significant digits that tell any float64 from any other; no writer of float64 needs more."""

_INT64 = range(-(1 << 63), 1 << 63)


def untyped_atom(value: Any) -> bytes:
    """The atom of a parsed JSON value by its JSON type."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return b"\x01\x01" if value else b"\x01\x00"
    if isinstance(value, int):
        return integer(value) if value in _INT64 else decimal(value, 0)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return items([untyped_atom(item) for item in value])
    if isinstance(value, dict):
        return entries([(key.encode(), untyped_atom(item)) for key, item in value.items()])
    return floating(value) if isinstance(value, float) else _number(value)


def _number(value: Decimal) -> bytes:
    """A number with a point or an exponent.

    >>> _number(Decimal("1.5"))[0], _number(Decimal("0.123456789012345678"))[0]
    (4, 3)
    """
    double = float(value)
    is_held = math.isfinite(double) and bool(double) == bool(value)
    if is_held and len("".join(map(str, value.as_tuple().digits)).strip("0")) <= FLOAT_DIGITS:
        return floating(double)
    return decimal(*parts(value))


def untyped_check(placeholder: Placeholder) -> Callable[[Any], bool]:
    """What tells the placeholder among values of no known type; bytes would stand there as base64."""
    as_base64 = b64encode(placeholder.data).decode()
    forms: tuple[Any, ...] = (
        placeholder.text, as_base64, [as_base64], *placeholder.lists, *placeholder.maps,
    )  # fmt: skip
    return forms.__contains__


_GEOMETRY = {
    "wkb": typed({"type": "bytes", "optional": True}).read,
    "x": typed({"type": "double", "optional": True}).read,
    "y": typed({"type": "double", "optional": True}).read,
}


def geometry_atom(value: Any) -> bytes:
    """A struct of Debezium's geometry family (Point, Geometry, Geography): ``wkb`` is bytes, ``x`` and ``y`` are float64.

    Raises:
        ValueError: it is no such struct.
    """
    if value is None:
        return NULL
    if not isinstance(value, dict):
        raise wrong(value, "an object")
    atoms = []
    for name, item in value.items():
        read = _GEOMETRY.get(name)
        if read is None or item is None:
            atom = untyped_atom(item)
        else:
            known = read(item)
            atom = b"\x06" + known if isinstance(known, bytes) else floating(known)
        atoms.append((name.encode(), atom))
    return entries(atoms)
