"""Predicates of Connect: which records of a topic a transform concerns, as far as its configuration tells."""

from __future__ import annotations

from enum import Enum

from app.evidence.options import Config, is_matched, is_true, under
from app.evidence.streams import Stream

_KAFKA = "org.apache.kafka.connect.transforms.predicates."


class Holds(Enum):
    """Which records of a stream a predicate holds for."""

    ALL = "all"
    NONE = "none"
    WITHOUT_VALUE = "those without a value"
    WITH_VALUE = "those with a value"
    UNKNOWN = "unknown"


_NEGATED = {
    Holds.ALL: Holds.NONE, Holds.NONE: Holds.ALL, Holds.WITHOUT_VALUE: Holds.WITH_VALUE,
    Holds.UNKNOWN: Holds.UNKNOWN,
}  # fmt: skip


def holds(config: Config, given: Config, stream: Stream) -> tuple[Holds, str]:
    """Which records a transform concerns, and where that is not known, why.

    Args:
        config: the connector's options.
        given: the transform's, with ``predicate`` and ``negate``.
        stream: at that place of the chain.
    """
    if "predicate" not in given:
        return Holds.ALL, ""
    found, why = _asked(under(config, f"predicates.{given['predicate']}."), stream)
    return (_NEGATED[found] if is_true(given, "negate") else found), why


def _asked(predicate: Config, stream: Stream) -> tuple[Holds, str]:
    match predicate.get("type", "").removeprefix(_KAFKA):
        case "TopicNameMatches":
            return _of_topic(predicate.get("pattern", ""), stream.name)
        case "RecordIsTombstone":
            return Holds.WITHOUT_VALUE, ""
        case "HasHeaderKey":
            return (
                Holds.UNKNOWN,
                f"asks for the header {predicate.get('name', '')}: which records have it is not known here",
            )
    return (
        Holds.UNKNOWN,
        f"has a predicate {predicate.get('type') or 'that is not configured'}, which is not known here",
    )


def _of_topic(pattern: str, name: str | None) -> tuple[Holds, str]:
    """Of the name that the topic has at that place."""
    if name is None or "${column." in name:
        return Holds.UNKNOWN, "asks for a topic's name that can't be foreseen here"
    is_so = is_matched(pattern, name)
    if is_so is None:
        return Holds.UNKNOWN, "has an expression of Java's that can't be read here"
    return (Holds.ALL if is_so else Holds.NONE), ""
