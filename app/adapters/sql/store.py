"""What a store is to its readers: tables of rows, every cell as the database's own text of it.

Who reads back asks by key, thousands at once, and compares texts; what a text means is decided elsewhere (`ColumnType.type`
tells which database's type wrote it).

| database | form of a cell |
|---|---|
| PostgreSQL | ``column::text`` with TimeZone UTC, DateStyle ISO, IntervalStyle postgres, bytea_output hex, lc_monetary C |
| MySQL, MariaDB | ``CAST(column AS CHAR)`` as utf8mb4 with time_zone +00:00; binary types ``0x`` and lower-case hex; bit an unsigned integer; float as the double it widens to, since its own text has six digits only |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Cells = tuple[str | None, ...]
"""One row's cells in the order asked; None is NULL."""

Key = Sequence[str | None]
"""One key's values as texts, in the order of the key's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """One column of a table, as the database names it.

    Attributes:
        type: PostgreSQL: ``pg_type.typname`` (of a domain the type below it): int8, bpchar, numeric, timestamptz, _int4.
            MySQL: ``COLUMN_TYPE``: int unsigned, char(10), datetime(6), tinyint(1).
        precision: of a number its digits (PostgreSQL's integers and floats: its bits); of a time its digits of a second.
        scale: of a number its digits after the point.
        length: of a text its most characters, of bits their number.
    """

    name: str
    type: str
    is_nullable: bool
    precision: int | None
    scale: int | None
    length: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a reader may cost the database.

    Attributes:
        rows_per_second: keys asked, found or not; 0 or None: as many as go.
        chunk_rows: the most keys or rows of one statement; never more than a second's rows.
        statement_timeout_ms: after it the database ends a statement, and a little later the reader hangs up.
        connect_timeout_ms: rounded up to seconds, at least two. MySQL's greeting after it has the statements' time.
        idle_ms: a connection unused for longer is closed.
        failures_to_open: failures in a row until the breaker opens.
        first_pause_ms, longest_pause_ms: how long it stays open first; doubled by every probe that fails, up to the longest.
    """

    rows_per_second: int | None = 1_000
    chunk_rows: int = 1_000
    statement_timeout_ms: int = 10_000
    connect_timeout_ms: int = 5_000
    idle_ms: int = 60_000
    failures_to_open: int = 3
    first_pause_ms: int = 1_000
    longest_pause_ms: int = 300_000

    @property
    def rows_per_statement(self) -> int:
        """The most keys or rows of one statement."""
        return max(1, min(self.chunk_rows, self.rows_per_second or self.chunk_rows))


@dataclass(slots=True, kw_only=True)
class Stats:
    """What a reader did since it was opened; it only grows.

    Attributes:
        keys: keys asked by `Store.read`.
        rows: rows that came.
        bytes: UTF-8 bytes of their cells.
        failures: what became `Unavailable`; an open breaker's answers are none.
        busy_seconds: in statements and connecting; waited_seconds: for the limit of rows.
    """

    connects: int = 0
    statements: int = 0
    keys: int = 0
    rows: int = 0
    bytes: int = 0
    failures: int = 0
    busy_seconds: float = 0.0
    waited_seconds: float = 0.0


class Store(Protocol):
    """Tables of a sink's store, read only.

    A table's name may be qualified (``public.orders``, ``db.table``); a part with a dot in it stands in quotes
    (``"odd.schema"."t"``). Names are the catalogue's own, upper and lower case as they are there.

    Every method raises `Unavailable` while the database is away, slow or locked (with host, database and table),
    and `NoSuchTable` where a table or column is not there or may not be read.
    """

    def columns(self, table: str) -> list[ColumnType]:
        """The columns that may be read, in the table's order."""

    def key(self, table: str) -> tuple[str, ...]:
        """The columns of the primary key, in the key's order; empty where there is none."""

    def read(self, table: str, key: Sequence[str], keys: Sequence[Key], columns: Sequence[str]) -> list[Cells | None]:
        """Rows by key: one entry for each key asked, in that order; None where no row has it.

        Keys are compared as values of the key's own types. A text that is no such value (``abc`` or a number out of range
        for an integer) is the key of no row. A None finds rows where that column is NULL.

        Raises:
            AmbiguousKey: a key finds more than one row.
        """

    def close_idle(self) -> None:
        """Give the connection back where it was not used for `Limits.idle_ms`; for a timer."""

    def close(self) -> None:
        """Give the connection back; the store may be used again."""
