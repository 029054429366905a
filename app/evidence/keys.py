"""Keys as the two sides of a sink write them: by column, as text, so that 7 and 7.00 are one key, whatever their types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from app.decode import atoms
from app.decode.atoms import MOST_EXPONENT, Tag
from app.decode.images import Image, Row
from app.errors import BadInput
from app.evidence.agreement import single
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts import texts
from cdc_receipts.atoms import NULL

KeyText = tuple[tuple[str, str], ...]
"""Column names of the source, and their values as text; sorted."""


def key_text(columns: Mapping[str, bytes] | None) -> KeyText | None:
    """A key's columns as texts; None for a null key, and where a column is null or of a class that is no key."""
    if not columns or NULL in columns.values():
        return None
    try:
        return tuple(sorted((name, atoms.written(atom)) for name, atom in columns.items()))
    except BadInput:
        return None


def row_key(image: Image, terms: StoreTerms) -> Row | None:
    """Atoms of the columns by which a change's row is found in the sink; None where the change does not tell them all.

    They are the record key's, unless the contract names others. Those stand in the row that a change writes; a change that
    writes none tells only what its record key holds.
    """
    if not terms.keys:
        return image.key
    names = terms.keys.get(image.table)
    if names is None:
        return image.key if image.table else None
    told = {**(image.key or {}), **(image.row or {})}
    return {name: told[name] for name in names} if image.key and told.keys() >= set(names) else None


def owner(image: Image, terms: StoreTerms) -> Row | None:
    """The record key of a change whose row in the sink changes of other record keys may write, too; None for any other.

    They may stand in other partitions, so there is no order between them: such a row speaks only of the record key whose
    columns it shows.
    """
    names = terms.keys.get(image.table)
    return None if names is None or not image.key or image.key.keys() <= set(names) else image.key


def by_key(images: Iterable[Image], terms: StoreTerms) -> dict[KeyText, list[Image]]:
    """The changes of each row of the sink, by the key that it has there, in their order.

    A truncate is one of every key that stood before it; so is a change that can't be read, and may be anybody's. A change
    that moves its row to another key of the contract's or to another table, or does not tell which one it has, leaves the row where it stood
    before with nobody knowing what becomes of it: there it counts as a change that can't be read.
    """
    found: dict[KeyText, list[Image]] = {}
    stands: dict[KeyText, tuple[KeyText, str]] = {}
    for image in images:
        if image.kind is ChangeKind.TRUNCATE or image.hides:
            is_shown = image.hides == "key" or (terms.truncates and image.table not in terms.projection.tables)
            for history in found.values() if is_shown else ():
                history.append(image)
            continue
        record = key_text(image.key) if is_shown_by_rows(image, terms) else None
        if record is None:
            continue
        key = key_text(row_key(image, terms)) if terms.keys else record
        table = terms.table_of(image) if terms.is_table_by_value(image.topic) else ""
        before = stands.get(record)
        if before is not None and before != (key, table):
            found[before[0]].append(_unknown(image))
        if key is not None:
            stands[record] = key, table
            found.setdefault(key, []).append(image)
    return found


def _unknown(image: Image) -> Image:
    return replace(image, kind=ChangeKind.UNREADABLE, row=None, unavailable=frozenset())


def is_shown_by_rows(image: Image, terms: StoreTerms) -> bool:
    """Whether a change may do something to a row of the sink, by its contract.

    A change that the contract leaves out by its row or its operation may: nobody says what a sink does with a row that it
    has and takes no more (`app.evidence.states`). One of a table that is left out is of no row of the sink.
    """
    if image.table in terms.projection.tables:
        return False
    match image.kind:
        case ChangeKind.UPSERT | ChangeKind.UNREADABLE:
            return True
        case ChangeKind.DELETE:
            return terms.deletes != "ignore"
        case ChangeKind.TRUNCATE:
            return terms.truncates
    return False


# ---------------------------------------------------------------- keys that two stores write in their own ways


def shared_text(columns: Mapping[str, bytes] | None, terms: StoreTerms, table: str) -> KeyText | None:
    """A key in a form that does not depend on the store that holds it, for finding its row among others.

    Args:
        columns: atoms by the source's names.
        table: the source's.

    Returns:
        None where a key is none, and where the contract lets a column of it lose what tells two keys apart.
    """
    if not columns or NULL in columns.values():
        return None
    found = []
    for name, atom in columns.items():
        text = _shared(atom, terms.allowed(table, name))
        if text is None:
            return None
        found.append((name, text))
    return tuple(sorted(found))


def _shared(atom: bytes, allowed: Sequence[str]) -> str | None:
    tag = atoms.tag(atom)
    match tag:
        case Tag.LIST | Tag.MAP | Tag.NULL:
            return None
        case Tag.BOOLEAN | Tag.INTEGER | Tag.BITS:
            return _shared_number(Decimal(atoms.integer(atom)), allowed)
        case Tag.DECIMAL:
            return _shared_number(atoms.decimal(atom), allowed)
        case Tag.FLOAT:
            number = atoms.floating(atom)
            return _shared_number(Decimal(repr(number)), allowed) if math.isfinite(number) else None
        case Tag.LOCAL_TIMESTAMP | Tag.INSTANT:
            is_cut = {"seconds", "milliseconds", "microseconds"} & set(allowed)
            return None if is_cut else atoms.written(atom).removesuffix("Z").removesuffix("T00:00:00")
        case Tag.TEXT:
            text = atoms.text(atom)
            text = text.rstrip(" ") if "blanks" in allowed else text
            if "inet" in allowed:
                return None
            return text.casefold() if "case" in allowed or texts.uuid(text) else text
    return atoms.written(atom)


def _shared_number(number: Decimal, allowed: Sequence[str]) -> str:
    """A number as its digits; as those of the float that a tolerance lets the sink keep."""
    if "float32" in allowed:
        number = Decimal(repr(single(float(number))))
    elif "double" in allowed:
        number = Decimal(repr(float(number)))
    if not number.is_finite() or abs(number.adjusted()) > MOST_EXPONENT:
        return str(number)
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"


_FAMILIES = {
    **dict.fromkeys((Tag.BOOLEAN, Tag.INTEGER, Tag.BITS, Tag.DECIMAL, Tag.FLOAT), "number"),
    **dict.fromkeys((Tag.LOCAL_TIMESTAMP, Tag.INSTANT, Tag.DATE), "moment"),
}
_ALIKE = {frozenset({Tag.UUID, Tag.TEXT}), frozenset({Tag.INTEGER, Tag.TEXT})}
"""Classes beside those of one family whose shared texts are the same for the same value."""


def is_comparable(one: bytes, other: bytes) -> bool:
    """Whether the shared texts of two classes tell whether values are the same."""
    first, second = atoms.tag(one), atoms.tag(other)
    return _FAMILIES.get(first, first) == _FAMILIES.get(second, second) or frozenset({first, second}) in _ALIKE


_NUMBERS = frozenset({Tag.INTEGER, Tag.DECIMAL})


def is_exact(one: bytes, other: bytes) -> bool:
    """Whether shared texts of two classes are the same for the same value and for no other, whatever a store makes of it."""
    first, second = atoms.tag(one), atoms.tag(other)
    is_alike = first is second and first is not Tag.FLOAT
    return is_alike or {first, second} in (_NUMBERS, {Tag.UUID, Tag.TEXT})
