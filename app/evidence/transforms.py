"""The transforms of Connect and Debezium that can be mirrored: what each does to the records of one change topic.

Each is a function of the stream, the transform's options and a `Say`; the names by which a connector calls them are in
`app.evidence.chain`. What can't be foreseen is doubted, because a rule that is guessed would raise false alarms or hide a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from app.evidence.conversions import cast, converted
from app.evidence.options import Config, listed, pairs
from app.evidence.streams import Column, Kind, Stream
from cdc_receipts.atoms import DEBEZIUM


class Say(NamedTuple):
    """How a transform speaks to the operator.

    Attributes:
        note: something to be read; doubt: a note that keeps the sink's rows from being compared. Each begins with
            what the transform does, its name stands before it.
    """

    note: Callable[[str], None]
    doubt: Callable[[str], None]


Mirror = Callable[[Stream, Config, Say], None]
_UTC = frozenset({"UTC", "Z", "GMT", "Etc/UTC", "+00:00", "-00:00"})
ENVELOPE = (
    "changes fields of the envelope: what its rows must be is not known here; put it behind ExtractNewRecordState"
)


def of_rows(mirror: Mirror) -> Mirror:
    """Of a transform that changes fields of the value: before the envelope is taken off they are no columns."""

    def mirrored(stream: Stream, given: Config, say: Say) -> None:
        if stream.is_flat:
            mirror(stream, given, say)
        else:
            say.doubt(ENVELOPE)

    return mirrored


def ignore(stream: Stream, columns: Collection[tuple[str, Column]], say: Say, why: str) -> None:
    """Leave columns out on both sides."""
    for source, one in columns:
        one.is_changed = True
        say.note(f"{stream.place(source)} {why}; it is left out (ignore_columns)")


# ---------------------------------------------------------------- the envelope


def unwrap(stream: Stream, given: Config, say: Say) -> None:
    """ExtractNewRecordState: the row alone, deletes by its mode, truncates dropped; what is no envelope it lets pass."""
    if stream.is_flat:
        return
    if given.get("drop.fields.header.name"):
        say.doubt("drops fields that a header names: which columns a row is written with is not known here")
    stream.unwrap, stream.is_flat = given, True
    if column := given.get("route.by.field"):
        if column in stream.columns:
            stream.name, stream.is_routed = f"${{column.{column}}}", True
        else:
            say.doubt(f"routes by the field {column}, which is no column of {stream.source.table}")
    prefix = given.get("add.fields.prefix", "__")
    added = {prefix + (new or path.replace(".", "_")) for path, _, new in _partitioned(given.get("add.fields"))}
    ignore(stream, list(stream.named(added)), say, "has the name of a field that is added")


def _partitioned(text: str | None) -> list[tuple[str, str, str]]:
    return [part.partition(":") for part in listed(text)]


def schema_metadata(stream: Stream, given: Config, say: Say) -> None:
    """SetSchemaMetadata$Value: an envelope is known by its schema's name."""
    if not stream.is_flat and not given.get("schema.name", "Envelope").endswith("Envelope"):
        say.doubt("renames the envelope's schema: it is no envelope any more for what comes behind")


# ---------------------------------------------------------------- fields of the row


def replace_fields(stream: Stream, given: Config, _: Say) -> None:
    """ReplaceField$Value: columns that go, and new names."""
    excluded = listed(given.get("exclude") or given.get("blacklist"))
    included = listed(given.get("include") or given.get("whitelist"))
    renames = pairs(given.get("renames"))
    for one in stream.columns.values():
        if one.name in excluded or (included and one.name not in included):
            one.name = None
        elif one.name is not None:
            one.name = renames.get(one.name, one.name)


def mask_fields(stream: Stream, given: Config, say: Say) -> None:
    """MaskField$Value, with or without a replacement."""
    for _, one in stream.named(listed(given.get("fields"))):
        one.is_changed = True
    warn_of_nulls(stream, say)


def warn_of_nulls(stream: Stream, say: Say) -> None:
    """Some transforms refuse a record without a value, which a delete is by now."""
    if stream.has_null_deletes and not stream.spares_nulls:
        say.note(
            "refuses records without a value: deletes fail there (give it a predicate RecordIsTombstone with negate = true)"
        )


def header_from(stream: Stream, given: Config, _: Say) -> None:
    """HeaderFrom$Value: moved fields are gone, copied ones stay."""
    headers = dict(zip(listed(given.get("fields")), listed(given.get("headers")), strict=False))
    for source, one in list(stream.named(listed(given.get("fields")))):
        if not one.is_changed:
            stream.headers[headers.get(one.name or "", "")] = source
        if given.get("operation", "move") == "move":
            one.name = None


def header_to_value(stream: Stream, given: Config, say: Say) -> None:
    """HeaderToValue: fields of headers; one that has a column's name takes its place."""
    ignore(stream, list(stream.named(listed(given.get("fields")))), say, "is overwritten by a header")


def cast_fields(stream: Stream, given: Config, say: Say) -> None:
    """Cast$Value of some fields."""
    spec = pairs(given.get("spec"))
    if not spec or any(":" not in part for part in listed(given.get("spec"))):
        say.doubt("casts the whole value: its rows are rows no more")
    for name, to in spec.items():
        for source, one in stream.named({name}):
            one.kind, words, why = cast(one.kind, to)
            if words is None:
                ignore(stream, [(source, one)], say, f"is cast to {to}, which {why}")
            else:
                one.words += words


def convert_timestamp(stream: Stream, given: Config, say: Say) -> None:
    """TimestampConverter$Value of one field."""
    if not given.get("field"):
        say.doubt("converts the whole value: its rows are rows no more")
    for source, one in stream.named({given.get("field", "")}):
        one.kind, words, why = converted(one.kind, given)
        if words is None:
            ignore(stream, [(source, one)], say, why)
        else:
            one.words += words


def flatten(stream: Stream, given: Config, say: Say) -> None:
    """Flatten$Value: columns that have fields of their own become several; it refuses maps."""
    _require_kinds(stream, say)
    delimiter = given.get("delimiter", ".")
    for source, one in list(stream.columns.items()):
        if one.name is None:
            continue
        if one.kind.type == "map":
            say.doubt(f"refuses maps: every record fails there, since {stream.place(source)} is one")
        if one.kind.is_struct:
            ignore(stream, [(source, one)], say, f"becomes columns of its own, {one.name}{delimiter}…")


def _require_kinds(stream: Stream, say: Say) -> None:
    if not stream.source.kinds:
        say.doubt(f"depends on the columns' types, and those of {stream.source.table} are not known here")


# ---------------------------------------------------------------- values of a type, in envelopes and rows


def convert_zone(stream: Stream, given: Config, say: Say) -> None:
    """TimezoneConverter: an instant stays one in another zone's spelling, a time without zone is moved."""
    if given.get("converted.timezone") in _UTC:
        return
    _require_kinds(stream, say)
    moved = [(source, one) for source, one in stream.columns.items() if one.name is not None and one.kind.is_local]
    ignore(stream, moved, say, f"may be moved to {given.get('converted.timezone')}")


def of_kinds(prefix: str, why: str) -> Mirror:
    """A transform that makes other values of all columns of some types."""

    def mirrored(stream: Stream, _: Config, say: Say) -> None:
        _require_kinds(stream, say)
        ignore(stream, [(s, one) for s, one in stream.columns.items() if one.kind.name.startswith(prefix)], say, why)

    return mirrored


GEOMETRY = of_kinds(DEBEZIUM + "data.geometry.", "is a geometry in another format")
SWAPPED = of_kinds(DEBEZIUM + "data.geometry.", "is a geometry whose coordinates may be swapped")


def vectors(stream: Stream, given: Config, say: Say) -> None:
    """VectorToJsonConverter: numbers of a vector as JSON, whose spelling is not known here."""
    for name in ("FloatVector", "DoubleVector", "SparseVector"):
        of_kinds(DEBEZIUM + "data." + name, "is a vector that is kept as JSON")(stream, given, say)


def set_zone(stream: Stream, zone: str, say: Say) -> None:
    """A sink's own time zone: what it writes of times depends on it."""
    if zone in _UTC or not zone:
        return
    _require_kinds(stream, say)
    for column in stream.source.key:
        if stream.source.kinds.get(column, Kind()).is_time:
            say.doubt(f"{stream.place(column)} of the key may be written in the zone {zone}: rows can't be found by it")
    times = [(source, one) for source, one in stream.columns.items() if one.name is not None and one.kind.is_time]
    ignore(stream, times, say, f"may be written in the zone {zone}")
