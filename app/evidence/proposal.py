"""What is proposed for one sink: a contract as far as it is known, and what nobody but a person can know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.evidence.tables import StoreTerms


class Database(NamedTuple):
    """Where a store is: ``postgresql``, host, port, database."""

    kind: str
    host: str
    port: int
    name: str


@dataclass(slots=True)
class Proposal:
    """A contract: the values of ``[sinks.<name>]`` by key, and what nobody but a person can know.

    Attributes:
        database: where its rows are; None where nobody knows.
        is_readable: whether its rows can be found by key and what they must be is known; else they would raise false alarms.
        doubts: of the notes, those that say why not; unmirrored: of these, those about transforms.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    database: Database | None = None
    is_readable: bool = True
    doubts: list[str] = field(default_factory=list)
    unmirrored: list[str] = field(default_factory=list)

    def note(self, note: str) -> None:
        """Something to be read; said once, whatever it is found out from."""
        if note not in self.notes:
            self.notes.append(note)

    def doubt(self, note: str, *, is_of_transform: bool = False) -> None:
        """A note that keeps its rows from being compared."""
        self.note(note)
        for kept in [self.doubts, self.unmirrored] if is_of_transform else [self.doubts]:
            if note not in kept:
                kept.append(note)
        self.is_readable = False

    def terms(self) -> StoreTerms:
        """How the sink calls its tables and columns."""
        return StoreTerms(
            table_name=self.values.get("table_name", "${topic}"),
            tables=self.values.get("tables", {}),
            renames=self.values.get("renames", {}),
        )
