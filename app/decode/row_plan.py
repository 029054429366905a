"""How rows of one shape become hashes: each column is hashed once, and a projection is a subtraction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from cdc_receipts.fingerprint import Column

_MASK = (1 << 64) - 1

Projections = Sequence[Collection[str]]
"""``table.column`` texts ignored, one set a projection."""


class RowPlan:
    """How rows of one table and shape are read.

    Args:
        columns: those that some projection has.
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

    def atoms(self, row: Any) -> dict[str, bytes]:
        """The atoms of the columns that take part, by column; raises as `fingerprints` does."""
        values = row if self._read is None else self._read(row)
        return {
            column.name: column.atom(values[column.name])
            for column in self.columns
            if column.is_unavailable is None or not column.is_unavailable(values[column.name])
        }


def ignored_columns(projections: Projections, table: str) -> list[frozenset[str]]:
    """Of each projection, the columns of one table that it leaves out."""
    prefix = f"{table}."
    return [frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix)) for names in projections]


def ignored_everywhere(ignored: Sequence[frozenset[str]]) -> frozenset[str]:
    """Columns that no projection has; nothing is asked of them."""
    return frozenset.intersection(*ignored) if ignored else frozenset()
