"""Connectors of one pipeline: Debezium's source and its JDBC sink, in a hurry, with three partitions and two tasks a sink."""

from __future__ import annotations

from tests.stack.apicurio import Apicurio
from tests.stack.postgres import USER, Postgres

PARTITIONS = 3
TASKS = 2

ANY_PASSWORD = "any"
"""The server trusts everybody; the connectors want one all the same."""

HURRIED_SINK = {
    "consumer.override.auto.offset.reset": "earliest",
    "consumer.override.session.timeout.ms": "3000",  # a killed worker's tasks are out of the group after it
    "consumer.override.heartbeat.interval.ms": "500",
    "consumer.override.metadata.max.age.ms": "1000",  # a topic that comes later is seen so soon
    "connection.pool.min_size": "1",
    "connection.pool.max_size": "4",
}


def source(postgres: Postgres, registry: Apicurio, database: str, prefix: str) -> dict[str, str]:
    """Debezium's PostgreSQL connector on one database; ``prefix`` begins its topics' names."""
    slot = database.replace("-", "_")
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": str(postgres.port),
        "database.user": USER,
        "database.password": ANY_PASSWORD,
        "database.dbname": database,
        "topic.prefix": prefix,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": slot,
        "publication.autocreate.mode": "all_tables",
        "schema.include.list": "public",
        "provide.transaction.metadata": "true",
        "skipped.operations": "none",
        "schema.name.adjustment.mode": "avro",
        "field.name.adjustment.mode": "avro",
        "snapshot.mode": "initial",
        "poll.interval.ms": "50",
        "heartbeat.interval.ms": "2000",
        "topic.creation.default.partitions": str(PARTITIONS),
        "topic.creation.default.replication.factor": "1",
        # A transaction's beginning and end, and heartbeats, are one log each.
        "topic.creation.groups": "single",
        "topic.creation.single.include": r".*[.]transaction,__debezium-heartbeat[.].*",
        "topic.creation.single.partitions": "1",
        "topic.creation.single.replication.factor": "1",
        **registry.converters(),
    }


def upserting(postgres: Postgres, registry: Apicurio, database: str, topics: list[str]) -> dict[str, str]:
    """A JDBC sink that keeps the source's tables under their own names, deletes and truncates included."""
    return {
        **_jdbc(postgres, registry, database, topics),
        "collection.name.format": "${source.table}",
        "delete.enabled": "true",
        "truncate.enabled": "true",
    }


def marking(postgres: Postgres, registry: Apicurio, database: str, topics: list[str], letters: str) -> dict[str, str]:
    """A JDBC sink behind a transform: deletes become a mark in the row; what can't be read goes to ``letters``.

    A table is named as its topic, with ``_`` for what is no letter, digit or ``_``.
    """
    return {
        **_jdbc(postgres, registry, database, topics),
        "transforms": "unwrap",
        "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
        "transforms.unwrap.add.fields": "op,source.lsn",
        "collection.name.format": "${topic}",
        "delete.enabled": "false",
        "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": letters,
        "errors.deadletterqueue.topic.replication.factor": "1",
        "errors.deadletterqueue.context.headers.enable": "true",
    }


MARKS = "__deleted text, __op text, __source_lsn bigint"
"""Columns that a table of the marking sink has beside the source's."""


def _jdbc(postgres: Postgres, registry: Apicurio, database: str, topics: list[str]) -> dict[str, str]:
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": str(TASKS),
        "topics": ",".join(topics),
        "connection.url": f"jdbc:postgresql://127.0.0.1:{postgres.port}/{database}",
        "connection.username": USER,
        "connection.password": ANY_PASSWORD,
        "insert.mode": "upsert",
        "primary.key.mode": "record_key",
        "schema.evolution": "none",
        **HURRIED_SINK,
        **registry.converters(),
    }
