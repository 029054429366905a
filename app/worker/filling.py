"""Who fills which table of a store: a row that somebody else may have written says nothing of a sink's changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from app.evidence.tables import StoreTerms

Filler = tuple[str, str]
"""A sink and a change topic."""

PORTS = {"postgresql": 5432, "mysql": 3306}
"""Where a database listens whose address names no port."""


class Fillers:
    """What is known from the contracts, and learned from changes as they are met.

    Args:
        stores: by sink, the address of its store; terms: what its contract says of rows; topics: what it consumes.
    """

    def __init__(
        self, stores: Mapping[str, str], terms: Mapping[str, StoreTerms], topics: Mapping[str, Iterable[str]]
    ) -> None:
        self._stores = {sink: _place(url) for sink, url in stores.items()}
        self._known: dict[tuple[str, str], set[Filler]] = {}
        guessed: dict[Filler, str] = {}
        for sink in stores:
            for topic in topics[sink]:
                guessed[sink, topic] = _by_its_topic(terms[sink], topic)
                self._add(sink, guessed[sink, topic], topic)
        self._guessed = guessed

    def of(self, sink: str, table: str, topic: str) -> AbstractSet[Filler]:
        """Who fills a table, now that it is known that this one does."""
        guess = self._guessed.pop((sink, topic), table)
        if guess.casefold() != table.casefold():
            self._known[self._stores[sink], guess.casefold()].discard((sink, topic))
        return self._add(sink, table, topic)

    def _add(self, sink: str, table: str, topic: str) -> set[Filler]:
        found = self._known.setdefault((self._stores[sink], table.casefold()), set())
        found.add((sink, topic))
        return found


def _place(url: str) -> str:
    """A database without who asks and how."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or PORTS.get(parts.scheme)}/{parts.path.strip('/')}"


def _by_its_topic(terms: StoreTerms, topic: str) -> str:
    """A topic's table before any change of it was met: Debezium names topics ``prefix.schema.table``, or with the database."""
    _, schema, table = ["", "", *topic.split(".")][-3:]
    return terms.table_named(topic, schema, schema, table)
