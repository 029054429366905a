"""What classes a source's columns have by their schema, and what a sink's types do to their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from app.decode.atoms import Tag
from app.decode.envelope import EnvelopePlan
from app.decode.framing import schema_ids
from app.decode.images import Image, ImageDecoder
from app.decode.schemas import SchemaSource
from app.errors import BadInput
from app.evidence.proposal import Proposal
from app.evidence.streams import Kind, SourceTable
from app.evidence.tables import named
from app.model import RawBatch
from cdc_receipts.atoms import CONNECT, DEBEZIUM, DECIMAL

_NAMED: Mapping[str, Tag] = {
    DECIMAL: Tag.DECIMAL,
    DEBEZIUM + "data.VariableScaleDecimal": Tag.DECIMAL,
    **dict.fromkeys(
        (DEBEZIUM + "time.Timestamp", DEBEZIUM + "time.MicroTimestamp", DEBEZIUM + "time.NanoTimestamp",
         DEBEZIUM + "time.IsoTimestamp", CONNECT + "Timestamp"),
        Tag.LOCAL_TIMESTAMP,
    ),
    DEBEZIUM + "time.ZonedTimestamp": Tag.INSTANT,
    DEBEZIUM + "data.Uuid": Tag.UUID,
    DEBEZIUM + "data.Json": Tag.JSON,
}  # fmt: skip
TRIED = 20
"""So many changes of a topic are looked at for one that has a key."""
_NANO = (DEBEZIUM + "time.NanoTimestamp", DEBEZIUM + "time.NanoTime")
_PLAIN: Mapping[str, Tag] = {
    "boolean": Tag.BOOLEAN, "int": Tag.INTEGER, "long": Tag.INTEGER, "float": Tag.FLOAT, "double": Tag.FLOAT,
    "string": Tag.TEXT, "bytes": Tag.BYTES,
}  # fmt: skip

Found = TypeVar("Found")
Columns = Mapping[str, tuple[Tag | None, str]]
"""By column: its class, where it is one that a sink's types may change, and its Connect name, else its Avro type."""


TableTypes = Mapping[str, Mapping[str, str]]
"""By table of a store and by column, the short name of its type."""


def columns_of(plan: EnvelopePlan) -> Columns:
    """The columns of an envelope's rows."""
    inner = plan.row_type()
    found: dict[str, tuple[Tag | None, str]] = {}
    for column in inner.get("fields", ()):
        kind: dict[str, Any] = plan.names.branch(column["type"], plan.namespace)[0]
        name = kind.get("connect.name", "")
        found[column["name"]] = (_NAMED.get(name) or (None if name else _PLAIN.get(kind["type"])), name or kind["type"])
    return found


def kinds_of(plan: EnvelopePlan) -> dict[str, Kind]:
    """The types of the columns of an envelope's rows."""
    found = {}
    for column in plan.row_type().get("fields", ()):
        kind: dict[str, Any] = plan.names.branch(column["type"], plan.namespace)[0]
        found[column["name"]] = Kind(kind["type"], kind.get("connect.name", ""))
    return found


def described_topics(
    raws: Iterable[RawBatch], schemas: SchemaSource, unavailable_value: str
) -> tuple[dict[str, SourceTable], dict[str, Columns]]:
    """What change topics hold, by some of their records: of each its table with its columns, and the columns' classes.

    A topic whose records name no table, or have no schema that tells of columns, is left out.
    """
    images = ImageDecoder(schemas, unavailable_value)
    first: dict[str, Image] = {}
    columns: dict[str, dict[str, tuple[Tag | None, str]]] = {}
    kinds: dict[str, dict[str, Kind]] = {}
    for raw in raws:
        found, types = columns.setdefault(raw.topic, {}), kinds.setdefault(raw.topic, {})
        for number in sorted(schema_ids(raw)):
            found |= _of_schema(columns_of, schemas, number, unavailable_value)
            types |= _of_schema(kinds_of, schemas, number, unavailable_value)
        image = first.get(raw.topic)
        if image is None or not image.key:
            some = list(islice((one for one in images.decode(raw) if one.table), TRIED))
            image = next((one for one in some if one.key), image or next(iter(some), None))
        if image is not None:
            first[raw.topic] = image
    known = sorted(topic for topic in first if columns.get(topic))
    tables = {
        topic: SourceTable(
            one.table, tuple(columns[topic]), one.database, one.schema, tuple(one.key or ()), kinds[topic]
        )
        for topic in known
        for one in (first[topic],)
    }
    return tables, {topic: columns[topic] for topic in known}


def _of_schema(
    read: Callable[[EnvelopePlan], Mapping[str, Found]], schemas: SchemaSource, schema_id: int, unavailable_value: str
) -> Mapping[str, Found]:
    try:
        return read(EnvelopePlan(schemas.get(schema_id), [frozenset()], unavailable_value))
    except BadInput:
        return {}


def tolerances(column: tuple[Tag | None, str], kind: str) -> Iterable[str]:
    """What a PostgreSQL type, by its short name, does to the values of a column."""
    tag, name = column
    if kind in ("float4", "float8") and tag is Tag.DECIMAL:
        yield "double" if kind == "float8" else "float32"
    if kind == "float4" and tag is Tag.FLOAT:
        yield "float32"
    if kind == "numeric" and tag is Tag.FLOAT:
        yield "float32" if name == "float" else "double"
    if kind in ("float4", "float8") and tag is Tag.INTEGER and (name, kind) != ("int", "float8"):
        yield "double" if kind == "float8" else "float32"
    if kind == "bpchar" and tag is Tag.TEXT:
        yield "blanks"
    if kind == "inet" and tag is Tag.TEXT:
        yield "inet"
    if (kind, tag) in {("timestamptz", Tag.LOCAL_TIMESTAMP), ("timestamp", Tag.INSTANT)}:
        yield "utc"
    if name in _NANO and kind.startswith("time"):
        yield "microseconds"


def tolerances_of(
    proposal: Proposal, topics: Mapping[str, SourceTable], columns: Mapping[str, Columns], tables: TableTypes
) -> dict[str, list[str]]:
    """By column, what the types of a sink's tables do to the source's values; tables that are not there are noted."""
    terms = proposal.terms()
    found: dict[str, list[str]] = {}
    for topic in proposal.values["topics"]:
        one = topics[topic]
        table, name = one.table, terms.table_named(topic, one.database, one.schema, one.table)
        if terms.is_table_by_value(topic):
            proposal.note(
                f"{topic}: its tables are named after a value of each row: their columns' types were not looked at"
            )
            continue
        kinds = named(tables, name)
        kinds = named(tables, name.rpartition(".")[2]) if kinds is None else kinds
        if kinds is None:
            proposal.note(f"{topic}: its store has no table {name}")
            continue
        for column, what in columns[topic].items():
            words = list(tolerances(what, named(kinds, terms.name_in_sink(table, column)) or ""))
            if words:
                found[f"{table}.{column}"] = words
    return found


def add_tolerances(proposal: Proposal, found: Mapping[str, list[str]]) -> None:
    """What the types of a sink's tables do to values, beside what its transforms do."""
    given = proposal.values.get("tolerances", {})
    if found or given:
        both = {place: [*given.get(place, ()), *found.get(place, ())] for place in (*given, *found)}
        proposal.values["tolerances"] = {place: list(dict.fromkeys(words)) for place, words in both.items()}
