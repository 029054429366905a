"""How rows of one shape become hashes: each column is hashed once, and a projection is a subtraction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from app.model.projection import Projection
from cdc_receipts.fingerprint import Column

_MASK = (1 << 64) - 1


class RowPlan:
    """How rows of one table and shape are read.

    Args:
        columns: those that some projection has, or chooses rows by.
        ignored: of each projection, the table's columns that it leaves out.
        read: makes of a row, as its encoding gives it, values by column as an Avro decoder gives them; None where they
            are that already.
    """

    def __init__(
        self, columns: Sequence[Column], ignored: Sequence[Collection[str]], read: Callable[[Any], Any] | None = None
    ) -> None:
        self.columns = columns
        self._read = read
        self._hashes = [(column.name, column.hash) for column in columns]
        self._asked: dict[frozenset[str], list[Column]] = {}
        self._left_out = [[at for at, column in enumerate(columns) if column.name in names] for names in ignored]

    def fingerprints(self, row: Any) -> list[int]:
        """The row's fingerprints by projection.

        Raises:
            ValueError: a value contradicts its type; of JSON only.
        """
        values = row if self._read is None else self._read(row)
        hashes = [hash_of(values[name]) for name, hash_of in self._hashes]
        total = sum(hashes)
        return [(total - sum([hashes[at] for at in places]) if places else total) & _MASK for places in self._left_out]

    def atoms(self, row: Any, only: frozenset[str] | None = None) -> dict[str, bytes]:
        """The atoms of the columns that take part, by column; raises as `fingerprints` does.

        Args:
            only: columns that are asked for; None for all.
        """
        values = row if self._read is None else self._read(row)
        return {
            column.name: column.atom(values[column.name])
            for column in (self.columns if only is None else self._of(only))
            if column.is_unavailable is None or not column.is_unavailable(values[column.name])
        }

    def _of(self, names: frozenset[str]) -> list[Column]:
        """Some of the columns; the same few sets of names are asked for again and again."""
        found = self._asked.get(names)
        if found is None:
            found = self._asked[names] = [column for column in self.columns if column.name in names]
        return found


def ignored_columns(projections: Iterable[Projection], table: str, names: Iterable[str]) -> list[frozenset[str]]:
    """Of each projection, the columns among ``names`` of one table that it leaves out."""
    columns = list(names)
    return [frozenset(name for name in columns if not one.takes(table, name)) for one in projections]


def unasked_columns(projections: Sequence[Projection], table: str, ignored: Sequence[frozenset[str]]) -> frozenset[str]:
    """Columns that no projection has, nor chooses rows by; nothing is asked of them."""
    everywhere = frozenset.intersection(*ignored) if ignored else frozenset()
    return everywhere - {name for one in projections for name in chosen_by(one, table)}


def chosen_by(projection: Projection, table: str) -> list[str]:
    """The columns of a table that a projection chooses rows by."""
    prefix = f"{table}."
    names = (name for name, _ in (*projection.rows, *projection.rows_out))
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
