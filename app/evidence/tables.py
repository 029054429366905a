"""How a sink keeps a table: what a row of its store is called and how it may differ, by its contract.

The words are the contract's own (docs/contracts.md); what a connector's configuration says of them is read by
``cdc-verifier doctor``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeVar

from app.decode import atoms
from app.decode.images import Image, Row
from app.decode.selection import Selection, Told
from app.errors import BadInput
from app.model import ChangeKind, LeftOut, Projection
from cdc_receipts.atoms import NULL

COLUMN = re.compile(r"\$\{column\.([^}]+)\}")
"""In a table's template, the place of a column's value."""
EVERY = "*"
"""Stands for every column where a contract names one."""

Found = TypeVar("Found")


def named(found: Mapping[str, Found], name: str) -> Found | None:
    """What has a name in a store; where only one has it in other letter case, that one: stores fold what is not quoted.

    >>> named({"createdat": 1, "ID": 2, "id": 3}, "createdAt"), named({"ID": 2, "id": 3}, "Id")
    (1, None)
    """
    if name in found:
        return found[name]
    folded = name.casefold()
    others = [other for other in found if other.casefold() == folded]
    return found[others[0]] if len(others) == 1 else None


@cache
def _selection(projection: Projection) -> Selection:
    return Selection([projection])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTerms:
    """What a sink's contract says of its rows.

    Attributes:
        table_name: a template, as the JDBC sink's ``collection.name.format``: ``${topic}`` (dots become underscores),
            ``${source.db}``, ``${source.schema}``, ``${source.table}``; ``${column.<name>}``, the value that the row has in a
            column of the source (dots become underscores).
        tables: by change topic, a table's name that no template gives; ``${column.<name>}`` as above.
        keys: by the source's table, its columns by which the sink's rows are found; without them the record key's.
        ignore_columns: ``table.column``, the source's names.
        projection: what the contract takes of the source.
        columns_due: by ``table.column``, the source's names, from when on the store must have the column: ms since the epoch,
            of the change's own time.
        renames: by ``table.column``, the source's names, the column's name in the sink.
        tolerances: by ``table.column``, ``*.column`` or ``*``, names of `app.model.tolerances`.
        deletes: what a delete does; ``soft`` keeps the row and says so in ``soft_delete``.
        truncates: whether a truncate empties the sink's table.
        sets_every_column: whether a write of the sink sets every column that the change's record has.
        is_every_change: whether every change must have been applied, or only the newest of its key.
        unavailable_value: the text of the unavailable-value placeholder.
        is_at_rest: rows are compared long after they were written: a column that the table lacks may have been dropped since.
    """

    table_name: str = "${topic}"
    tables: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignore_columns: tuple[str, ...] = ()
    projection: Projection = field(default_factory=Projection)
    columns_due: Mapping[str, int] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    tolerances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deletes: Literal["apply", "ignore", "soft"] = "apply"
    soft_delete: str = "__deleted"
    truncates: bool = False
    sets_every_column: bool = False
    is_every_change: bool = True
    unavailable_value: str = "__debezium_unavailable_value"
    is_at_rest: bool = False

    def table_of(self, image: Image) -> str:
        """The name of the table that a change's row stands in; empty where it is named after a value that the change lacks."""
        name = self.table_named(image.topic, image.database, image.schema, image.table)
        for found in COLUMN.finditer(name):
            value = _text(image.row or {}, found[1])
            if not value:
                return ""
            name = name.replace(found[0], value.replace(".", "_"))
        return name

    def table_named(self, topic: str, database: str, schema: str, table: str) -> str:
        """The same, of a source's table by its names."""
        if topic in self.tables:
            return self.tables[topic]
        name = self.table_name.replace("${topic}", topic.replace(".", "_"))
        for part, value in (("db", database), ("schema", schema), ("table", table)):
            name = name.replace("${source." + part + "}", value)
        return name

    def is_table_by_value(self, topic: str) -> bool:
        """Whether a topic's rows stand in tables that are named after a value of each row."""
        return COLUMN.search(self.tables.get(topic, self.table_name)) is not None

    def is_ignored(self, table: str, column: str) -> bool:
        """Whether a column of a source's table is left out on both sides."""
        is_ignored = bool(self.ignore_columns) and f"{table}.{column}" in self.ignore_columns
        return is_ignored or not self.projection.takes(table, column)

    def is_due(self, table: str, column: str, at_ms: int) -> bool:
        """Whether the store must have a column by the time of a change."""
        return not self.columns_due or at_ms >= self.columns_due.get(f"{table}.{column}", at_ms)

    def left_out(self, image: Image) -> LeftOut:
        """Whether the contract leaves a change out; of one that can't be read nothing is known, and none is."""
        if not self.projection.chooses or image.kind is ChangeKind.UNREADABLE:
            return LeftOut.NO
        told = Told(lambda _: image.row, lambda _: image.key, lambda _: image.before)
        return _selection(self.projection).judge(image.kind, image.op, image.table, told)[0]

    def name_in_sink(self, table: str, column: str) -> str:
        """A column's name in the sink, which may write it in other letter case (`named`)."""
        return self.renames.get(f"{table}.{column}", column) if self.renames else column

    def allowed(self, table: str, column: str) -> tuple[str, ...]:
        """What the sink may do to a column's values."""
        if not self.tolerances:
            return ()
        places = (EVERY, f"*.{column}", f"{table}.{column}")
        return tuple(name for place in places for name in self.tolerances.get(place, ()))


def _text(row: Row, column: str) -> str:
    """A value as text; empty for none."""
    atom = row.get(column, NULL)
    try:
        return "" if atom == NULL else atoms.written(atom)
    except BadInput:
        return ""
