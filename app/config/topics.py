"""Topic names and patterns: between slashes a regular expression that is matched whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.config.kinds import is_pattern


def is_match(wanted: str, topic: str) -> bool:
    """Whether one configured name or pattern means ``topic``.

    >>> is_match("/shop[.].*/", "shop.orders"), is_match("/shop/", "shop.orders"), is_match("a", "a")
    (True, False, True)
    """
    return re.fullmatch(wanted[1:-1], topic) is not None if is_pattern(wanted) else wanted == topic


def resolve(wanted: Sequence[str], existing: Iterable[str], *, only: bool = False) -> list[str]:
    """The topics that configured names and patterns mean; sorted, each once.

    Args:
        wanted: names, which count whether they exist or not, and patterns.
        existing: what patterns choose from.
        only: names count only where they are among ``existing`` as well.
    """
    known = set(existing)
    names = {name for name in wanted if not is_pattern(name)}
    patterns = [re.compile(name[1:-1]) for name in wanted if is_pattern(name)]
    matched = {topic for topic in known if any(pattern.fullmatch(topic) for pattern in patterns)}
    return sorted((names & known if only else names) | matched)
