"""Sinks' stores, read back: PostgreSQL, MySQL and MariaDB by key and in key order.

docs/read-back.md says which rights a reader needs and what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from app.adapters.sql import mysql, postgres
from app.adapters.sql.address import Address, address_of
from app.adapters.sql.database import DatabaseStore
from app.adapters.sql.store import Cells, ColumnType, Key, Limits, Stats, Store
from app.config.kinds import Secret

__all__ = [
    "Address",
    "Cells",
    "ColumnType",
    "DatabaseStore",
    "Key",
    "Limits",
    "Stats",
    "Store",
    "address_of",
    "open_store",
]


def open_store(
    url: str,
    password: Secret | None,
    limits: Limits,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> DatabaseStore:
    """The store that a URL names; it connects at the first question, and again whenever it must.

    Args:
        url: ``postgresql://user@host:port/database`` or ``mysql://user@host:port/database``; see `address_of`.
        clock, sleep: seconds that never go back, and how they pass.

    Raises:
        ConfigError: the URL names no store.
    """
    address = address_of(url)
    engine = postgres if address.engine == "postgresql" else mysql
    return DatabaseStore(address, engine.connector(address, password, limits), limits, clock=clock, sleep=sleep)
