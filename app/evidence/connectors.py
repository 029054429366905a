"""What a connector's configuration says of its sink's contract, and what it can't say (`cdc-verifier doctor`).

Read from Kafka Connect's and Debezium's documentation; a transform that can't be mirrored is named in a note, because a rule
that is guessed would raise false alarms or hide a loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.evidence.tables import StoreTerms

Config = Mapping[str, str]

JDBC = "io.debezium.connector.jdbc.JdbcSinkConnector"
CONFLUENT_JDBC = "io.confluent.connect.jdbc.JdbcSinkConnector"
UNWRAP = "io.debezium.transforms.ExtractNewRecordState"
_ROUTERS = {
    "org.apache.kafka.connect.transforms.RegexRouter": ("regex", "replacement"),
    "io.debezium.transforms.ByLogicalTableRouter": ("topic.regex", "topic.replacement"),
}
_REPLACE = "org.apache.kafka.connect.transforms.ReplaceField$Value"
_ADDING = ("InsertField$", "InsertHeader", "HeaderFrom$", "SetSchemaMetadata$", "DropHeaders")
"""Transforms that leave the source's columns as they are."""


class Database(NamedTuple):
    """Where a store is: ``postgresql``, host, port, database."""

    kind: str
    host: str
    port: int
    name: str


class SourceTable(NamedTuple):
    """What a change topic's rows are: the source's table and its columns."""

    table: str
    columns: tuple[str, ...]


@dataclass(slots=True)
class Proposal:
    """A contract: the values of ``[sinks.<name>]`` by key, and what nobody but a person can know."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    database: Database | None = None

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


def source_database(config: Config) -> Database | None:
    """The database that a Debezium source reads."""
    kind = {"PostgresConnector": "postgresql", "MySqlConnector": "mysql", "MariaDbConnector": "mysql"}.get(
        config.get("connector.class", "").rpartition(".")[2]
    )
    if kind is None:
        return None
    port = config.get("database.port") or {"postgresql": "5432", "mysql": "3306"}[kind]
    return Database(kind, config.get("database.hostname", ""), int(port), config.get("database.dbname", ""))


def jdbc_database(url: str) -> Database | None:
    """The database of a JDBC address; None for one of another kind."""
    found = re.match(r"jdbc:(postgresql|mysql|mariadb)://([^/:,?]+)(?::(\d+))?/([^?;]+)", url)
    if found is None:
        return None
    kind = "postgresql" if found[1] == "postgresql" else "mysql"
    return Database(kind, found[2], int(found[3] or {"postgresql": 5432, "mysql": 3306}[kind]), found[4])


def consumed(config: Config, existing: Sequence[str]) -> list[str]:
    """The topics that a sink connector consumes, of those that exist."""
    if "topics" in config:
        named = {topic.strip() for topic in config["topics"].split(",")}
        return [topic for topic in existing if topic in named]
    return [topic for topic in existing if re.fullmatch(config.get("topics.regex", ""), topic)]


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
        found.notes.append("it consumes no change topic that is known here")
    tables = {topic: topics[topic] for topic in mine}
    chain = _Chain(config, tables, found.notes)
    if config.get("connector.class") in (JDBC, CONFLUENT_JDBC):
        _jdbc(config, chain, found)
    else:
        found.notes.append(
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
        if config.get("errors.deadletterqueue.context.headers.enable", "false") != "true":
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
    mode = config.get("insert.mode", "insert")
    if mode == "upsert":
        found.values["expect"] = "latest-state"
    elif config.get("primary.key.mode", "none") in ("none", "kafka"):
        found.values["writes"] = "append"
        found.notes.append("it appends: rows can't be read back by the source's key")
    else:
        found.notes.append(
            f"insert.mode is {mode}: what is delivered again fails or is lost; upsert is meant for changes"
        )
    found.values["deletes"] = chain.deletes(config.get("delete.enabled", "false") == "true")
    if found.values["deletes"] == "ignore":
        found.notes.append("deletes don't reach its store: rows that the source deleted stay there, by this contract")
    if config.get("truncate.enabled", "false") == "true" and not chain.is_unwrapped:
        found.values["truncates"] = "apply"
    found.values["sets"] = "every-column"
    _table_names(config, chain, found)
    found.database = jdbc_database(config.get("connection.url", ""))
    if found.database is None:
        found.notes.append("connection.url names no database that rows can be read back from")


def _table_names(config: Config, chain: _Chain, found: Proposal) -> None:
    if config["connector.class"] == JDBC:
        template = config.get("collection.name.format") or config.get("table.name.format") or "${topic}"
    else:
        template = config.get("table.name.format", "${topic}")
    if config["connector.class"] == CONFLUENT_JDBC or chain.routed:
        found.values["tables"] = {
            topic: template.replace("${topic}", _named(routed, config)) for topic, routed in chain.names.items()
        }
    else:
        found.values["table_name"] = template


def _named(topic: str, config: Config) -> str:
    return topic.replace(".", "_") if config["connector.class"] == JDBC else topic


class _Chain:
    """The transforms of a connector, as far as they can be mirrored.

    Attributes:
        names: by change topic, the topic's name behind the transforms.
        ignored, renames: as the contract's ``ignore_columns`` and ``renames``.
    """

    def __init__(self, config: Config, tables: Mapping[str, SourceTable], notes: list[str]) -> None:
        self.names = {topic: topic for topic in tables}
        self.ignored: set[str] = set()
        self.renames: dict[str, str] = {}
        self.routed = False
        self._unwrap: Config | None = None
        self._tables = tables
        self._notes = notes
        self._field_lists(config)
        for name in filter(None, (part.strip() for part in config.get("transforms", "").split(","))):
            self._mirror(name, _under(config, f"transforms.{name}."))

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
        if mode == "rewrite" and given.get("drop.tombstones", "true") != "true":
            return "rewrite-with-tombstone"
        return "tombstone" if mode == "none" else mode

    def _mirror(self, name: str, given: Config) -> None:
        kind = given.get("type", "")
        if "predicate" in given:
            self._notes.append(f"the transform {name} has a predicate: what it does to which records is not known here")
        elif kind == UNWRAP:
            self._unwrap = given
        elif kind in _ROUTERS:
            self._route(given, *_ROUTERS[kind])
            if kind.endswith("ByLogicalTableRouter") and given.get("key.enforce.uniqueness", "true") == "true":
                self._notes.append(
                    f"{name} adds a column to the key: rows can't be read back by the source's key alone"
                )
        elif kind == _REPLACE:
            self._replace(given)
        elif not any(word in kind for word in _ADDING):
            self._notes.append(
                f"the transform {name} ({kind}) can't be mirrored: list columns that it changes in ignore_columns"
            )

    def _route(self, given: Config, regex: str, replacement: str) -> None:
        self.routed = True
        to = re.sub(r"\$(\d+|\{\w+\})", lambda found: "\\g<" + found[1].strip("{}") + ">", given.get(replacement, ""))
        for topic, named in self.names.items():
            if re.fullmatch(given.get(regex, ""), named):
                self.names[topic] = re.sub(given.get(regex, ""), to, named, count=1)

    def _replace(self, given: Config) -> None:
        excluded = _listed(given.get("exclude") or given.get("blacklist"))
        included = _listed(given.get("include") or given.get("whitelist"))
        pairs = dict(pair.split(":", 1) for pair in _listed(given.get("renames")) if ":" in pair)
        for table, columns in self._tables.values():
            for column in columns:
                if column in excluded or (included and column not in included):
                    self.ignored.add(f"{table}.{column}")
                elif column in pairs:
                    self.renames[f"{table}.{column}"] = pairs[column]

    def _field_lists(self, config: Config) -> None:
        """The JDBC sink's own lists: ``column`` or ``topic:column``."""
        excluded = _listed(config.get("field.exclude.list"))
        included = _listed(config.get("field.include.list"))
        for topic, (table, columns) in self._tables.items():
            for column in columns:
                names = {column, f"{topic}:{column}"}
                if names & excluded or (included and not names & included):
                    self.ignored.add(f"{table}.{column}")


def _under(config: Config, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def _listed(text: str | None) -> set[str]:
    return {part.strip() for part in (text or "").split(",") if part.strip()}
