"""Which log is a sink's lane, and whom evidence in a log belongs to (protocol section 3, "The lane")."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.config.settings import Settings, SinkSettings
from app.evidence.dead_letters import read_dead_letters
from app.evidence.success_topics import read_successes
from app.model import EvidenceBatch, RawBatch

HELD_ROWS = 32_768
"""Rows of a lane that wait for their changes before the lane is held: 4 MB; its bytes wait in the fetcher, a fifth of that."""

Reader = Callable[[RawBatch], EvidenceBatch]


def is_direct(sink: SinkSettings) -> bool:
    """Whether a sink's one receipts topic can be its lane; the caller also compares partition counts."""
    return len(sink.receipts) == 1 and not sink.dead_letters and not sink.success_topics


def owners(settings: Settings, topic: str) -> dict[str, str]:
    """The sinks that list an evidence topic, each with the list's name."""
    found = {}
    for name, sink in settings.sinks.items():
        for kind in ("receipts", "dead_letters", "success_topics"):
            if topic in getattr(sink, kind):
                found[name] = kind
    return found


def reader_of(settings: Settings, topic: str, receipts: Reader) -> Reader:
    """How the records of an evidence topic are read.

    Args:
        receipts: the decoder of receipts and marks.
    """
    listed = owners(settings, topic)
    if "dead_letters" in listed.values():
        by_connector = _connectors(settings, listed)
        return lambda raw: read_dead_letters(raw, by_connector)
    if "success_topics" in listed.values():
        sink = next(name for name, kind in listed.items() if kind == "success_topics")
        return lambda raw: read_successes(raw, sink)
    return receipts


def _connectors(settings: Settings, listed: Mapping[str, str]) -> dict[str | None, str]:
    """Sink by connector name; a topic of one sink alone also takes what names no connector."""
    sinks = [name for name, kind in listed.items() if kind == "dead_letters"]
    found: dict[str | None, str] = {settings.sinks[name].connector: name for name in sinks}
    found.pop(None, None)
    if len(sinks) == 1:
        found[None] = sinks[0]
    return found
