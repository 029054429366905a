"""Keys as the two sides of a sink write them: by column, as text, so that 7 and 7.00 are one key, whatever their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.decode.images import Image
from app.errors import BadInput
from app.evidence import atoms
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
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


def by_key(images: Iterable[Image], terms: StoreTerms) -> dict[KeyText, list[Image]]:
    """The changes of each key in their order; a truncate is one of every key that stood before it."""
    found: dict[KeyText, list[Image]] = {}
    for image in images:
        if image.kind is ChangeKind.TRUNCATE:
            for history in found.values() if terms.truncates else ():
                history.append(image)
            continue
        key = key_text(image.key) if image.kind in (ChangeKind.UPSERT, ChangeKind.DELETE) else None
        if key is not None:
            found.setdefault(key, []).append(image)
    return found
