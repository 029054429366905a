"""Headers that name the change a record speaks of."""

from __future__ import annotations

from app.errors import UnreadableEvidence
from app.model.batches import Headers


def text(headers: Headers, name: str) -> str | None:
    """The last header of a name as text, None where it is absent or null."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return None if found is None else found.decode("utf-8", "replace")


def whole(headers: Headers, name: str) -> int:
    """A header that must be a whole number.

    Raises:
        UnreadableEvidence: it is absent, null or no number.
    """
    value = named(headers, name)
    try:
        return int(value)
    except ValueError as error:
        raise UnreadableEvidence(f"header {name}: {error}") from error


def named(headers: Headers, name: str) -> str:
    """A header that must be there."""
    value = text(headers, name)
    if not value:
        raise UnreadableEvidence(f"header {name}: it is absent or null")
    return value
