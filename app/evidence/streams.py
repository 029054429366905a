"""One change topic on its way through a sink connector: what has become of its name, its key and its columns by now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from app.evidence.options import Config
from cdc_receipts.atoms import CONNECT, DEBEZIUM

_NULLING = ("tombstone", "delete-to-tombstone")
"""Modes of unwrapping that make a delete a record without a value."""


class Kind(NamedTuple):
    """A column's type: Avro's, and its name in Connect where it has one; both empty where nobody knows."""

    type: str = ""
    name: str = ""

    @property
    def is_struct(self) -> bool:
        """Whether it has fields of its own."""
        return self.type == "record"

    @property
    def is_local(self) -> bool:
        """Whether it is a timestamp without zone, kept as a number."""
        return self.name in (*(DEBEZIUM + "time." + unit for unit in UNITS), CONNECT + "Timestamp")

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a time of any kind."""
        return self.name.startswith(DEBEZIUM + "time.") or self.name in (
            CONNECT + "Timestamp", CONNECT + "Date", CONNECT + "Time"
        )  # fmt: skip


UNITS: Mapping[str, str] = MappingProxyType(
    {"Timestamp": "milliseconds", "MicroTimestamp": "microseconds", "NanoTimestamp": "nanoseconds"}
)
"""By Debezium's name, what its numbers count."""


class SourceTable(NamedTuple):
    """What a change topic's rows are: the source's table, its columns, and where it stands.

    ``key`` holds the record key's columns and ``kinds`` the columns' types, both empty where they are not known.
    """

    table: str
    columns: tuple[str, ...]
    database: str = ""
    schema: str = ""
    key: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = MappingProxyType({})


@dataclass(slots=True)
class Column:
    """A column of the source.

    Attributes:
        name: what it is called by now; None where the record has it no more.
        kind: its type by now.
        is_changed: its values are others by now.
        words: the tolerances that what was done to it calls for.
    """

    name: str | None
    kind: Kind
    is_changed: bool = False
    words: list[str] = field(default_factory=list)


class KeyPart(NamedTuple):
    """A column of the record key: the source's, None for one that is of no column, and its name; None: the key is bare."""

    column: str | None
    name: str | None


@dataclass(slots=True)
class Stream:
    """A change topic at one place of the chain.

    Attributes:
        name: the topic's name by now, with ``${column.<name>}`` for a value of the row; None where it can't be foreseen.
        columns: by the source's name.
        key: of the record; None where it can't be foreseen.
        headers: by name, the source's column that it holds.
        unwrap: the options of ExtractNewRecordState, once it was there.
        is_flat: the record's value is a row and no envelope.
        is_routed: its name is another one.
        is_rekeyed: its key is another one.
        is_outbox: it holds events of an outbox; what is not inserted was dropped.
        is_dropped: nothing of it reaches the sink.
        drops_tombstones, drops_null_deletes: a filter takes them out.
        spares_nulls: the transform that is looked at leaves records without a value alone.
    """

    topic: str
    source: SourceTable
    name: str | None
    columns: dict[str, Column]
    key: list[KeyPart] | None
    headers: dict[str, str] = field(default_factory=dict)
    unwrap: Config | None = None
    is_flat: bool = False
    is_routed: bool = False
    is_rekeyed: bool = False
    is_outbox: bool = False
    is_dropped: bool = False
    drops_tombstones: bool = False
    drops_null_deletes: bool = False
    spares_nulls: bool = False

    @staticmethod
    def of(topic: str, source: SourceTable) -> Stream:
        """As it stands in its topic."""
        columns = {name: Column(name, source.kinds.get(name, Kind())) for name in source.columns}
        key = [KeyPart(name, name) for name in source.key] or None
        return Stream(topic=topic, source=source, name=topic, columns=columns, key=key)

    def place(self, column: str) -> str:
        """``table.column`` of a column of the source."""
        return f"{self.source.table}.{column}"

    def named(self, names: Collection[str]) -> Iterator[tuple[str, Column]]:
        """The columns that have some names by now."""
        yield from ((source, one) for source, one in self.columns.items() if one.name in names)

    def column_named(self, name: str) -> str | None:
        """The source's column that has a name by now, with its own value; None where none has."""
        found = [source for source, one in self.named({name}) if not one.is_changed]
        return found[0] if len(found) == 1 else None

    @property
    def mode(self) -> str:
        """What unwrapping makes of deletes."""
        given = self.unwrap or {}
        return given.get("delete.tombstone.handling.mode") or _older_mode(given)

    @property
    def has_null_deletes(self) -> bool:
        """Whether a delete is a record without a value here."""
        if self.unwrap is None or self.drops_null_deletes:
            return False
        return self.mode in _NULLING or (self.mode == "rewrite-with-tombstone" and not self.drops_tombstones)

    def deletes(self, *, is_enabled: bool) -> str:
        """What a delete comes to at a sink that has ``delete.enabled`` or not."""
        if self.is_outbox:
            return "ignore"
        applied = "apply" if is_enabled else "ignore"
        if self.unwrap is None:
            return applied
        if self.mode == "drop":
            return "ignore"
        if self.mode.startswith("rewrite"):
            return "apply" if is_enabled and self.has_null_deletes else "soft"
        return applied if self.has_null_deletes else "ignore"


def _older_mode(given: Config) -> str:
    """By the pair of options before Debezium 3.2."""
    if "delete.handling.mode" not in given and "drop.tombstones" not in given:
        return "tombstone"
    mode = given.get("delete.handling.mode", "drop")
    is_kept = given.get("drop.tombstones", "true") != "true"
    if mode == "rewrite":
        return "rewrite-with-tombstone" if is_kept else mode
    return "tombstone" if mode == "none" or is_kept else mode
