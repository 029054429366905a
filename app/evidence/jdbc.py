"""What Debezium's and Confluent's JDBC sinks make of the records that come out of their chain of transforms.

A write of either sets every column that the record has. Both find rows by what ``primary.key.mode`` (``pk.mode``) says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from app.evidence.options import Config, is_true, listed
from app.evidence.proposal import Database, Proposal
from app.evidence.streams import KeyPart, SourceTable, Stream
from app.evidence.tables import COLUMN
from app.evidence.transforms import Say, ignore, set_zone

JDBC = "io.debezium.connector.jdbc.JdbcSinkConnector"
CONFLUENT_JDBC = "io.confluent.connect.jdbc.JdbcSinkConnector"
_NAMING = ("collection.naming.strategy", "table.naming.strategy", "column.naming.strategy")
_ZONES = ("use.time.zone", "database.time_zone", "db.timezone")


def jdbc_database(url: str) -> Database | None:
    """The database of a JDBC address; None for one of another kind."""
    found = re.match(r"jdbc:(postgresql|mysql|mariadb)://([^/:,?]+)(?::(\d+))?/([^?;]+)", url)
    if found is None:
        return None
    kind = "postgresql" if found[1] == "postgresql" else "mysql"
    return Database(kind, found[2], int(found[3] or {"postgresql": 5432, "mysql": 3306}[kind]), found[4])


def propose_jdbc(config: Config, streams: Sequence[Stream], found: Proposal) -> None:
    """What a JDBC sink's contract is, of either make.

    Args:
        streams: behind the transforms, those that reach the sink.
    """
    is_confluent = config["connector.class"] == CONFLUENT_JDBC
    _inserts(config, found, is_confluent=is_confluent)
    _deletes(config, streams, found)
    _truncates(config, streams, found)
    found.values["sets"] = "every-column"
    _field_lists(config, streams, is_confluent=is_confluent)
    for option in _ZONES:
        for stream in streams:
            set_zone(stream, config.get(option, ""), Say(found.note, found.doubt))
    if "writes" not in found.values:
        _keys(config, streams, found, is_confluent=is_confluent)
    _table_names(config, streams, found, is_confluent=is_confluent)
    for option in _NAMING:
        if not config.get(option, "Default").rpartition(".")[2].startswith("Default"):
            found.doubt(f"{option} is {config[option]}: the names that it gives are not known here")
    for option in (name for name in config if name.startswith("column.naming.") and name not in _NAMING):
        found.doubt(f"{option} is {config[option]}: the names that it gives are not known here")
    found.database = jdbc_database(config.get("connection.url", ""))
    if found.database is None:
        found.doubt("connection.url names no database that rows can be read back from")


def _key_options(config: Config, *, is_confluent: bool) -> tuple[str, list[str]]:
    prefix = "pk." if is_confluent else "primary.key."
    return config.get(prefix + "mode", "none"), listed(config.get(prefix + "fields"))


def _inserts(config: Config, found: Proposal, *, is_confluent: bool) -> None:
    mode = config.get("insert.mode", "insert")
    keyed_by, _ = _key_options(config, is_confluent=is_confluent)
    if keyed_by in ("none", "kafka") and mode != "upsert":
        found.values["writes"] = "append"
        found.doubt("it appends: rows can't be read back by the source's key")
    elif keyed_by == "kafka":
        found.values["writes"] = "append"
        found.doubt("its rows are keyed by their coordinates in Kafka: rows can't be read back by the source's key")
    elif mode == "upsert":
        found.values["expect"] = "latest-state"
    elif mode == "update":
        found.doubt(
            "insert.mode is update: a row that is not there is not made; which rows are there is not known here"
        )
    else:
        found.note(f"insert.mode is {mode}: what is delivered again fails or is lost; upsert is meant for changes")


def _deletes(config: Config, streams: Sequence[Stream], found: Proposal) -> None:
    is_enabled = is_true(config, "delete.enabled")
    words = [stream.deletes(is_enabled=is_enabled) for stream in streams] or ["apply" if is_enabled else "ignore"]
    found.values["deletes"] = words[0]
    if len(set(words)) > 1:
        told = ", ".join(f"{stream.topic}: {word}" for stream, word in zip(streams, words, strict=True))
        found.doubt(f"deletes come to something else by topic ({told}): give each kind a sink's section of its own")
    if found.values["deletes"] == "ignore":
        found.note("deletes don't reach its store: rows that the source deleted stay there, by this contract")


def _truncates(config: Config, streams: Sequence[Stream], found: Proposal) -> None:
    is_enabled = is_true(config, "truncate.enabled")
    is_flat = {stream.is_flat for stream in streams}
    if is_enabled and len(is_flat) > 1:
        found.doubt("some of its topics are unwrapped, which drops truncates, and others are not")
    elif is_enabled and True not in is_flat:
        found.values["truncates"] = "apply"
    else:
        why = ", whatever truncate.enabled says: unwrapping drops them" if is_enabled else ""
        found.note(f"truncates don't reach its store{why}: rows that the source truncated stay there, by this contract")


def _field_lists(config: Config, streams: Sequence[Stream], *, is_confluent: bool) -> None:
    """The sink's own lists, of columns to take and to leave: ``column`` or ``topic:column``."""
    options = ("fields.whitelist", "") if is_confluent else ("field.include.list", "field.exclude.list")
    included, excluded = (set(listed(config.get(option))) for option in options)
    for stream in streams:
        for one in stream.columns.values():
            names = {one.name, f"{stream.name}:{one.name}"}
            if names & excluded or (included and not names & included):
                one.name = None


# ---------------------------------------------------------------- by what rows are found


def _keys(config: Config, streams: Sequence[Stream], found: Proposal, *, is_confluent: bool) -> None:
    """The contract's keys of a sink that keeps rows: which of the source's columns find a row, and what they are called."""
    mode, fields = _key_options(config, is_confluent=is_confluent)
    by_table: dict[str, set[frozenset[str]]] = {}
    for stream in streams:
        if mode == "record_key" and not fields and not stream.is_rekeyed:
            _outrank(stream, stream.key or (), found)
            by_table.setdefault(stream.source.table, set()).add(frozenset())
            continue
        parts = _parts(mode, fields, stream, found)
        columns = [part.column for part in parts or ()]
        if not parts or None in columns:
            what = ", ".join(fields) or mode
            found.doubt(
                f"its rows of {stream.topic} are keyed by {what}: which of the source's columns that is, is not known here"
            )
            continue
        if stream.is_outbox and stream.headers["id"] not in columns:
            found.doubt(f"its rows of {stream.topic} are not keyed by the event's id: several events make one row")
        _outrank(stream, parts, found)
        by_table.setdefault(stream.source.table, set()).add(_propose_key(stream, parts, found))
    for table in (table for table, keys in by_table.items() if len(keys) > 1):
        found.doubt(f"two topics of a table {table} are keyed differently")


def _outrank(stream: Stream, parts: Sequence[KeyPart], found: Proposal) -> None:
    """A field of the value that has the name of a key's column is not written: the key's is."""
    for part in parts:
        others = [(source, one) for source, one in stream.named({part.name or ""}) if source != part.column]
        ignore(
            stream, others, Say(found.note, found.doubt), "has the name of a column of the key, which is written there"
        )


def _parts(mode: str, fields: list[str], stream: Stream, found: Proposal) -> list[KeyPart] | None:
    """The columns of a row's key, with their names in the sink; None where they are not known."""
    match mode:
        case "record_key":
            return _of_record_key(fields, stream)
        case "record_value" if fields:
            return [KeyPart(stream.column_named(name), name) for name in fields]
        case "record_value":
            found.doubt("all columns of the value are its key: an update makes another row")
        case "record_header":
            return [KeyPart(stream.headers.get(name), name) for name in fields]
    return None


def _of_record_key(fields: list[str], stream: Stream) -> list[KeyPart] | None:
    if stream.key is None:  # what the sink takes out of the record key are columns of it, or it fails
        return [KeyPart(name if name in stream.columns and not stream.is_rekeyed else None, name) for name in fields]
    if any(part.name is None for part in stream.key):  # a bare key: the sink is told its column's name
        return [KeyPart(part.column, name) for part, name in zip(stream.key, fields, strict=False)]
    return [part for part in stream.key if not fields or part.name in fields]


def _propose_key(stream: Stream, parts: Sequence[KeyPart], found: Proposal) -> frozenset[str]:
    """Say by which columns rows are found; none where they are the record key's."""
    columns = [part.column or "" for part in parts]
    for part in parts:
        one = stream.columns.get(part.column or "")
        if one is not None and part.name is not None:  # the key's copy is the one that finds the row
            one.name, one.is_changed = part.name, False
    if set(columns) == set(stream.source.key):
        return frozenset()
    found.values.setdefault("keys", {})[stream.source.table] = columns
    if not stream.source.key or not set(stream.source.key) <= set(columns):
        found.note(
            f"its rows of {stream.source.table} are found by {', '.join(columns)}, which other record keys may have, too: a "
            "row that shows another one says nothing"
        )
    if found.values["deletes"] != "ignore" and not set(columns) <= set(stream.source.key):
        found.note(
            f"a delete of {stream.source.table} does not tell the row's key: whether it was applied is not looked at"
        )
    return frozenset(columns)


# ---------------------------------------------------------------- what tables are called


def _table_names(config: Config, streams: Sequence[Stream], found: Proposal, *, is_confluent: bool) -> None:
    """The template as it stands, unless transforms or the connector give names that no template of ours gives."""
    template = config.get("table.name.format") or "${topic}"
    template = template if is_confluent else config.get("collection.name.format") or template
    if "collection.table.format" in config:
        found.doubt("collection.table.format: the names that it gives are not known here")
    names = {}
    for stream in streams:
        if stream.name is None and "${topic}" in template:
            found.doubt(
                f"the name of {stream.topic} behind the transforms can't be foreseen, and so the name of its table"
            )
        routed = (stream.name or stream.topic) if is_confluent else _underscored(stream.name or stream.topic)
        names[stream.topic] = _filled(template, routed, stream.source)
    if is_confluent or (any(stream.is_routed for stream in streams) and "${topic}" in template):
        found.values["tables"] = names
    else:
        found.values["table_name"] = template
    for name, count in Counter(names.values()).items():
        if count > 1:
            found.doubt(f"{count} of its topics are kept in the table {name}: whose a row is can't be told")


def _underscored(name: str) -> str:
    """A topic's name without dots, but for those of a column's place."""
    places = [found[0] for found in COLUMN.finditer(name)] + [""]
    between = [part.replace(".", "_") for part in COLUMN.sub("\0", name).split("\0")]
    return "".join(part + place for part, place in zip(between, places, strict=True))


def _filled(template: str, topic: str, source: SourceTable) -> str:
    name = template.replace("${topic}", topic)
    for part, value in (("db", source.database), ("schema", source.schema), ("table", source.table)):
        name = name.replace("${source." + part + "}", value)
    return name
