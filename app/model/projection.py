"""What of the source a contract takes: columns of a row, and rows among all changes (protocol sections 2 and 4).

A decoder makes one fingerprint of each change for each projection, and says whether the change is left out by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal, get_args

Filters = tuple[tuple[str, tuple[str, ...]], ...]
"""``table.column`` with values as `app.decode.atoms.written` writes them; sorted."""
Before = Literal["", "key", "whole"]
"""What tells of a row that a change does not carry: nothing, the record key alone, or whole before images."""
BEFORE: tuple[Before, ...] = get_args(Before)


class LeftOut(IntEnum):
    """Whether a contract leaves a change out; stored on disk."""

    NO = 0
    YES = 1
    UNKNOWN = 2
    """A column that its rows are chosen by has no value in the change, and nothing else tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What one contract takes.

    Attributes:
        ignored: ``table.column`` left out.
        listed: ``table.column``; of a table that has some here, only these are taken.
        tables, operations: names of source tables, and Debezium's ops, whose changes are left out.
        rows: a change is taken if each of these columns of its table has one of the values.
        rows_out: it is left out if one of these columns has one of the values.
        before: what tells of the row that a delete takes away.
    """

    ignored: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    rows: Filters = ()
    rows_out: Filters = ()
    before: Before = ""

    def takes(self, table: str, column: str) -> bool:
        """Whether a column of a table is taken.

        >>> some = Projection(ignored=frozenset({"a.y"}), listed=frozenset({"a.x", "a.y"}))
        >>> [some.takes(*place) for place in (("a", "x"), ("a", "y"), ("a", "z"), ("b", "z"))]
        [True, False, False, True]
        """
        if not self.ignored and not self.listed:
            return True
        name = f"{table}.{column}"
        if name in self.ignored:
            return False
        return name in self.listed or not self._lists(table)

    def _lists(self, table: str) -> bool:
        prefix = f"{table}."
        return any(name.startswith(prefix) for name in self.listed)

    @property
    def chooses(self) -> bool:
        """Whether it leaves changes out at all."""
        return bool(self.tables or self.operations or self.rows or self.rows_out)

    def packed(self) -> dict[str, Any]:
        """As JSON-able data."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any] | Sequence[str]) -> Projection:
        """As `packed` gave it, perhaps through JSON; a list is what a version wrote that knew ignored columns only."""
        if not isinstance(packed, Mapping):
            return cls(ignored=frozenset(packed))
        sets = {name: frozenset(packed[name]) for name in ("ignored", "listed", "tables", "operations")}
        return cls(
            **sets, rows=_filters(packed["rows"]), rows_out=_filters(packed["rows_out"]), before=packed["before"]
        )


Projections = Sequence[Projection | Collection[str]]
"""One for each column of ``ChangeBatch.fingerprints``; a set of ignored ``table.column`` stands for one that takes all else."""


def as_projections(given: Iterable[Projection | Collection[str]]) -> list[Projection]:
    """Each as a projection."""
    return [one if isinstance(one, Projection) else Projection(ignored=frozenset(one)) for one in given]


def _filters(told: Iterable[Sequence[Any]]) -> Filters:
    return tuple((column, tuple(values)) for column, values in told)
