"""What a connector's configuration says of its sink's contract, and what it can't say (`cdc-verifier doctor`).

Read from Kafka Connect's and Debezium's documentation, and tried with their classes; a transform that can't be mirrored is
named in a note, because a rule that is guessed would raise false alarms or hide a loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from app.evidence.chain import OUTBOX, UNWRAP, streams
from app.evidence.jdbc import CONFLUENT_JDBC, JDBC, jdbc_database, propose_jdbc
from app.evidence.options import Config, is_true, listed
from app.evidence.proposal import Database, Proposal
from app.evidence.streams import Kind, SourceTable, Stream

__all__ = [
    "CONFLUENT_JDBC",
    "JDBC",
    "UNWRAP",
    "Config",
    "Database",
    "Kind",
    "Proposal",
    "SourceTable",
    "consumed",
    "is_sink",
    "is_source",
    "jdbc_database",
    "propose",
    "source_database",
    "source_problems",
]


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
    if not port.strip().isdecimal():  # it stands in a secret that Connect alone can read
        return None
    return Database(kind, config.get("database.hostname", ""), int(port), config.get("database.dbname", ""))


_AT_SOURCE = {
    OUTBOX: "its topics hold events and no changes, and each would be undecodable. Let the connector emit the table's own "
    "changes (without this transform, or with a predicate that keeps it to other topics), and make events of them behind it",
    UNWRAP: "its topics hold rows and no changes, and each would be undecodable. Let the connector emit envelopes, and "
    "unwrap them in the sinks' chains",
    "io.debezium.transforms.partitions.PartitionRouting": "changes of one key may stand in several partitions, where they "
    "have no order: rows that are read back may be convicted wrongly. Route by columns of the key alone",
}
"""By class, what a transform of a source connector does to its change topics."""


def source_problems(name: str, config: Config) -> Iterator[str]:
    """What keeps a source connector's topics from being read as changes, a sentence each."""
    for transform in listed(config.get("transforms")):
        kind = config.get(f"transforms.{transform}.type", "")
        if kind in _AT_SOURCE:
            yield f"{name}: its transform {transform} is {kind}: {_AT_SOURCE[kind]}"


def consumed(config: Config, existing: Sequence[str]) -> list[str]:
    """The topics that a sink connector consumes, of those that exist; none where its expression is one of Java's only."""
    if config.get("topics"):
        named = listed(config["topics"])
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
    behind = [
        stream for stream in streams(config, {topic: topics[topic] for topic in mine}, found) if not stream.is_dropped
    ]
    found.values["topics"] = [stream.topic for stream in behind]
    if not behind:
        found.doubt("it consumes no change topic that is known here")
    if config.get("connector.class") in (JDBC, CONFLUENT_JDBC):
        propose_jdbc(config, behind, found)
    else:
        found.doubt(
            f"{config.get('connector.class')}: what it makes of a row is not known here; it is judged by its progress"
        )
    _columns(behind, found)
    return found


def _dead_letters(config: Config, found: Proposal) -> None:
    topic = config.get("errors.deadletterqueue.topic.name")
    if topic:
        found.values["dead_letters"] = [topic]
        if not is_true(config, "errors.deadletterqueue.context.headers.enable"):
            found.note(
                "errors.deadletterqueue.context.headers.enable is not true: its dead letters name no change, and each will "
                "be reported as unreadable"
            )
    elif config.get("errors.tolerance") == "all":
        found.note("errors.tolerance is all without a dead letter topic: what it can't convert vanishes silently")


def _columns(behind: Sequence[Stream], found: Proposal) -> None:
    """What the contract says of columns: left out, called otherwise, and what is done to their values."""
    ignored: set[str] = set()
    names: dict[str, str] = {}
    renames: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    for stream in behind:
        for source, one in stream.columns.items():
            place = stream.place(source)
            if one.is_changed or one.name is None:
                ignored.add(place)
            if one.name is not None and names.setdefault(place, one.name) != one.name:
                found.doubt(f"{place} is called {names[place]} in one topic and {one.name} in another")
            if one.name not in (None, source):
                renames[place] = one.name or ""
            if one.words:
                words[place] = sorted({*words.get(place, ()), *one.words})
    if ignored:
        found.values["ignore_columns"] = sorted(ignored)
    if renames:
        found.values["renames"] = dict(sorted(renames.items()))
    if kept := {place: words[place] for place in sorted(words) if place not in ignored}:
        found.values["tolerances"] = kept
