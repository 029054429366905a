"""Whole rows of changes: what a content comparison needs beyond fingerprints, made for the few changes that are compared.

A `ChangeBatch` holds no values; where a row of a sink's store is to be held against a change, the change is fetched again by
its coordinates and read here. The same reader reads the change log of a sink's own database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from app.decode.envelope import MALFORMED, EnvelopePlan, kind_of, table_of
from app.decode.framing import is_framed, schema_ids, unframed
from app.decode.json_changes import JsonChanges, is_json
from app.decode.keys import KeyReader
from app.decode.position import position
from app.decode.schemas import SchemaSource, UnknownSchema
from app.errors import BadInput, Unavailable, Undecodable
from app.model import ChangeKind, RawBatch

Row = Mapping[str, bytes]
"""Atoms by column."""


class Read(NamedTuple):
    """Of one envelope: its op, its source block, the row, the columns that are unavailable, and the row before."""

    op: str = ""
    source: Mapping[str, Any] = MappingProxyType({})
    row: Row | None = None
    unavailable: frozenset[str] = frozenset()
    before: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One change with its values.

    Attributes:
        timestamp: the record's own, ms; ``at``: the source's ``ts_ms``, or the record's where it has none.
        database, schema, table: of the source block, empty where it names none.
        key: atoms of the record key's columns; None for a null key, or one that can't be read.
        row: atoms of ``after``; None where there is no row.
        unavailable: columns that hold the unavailable-value placeholder; they are not in ``row``.
        hides: of an unreadable change without a readable key, what it may be: ``key``, a change of any key, ``truncate``,
            or nothing, where no sink could have made sense of its bytes.
        op: the envelope's; empty where it can't be read.
        before: atoms of ``before``; None where there is none, or nobody asks: it may be invented beyond the key.
        position: where in the database's own log it stands, canonical bytes; None where it says nothing of that.
        key_bytes: the record's key as it is.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    at: int
    kind: ChangeKind
    database: str
    schema: str
    table: str
    key: Row | None
    row: Row | None
    unavailable: frozenset[str]
    hides: Literal["", "key", "truncate"] = ""
    op: str = ""
    before: Row | None = None
    position: bytes | None = None
    key_bytes: bytes | None = None


class ImageDecoder:
    """Reads changes whole: Avro with fastavro, and JSON.

    Args:
        schemas: where writer schemas come from.
        unavailable_value: the placeholder's text.
        column_types: type words by ``table.column``, for JSON without schemas.
        reads_before: whether before images are whole, and are read.
    """

    def __init__(
        self,
        schemas: SchemaSource,
        unavailable_value: str,
        column_types: Mapping[str, str] = MappingProxyType({}),
        *,
        reads_before: bool = False,
    ) -> None:
        self._reads_before = reads_before
        self._json = JsonChanges([frozenset()], unavailable_value, column_types)
        self._schemas = schemas
        self._unavailable_value = unavailable_value
        self._values: dict[int, _ValuePlan | str] = {}
        self._keys = KeyReader(schemas, self._json)

    def decode(self, raw: RawBatch, wanted: Collection[int] | None = None) -> Iterator[Image]:
        """The changes of one fetch, those that can't be read among them: tombstones are none.

        Args:
            wanted: offsets to read; None for all.

        Raises:
            Unavailable: a schema can't be had now.
        """
        for index, offset in enumerate(raw.offsets.tolist()):
            if wanted is None or offset in wanted:
                image = self.image(raw, index)
                if image is not None:
                    yield image

    def image(self, raw: RawBatch, index: int) -> Image | None:
        """One change of a fetch; None for a tombstone.

        Raises:
            Unavailable: a schema can't be had now.
        """
        value = raw.value(index)
        if value is None:
            return None
        key_bytes = raw.key(index)
        timestamp = int(raw.timestamps[index])
        hides: Literal["", "key", "truncate"] = ""
        try:
            found = self._value(value)
        except Undecodable:
            found = Read()
        if found is None:
            return None
        op, source = found.op, found.source
        table = table_of(source)
        key = self.key(key_bytes, table)
        if not op and key is None:
            hides = _hidden(key_bytes, value)
        at = source.get("ts_ms")
        return Image(
            topic=raw.topic,
            partition=raw.partition,
            offset=int(raw.offsets[index]),
            timestamp=timestamp,
            at=at if isinstance(at, int) else timestamp,
            kind=kind_of(op) if op else ChangeKind.UNREADABLE,
            database=source.get("db") or "",
            schema=source.get("schema") or "",
            table=table,
            key=key,
            row=found.row,
            unavailable=found.unavailable,
            hides=hides,
            op=op,
            before=found.before,
            position=position(source, op),
            key_bytes=key_bytes,
        )

    def written_key(self, like: bytes, columns: Row) -> bytes | None:
        """The record key of other values, as the writer of a key would write it; None where that can't be told.

        Args:
            like: a key of the same table, of a schema that was read already.
        """
        return self._keys.write(like, columns)

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch's keys and values that were not asked for yet."""
        found = schema_ids(raw) - self._values.keys()
        framed = [key for key in raw.keys() if key and is_framed(key)]  # noqa: SIM118 - no dict
        return found | ({unframed(key)[0] for key in framed} - self._keys.known)

    def key(self, key: bytes | None, table: str = "") -> Row | None:
        """The columns of a record key of a table; None for a null key, and for one that is no record."""
        return self._keys.read(key, table)

    def _value(self, value: bytes) -> Read | None:
        if is_json(value):
            whole = self._json.whole(value, reads_before=self._reads_before)
            return None if whole is None else Read(*whole)
        schema_id, body = unframed(value)
        plan = self._plan(schema_id)
        return plan.read(body, reads_before=self._reads_before)

    def _plan(self, schema_id: int) -> _ValuePlan:
        plan = self._values.get(schema_id)
        if plan is None:
            plan = self._values[schema_id] = self._make_plan(schema_id)
        if isinstance(plan, str):
            raise Undecodable(plan)
        return plan

    def _make_plan(self, schema_id: int) -> _ValuePlan | str:
        try:
            return _ValuePlan(self._schemas.get(schema_id), self._unavailable_value)
        except Unavailable:
            raise
        except (UnknownSchema, BadInput) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - fastavro raises many kinds for a schema that is none
            return f"the writer schema can't be read: {error}"


def _hidden(key: bytes | None, value: bytes) -> Literal["", "key", "truncate"]:
    """What a change may be whose value can't be read here, and whose key is null or can't be read either."""
    if key is not None:
        return "key" if is_framed(key) else ""
    return "truncate" if is_framed(value) else ""


class _ValuePlan:
    """How envelopes of one writer schema are read."""

    def __init__(self, schema: Any, unavailable_value: str) -> None:
        self._plan = EnvelopePlan(schema, [frozenset()], unavailable_value)
        self._rows = self._plan.row_maker()

    def read(self, body: bytes, *, reads_before: bool) -> Read:
        value = self._plan.value(body)
        try:
            op, source = value["op"], value["source"] or {}
            row = value.get("after") if kind_of(op) is ChangeKind.UPSERT else None
            before = self._before(value) if reads_before else None
            if row is None or self._rows is None:
                return Read(op, source, before=before)
            found = self._rows.atoms(row)
        except MALFORMED as error:
            raise Undecodable(f"no envelope of Debezium's: {type(error).__name__}: {error}") from error
        unavailable = frozenset(column.name for column in self._rows.columns if column.name not in found)
        return Read(op, source, found, unavailable, before)

    def _before(self, value: Mapping[str, Any]) -> Row | None:
        """It is no content: what can't be read of it is not there."""
        row = value.get("before")
        try:
            return None if row is None or self._rows is None else self._rows.atoms(row)
        except MALFORMED:
            return None
