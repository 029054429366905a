"""Changes and rows of a sink, as tests write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from app.decode.images import Image
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL, integer, text

UNAVAILABLE = "__debezium_unavailable_value"
TERMS = StoreTerms()
Value = str | int | bool | bytes | None
GONE = "gone"
"""A column that is not there."""


def atom(value: Value) -> bytes:
    """A value's atom; bytes are one already."""
    match value:
        case None:
            return NULL
        case bool():
            return bytes([1, value])
        case int():
            return integer(value)
        case str():
            return text(value)
    return value


def row(**columns: Value) -> dict[str, bytes]:
    """A row of the sink."""
    return {name: atom(value) for name, value in columns.items()}


def upsert(offset: int, key: Value = 1, unavailable: str = "", **columns: Value) -> Image:
    """A change that writes a row; its key is the column ``id``."""
    columns = {"id": key, **columns}
    missing = frozenset(unavailable.split())
    kept = {name: atom(value) for name, value in columns.items() if name not in missing}
    return image(
        offset, ChangeKind.UPSERT, key=None if key is None else {"id": atom(key)}, row=kept, unavailable=missing
    )


def delete(offset: int, key: Value = 1) -> Image:
    """A change that removes one."""
    return image(offset, ChangeKind.DELETE, key={"id": atom(key)})


def truncate(offset: int) -> Image:
    """A change that removes all."""
    return image(offset, ChangeKind.TRUNCATE)


def unreadable(offset: int, key: Value | None = 1, hides: Literal["", "key", "truncate"] = "") -> Image:
    """A change that can't be read."""
    return image(offset, ChangeKind.UNREADABLE, key=None if key is None else {"id": atom(key)}, hides=hides)


def image(offset: int, kind: ChangeKind, **rest: Any) -> Image:
    """Any change."""
    given: Mapping[str, Any] = {
        "topic": "t", "partition": 0, "timestamp": 1_000 + offset, "at": offset, "database": "d", "schema": "public",
        "table": "orders", "key": None, "row": None, "unavailable": frozenset[str](), **rest,
    }  # fmt: skip
    return Image(offset=offset, kind=kind, **given)
