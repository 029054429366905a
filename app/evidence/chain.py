"""A sink connector's chain of transforms, as far as it can be mirrored: what each change topic has become behind it.

Each transform is applied to each topic for which its predicate holds, in the chain's order. Three tables say what is known:
`MIRRORED` is followed, `HARMLESS` changes nothing that is compared, `DOUBTED` would change rows in a way that can't be
foreseen. What stands in none of them is doubted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from app.evidence import rekeying, transforms
from app.evidence.options import Config, transforms_of
from app.evidence.predicates import Holds, holds
from app.evidence.proposal import Proposal
from app.evidence.streams import SourceTable, Stream
from app.evidence.transforms import Mirror, Say, of_rows

_KAFKA, _DEBEZIUM = "org.apache.kafka.connect.transforms.", "io.debezium.transforms."
UNWRAP = _DEBEZIUM + "ExtractNewRecordState"
OUTBOX = _DEBEZIUM + "outbox.EventRouter"
FILTER = _KAFKA + "Filter"

MIRRORED: Mapping[str, Mirror] = MappingProxyType(
    {
        UNWRAP: transforms.unwrap,
        OUTBOX: rekeying.route_events,
        _KAFKA + "ReplaceField$Value": of_rows(transforms.replace_fields),
        _KAFKA + "MaskField$Value": of_rows(transforms.mask_fields),
        _KAFKA + "HeaderFrom$Value": of_rows(transforms.header_from),
        _KAFKA + "Cast$Value": of_rows(transforms.cast_fields),
        _KAFKA + "TimestampConverter$Value": of_rows(transforms.convert_timestamp),
        _KAFKA + "Flatten$Value": of_rows(transforms.flatten),
        _KAFKA + "SetSchemaMetadata$Value": transforms.schema_metadata,
        _KAFKA + "ValueToKey": of_rows(rekeying.value_to_key),
        _KAFKA + "ExtractField$Key": rekeying.extract_key,
        _KAFKA + "ReplaceField$Key": rekeying.replace_key,
        _KAFKA + "InsertField$Key": rekeying.insert_key,
        _KAFKA + "HeaderFrom$Key": rekeying.header_from_key,
        _KAFKA + "Cast$Key": rekeying.cast_key,
        _KAFKA + "RegexRouter": rekeying.REGEX,
        _KAFKA + "TimestampRouter": rekeying.route_by_time,
        _DEBEZIUM + "ByLogicalTableRouter": rekeying.logical_tables,
        _DEBEZIUM + "TimezoneConverter": transforms.convert_zone,
        _DEBEZIUM + "GeometryFormatTransformer": transforms.GEOMETRY,
        _DEBEZIUM + "SwapGeometryCoordinates": transforms.SWAPPED,
        _DEBEZIUM + "VectorToJsonConverter": transforms.vectors,
        _DEBEZIUM + "HeaderToValue": of_rows(transforms.header_to_value),
    }
)
"""By class, what is followed; beside them Connect's own Filter."""

HARMLESS: frozenset[str] = frozenset(
    {_KAFKA + name for name in (
        "InsertField$Value", "InsertHeader", "DropHeaders", "SetSchemaMetadata$Key", "Flatten$Key"
    )} | {_DEBEZIUM + name for name in (
        "ExtractChangedRecordState", "SchemaChangeEventFilter", "partitions.PartitionRouting",
        "tracing.ActivateTracingSpan", "openlineage.OpenLineage",
    )}
)  # fmt: skip
"""Adds columns or headers, or concerns neither rows nor keys."""

_SCRIPT = "asks a script: say by rows or rows_out which rows the sink takes (docs/contracts.md)"
DOUBTED: Mapping[str, str] = MappingProxyType(
    {
        _DEBEZIUM + "Filter": _SCRIPT,
        _DEBEZIUM + "ContentBasedRouter": "asks a script which topic a record goes to: its table can't be foreseen",
        _DEBEZIUM + "EnforceRecordSize": "cuts values of large records: which ones can't be foreseen",
        _DEBEZIUM + "ExtractSchemaToNewRecord": "adds fields to the envelope: what its rows must be is not known here",
        "io.debezium.connector.mongodb.transforms.ExtractNewDocumentState":
            "makes rows of documents: which columns they have can't be foreseen",
        "io.debezium.connector.mongodb.transforms.outbox.MongoEventRouter":
            "makes events of documents: which columns they have can't be foreseen",
        _KAFKA + "ExtractField$Value":
            "takes one field for the whole value; ExtractNewRecordState in its place can be mirrored",
        _KAFKA + "HoistField$Value": "puts the row into one field: its columns are no columns of the record any more",
        _KAFKA + "HoistField$Key": "puts the key into one field: its columns are no columns of the record any more",
        _KAFKA + "MaskField$Key": "makes keys one that are not: rows can't be found by them",
        _KAFKA + "TimestampConverter$Key": "changes the key's times: rows can't be found by them",
    }
)  # fmt: skip
"""By class, what it would do."""


def streams(config: Config, tables: Mapping[str, SourceTable], found: Proposal) -> list[Stream]:
    """The change topics behind a connector's transforms; what is not known of them is said to the proposal."""
    behind = [Stream.of(topic, source) for topic, source in tables.items()]
    for name, given in transforms_of(config):
        for stream in behind:
            if not stream.is_dropped:
                _apply(config, name, given, stream, found)
    return behind


def _apply(config: Config, name: str, given: Config, stream: Stream, found: Proposal) -> None:
    kind = given.get("type", "")
    doubt = partial(found.doubt, is_of_transform=True)
    say = Say(partial(_said, found.note, name, kind), partial(_said, doubt, name, kind))
    if kind in HARMLESS:
        return
    whom, why = holds(config, given, stream)
    match whom:
        case Holds.NONE:
            return
        case Holds.UNKNOWN:
            say.doubt(why)
        case Holds.ALL if kind == FILTER:
            stream.is_dropped = True
            say.note(f"drops every record of {stream.topic}: it is left out of topics")
        case Holds.ALL:
            _mirror(kind, given, stream, say)
        case Holds.WITHOUT_VALUE:
            _without_value(kind, stream, say)
        case Holds.WITH_VALUE:
            _with_value(kind, given, stream, say)


def _said(to: Callable[[str], None], name: str, kind: str, text: str) -> None:
    to(f"the transform {name} ({kind}) {text}")


def _mirror(kind: str, given: Config, stream: Stream, say: Say) -> None:
    mirror = MIRRORED.get(kind)
    if mirror is not None:
        mirror(stream, given, say)
    else:
        say.doubt(DOUBTED.get(kind, "can't be mirrored: what its rows must be is not known here"))


def _without_value(kind: str, stream: Stream, say: Say) -> None:
    """A transform of tombstones, and of deletes where unwrapping has taken their value away: no row is written by one."""
    if kind == FILTER:
        stream.drops_tombstones = True
        stream.drops_null_deletes = stream.drops_null_deletes or stream.has_null_deletes
    elif not kind.endswith("$Value") and (stream.has_null_deletes or kind == UNWRAP):
        say.doubt("concerns deletes alone: what they come to is not known here")


def _with_value(kind: str, given: Config, stream: Stream, say: Say) -> None:
    """A transform of all but tombstones, and but for deletes where unwrapping has taken their value away."""
    if kind == FILTER:
        say.doubt("drops every record that has a value")
        return
    had_null_deletes = stream.has_null_deletes
    before = stream.name, stream.key
    stream.spares_nulls = True
    _mirror(kind, given, stream, say)
    stream.spares_nulls = False
    if had_null_deletes and (stream.name, stream.key) != before:
        say.doubt("leaves deletes the topic's name and the key that they had: what they come to is not known here")
    if kind == UNWRAP and not had_null_deletes and stream.mode in ("drop", "rewrite"):
        say.doubt("leaves tombstones to the sink, and what it makes of them is not known here")
