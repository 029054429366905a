"""What a check of an installation says: one finding each, with coordinates, what it means for verdicts and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "unknown", "fine"]
LEVELS: tuple[Level, ...] = ("error", "warning", "unknown", "fine")
"""The worst first. ``error``: a start is refused, or verdicts are or will be wrong or missing. ``warning``: they can become so,
or are worth less than the configuration makes believe. ``unknown``: nobody could tell, which is never fine."""
SHOWN = 5
"""Places that one finding names; it counts all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know.

    Attributes:
        about: the check that says it, a word of `app.evidence.installation.ABOUT`.
        place: the coordinates: a topic, a sink, a connector, a group.
        says: what was seen; means: for verdicts; do: the command or setting that mends it.
    """

    level: Level
    about: str
    place: str
    says: str
    means: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What could not be asked, and why; ``level`` is another one where the answer was a refusal."""

    about: str
    place: str
    why: str
    do: str
    level: Level = "unknown"


def listed(names: Iterable[object]) -> str:
    """The first names, and how many there are more.

    >>> listed("abcdefg"), listed("ab")
    ('a, b, c, d, e and 2 more', 'a, b')
    """
    known = list(map(str, names))
    more = len(known) - SHOWN
    return ", ".join(known[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def altered(topic: str, setting: str) -> str:
    """The command that gives a topic a setting, such as ``cleanup.policy=delete``."""
    value = f"[{setting}]" if "," in setting else setting
    return (
        "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics "
        f"--entity-name {topic} --add-config {value}"
    )


def lasting(ms: int) -> str:
    """A duration as people say it, in its largest whole unit.

    >>> lasting(90_000), lasting(7_200_000), lasting(200), lasting(-5)
    ('90 s', '2 h', '200 ms', '0 ms')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= 2 * size:
            return f"{ms // size} {unit}"
    return f"{max(ms, 0)} ms"
