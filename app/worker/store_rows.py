"""A sink's SQL store as rows of atoms."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from app.adapters.sql import Store
from app.decode import atoms
from app.decode.atoms import Tag
from app.errors import VerifierError
from app.evidence import mysql, postgres
from app.evidence.agreement import agrees
from app.evidence.keys import is_comparable
from app.evidence.tables import named

READ_AS: Mapping[str, Callable[[str, str | None], bytes]] = {
    "postgresql": postgres.atom_of_text,
    "mysql": mysql.atom_of_text,
}
"""By the scheme of a store's address, what a cell's text means."""
_TEXTS = re.compile(r"(?:text|varchar|bpchar|citext|name|(?:tiny|medium|long)text|(?:var)?char|enum|uuid)\b")
"""Types of both databases that hold what they are given as text."""
DESCRIBED_S = 60.0
"""How long a table's columns are believed where nothing wrong is concluded from them."""


class StoreRows:
    """See `app.worker.looks.Rows`.

    Args:
        scheme: of the store's address.
        clock: seconds that never go back.
    """

    def __init__(self, store: Store, scheme: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._read_as = READ_AS[scheme]
        self._clock = clock
        self._columns: dict[str, dict[str, str]] = {}
        self._described_at: dict[str, float] = {}

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> list[dict[str, bytes] | None]:
        """The columns' atoms of each key asked, None where no row has it.

        Who looks again at rows that are wrong asks for the columns anew: one that the sink has added since would seem to be
        missing. A first look, after which nothing wrong is concluded, does with what was known a minute ago.
        """
        columns = self._described(table, is_fresh=is_fresh)
        names = {name: name for name in columns}
        try:
            rows = self._store.read(table, [named(names, name) or name for name in key], keys, list(columns))
        except VerifierError:
            self._described_at.pop(table, None)  # a column may have been dropped since
            raise
        return [None if row is None else self._atoms(columns, row) for row in rows]

    def _described(self, table: str, *, is_fresh: bool) -> dict[str, str]:
        """The types of a table's columns by their names."""
        now = self._clock()
        if is_fresh or now - self._described_at.get(table, -DESCRIBED_S) >= DESCRIBED_S:
            self._columns[table] = {column.name: column.type for column in self._store.columns(table)}
            self._described_at[table] = now
        return self._columns[table]

    def close_idle(self) -> None:
        """Give a connection back that was not used for a minute."""
        self._store.close_idle()

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        """Whether a row of this key would have been found by its text, as the columns' types are."""
        columns = self._columns[table]
        return all(self._is_found(named(columns, name) or "", value) for name, value in zip(key, values, strict=True))

    def _is_found(self, kind: str, value: bytes) -> bool:
        """A text is read as what it is only where the column's type is that of the value, or one that holds its text."""
        found = self._read_as(kind, atoms.written(value))
        if atoms.tag(value) is not Tag.TEXT and atoms.tag(found) is Tag.TEXT and not _TEXTS.match(kind):
            return False
        return is_comparable(value, found) and agrees(value, found) is True

    def _atoms(self, columns: Mapping[str, str], row: Sequence[str | None]) -> dict[str, bytes]:
        return {name: self._read_as(kind, text) for (name, kind), text in zip(columns.items(), row, strict=True)}
