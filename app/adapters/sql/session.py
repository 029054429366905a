"""What a database's own part must offer to `app.adapters.sql.database`: one connection that describes and reads tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.adapters.sql.store import ColumnType

Numbered = Sequence[object]
"""A row that begins with the number of the key that found it, counted from 1; its cells follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as its database describes it.

    Attributes:
        sql_name: qualified and quoted.
        columns: those that may be read, in order.
        cells: for each column the SQL expression of its text; the table's alias is ``t``.
        key: columns of the primary key, in its order.
    """

    sql_name: str
    columns: tuple[ColumnType, ...]
    cells: Mapping[str, str]
    key: tuple[str, ...]


class SessionError(Exception):
    """A statement failed; the message holds the database's reason and no coordinates.

    Args:
        is_refusal: the database is well and says no: a table, a column or a right is missing. Asking again is no use.
    """

    def __init__(self, reason: str, *, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.is_refusal = is_refusal


class Session(Protocol):
    """One connection. Every method raises `SessionError`; after one that is no refusal the session is of no use any more."""

    def describe(self, schema: str | None, name: str) -> Table:
        """A table; a refusal where it is not there or none of its columns may be read."""

    def read(
        self, table: Table, key: Sequence[str], keys: Sequence[Sequence[str | None]], columns: Sequence[str]
    ) -> list[Numbered]:
        """The rows of some keys, in any order; all keys are None in the same places."""

    def may_write(self, schema: str | None, name: str) -> bool:
        """Whether the user may change rows of a table, by what the database says of its rights."""

    def close(self) -> None:
        """Hang up; never raises."""
