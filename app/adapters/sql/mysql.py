"""MySQL 8.0 and later, MariaDB 10.6 and later (JSON_TABLE): thousands of keys in one statement, through the key's index.

The keys go as one JSON text and come back as a derived table, whose texts are cast to the key columns' own types and
collations, else the index could not be used. These databases read anything as a number (``abc`` is 0, a number out of range
the largest), so what is no value of its column is taken out here: it is the key of no row.
"""

from __future__ import annotations

import json
import re
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, NamedTuple

import pymysql
from pymysql.constants import ER

from app.adapters.sql.address import Address
from app.adapters.sql.session import Numbered, SessionError, Table
from app.adapters.sql.store import ColumnType, Limits
from app.config.kinds import Secret

GRACE_S = 5.0
"""The database ends a statement by itself; a socket silent for this much longer is hung up on."""

REFUSALS = (
    ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, ER.VIEW_INVALID,
    ER.PARSE_ERROR,
)  # fmt: skip
GARBLED = (OSError, RuntimeError, ValueError, IndexError, struct.error)
"""What the driver lets through where a server says what it does not know, or asks for what is not installed."""
PACKET_OVERFLOW = 1301
"""A warning: a cell is larger than max_allowed_packet and stands as NULL, which it is not."""

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
BINARY = {
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", "geometry", "point", "linestring",
    "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
}  # fmt: skip
CASTS = {"date": "date", "datetime": "datetime(6)", "timestamp": "datetime(6)", "time": "time(6)"}
NATIVE = {"uuid", "inet4", "inet6"}
"""MariaDB's types that a cast knows by their name."""
KEY_CHARACTERS = 3_072
"""InnoDB's longest key is so many bytes: a longer text is no key."""

COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE = 'YES', NUMERIC_PRECISION, DATETIME_PRECISION, NUMERIC_SCALE,
  CHARACTER_MAXIMUM_LENGTH, CHARACTER_SET_NAME, COLLATION_NAME
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""

KEY = """
SELECT COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX
"""

ME = "GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"
"""Who may read all databases sees everybody's rights."""
WRITES = f"""
SELECT 1 FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND (PRIVILEGES LIKE '%%insert%%' OR PRIVILEGES LIKE '%%update%%')
UNION SELECT 1 FROM information_schema.TABLE_PRIVILEGES
WHERE {ME} AND TABLE_SCHEMA = %s AND TABLE_NAME = %s AND PRIVILEGE_TYPE IN ('DELETE', 'DROP')
UNION SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES
WHERE {ME} AND TABLE_SCHEMA = %s AND PRIVILEGE_TYPE IN ('DELETE', 'DROP')
UNION SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE {ME} AND PRIVILEGE_TYPE IN ('DELETE', 'DROP')
"""  # noqa: S608 - constants
"""A row where the user has one of the rights."""


class _Column(NamedTuple):
    """What is beside a column's type."""

    data_type: str
    type: ColumnType
    charset: str | None
    collation: str | None


def connector(address: Address, password: Secret | None, limits: Limits) -> Callable[[], MySqlSession]:
    """What opens a session with the limits' timeouts."""
    dead_after_s = limits.statement_timeout_ms / 1_000 + GRACE_S

    def connect() -> MySqlSession:
        with _told():
            connection = pymysql.connect(
                host=address.host,
                port=address.port,
                user=address.user,
                password=password.reveal().encode() if password is not None else b"",
                database=address.database,
                charset="utf8mb4",
                autocommit=True,  # no transaction stays open between two statements
                sql_mode="",  # backslashes escape, quotes are quotes, whatever the server's default
                connect_timeout=max(2, -(-limits.connect_timeout_ms // 1_000)),
                read_timeout=dead_after_s,
                write_timeout=dead_after_s,
                program_name="cdc-verifier",
                local_infile=False,
                **_tls(address),
            )
            try:
                return MySqlSession(connection, address.database, limits.statement_timeout_ms)
            except BaseException:
                connection.close()
                raise

    return connect


class MySqlSession:
    """One connection; see `app.adapters.sql.session.Session`.

    Args:
        database: of tables that name none.
    """

    def __init__(self, connection: Any, database: str, statement_timeout_ms: int) -> None:
        self._connection = connection
        self._database = database
        self._columns: dict[str, dict[str, _Column]] = {}
        seconds = statement_timeout_ms / 1_000
        limit = (
            f"max_statement_time = {seconds}"
            if "mariadb" in connection.get_server_info().lower()
            else f"max_execution_time = {statement_timeout_ms}"
        )
        self._run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY")
        self._run(f"SET SESSION time_zone = '+00:00', lock_wait_timeout = {max(1, round(seconds))}, {limit}")

    def describe(self, schema: str | None, name: str) -> Table:
        database = schema or self._database
        with _told():
            rows = self._run(COLUMNS, (database, name))
            key = self._run(KEY, (database, name))
        if not rows:
            raise SessionError(
                f"there is no such table, or none of its columns may be read. GRANT SELECT ON {database}.{name} TO the user",
                is_refusal=True,
            )
        sql_name = f"{_quoted(database)}.{_quoted(name)}"
        columns = {row[0]: _column(*row) for row in rows}
        self._columns[sql_name] = columns
        return Table(
            sql_name=sql_name,
            columns=tuple(column.type for column in columns.values()),
            cells={name: _cell(column) for name, column in columns.items()},
            key=tuple(column for (column,) in key),
        )

    def may_write(self, schema: str | None, name: str) -> bool:
        database = schema or self._database
        with _told():
            return bool(self._run(WRITES, (database, name, database, name, database)))

    def read(
        self, table: Table, key: Sequence[str], keys: Sequence[Sequence[str | None]], columns: Sequence[str]
    ) -> list[Numbered]:
        types = [self._columns[table.sql_name][name] for name in key]
        numbers = [number for number, values in enumerate(keys, 1) if all(map(_is_value, types, values))]
        if not numbers:
            return []
        asked = [[_payload(*pair) for pair in zip(types, keys[number - 1], strict=True)] for number in numbers]
        longest = max((len(text) for values in asked for text in values if text is not None), default=0)
        width = 1 << max(4, (longest - 1).bit_length())  # few widths, so that the statements' texts are few
        paths = ", ".join(
            f"k{place} VARCHAR({width}) CHARACTER SET utf8mb4 PATH '$[{place}]'" for place in range(len(key))
        )
        conditions = [
            _equal(column, f"t.{_quoted(name)}", f"k.k{place}") if value is not None else f"t.{_quoted(name)} IS NULL"
            for place, (name, column, value) in enumerate(zip(key, types, keys[0], strict=True))
        ]
        cells = ", ".join(["k.n", *(table.cells[name] for name in columns)])
        statement = (
            f"SELECT {cells} FROM JSON_TABLE(%s, '$[*]' COLUMNS (n FOR ORDINALITY, {paths})) AS k "  # noqa: S608 - quoted names
            f"STRAIGHT_JOIN {table.sql_name} AS t ON {' AND '.join(conditions)}"
        )
        with _told():
            rows = self._run(statement, (json.dumps(asked, ensure_ascii=False),))
        return [(numbers[row[0] - 1], *row[1:]) for row in rows]

    def close(self) -> None:
        with suppress(pymysql.MySQLError, OSError):
            self._connection.close()

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(values))
            rows = list(cursor.fetchall())
            if cursor.warning_count:
                cursor.execute("SHOW WARNINGS")
                if any(code == PACKET_OVERFLOW for _, code, _ in cursor.fetchall()):
                    raise SessionError("a cell is larger than the server's max_allowed_packet and can't be read")
        return rows


@contextmanager
def _told() -> Iterator[None]:
    """The driver's errors as a session's."""
    try:
        yield
    except pymysql.MySQLError as error:
        code, *reason = error.args or (0,)
        text = " ".join(str(part) for part in reason) or type(error).__name__
        raise SessionError(f"{text} ({code})", is_refusal=code in REFUSALS) from error
    except GARBLED as error:
        raise SessionError(f"{type(error).__name__}: {error}") from error


def _tls(address: Address) -> dict[str, object]:
    """The driver's arguments for PostgreSQL's words; its own default is prefer."""
    if address.ssl_mode == "disable":
        return {"ssl_disabled": True}
    if address.ssl_mode == "prefer":
        return {}
    context = ssl.create_default_context(cafile=address.ssl_root_cert)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the certificates that MySQL makes for itself don't pass it
    context.check_hostname = address.ssl_mode == "verify-full"
    if address.ssl_mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _quoted(name: str) -> str:
    """An identifier; a percent sign would else begin a placeholder."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _column(
    name: str,
    data_type: str,
    column_type: str,
    is_nullable: int,
    precision: int | None,
    time_precision: int | None,
    scale: int | None,
    length: int | None,
    charset: str | None,
    collation: str | None,
) -> _Column:
    """One row of information_schema.COLUMNS."""
    kind = ColumnType(
        name=name,
        type=column_type,
        is_nullable=bool(is_nullable),
        precision=precision if precision is not None else time_precision,
        scale=scale,
        length=length,
    )
    return _Column(data_type.lower(), kind, charset, collation)


def _cell(column: _Column) -> str:
    """The expression of a column's text."""
    name = f"t.{_quoted(column.type.name)}"
    if column.data_type in BINARY:
        return f"CONCAT('0x', LOWER(HEX({name})))"
    if column.data_type == "bit":
        return f"CAST(CAST({name} AS UNSIGNED) AS CHAR)"
    if column.data_type == "float":
        return f"CAST({name} + 0e0 AS CHAR)"
    return f"CAST({name} AS CHAR)"


def _cast(column: _Column, text: str) -> str:
    """A text as a value to compare with a column, so that its index serves."""
    kind = column.data_type
    if kind in INTEGER_BITS or kind in {"bit", "year"}:
        return f"CAST({text} AS {'SIGNED' if _is_signed(column) else 'UNSIGNED'})"
    if kind == "decimal":
        return f"CAST({text} AS DECIMAL(65, 30))"
    if kind in {"float", "double"}:
        return f"({text} + 0e0)"
    if kind in CASTS:
        return f"CAST({text} AS {CASTS[kind]})"
    if kind in BINARY:
        return f"UNHEX({text})"
    if kind in NATIVE:
        return f"CAST({text} AS {kind})"
    if column.charset is None:
        return text
    return f"CONVERT({text} USING {column.charset}) COLLATE {column.collation}"


def _equal(column: _Column, name: str, text: str) -> str:
    """The condition that a column has a key's value."""
    equal = f"{name} = {_cast(column, text)}"
    if column.charset in {None, "utf8mb4"}:
        return equal
    # What the column's character set lacks becomes a question mark: it must come back as what it was.
    back = f"CONVERT(CONVERT({text} USING {column.charset}) USING utf8mb4)"
    return f"{equal} AND {back} COLLATE utf8mb4_bin = {text} COLLATE utf8mb4_bin"


def _is_signed(column: _Column) -> bool:
    return column.data_type in INTEGER_BITS and "unsigned" not in column.type.type


def _is_value(column: _Column, text: str | None) -> bool:
    """Whether a text is a value that a column of this type can hold; a time that is none is NULL to the database's cast."""
    if text is None:
        return True
    kind = column.data_type
    if kind in INTEGER_BITS:
        bits, is_signed = INTEGER_BITS[kind], _is_signed(column)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
        return _is_whole(text) and low <= int(text) <= high
    if kind == "bit":
        return _is_whole(text) and 0 <= int(text) < 1 << 64
    if kind == "year":
        return re.fullmatch(r"0000|19\d\d|20\d\d|21[0-4]\d|215[0-5]", text, re.ASCII) is not None
    if kind in {"decimal", "float", "double"}:
        return _is_number(column, text)
    if kind == "date":
        return re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is not None
    if kind in BINARY:
        return re.fullmatch(r"0x(?:[0-9a-fA-F]{2})*", text) is not None
    return len(text) <= KEY_CHARACTERS and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII) is not None


def _is_number(column: _Column, text: str) -> bool:
    """A number; of a decimal one whose digits the column has room for, so that nothing is rounded or clamped."""
    try:
        number = Decimal(text) if re.fullmatch(r"[+-]?[\d.]+(?:[eE][+-]?\d{1,3})?", text, re.ASCII) else Decimal("NaN")
    except InvalidOperation:
        return False
    if not number.is_finite():
        return False
    if column.data_type != "decimal":
        return isfinite(float(text))
    digits, exponent = number.as_tuple().digits, int(number.normalize().as_tuple().exponent)
    return len(digits) <= 65 and -exponent <= (column.type.scale or 0) and number.adjusted() < 65


def _payload(column: _Column, text: str | None) -> str | None:
    """A key's text as it is sent: binary ones without the 0x."""
    return text[2:] if text is not None and column.data_type in BINARY else text
