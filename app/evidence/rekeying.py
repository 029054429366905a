"""Transforms that give a record another key, or its topic another name; see `app.evidence.transforms`."""

from __future__ import annotations

from app.evidence.conversions import cast
from app.evidence.options import Config, is_matched, is_true, listed, pairs, routed
from app.evidence.streams import KeyPart, Stream
from app.evidence.transforms import Mirror, Say, warn_of_nulls

KEY_UNKNOWN = "changes the key, whose columns are not known here"


def _rekey(stream: Stream, key: list[KeyPart] | None) -> None:
    stream.key, stream.is_rekeyed = key, True


def value_to_key(stream: Stream, given: Config, say: Say) -> None:
    """ValueToKey: columns of the row become the key."""
    parts = [KeyPart(stream.column_named(name), name) for name in listed(given.get("fields"))]
    for part in parts:
        if part.column is None:
            say.doubt(f"takes {part.name} into the key, which is no column of {stream.source.table} as it stands there")
    warn_of_nulls(stream, say)
    _rekey(stream, parts)


def extract_key(stream: Stream, given: Config, say: Say) -> None:
    """ExtractField$Key: one column of the key is the key."""
    if stream.key is None:
        say.doubt(KEY_UNKNOWN)
        return
    found = [KeyPart(part.column, None) for part in stream.key if part.name == given.get("field")]
    if not found:
        say.doubt(f"takes {given.get('field')} out of the key, which has no such column")
    _rekey(stream, found or None)


def replace_key(stream: Stream, given: Config, say: Say) -> None:
    """ReplaceField$Key: columns of the key that go, and new names."""
    if stream.key is None:
        say.doubt(KEY_UNKNOWN)
        return
    excluded = listed(given.get("exclude") or given.get("blacklist"))
    included = listed(given.get("include") or given.get("whitelist"))
    renames = pairs(given.get("renames"))
    kept = [part for part in stream.key if part.name not in excluded and (not included or part.name in included)]
    _rekey(stream, [KeyPart(part.column, renames.get(part.name or "", part.name)) for part in kept])


def insert_key(_: Stream, given: Config, say: Say) -> None:
    """InsertField$Key: what is the same for all records of a topic tells no keys apart."""
    for option in ("offset.field", "partition.field", "timestamp.field"):
        if option in given:
            say.doubt(f"adds a column to the key ({option}) that differs from record to record")


def cast_key(stream: Stream, given: Config, say: Say) -> None:
    """Cast$Key: a key that loses nothing is found as it was."""
    for name, to in pairs(given.get("spec")).items():
        columns = [part.column for part in stream.key or () if part.name == name]
        kind = stream.source.kinds.get(columns[0] or "") if columns else None
        if kind is None or cast(kind, to).words != ():
            say.doubt(f"casts {name} of the key to {to}: whether it can be found by it is not known here")
    if not pairs(given.get("spec")):
        say.doubt("casts the whole key: whether rows can be found by it is not known here")


def header_from_key(stream: Stream, given: Config, say: Say) -> None:
    """HeaderFrom$Key: moved columns are gone from the key."""
    if given.get("operation", "move") == "move":
        replace_key(stream, {"exclude": given.get("fields", "")}, say)


# ---------------------------------------------------------------- the topic's name


def router(regex: str, replacement: str) -> Mirror:
    """A transform that gives topics names by an expression, in two of its options."""

    def mirrored(stream: Stream, given: Config, say: Say) -> None:
        stream.is_routed = True
        if stream.name is None or "${column." in stream.name:
            stream.name = None
            return
        stream.name = routed(given.get(regex, ""), given.get(replacement, ""), stream.name)
        if stream.name is None:
            say.doubt("has an expression of Java's that can't be read here")

    return mirrored


REGEX = router("regex", "replacement")
_LOGICAL = router("topic.regex", "topic.replacement")


def logical_tables(stream: Stream, given: Config, say: Say) -> None:
    """ByLogicalTableRouter."""
    is_unlike = stream.name is not None and is_matched(given.get("topic.regex", ""), stream.name) is False
    _LOGICAL(stream, given, say)
    if not is_unlike and given.get("key.enforce.uniqueness", "true") == "true":
        say.doubt("adds a column to the key: rows can't be read back by the source's key alone")


def route_by_time(stream: Stream, _: Config, say: Say) -> None:
    """TimestampRouter: what a topic is called depends on each record's time."""
    stream.name, stream.is_routed = None, True
    say.note("names topics by the records' times, which can't be foreseen")


# ---------------------------------------------------------------- an outbox

_ROUTED = "(?<routedByValue>.*)"


def route_events(stream: Stream, given: Config, say: Say) -> None:
    """EventRouter: of an outbox's envelopes the inserted rows, each as an event: id in a header, payload as the value."""
    if stream.is_flat:
        say.doubt("expects envelopes, and gets rows: what it does then is not known here")
        return
    identity, payload = given.get("table.field.event.id", "id"), given.get("table.field.event.payload", "payload")
    placed = [(part + "::").split(":")[:3] for part in listed(given.get("table.fields.additional.placement"))]
    enveloped = {column: alias or column for column, place, alias in placed if place == "envelope"}
    is_expanded = is_true(given, "table.expand.json.payload")
    if not enveloped and not is_expanded:
        say.doubt("makes the payload alone the value: such a record has no columns")
    if not any(place == "partition" for _, place, _ in placed):
        say.note(
            "fails at every event in a sink's chain, as tried with Debezium 3.6 and 3.7, unless "
            "table.fields.additional.placement names a column for the partition"
        )
    say.note(
        f"drops updates of {stream.source.table}: an event stays as it was inserted, and where rows of that table are "
        'updated all the same, say leave_out_operations = ["u"], or they seem lost'
    )
    stream.is_flat = stream.is_outbox = True
    stream.headers = {"id": identity} | {
        alias or column: column for column, place, alias in placed if place == "header"
    }
    if enveloped and not is_expanded:
        enveloped.setdefault(payload, "payload")
    for source, one in stream.columns.items():
        one.name = enveloped.get(source)
    key = given.get("table.field.event.key", "aggregateid")
    _rekey(stream, [KeyPart(key if key in stream.columns else None, None)])
    _name_after_value(stream, given, say)


def _name_after_value(stream: Stream, given: Config, say: Say) -> None:
    """The topic that events go to: the column's value in the replacement's place for it."""
    column = given.get("route.by.field", "aggregatetype")
    replacement = given.get("route.topic.replacement", "outbox.event.${routedByValue}")
    name = replacement.replace("${routedByValue}", f"${{column.{column}}}")
    stream.name, stream.is_routed = name, True
    if given.get("route.topic.regex", _ROUTED) != _ROUTED or "$" in name.replace(f"${{column.{column}}}", ""):
        stream.name = None
        say.doubt("routes by an expression over a column: which table an event's row stands in can't be foreseen")
    elif column not in stream.columns:
        stream.name = None
        say.doubt(f"routes by {column}, which is no column of {stream.source.table}")
