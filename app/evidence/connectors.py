"""What a connector's configuration says of its sink's contract, and what it can't say (`cdc-verifier doctor`).

Read from Kafka Connect's and Debezium's documentation; a transform that can't be mirrored is named in a note, because a rule
that is guessed would raise false alarms or hide a loss.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.evidence.tables import StoreTerms

Config = Mapping[str, str]

JDBC = "io.debezium.connector.jdbc.JdbcSinkConnector"
CONFLUENT_JDBC = "io.confluent.connect.jdbc.JdbcSinkConnector"
UNWRAP = "io.debezium.transforms.ExtractNewRecordState"
_NAMING = ("collection.naming.strategy", "table.naming.strategy", "column.naming.strategy")
ROUTERS: Mapping[str, tuple[str, str]] = {
    "org.apache.kafka.connect.transforms.RegexRouter": ("regex", "replacement"),
    "io.debezium.transforms.ByLogicalTableRouter": ("topic.regex", "topic.replacement"),
}
_KAFKA = "org.apache.kafka.connect.transforms."
_REPLACE = _KAFKA + "ReplaceField$Value"
_CHANGING = {_KAFKA + "MaskField$Value": "fields", _KAFKA + "HeaderFrom$Value": "fields"}
"""Transforms that change columns or take them out, and the option that names these."""
_ADDING = tuple(
    _KAFKA + name
    for name in ("InsertField$Value", "InsertHeader", "DropHeaders", "SetSchemaMetadata$Key", "SetSchemaMetadata$Value")
)
"""Transforms that leave the source's columns as they are."""


class Database(NamedTuple):
    """Where a store is: ``postgresql``, host, port, database."""

    kind: str
    host: str
    port: int
    name: str


class SourceTable(NamedTuple):
    """What a change topic's rows are: the source's table, its columns, and where it stands."""

    table: str
    columns: tuple[str, ...]
    database: str = ""
    schema: str = ""


@dataclass(slots=True)
class Proposal:
    """A contract: the values of ``[sinks.<name>]`` by key, and what nobody but a person can know.

    Attributes:
        database: where its rows are; None where nobody knows.
        is_readable: whether its rows can be found by key and what they must be is known; else they would raise false alarms.
        doubts: of the notes, those that say why not; unmirrored: of these, those about transforms.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    database: Database | None = None
    is_readable: bool = True
    doubts: list[str] = field(default_factory=list)
    unmirrored: list[str] = field(default_factory=list)

    def doubt(self, note: str) -> None:
        """A note that keeps its rows from being compared."""
        self.notes.append(note)
        self.doubts.append(note)
        self.is_readable = False

    def terms(self) -> StoreTerms:
        """How the sink calls its tables and columns."""
        return StoreTerms(
            table_name=self.values.get("table_name", "${topic}"),
            tables=self.values.get("tables", {}),
            renames=self.values.get("renames", {}),
        )


def is_source(config: Config) -> bool:
    """Whether a connector is a Debezium source."""
    return config.get("connector.class", "").startswith("io.debezium.connector.") and "topic.prefix" in config


def is_sink(config: Config) -> bool:
    """Whether a connector consumes topics."""
    return "topics" in config or "topics.regex" in config


def transforms(config: Config) -> Iterator[tuple[str, Config]]:
    """A connector's transforms in their order, each with its options."""
    for name in filter(None, (part.strip() for part in config.get("transforms", "").split(","))):
        yield name, _under(config, f"transforms.{name}.")


def source_database(config: Config) -> Database | None:
    """The database that a Debezium source reads."""
    kind = {"PostgresConnector": "postgresql", "MySqlConnector": "mysql", "MariaDbConnector": "mysql"}.get(
        config.get("connector.class", "").rpartition(".")[2]
    )
    if kind is None:
        return None
    port = config.get("database.port") or {"postgresql": "5432", "mysql": "3306"}[kind]
    if not port.strip().isdecimal():  # it stands in a secret that Connect alone can read
        return None
    return Database(kind, config.get("database.hostname", ""), int(port), config.get("database.dbname", ""))


def jdbc_database(url: str) -> Database | None:
    """The database of a JDBC address; None for one of another kind."""
    found = re.match(r"jdbc:(postgresql|mysql|mariadb)://([^/:,?]+)(?::(\d+))?/([^?;]+)", url)
    if found is None:
        return None
    kind = "postgresql" if found[1] == "postgresql" else "mysql"
    return Database(kind, found[2], int(found[3] or {"postgresql": 5432, "mysql": 3306}[kind]), found[4])


def consumed(config: Config, existing: Sequence[str]) -> list[str]:
    """The topics that a sink connector consumes, of those that exist; none where its expression is one of Java's only."""
    if config.get("topics"):
        named = listed_option(config["topics"])
        return [topic for topic in existing if topic in named]
    try:
        return [topic for topic in existing if re.fullmatch(config.get("topics.regex", ""), topic)]
    except re.error:
        return []


def propose(name: str, config: Config, topics: Mapping[str, SourceTable]) -> Proposal:
    """The contract of a sink connector.

    Args:
        name: the connector's.
        topics: the change topics that exist, with the source's tables.
    """
    found = Proposal(name)
    mine = consumed(config, list(topics))
    found.values["topics"] = mine
    found.values["connector"] = name
    if group := config.get("consumer.override.group.id"):
        found.values["group"] = group
    _dead_letters(config, found)
    if not mine:
        found.doubt("it consumes no change topic that is known here")
    tables = {topic: topics[topic] for topic in mine}
    chain = _Chain(config, tables, found)
    if config.get("connector.class") in (JDBC, CONFLUENT_JDBC):
        _jdbc(config, chain, found)
    else:
        found.doubt(
            f"{config.get('connector.class')}: what it makes of a row is not known here; it is judged by its progress"
        )
    if chain.ignored:
        found.values["ignore_columns"] = sorted(chain.ignored)
    if chain.renames:
        found.values["renames"] = dict(sorted(chain.renames.items()))
    return found


def _dead_letters(config: Config, found: Proposal) -> None:
    topic = config.get("errors.deadletterqueue.topic.name")
    if topic:
        found.values["dead_letters"] = [topic]
        if not is_true(config, "errors.deadletterqueue.context.headers.enable"):
            found.notes.append(
                "errors.deadletterqueue.context.headers.enable is not true: its dead letters name no change, and each will "
                "be reported as unreadable"
            )
    elif config.get("errors.tolerance") == "all":
        found.notes.append(
            "errors.tolerance is all without a dead letter topic: what it can't convert vanishes silently"
        )


def _jdbc(config: Config, chain: _Chain, found: Proposal) -> None:
    """Of both JDBC sinks; a write sets every column that the record has."""
    is_confluent = config["connector.class"] == CONFLUENT_JDBC
    mode = config.get("insert.mode", "insert")
    keyed_by = config.get("pk.mode" if is_confluent else "primary.key.mode", "none")
    if mode == "upsert":
        found.values["expect"] = "latest-state"
    elif keyed_by in ("none", "kafka"):
        found.values["writes"] = "append"
        found.doubt("it appends: rows can't be read back by the source's key")
    else:
        found.notes.append(
            f"insert.mode is {mode}: what is delivered again fails or is lost; upsert is meant for changes"
        )
    fields = config.get("pk.fields" if is_confluent else "primary.key.fields")
    if mode == "upsert" and (keyed_by != "record_key" or fields):
        found.doubt(
            f"its rows are keyed by {fields or keyed_by}: whether that is the key of the changes is not known here"
        )
    found.values["deletes"] = chain.deletes(is_true(config, "delete.enabled"))
    if found.values["deletes"] == "ignore":
        found.notes.append("deletes don't reach its store: rows that the source deleted stay there, by this contract")
    if is_true(config, "truncate.enabled") and not chain.is_unwrapped:
        found.values["truncates"] = "apply"
    found.values["sets"] = "every-column"
    chain.take_field_lists(
        config, ("fields.whitelist", "") if is_confluent else ("field.include.list", "field.exclude.list")
    )
    _table_names(config, chain, found)
    for option in _NAMING:
        if not config.get(option, "Default").rpartition(".")[2].startswith("Default"):
            found.doubt(f"{option} is {config[option]}: the names that it gives are not known here")
    found.database = jdbc_database(config.get("connection.url", ""))
    if found.database is None:
        found.doubt("connection.url names no database that rows can be read back from")


def _table_names(config: Config, chain: _Chain, found: Proposal) -> None:
    """The template as it stands, unless transforms or the connector give names that no template of ours gives."""
    is_confluent = config["connector.class"] == CONFLUENT_JDBC
    template = config.get("table.name.format") or "${topic}"
    template = template if is_confluent else config.get("collection.name.format") or template
    if is_confluent or (chain.routed and "${topic}" in template):
        names = {
            topic: _filled(template, routed if is_confluent else routed.replace(".", "_"), chain.tables[topic])
            for topic, routed in chain.names.items()
        }
        found.values["tables"] = names
    else:
        found.values["table_name"] = template
        names = {topic: _filled(template, topic.replace(".", "_"), chain.tables[topic]) for topic in chain.names}
    for name, count in Counter(names.values()).items():
        if count > 1:
            found.doubt(f"{count} of its topics are kept in the table {name}: whose a row is can't be told")


def _filled(template: str, topic: str, source: SourceTable) -> str:
    name = template.replace("${topic}", topic)
    for part, value in (("db", source.database), ("schema", source.schema), ("table", source.table)):
        name = name.replace("${source." + part + "}", value)
    return name


class _Chain:
    """The transforms of a connector, as far as they can be mirrored.

    Attributes:
        tables: by change topic, the source's table.
        names: by change topic, the topic's name behind the transforms.
        ignored, renames: as the contract's ``ignore_columns`` and ``renames``.
    """

    def __init__(self, config: Config, tables: Mapping[str, SourceTable], found: Proposal) -> None:
        self.tables = tables
        self.names = {topic: topic for topic in tables}
        self.ignored: set[str] = set()
        self.renames: dict[str, str] = {}
        self.routed = False
        self._unwrap: Config | None = None
        self._found = found
        for name, given in transforms(config):
            self._mirror(name, given)

    @property
    def is_unwrapped(self) -> bool:
        """Whether envelopes are flattened before the sink sees them; truncates are dropped there."""
        return self._unwrap is not None

    def deletes(self, is_enabled: bool) -> str:
        """What a delete comes to, by ExtractNewRecordState's modes and the sink's ``delete.enabled``."""
        applied = "apply" if is_enabled else "ignore"
        if self._unwrap is None:
            return applied
        mode = self._unwrap.get("delete.tombstone.handling.mode") or self._older_mode()
        if mode == "drop":
            return "ignore"
        if mode.startswith("rewrite"):
            return "apply" if is_enabled and mode == "rewrite-with-tombstone" else "soft"
        return applied

    def _older_mode(self) -> str:
        """The pair of options before Debezium 3.2."""
        given = self._unwrap or {}
        if "delete.handling.mode" not in given and "drop.tombstones" not in given:
            return "tombstone"
        mode = given.get("delete.handling.mode", "drop")
        is_kept = given.get("drop.tombstones", "true") != "true"
        if mode == "rewrite":
            return "rewrite-with-tombstone" if is_kept else mode
        return "tombstone" if mode == "none" or is_kept else mode

    def _mirror(self, name: str, given: Config) -> None:
        kind = given.get("type", "")
        if kind in _ADDING:
            return
        if "predicate" in given:
            self._doubt(name, kind, "has a predicate: what it does to which records is not known here")
        elif kind == UNWRAP and "route.by.field" not in given:
            self._unwrap = given
        elif kind in ROUTERS:
            self._route(name, given, *ROUTERS[kind])
        elif kind == _REPLACE and self.is_unwrapped:
            self._replace(given)
        elif kind in _CHANGING and self.is_unwrapped:
            self._leave_out(
                listed_option(given.get(_CHANGING[kind])) if given.get("operation", "move") == "move" else set()
            )
        else:
            self._doubt(name, kind, "can't be mirrored: what its rows must be is not known here")

    def _doubt(self, name: str, kind: str, why: str) -> None:
        note = f"the transform {name} ({kind}) {why}"
        self._found.unmirrored.append(note)
        self._found.doubt(note)

    def _route(self, name: str, given: Config, regex: str, replacement: str) -> None:
        self.routed = True
        to = re.sub(r"\$(\d+|\{\w+\})", lambda found: "\\g<" + found[1].strip("{}") + ">", given.get(replacement, ""))
        try:
            for topic, named in self.names.items():
                if re.fullmatch(given.get(regex, ""), named):
                    self.names[topic] = re.sub(given.get(regex, ""), to, named, count=1)
        except (re.error, IndexError):
            self._doubt(name, given["type"], "has an expression of Java's that can't be read here")
        if given["type"].endswith("ByLogicalTableRouter") and given.get("key.enforce.uniqueness", "true") == "true":
            self._doubt(
                name, given["type"], "adds a column to the key: rows can't be read back by the source's key alone"
            )

    def _columns(self) -> Iterator[tuple[str, str, str]]:
        """Topic, ``table.column`` of the source, and what the column is called by now."""
        for topic, source in self.tables.items():
            for column in source.columns:
                place = f"{source.table}.{column}"
                yield topic, place, self.renames.get(place, column)

    def _leave_out(self, columns: Collection[str]) -> None:
        self.ignored |= {place for _, place, named in self._columns() if named in columns}

    def _replace(self, given: Config) -> None:
        excluded = listed_option(given.get("exclude") or given.get("blacklist"))
        included = listed_option(given.get("include") or given.get("whitelist"))
        pairs = dict(pair.split(":", 1) for pair in listed_option(given.get("renames")) if ":" in pair)
        for _, place, named in list(self._columns()):
            if named in excluded or (included and named not in included):
                self.ignored.add(place)
            elif named in pairs:
                self.renames[place] = pairs[named]

    def take_field_lists(self, config: Config, options: tuple[str, str]) -> None:
        """The sink's own lists, of columns to take and to leave: ``column`` or ``topic:column``."""
        included, excluded = (listed_option(config.get(option)) for option in options)
        for topic, place, named in self._columns():
            names = {named, f"{self.names[topic]}:{named}"}
            if names & excluded or (included and not names & included):
                self.ignored.add(place)


def is_true(config: Config, option: str) -> bool:
    """Whether an option says true, in any case."""
    return config.get(option, "").strip().lower() == "true"


def _under(config: Config, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def listed_option(text: str | None) -> set[str]:
    """The parts of an option that is a list."""
    return {part.strip() for part in (text or "").split(",") if part.strip()}
