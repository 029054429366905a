"""``doctor --check``: everything around an installation is asked once, and what does not answer is a gap; nothing is written.

1. The cluster (`topologies.checking_cluster`). 2. The registry: our schemas, and those of the newest changes. 3. Connect. 4. The
sinks, with their stores. What one part does not tell, the others are asked all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial

from app.adapters.connect_rest import ConnectClient
from app.adapters.sql import DatabaseStore, Limits, open_store
from app.config import Settings, live_problems, topics
from app.config.settings import SinkSettings
from app.decode.changes import ReferenceChangeDecoder
from app.decode.images import ImageDecoder
from app.errors import ConfigError, NoSuchTable, Unavailable
from app.evidence import connectors
from app.evidence.classes import Columns, add_tolerances, described_topics, tolerances_of
from app.evidence.connector import AWAY
from app.evidence.connectors import Config, SourceTable
from app.evidence.installation import ConnectorSeen, Gap, Installation, LogSeen, ReaderSeen, Record, SinkSeen, TableSeen
from app.evidence.installation.deletes import Deletes, sampled_deletes
from app.evidence.installation.finding import listed
from app.model import NO_TIME, ChangeKind, RawBatch
from app.worker.stores import store_terms
from topologies.checking_cluster import ClusterLook
from topologies.operating import now_ms, patiently, registry_of
from topologies.starting import our_schemas

HALF_SECOND_MS = 500
"""HTTP's clock has whole seconds."""


def look(settings: Settings) -> Installation:
    """Ask everything.

    Raises:
        ConfigError: the settings are not those of a cluster to watch; every fault of them.
    """
    problems = live_problems(settings)
    if problems:
        raise ConfigError(problems)
    return _Look(settings).seen()


class _Look:
    """One check: what was seen so far, and what could not be asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gaps: list[Gap] = []
        self._cluster = ClusterLook(settings, self._gaps)
        self._registry = registry_of(settings)
        self._clocks: dict[str, int] = {}
        self._tables: dict[str, SourceTable] = {}
        self._columns: dict[str, Columns] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._deletes: dict[str, Deletes] = {}

    def seen(self) -> Installation:
        """Everything, in the order of the module's docstring."""
        topics, bounds = self._cluster.topics(), self._cluster.bounds()
        raws = self._cluster.samples()
        by_sink, own = self._cluster.readers()
        later = self._cluster.bounds() if bounds else {}  # a log that grows meanwhile ends beyond who reads it
        refusals = self._refusals()
        samples = self._decoded(raws, is_answered=refusals is not None)
        found = asyncio.run(self._connectors())
        configs = {name: one.config for name, one in (found or {}).items()}
        existing = sorted(self._cluster.counts or ())
        return Installation(
            now_ms=now_ms(),
            patterns=self._settings.source.topics,
            unavailable_value=self._settings.source.unavailable_value,
            topics=topics,
            logs=tuple(
                LogSeen(
                    topic=name,
                    partition=number,
                    earliest=first,
                    end=end,
                    end_later=later.get((name, number), (0, 0))[1],
                    sample=samples.get((name, number), ()),
                )
                for (name, number), (first, end) in bounds.items()
            ),
            sinks=tuple(self._sink(sink, found, by_sink.get(sink.name, ())) for sink in self._settings.sinks.values()),
            own=own,
            rights=self._cluster.rights,
            connectors=found,
            consumed={name: tuple(connectors.consumed(config, existing)) for name, config in configs.items()},
            clocks=self._clocks,
            tables=self._tables,
            keys=self._keys,
            deletes=self._deletes,
            refusals=tuple(refusals or ()),
            gaps=tuple(self._gaps),
        )

    def _gap(self, abouts: Iterable[str], place: str, why: str | Exception, do: str) -> None:
        self._cluster.gap(abouts, place, why, do)

    # ---------------------------------------------------------------- registry and samples

    def _refusals(self) -> list[str] | None:
        """Why schemas of ours would be refused; None where the registry does not answer."""
        try:
            return asyncio.run(self._registry.refusals(our_schemas()))
        except Unavailable as error:
            do = "see that it runs; registry.url, registry.username, registry.password"
            self._gap(("registry", "decoding", "keys", "contracts", "stores"), "registry.url", error, do)
            return None

    def _decoded(self, raws: Sequence[RawBatch], *, is_answered: bool) -> dict[tuple[str, int], tuple[Record, ...]]:
        """Sampled records by partition, read as the verifier reads them; without a registry, as far as that goes."""
        source = self._settings.source
        decoder = ReferenceChangeDecoder(
            self._registry, [frozenset()], source.unavailable_value, dict(source.column_types)
        )
        images = ImageDecoder(self._registry, source.unavailable_value, dict(source.column_types))
        wanted = {number for raw in raws for number in (*decoder.missing(raw), *images.missing(raw))}
        try:
            if is_answered and wanted:
                patiently(partial(self._registry.fetch, wanted))
        except Unavailable as error:
            do = "see that it runs, and that schemas may be read by id"
            place = f"schema ids {listed(sorted(wanted))}"
            self._gap(("registry", "decoding", "keys", "contracts", "stores"), place, error, do)
            is_answered = False
        if not is_answered:
            return {(raw.topic, raw.partition): _unread(raw) for raw in raws}
        self._tables, self._columns = described_topics(raws, self._registry, source.unavailable_value)
        for raw in raws:
            self._keys |= {image.topic: tuple(image.key) for image in images.decode(raw) if image.key and image.table}
        self._deletes = sampled_deletes(raws, self._registry, source.unavailable_value, self._keys)
        return {(raw.topic, raw.partition): _read(raw, decoder) for raw in raws}

    # ---------------------------------------------------------------- Connect

    async def _connectors(self) -> dict[str, ConnectorSeen] | None:
        """Every connector with its configuration and status; None where Connect was not asked or does not answer."""
        given = self._settings.connect
        named = [sink.name for sink in self._settings.sinks.values() if sink.connector is not None]
        abouts = ("sources", "connectors", "contracts") if named else ("sources",)
        if given.url is None:
            self._gap(abouts, "connect.url", "it is not set", "set connect.url to the address of Connect's REST API")
            return None
        password = None if given.password is None else given.password.reveal()
        client = ConnectClient(given.url, username=given.username, password=password)
        found = {}
        try:
            for name in await client.connectors():
                config = await client.config(name)
                if config is not None:
                    report = await client.status(name)
                    found[name] = ConnectorSeen(config=config, report=AWAY if report is None else report)
        except Unavailable as error:
            self._gap(
                abouts, "connect.url", error, "see that Connect runs; connect.url, connect.username, connect.password"
            )
            return None
        if client.date is not None:
            at_ms = int(parsedate_to_datetime(client.date).timestamp() * 1000) + HALF_SECOND_MS
            self._clocks["Connect"] = at_ms - now_ms()
        return found

    # ---------------------------------------------------------------- sinks

    def _sink(
        self, sink: SinkSettings, known: Mapping[str, ConnectorSeen] | None, readers: tuple[ReaderSeen, ...]
    ) -> SinkSeen:
        contract = self._settings.contract(sink.name, self._cluster.counts or ())
        connector = (known or {}).get(sink.connector or "")
        tables, types = self._stored(sink, contract.topics)
        return SinkSeen(
            contract=contract,
            group=sink.group,
            grace_ms=max([sink.grace_ms, *(sink.grace_of(topic) for topic in contract.topics)]),
            receipts=sink.receipts,
            dead_letters=sink.dead_letters,
            success_topics=sink.success_topics,
            change_log=sink.change_log,
            logged=tuple(topics.resolve(sink.change_log, self._cluster.counts or (), only=True)),
            terms=store_terms(self._settings, sink.name),
            has_store=sink.store is not None,
            connector=connector,
            proposal=None if connector is None else self._proposed(sink, connector.config, contract.topics, types),
            tables=tables,
            readers=readers,
        )

    def _proposed(
        self, sink: SinkSettings, config: Config, topics: Sequence[str], types: Mapping[str, Mapping[str, str]]
    ) -> connectors.Proposal | None:
        """The contract that its connector's configuration calls for, about the topics whose tables are known."""
        if not connectors.is_sink(config):
            return None
        unknown = [topic for topic in topics if topic not in self._tables]
        if unknown:
            why = f"the newest records of {', '.join(unknown)} name no table and columns: there are none, or they carry no schema"
            self._gap(
                ("contracts",), f"sinks.{sink.name}", why, "check again when the topics hold records; compare by hand"
            )
        proposal = connectors.propose(
            sink.connector or "", config, {t: self._tables[t] for t in topics if t in self._tables}
        )
        if types and proposal.values["topics"]:
            add_tolerances(proposal, tolerances_of(proposal, self._tables, self._columns, types))
        return proposal

    def _stored(
        self, sink: SinkSettings, topics: Sequence[str]
    ) -> tuple[dict[str, TableSeen], dict[str, dict[str, str]]]:
        """The tables of its store by change topic, and the types of their columns by table."""
        if sink.store is None:
            return {}, {}
        terms, place = store_terms(self._settings, sink.name), f"sinks.{sink.name}.store"
        store = open_store(sink.store, sink.store_password, Limits(statement_timeout_ms=sink.read_back_timeout_ms))
        tables: dict[str, TableSeen] = {}
        types: dict[str, dict[str, str]] = {}
        try:
            for topic in topics:
                if topic not in self._tables:
                    why = f"no newest record of {topic} tells whose table it is"
                    self._gap(("stores",), f"{place}, {topic}", why, "check again when the topic holds records")
                    continue
                if terms.is_table_by_value(topic):
                    why = f"the tables of {topic} are named after a value of each row"
                    self._gap(("stores",), f"{place}, {topic}", why, "compare them by hand")
                    continue
                source = self._tables[topic]
                name = terms.table_named(topic, source.database, source.schema, source.table)
                tables[topic] = _table(store, name, types)
        except Unavailable as error:
            self._gap(("stores",), place, error, "see that it runs; store and store_password (docs/read-back.md)")
        finally:
            store.close()
        return tables, types


def _table(store: DatabaseStore, name: str, types: dict[str, dict[str, str]]) -> TableSeen:
    """One table; its columns' types are noted."""
    try:
        columns = store.columns(name)
        types[name] = {column.name: column.type for column in columns}
        return TableSeen(name=name, columns=tuple(types[name]), key=store.key(name), may_write=store.may_write(name))
    except NoSuchTable as error:
        return TableSeen(name=name, problem=str(error))


def _unread(raw: RawBatch) -> tuple[Record, ...]:
    """Records that nobody can read now: of those that have a key, where it lies is known."""
    return tuple(
        Record(
            int(raw.offsets[n]), int(raw.timestamps[n]), _size(raw, n), raw.key(n), "upsert" if raw.key(n) else "unread"
        )
        for n in range(len(raw))
    )


def _read(raw: RawBatch, decoder: ReferenceChangeDecoder) -> tuple[Record, ...]:
    batch = decoder.decode(raw)
    return tuple(
        Record(
            offset=int(batch.offsets[n]),
            timestamp=int(batch.timestamps[n]),
            size=_size(raw, n),
            key=raw.key(n),
            kind=ChangeKind(int(batch.kinds[n])).name.lower(),
            reason=batch.reasons.get(n, ""),
            source_ms=None if batch.source_ts_ms[n] == NO_TIME else int(batch.source_ts_ms[n]),
        )
        for n in range(len(batch))
    )


def _size(raw: RawBatch, row: int) -> int:
    return max(int(raw.key_sizes[row]), 0) + max(int(raw.value_sizes[row]), 0)
