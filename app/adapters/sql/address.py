"""Where a store is: its address as a URL, and a table's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from app.errors import ConfigError, NoSuchTable

FORM = "postgresql://user@host:port/database or mysql://user@host:port/database"
PORTS: dict[str, int] = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
PART = r'"(?:[^"]|"")+"|`(?:[^`]|``)+`|[^."`]+'
NAME = re.compile(rf"(?:({PART})\.)?({PART})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One database of one server, and who asks.

    Attributes:
        ssl_mode: PostgreSQL's words, for MySQL too: disable, prefer (TLS where the server has it, nothing checked), require
            (TLS, nothing checked), verify-ca, verify-full.
        ssl_root_cert: path of the certificates to trust, None: the system's.
    """

    engine: Literal["postgresql", "mysql"]
    user: str
    host: str
    port: int
    database: str
    ssl_mode: str
    ssl_root_cert: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.engine} {host}:{self.port}/{self.database}"


def address_of(url: str) -> Address:
    """The address that a URL names: ``postgresql://user@host:port/database?sslmode=verify-full&sslrootcert=/path``.

    Raises:
        ConfigError: it names none, or holds a password; the message never repeats the URL, which may hold one.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise ConfigError([f"the store's url is none: {FORM}"]) from error
    if parts.password is not None:
        raise ConfigError([f"the store's url holds a password, which belongs into the setting password: {FORM}"])
    if parts.scheme not in PORTS:
        raise ConfigError([f"the store's url has the scheme {parts.scheme!r}, known are {', '.join(PORTS)}: {FORM}"])
    database = unquote(parts.path.removeprefix("/"))
    if not parts.hostname or not parts.username or not database or "/" in database:
        raise ConfigError([f"the store's url lacks user, host or database: {FORM}"])
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    mode, root = options.pop("sslmode", "prefer"), options.pop("sslrootcert", None)
    if options or parts.fragment:
        raise ConfigError([f"the store's url has options beside sslmode and sslrootcert: {', '.join(options)}"])
    if mode not in SSL_MODES:
        raise ConfigError([f"the store's url has sslmode {mode!r}, allowed is one of {', '.join(SSL_MODES)}"])
    if mode == "verify-ca" and root is None:
        raise ConfigError(["the store's url has sslmode verify-ca and no sslrootcert, the path of what to trust"])
    return Address(
        engine="postgresql" if parts.scheme == "postgresql" else "mysql",
        user=unquote(parts.username),
        host=parts.hostname,
        port=port,
        database=database,
        ssl_mode=mode,
        ssl_root_cert=root,
    )


def table_parts(table: str) -> tuple[str | None, str]:
    """Schema (PostgreSQL) or database (MySQL) and name of a table.

    >>> table_parts("public.orders"), table_parts("orders"), table_parts('"odd.schema"."a ""b"" c"')
    (('public', 'orders'), (None, 'orders'), ('odd.schema', 'a "b" c'))

    Raises:
        NoSuchTable: the text is no such name.
    """
    match = NAME.fullmatch(table)
    if match is None:
        raise NoSuchTable(
            f"{table!r} is no table's name: table, or schema.table; a part with a dot in it stands in quotes"
        )
    schema, name = match.groups()
    return (None if schema is None else _unquoted(schema)), _unquoted(name)


def _unquoted(part: str) -> str:
    quote = part[0]
    return part[1:-1].replace(2 * quote, quote) if quote in '"`' else part
