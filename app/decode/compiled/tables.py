"""A tree of nodes as the kernel reads it: integers in arrays, and names back to back.

nodes    int64[n, 7]   kind, first, count, class, number, action, slot (the kernel's struct node); the first is the record
columns  int64[c, 4]   seed, accumulators without it (a bit for each), first form of the placeholder, forms
names    bytes, and int64[m + 1] where each ends; the first ends at 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xxhash import xxh64_intdigest

from app.decode.compiled.placeholder import forms
from app.decode.compiled.shapes import Action, Kind, Node, Refused
from app.model.batches import Int64s
from cdc_receipts.fingerprint import Placeholder

DECODED, UNTOUCHED, OTHER_TABLE = 0, 1, 2
"""Codes of the kernel that callers must know; every other one says that the reference decides."""

MOST_ACCUMULATORS = 64
"""As many as a mask has bits."""
MOST_SLOTS = 32
"""As many as the kernel has room for."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that is hashed: its name, its node, and the accumulators that leave it out."""

    name: str
    node: Node
    without: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """A program's first four arrays, in the kernel's order."""

    nodes: Int64s
    columns: Int64s
    names: bytes
    name_ends: Int64s


class Names:
    """Names given numbers.

    Args:
        first: those whose numbers callers know, from 0 on.
    """

    def __init__(self, first: Sequence[bytes] = ()) -> None:
        self._names: list[bytes] = list(first)

    def add(self, names: Sequence[bytes]) -> int:
        """Several that follow one another; returns the first one's number."""
        self._names.extend(names)
        return len(self._names) - len(names)

    def arrays(self) -> tuple[bytes, Int64s]:
        """All of them, and where each ends."""
        return b"".join(self._names), np.cumsum([0, *map(len, self._names)], dtype=np.int64)


def tables(root: Node, columns: Sequence[Column], names: Names, placeholder: Placeholder) -> Tables:
    """The arrays of a record's node and of the columns in it, by their slots.

    Raises:
        Refused: the kernel can't hold them.
    """
    rows = [_column_row(column, names, placeholder) for column in columns]
    nodes = _node_rows(root, names)
    return Tables(
        np.array(nodes, np.int64).reshape(-1, 7),
        np.array(rows, np.uint64).view(np.int64).reshape(-1, 4),
        *names.arrays(),
    )


def _column_row(column: Column, names: Names, placeholder: Placeholder) -> list[int]:
    found = forms(column.node.valued(), placeholder)
    if any(bit >= MOST_ACCUMULATORS for bit in column.without):
        raise Refused(f"more than {MOST_ACCUMULATORS} different projections")
    without = sum(1 << bit for bit in column.without)
    return [xxh64_intdigest(column.name.encode(), 0), without, names.add(found), len(found)]


def _node_rows(root: Node, names: Names) -> list[list[int]]:
    """Level by level, so that the children of a node follow one another."""
    rows: list[list[int]] = []
    waiting = [root]
    for node in waiting:  # it grows while it is read
        if node.action is Action.SLOT and node.slot >= MOST_SLOTS:
            raise Refused(f"more than {MOST_SLOTS} slots")
        first, count, number = len(waiting), len(node.children), node.number
        waiting += node.children
        if node.kind is Kind.FIXED:
            count = node.size
        elif node.kind is Kind.ENUM:
            first, count = names.add(node.names), len(node.names)
        elif node.kind is Kind.RECORD:
            number = names.add(node.names)
        rows.append([node.kind, first, count, node.atom, number, node.action, node.slot])
    return rows
