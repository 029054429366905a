"""PostgreSQL 12 and later: thousands of keys in one statement, compared by the key's own types, through its index.

A key that its type can't read fails the whole statement, so a statement that fails so is asked again in halves, down to the
keys that are at fault: they are the keys of no row.

Settings go with the connection's start, so a pooler between must hand out sessions (PgBouncer: ``pool_mode=session``).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

import psycopg

from app.adapters.sql.address import Address
from app.adapters.sql.session import Numbered, SessionError, Table
from app.adapters.sql.store import ColumnType, Limits
from app.config.kinds import Secret

SETTINGS = {
    "default_transaction_read_only": "on",
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmloption": "content",
    "enable_seqscan": "off",  # a thousand keys look like a good reason to read a middling table whole: never where an index is
    "jit": "off",  # compiling takes longer than a chunk
    "max_parallel_workers_per_gather": "0",  # one core of the database's is enough
}

GRACE_S = 5.0
"""The database ends a statement by itself; this much later it is taken for dead and hung up on."""

NOT_A_VALUE = ("22", "23")
"""Classes of errors that a cast to a key's type gives: data exception, and a domain's constraint."""
REFUSAL = ("3F", "42")
"""Classes: no such schema; no such table, column, operator or right."""
TIMED_OUT = ("55P03", "57014")
"""Codes: a lock was not to be had; the statement took too long."""

BITS = {"int2": 16, "int4": 32, "int8": 64, "float4": 24, "float8": 53}
TIMES = ("interval", "time", "timestamp", "timestamptz", "timetz")
TIME_DIGITS = 6
"""Digits of a second where a time's type says nothing."""
HEADER = 4
"""What a type modifier of numeric and of the texts has too much."""

TABLE = """
SELECT c.oid, n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN %s::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = %s::text END
"""

COLUMNS = """
WITH RECURSIVE base AS (
  SELECT attnum, attname, attnotnull AS is_filled, atttypid AS type, atttypmod AS modifier
  FROM pg_catalog.pg_attribute
  WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped
    AND pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')
  UNION ALL
  SELECT b.attnum, b.attname, b.is_filled OR t.typnotnull, t.typbasetype, GREATEST(b.modifier, t.typtypmod)
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT b.attname, n.nspname, t.typname, NOT b.is_filled, b.modifier
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype <> 'd' ORDER BY b.attnum
"""

KEY = """
SELECT a.attname
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %s::oid AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n
"""


WRITES = """
SELECT pg_catalog.has_table_privilege(%s::oid, 'INSERT,UPDATE,DELETE,TRUNCATE')
  OR pg_catalog.has_any_column_privilege(%s::oid, 'INSERT,UPDATE')
"""
"""Whether the role has at least one of the rights."""


def connector(address: Address, password: Secret | None, limits: Limits) -> Callable[[], PostgresSession]:
    """What opens a session with the limits' timeouts."""
    settings = SETTINGS | {
        "statement_timeout": f"{limits.statement_timeout_ms}ms",
        "lock_timeout": f"{limits.statement_timeout_ms}ms",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    root = address.ssl_root_cert or ("system" if address.ssl_mode == "verify-full" else None)
    dead_after_s = limits.statement_timeout_ms / 1_000 + GRACE_S

    def connect() -> PostgresSession:
        with _told():
            return PostgresSession(
                psycopg.connect(
                    host=address.host,
                    port=address.port,
                    user=address.user,
                    password=password.reveal() if password is not None else None,
                    dbname=address.database,
                    sslmode=address.ssl_mode,
                    sslrootcert=root,
                    connect_timeout=max(2, -(-limits.connect_timeout_ms // 1_000)),
                    application_name="cdc-verifier",
                    options=options,
                    autocommit=True,  # no transaction stays open between two statements
                    prepare_threshold=None,  # each statement is planned for its own keys
                ),
                dead_after_s,
            )

    return connect


class PostgresSession:
    """One connection; see `app.adapters.sql.session.Session`.

    Args:
        dead_after_s: a statement that has no answer by then is hung up on.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], dead_after_s: float) -> None:
        self._connection = connection
        self._dead_after_s = dead_after_s
        self._is_shut = False
        self._types: dict[tuple[str, str], str] = {}

    def describe(self, schema: str | None, name: str) -> Table:
        with _told():
            found = self._run(TABLE, (name, schema, schema))
            if not found:
                raise SessionError("there is no such table. Names are as the catalogue has them", is_refusal=True)
            oid, namespace, relation = found[0]
            columns = self._run(COLUMNS, (oid,))
            key = self._run(KEY, (oid,))
        sql_name = f"{_quoted(namespace)}.{_quoted(relation)}"
        if not columns:
            raise SessionError(
                f"none of its columns may be read. GRANT SELECT ON {namespace}.{relation} TO the role", is_refusal=True
            )
        self._types |= {
            (sql_name, column): f"{_quoted(space)}.{_quoted(kind)}" for column, space, kind, _, _ in columns
        }
        return Table(
            sql_name=sql_name,
            columns=tuple(_column(column, kind, is_nullable, mod) for column, _, kind, is_nullable, mod in columns),
            cells={column: f"t.{_quoted(column)}::pg_catalog.text" for column, *_ in columns},
            key=tuple(column for (column,) in key),
        )

    def may_write(self, schema: str | None, name: str) -> bool:
        with _told():
            found = self._run(TABLE, (name, schema, schema))
            return bool(found and self._run(WRITES, (found[0][0],) * 2)[0][0])

    def read(
        self, table: Table, key: Sequence[str], keys: Sequence[Sequence[str | None]], columns: Sequence[str]
    ) -> list[Numbered]:
        numbers = [number for number, values in enumerate(keys, 1) if all(map(_is_storable, values))]
        conditions = [
            f"t.{_quoted(name)} = {self._cast(table, name, f'k.k{place}')}"
            if value is not None
            else f"t.{_quoted(name)} IS NULL"
            for place, (name, value) in enumerate(zip(key, keys[0], strict=True))
        ]
        names = ", ".join(f"k{place}" for place in range(len(key)))
        arrays = ", ".join(["pg_catalog.unnest(%s::pg_catalog.text[])"] * len(key))
        of_keys = f"FROM ROWS FROM ({arrays}) WITH ORDINALITY AS k({names}, n)"
        cells = ", ".join(["k.n", *(table.cells[name] for name in columns)])
        statement = f"SELECT {cells} {of_keys} JOIN {table.sql_name} t ON {' AND '.join(conditions)}"
        casts = ", ".join(self._cast(table, name, f"k.k{place}") for place, name in enumerate(key))
        alone = f"SELECT {casts} {of_keys}"
        with _told():
            return self._halved(statement, alone, keys, numbers)

    def close(self) -> None:
        with suppress(psycopg.Error, OSError):
            self._connection.close()

    def _halved(
        self, statement: str, alone: str, keys: Sequence[Sequence[str | None]], numbers: Sequence[int]
    ) -> list[Numbered]:
        """Run a statement for some keys, each half again where a key's type can't read one of them."""
        if not numbers:
            return []
        arrays = [list(values) for values in zip(*(keys[number - 1] for number in numbers), strict=True)]
        try:
            return [(numbers[row[0] - 1], *row[1:]) for row in self._run(statement, arrays)]
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith(NOT_A_VALUE):
                raise
            if len(numbers) == 1:
                self._expect_no_value(alone, arrays, error)
                return []
        middle = len(numbers) // 2
        halves = (numbers[:middle], numbers[middle:])
        return [row for half in halves for row in self._halved(statement, alone, keys, half)]

    def _expect_no_value(self, alone: str, arrays: Sequence[Sequence[str | None]], error: psycopg.Error) -> None:
        """Make sure that it is the key that can't be read, and not the row that it finds."""
        try:
            self._run(alone, arrays)
        except psycopg.Error as again:
            if (again.sqlstate or "").startswith(NOT_A_VALUE):
                return
            raise
        raise error

    def _cast(self, table: Table, column: str, text: str) -> str:
        """A text as a value of the column's type without its modifier, which would cut or round it to another key."""
        return f"{text}::{self._types[table.sql_name, column]}"

    def _run(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement; a server that does not even end it is hung up on."""
        watch = Timer(self._dead_after_s, self._shut)
        watch.daemon = True
        watch.start()
        try:
            return self._connection.execute(statement.encode(), values).fetchall()
        except psycopg.Error as error:
            if self._is_shut:
                raise SessionError(
                    f"it did not answer within {self._dead_after_s:g} s, nor end the statement"
                ) from error
            raise
        finally:
            watch.cancel()

    def _shut(self) -> None:
        """End the connection's socket, which wakes the thread that waits on it."""
        self._is_shut = True
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as waited_on:
            waited_on.shutdown(socket.SHUT_RDWR)


@contextmanager
def _told() -> Iterator[None]:
    """The driver's errors as a session's."""
    try:
        yield
    except psycopg.Error as error:
        code = error.sqlstate or ""
        reason = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
        if code in TIMED_OUT:
            reason = f"it took too long, or a lock stood in its way ({reason})"
        raise SessionError(reason, is_refusal=code.startswith(REFUSAL)) from error
    except UnicodeError as error:
        raise SessionError("a cell is no UTF-8, as it can be in a database of encoding SQL_ASCII") from error


def _quoted(name: str) -> str:
    """An identifier; a percent sign would else begin a placeholder."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _is_storable(value: str | None) -> bool:
    """Whether a text can be in a database at all: no NUL, no lone surrogate."""
    return value is None or ("\0" not in value and _is_utf8(value))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _column(name: str, kind: str, is_nullable: bool, modifier: int) -> ColumnType:
    """A column with what its type's modifier says (PostgreSQL: format_type and information_schema's functions)."""
    precision = scale = length = None
    if kind == "numeric" and modifier >= HEADER:
        precision, scale = (modifier - HEADER) >> 16 & 0xFFFF, ((modifier - HEADER & 0x7FF) ^ 1024) - 1024
    elif kind in BITS:
        precision, scale = BITS[kind], 0 if kind.startswith("int") else None
    elif kind in TIMES:
        digits = modifier & 0xFFFF if kind == "interval" else modifier
        precision = digits if 0 <= digits <= TIME_DIGITS else TIME_DIGITS
    elif kind in {"bpchar", "varchar"} and modifier >= HEADER:
        length = modifier - HEADER
    elif kind in {"bit", "varbit"} and modifier > 0:
        length = modifier
    return ColumnType(name=name, type=kind, is_nullable=is_nullable, precision=precision, scale=scale, length=length)
