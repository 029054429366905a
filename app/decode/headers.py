"""Headers that name a record's coordinates: Connect's and ours, UTF-8 text each."""

from __future__ import annotations

import re

from app.errors import UnreadableEvidence
from app.model.batches import Headers

_WHOLE = re.compile(r"[0-9]{1,19}")


def text(headers: Headers, name: str) -> str | None:
    """The last header of a name as text, None where it is absent or null."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return None if found is None else found.decode("utf-8", "replace")


def named(headers: Headers, name: str) -> str:
    """A header that must be there.

    Raises:
        UnreadableEvidence: it is absent, null or empty.
    """
    value = text(headers, name)
    if not value:
        raise UnreadableEvidence(f"header {name}: it is absent or null")
    return value


def partition(headers: Headers, name: str) -> int:
    """A header that must be a partition number; raises `UnreadableEvidence`."""
    return _whole(headers, name, 1 << 31)


def offset(headers: Headers, name: str) -> int:
    """A header that must be an offset; raises `UnreadableEvidence`."""
    return _whole(headers, name, 1 << 63)


def _whole(headers: Headers, name: str, end: int) -> int:
    value = named(headers, name)
    if not _WHOLE.fullmatch(value) or int(value) >= end:
        raise UnreadableEvidence(f"header {name}: {value!r} is not from 0 to {end - 1}")
    return int(value)
