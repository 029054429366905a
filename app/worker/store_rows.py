"""A sink's SQL store as rows of atoms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from app.adapters.sql import Store
from app.evidence import mysql, postgres

READ_AS: Mapping[str, Callable[[str, str | None], bytes]] = {
    "postgresql": postgres.atom_of_text,
    "mysql": mysql.atom_of_text,
}
"""By the scheme of a store's address, what a cell's text means."""
DESCRIBE_S = 60.0
"""A table is described again after this long: its columns may have changed."""


class StoreRows:
    """See `app.worker.readback.Rows`.

    Args:
        scheme: of the store's address.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, scheme: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._read_as = READ_AS[scheme]
        self._clock = clock
        self._columns: dict[str, tuple[float, list[tuple[str, str]]]] = {}

    def read(self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]]) -> list[dict[str, bytes] | None]:
        """The columns' atoms of each key asked, None where no row has it."""
        columns = self._described(table)
        rows = self._store.read(table, key, keys, [name for name, _ in columns])
        return [None if row is None else self._atoms(columns, row) for row in rows]

    def _atoms(self, columns: Sequence[tuple[str, str]], row: Sequence[str | None]) -> dict[str, bytes]:
        return {name: self._read_as(kind, text) for (name, kind), text in zip(columns, row, strict=True)}

    def _described(self, table: str) -> list[tuple[str, str]]:
        until, found = self._columns.get(table, (0.0, []))
        if self._clock() >= until:
            found = [(column.name, column.type) for column in self._store.columns(table)]
            self._columns[table] = (self._clock() + DESCRIBE_S, found)
        return found
