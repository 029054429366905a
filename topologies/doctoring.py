"""An installation as ``doctor`` sees it: connectors, change topics, sinks' stores. Asked once; nothing is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from app.adapters.connect_rest import ConnectClient
from app.adapters.connection import Connection
from app.adapters.kafka_config import client_config
from app.adapters.registry import Registry
from app.adapters.sql import Limits, open_store
from app.config import Settings
from app.decode.images import ImageDecoder
from app.errors import BadInput, ConfigError, Unavailable
from app.evidence.classes import Columns, described_topics
from app.evidence.connectors import Database, Proposal, SourceTable
from app.model import RawBatch
from topologies.again import record_of

SAMPLE = 20
"""Records of each partition that are looked at: their newest schemas tell what columns there are."""
TIMEOUT_S, PATIENCE_S = 10.0, 0.2


class LiveInstallation:
    """What a cluster says; see `app.cli.doctor.Installation`.

    Raises:
        ConfigError: brokers, registry or Connect are not configured.
        Unavailable: one of them does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        missing = [
            f"{name}: must be configured, doctor asks it"
            for name, given in (
                ("kafka.brokers", settings.kafka.brokers),
                ("registry.url", settings.registry.url),
                ("connect.url", settings.connect.url),
            )
            if not given
        ]
        if missing:
            raise ConfigError(missing)
        self.topics: Mapping[str, SourceTable] = {}
        self.columns: Mapping[str, Columns] = {}
        self._settings = settings
        self._client = client_config(settings)
        self._counts = Connection(self._client, settings.kafka.start_wait_ms / 1000).partition_counts()

    @property
    def existing(self) -> list[str]:
        """Every topic that may be a change topic."""
        own = f"{self._settings.verifier.prefix}."
        return sorted(topic for topic in self._counts if not topic.startswith((own, "__consumer", "__transaction")))

    def configs(self) -> dict[str, dict[str, str]]:
        """Every connector's configuration, by name."""
        return asyncio.run(self._configs())

    async def _configs(self) -> dict[str, dict[str, str]]:
        given = self._settings.connect
        password = None if given.password is None else given.password.reveal()
        connect = ConnectClient(given.url or "", username=given.username, password=password)
        found = {name: await connect.config(name) for name in await connect.connectors()}
        return {name: config for name, config in found.items() if config is not None}

    def look(self, topics: Sequence[str], unavailable_value: str) -> LiveInstallation:
        """At the newest records of some change topics."""
        raws = [raw for topic in topics for raw in self._newest(topic)]
        schemas = self._registry()
        images = ImageDecoder(schemas, unavailable_value)
        asyncio.run(schemas.fetch({number for raw in raws for number in images.missing(raw)}))
        self.topics, self.columns = described_topics(raws, schemas, unavailable_value)
        return self

    def add_store(self, proposal: Proposal, database: Database) -> Mapping[str, Mapping[str, str]]:
        """Its address; the types of its tables where the configuration says who may read them."""
        kind, host, port, name = database
        sink = self._settings.sinks.get(proposal.name)
        if sink is None or sink.store is None:
            proposal.values["store"] = f"{kind}://READER@{host}:{port}/{name}"
            proposal.notes.append(
                "store: name a user who may SELECT (docs/read-back.md), and run doctor again: it then reads which types of the "
                "store's columns call for tolerances"
            )
            return {}
        proposal.values["store"] = sink.store
        store = open_store(sink.store, sink.store_password, Limits())
        found: dict[str, dict[str, str]] = {}
        try:
            for topic in proposal.values["topics"]:
                source = self.topics[topic]
                table = proposal.terms().table_named(topic, source.database, source.schema, source.table)
                with contextlib.suppress(BadInput):  # a table that is not there is told as such
                    found[table] = {column.name: column.type for column in store.columns(table)}
        finally:
            store.close()
        return found

    def _registry(self) -> Registry:
        given = self._settings.registry
        password = None if given.password is None else given.password.reveal()
        return Registry(given.url or "", username=given.username, password=password)

    def _newest(self, topic: str) -> list[RawBatch]:
        """Some of the newest records of each partition."""
        settings: dict[str, Any] = {
            **self._client,
            "group.id": self._settings.verifier.application_id,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
        consumer = Consumer(settings)
        try:
            return [self._tail(consumer, TopicPartition(topic, number)) for number in range(self._counts[topic])]
        finally:
            consumer.close()

    def _tail(self, consumer: Consumer, place: TopicPartition) -> RawBatch:
        earliest, end = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
        start = max(earliest, end - SAMPLE)
        consumer.assign([TopicPartition(place.topic, place.partition, start)])
        records = []
        while start < end:
            messages = consumer.consume(SAMPLE, PATIENCE_S)
            records += [record_of(message) for message in messages if message.error() is None]
            errors = [error for message in messages if (error := message.error()) is not None]
            if any(error.code() == KafkaError._PARTITION_EOF for error in errors):  # noqa: SLF001 - its public name
                break
            if errors:
                raise Unavailable(f"{place.topic}:{place.partition} can't be read: {errors[0]}")
        return RawBatch.of(place.topic, place.partition, records, start, end)
