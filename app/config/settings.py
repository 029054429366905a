"""The frozen tree of settings: every key with its kind, its default and what it is for.

The docstring of each class is its section's; docs/configuration.md lists the same keys, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from app.config import contract_kinds, kinds, topics
from app.config.kinds import Kind, Secret
from app.config.names_map import NamesMap
from app.model import MODES, Contract, Mode, Ownership
from app.model.tolerances import TOLERANCES

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


_NOTHING: Mapping[str, Any] = MappingProxyType({})


def setting(kind: Kind, default: object, text: str) -> Any:  # stands for a default of the field's type
    """A field of a section: its kind, its default and what it is for."""
    metadata = {"kind": kind, "text": text}
    if isinstance(default, Mapping):  # dataclasses take no default that can't be hashed
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Where Kafka is and how to be let in; not needed for recordings."""

    brokers: tuple[str, ...] = setting(kinds.Texts(), (), "host:port of some brokers")
    security_protocol: str = setting(kinds.OneOf(PROTOCOLS), "PLAINTEXT", "how connections are secured")
    sasl_mechanism: str = setting(kinds.OneOf(MECHANISMS), "PLAIN", "how the name is proved")
    sasl_username: str | None = setting(kinds.Text(), None, "the verifier's name")
    sasl_password: Secret | None = setting(kinds.SecretText(), None, "its password; best from the environment")
    ssl_ca_file: str | None = setting(kinds.Text(), None, "authorities that brokers' certificates are signed by")
    ssl_certificate_file: str | None = setting(kinds.Text(), None, "the verifier's own certificate")
    ssl_key_file: str | None = setting(kinds.Text(), None, "its key")
    ssl_key_password: Secret | None = setting(kinds.SecretText(), None, "the key's password")
    start_wait_ms: int = setting(kinds.duration(), 60_000, "how long a start waits for brokers that are away")
    fetch_min_bytes: int = setting(
        kinds.size(1),
        1 << 18,
        "latency against CPU: a fetch waits until so much is there; less is sooner, more is cheaper",
    )
    fetch_wait_ms: int = setting(
        kinds.duration(1), 50, "how long a fetch waits for that, and so a quiet topic's latency"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """The schema registry; not needed for recordings."""

    url: str | None = setting(kinds.Url(), None, "its address")
    username: str | None = setting(kinds.Text(), None, "basic authentication")
    password: Secret | None = setting(kinds.SecretText(), None, "basic authentication")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSettings:
    """Kafka Connect's REST API; optional: connector status is shown where it is known."""

    url: str | None = setting(kinds.Url(), None, "its address")
    username: str | None = setting(kinds.Text(), None, "basic authentication")
    password: Secret | None = setting(kinds.SecretText(), None, "basic authentication")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """Where the worker keeps its stores."""

    dir: Path = setting(kinds.Directory(), Path("state"), "one directory per worker")
    max_disk_bytes: int = setting(
        kinds.size(1 << 26), 20 << 30, "a sink that is down keeps its cells open; at this size no more changes are read"
    )
    max_memory_bytes: int = setting(
        kinds.size(1 << 20),
        64 << 20,
        "of one worker's segments of changes and cells, divided among its stores; what was used longest ago is read from disk again",
    )
    checkpoint_interval_ms: int = setting(
        kinds.duration(1_000), 60_000, "a worker with an empty disk reads again what came since the last checkpoint"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """The Prometheus page."""

    host: str = setting(kinds.Text(), "127.0.0.1", "the address it listens on")
    port: int = setting(kinds.Whole(0, 65535), 9108, "0 for none")
    per_partition: tuple[str, ...] = setting(
        kinds.Topics(), (), "change topics whose metrics also have the label partition; none, to keep the page small"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSettings:
    """The verifier as a program among others."""

    application_id: str = setting(kinds.Text(), "cdc-verifier", "consumer group of all its workers")
    instance_id: str | None = setting(
        kinds.Text(), None, "differs between workers; makes a restart take its partitions back at once"
    )
    prefix: str = setting(kinds.Text(), "cdc-verifier", "of its own topics' names")
    probe_interval_ms: int = setting(kinds.duration(100), 5_000, "how often committed offsets are looked at")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The change topics."""

    topics: tuple[str, ...] = setting(kinds.Topics(), (), "names; between slashes regular expressions, matched whole")
    unavailable_value: str = setting(
        kinds.Text(), "__debezium_unavailable_value", "the connector's unavailable.value.placeholder"
    )
    column_types: tuple[tuple[str, str], ...] = setting(
        kinds.ColumnTypes(), (), "types of columns whose JSON change events carry no schema"
    )
    before: Literal["key", "whole"] | None = setting(
        kinds.OneOf(("key", "whole")), None, "what tells the row of a delete: its record key, or whole before images"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideSettings:
    """What is different of one change topic of a sink; None: as the sink has it."""

    owner: str | None = setting(contract_kinds.Label(), None, "who is to be told of this topic's changes")
    severity: str | None = setting(contract_kinds.Label(), None, "how bad it is where they don't arrive")
    grace_ms: int | None = setting(kinds.duration(), None, "the probe's wait before it fences this topic")


_NO_OVERRIDES: Mapping[str, OverrideSettings] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """One sink's contract and evidence.

    Attributes:
        overrides: by change topic; ``[sinks.<name>.overrides."<topic>"]`` in the file.
    """

    name: str
    overrides: Mapping[str, OverrideSettings] = field(default_factory=lambda: _NO_OVERRIDES)
    topics: tuple[str, ...] = setting(kinds.Topics(), (), "what it consumes; default: all of the source's")
    receipts: tuple[str, ...] = setting(kinds.Texts(), (), "DeliveryReceipt, DeliveryReceiptBatch and SinkMark records")
    dead_letters: tuple[str, ...] = setting(kinds.Texts(), (), "Connect's dead letter topics: receipts REJECTED")
    success_topics: tuple[str, ...] = setting(kinds.Texts(), (), "a connector's success topics: presence receipts")
    connector: str | None = setting(kinds.Text(), None, "progress from its consumer group, status from Connect")
    group: str | None = setting(kinds.Text(), None, "its consumer group; default: connect-<connector>")
    start: Literal["earliest", "committed", "latest"] = setting(
        kinds.OneOf(("earliest", "committed", "latest")), "earliest", "the START written on first sight"
    )
    evidence: Literal["receipts", "progress"] = setting(
        kinds.OneOf(("receipts", "progress")), "progress", "default: receipts where any are listed, else progress"
    )
    fences: Literal["emitter", "progress", "receipts"] = setting(
        kinds.OneOf(("emitter", "progress", "receipts")),
        "progress",
        "who writes fences; default: emitter where receipts are listed, else progress",
    )
    expect: Literal["every-change", "latest-state"] = setting(
        kinds.OneOf(("every-change", "latest-state")), "every-change", "whether a newer change stands for an older"
    )
    writes: Literal["upsert", "append"] = setting(
        kinds.OneOf(("upsert", "append")), "upsert", "whether it keeps rows or appends"
    )
    owner: str | None = setting(
        contract_kinds.Label(), None, "who is to be told; stands in verdicts, metrics and what commands print"
    )
    severity: str | None = setting(
        contract_kinds.Label(), None, "how bad it is where a change does not arrive, in words of your own"
    )
    grace_ms: int = setting(kinds.duration(), 30_000, "the probe's wait before it fences; no clock is read elsewhere")
    late_after_ms: int = setting(kinds.duration(), 10_000, "first receipt after the source's time, flag late")
    deletes: Literal["apply", "ignore", "soft"] = setting(
        kinds.OneOf(("apply", "ignore", "soft")), "apply", "what it does with them; soft: it keeps the row and marks it"
    )
    soft_delete: str = setting(kinds.Text(), "__deleted", "the column that marks a row as deleted")
    truncates: Literal["apply", "ignore"] = setting(
        kinds.OneOf(("apply", "ignore")), "ignore", "what it does with them"
    )
    redelivery: Literal["legal", "fault"] = setting(
        kinds.OneOf(("legal", "fault")), "legal", "fault: a change applied twice is duplicated"
    )
    ignore_columns: tuple[str, ...] = setting(kinds.Columns(), (), "table.column, left out on both sides")
    columns: tuple[str, ...] = setting(
        kinds.Columns(), (), "table.column that it takes; a table that none is listed of is taken whole"
    )
    columns_due: Mapping[str, int] = setting(
        contract_kinds.Moments(), _NOTHING, "by table.column, from when on its store must have the column"
    )
    leave_out_tables: tuple[str, ...] = setting(kinds.Texts(), (), "source tables whose changes it does not take")
    leave_out_operations: tuple[str, ...] = setting(
        contract_kinds.Words(("c", "u", "d", "r")), (), "Debezium's ops whose changes it does not take"
    )
    rows: Mapping[str, tuple[str, ...]] = setting(
        contract_kinds.Values(), _NOTHING, "by table.column, the values that a row must have to be taken"
    )
    rows_out: Mapping[str, tuple[str, ...]] = setting(
        contract_kinds.Values(), _NOTHING, "by table.column, values of rows that are not taken"
    )
    table_name: str = setting(
        kinds.Text(),
        "${topic}",
        "its table of a change: ${topic} (dots become underscores), ${source.db}, .schema, .table, ${column.<name>}",
    )
    tables: Mapping[str, str] = setting(
        kinds.TextMap(example='"shop.public.orders" = "all_orders"'),
        _NOTHING,
        "by change topic, a table that the template does not give",
    )
    keys: Mapping[str, tuple[str, ...]] = setting(
        NamesMap(),
        _NOTHING,
        "by the source's table, its columns that find a row in the sink, if not the record key's",
    )
    renames: Mapping[str, str] = setting(
        kinds.TextMap(kinds.COLUMN), _NOTHING, "by the source's table.column, the column in the sink"
    )
    tolerances: Mapping[str, tuple[str, ...]] = setting(
        kinds.WordsMap(tuple(TOLERANCES)), _NOTHING, "by table.column, *.column or *, what its types do to values"
    )
    sets: Literal["every-column", "changed-columns"] = setting(
        kinds.OneOf(("every-column", "changed-columns")), "changed-columns", "what a write of it sets of a row"
    )
    change_log: tuple[str, ...] = setting(
        kinds.Topics(), (), "change topics of its own database, written by a second Debezium connector"
    )
    change_log_wait_ms: int = setting(
        kinds.duration(), 30_000, "how long a fence is held back for a change log that may not have come so far"
    )
    store: str | None = setting(
        kinds.StoreUrl(), None, "its database, whose rows are read back; SELECT is all it needs"
    )
    store_password: Secret | None = setting(kinds.SecretText(), None, "of the store's user; best from the environment")
    read_back_share: float = setting(kinds.Share(), 1.0, "the part of the changes whose rows are read back")
    read_back_rate: int = setting(
        kinds.Whole(0, 1_000_000), 2_000, "rows a second at most, by a worker; 0 for no limit"
    )
    scrub_rate: int = setting(
        kinds.Whole(0, 1_000_000),
        100,
        "rows at rest a second that are compared again and again, by a worker; 0 for none",
    )
    read_back_timeout_ms: int = setting(kinds.duration(100), 10_000, "of one statement in the store")
    second_look_ms: int = setting(kinds.duration(), 5_000, "a row is wrong if it is so twice, this long apart")
    recorded_tables: str | None = setting(kinds.Text(), None, "in a recording, the file that holds its tables")
    mode: Mode = setting(kinds.OneOf(MODES), "dry-run", "what replay commands say; observe: none are made")
    commands_per_minute: int = setting(kinds.Whole(1, 1_000_000), 60, "a limit of sending; it changes no command")
    command_ttl_ms: int = setting(kinds.duration(1_000), 3_600_000, "after it a command is void")

    def ownership(self, topic: str) -> Ownership:
        """Whose one of its change topics is."""
        given = self.overrides.get(topic, _AS_THE_SINK)
        return Ownership(given.owner or self.owner, given.severity or self.severity)

    def grace_of(self, topic: str) -> int:
        """The probe's wait before it fences one of its change topics, in ms."""
        given = self.overrides.get(topic, _AS_THE_SINK).grace_ms
        return self.grace_ms if given is None else given


_AS_THE_SINK = OverrideSettings()


def _no_sinks() -> Mapping[str, SinkSettings]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it; made by `load`, which fills in the defaults that depend on other settings."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    connect: ConnectSettings = field(default_factory=ConnectSettings)
    state: StateSettings = field(default_factory=StateSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    verifier: VerifierSettings = field(default_factory=VerifierSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    sinks: Mapping[str, SinkSettings] = field(default_factory=_no_sinks)

    def source_topics(self, existing: Iterable[str] = ()) -> list[str]:
        """The change topics: those named, and of the ``existing`` ones those that a pattern matches whole; sorted."""
        return topics.resolve(self.source.topics, self._candidates(list(existing)))

    def sink_topics(self, sink: str, existing: Iterable[str] = ()) -> list[str]:
        """The change topics of one sink, always among the source's; sorted."""
        return topics.resolve(self.sinks[sink].topics, self.source_topics(existing), only=True)

    def contract(self, sink: str, existing: Iterable[str] = ()) -> Contract:
        """The part of a sink's settings that verdicts depend on.

        Args:
            sink: its name.
            existing: topics of the cluster or recording, asked only where patterns are configured.
        """
        given = self.sinks[sink]
        return Contract(
            sink=sink,
            topics=tuple(self.sink_topics(sink, existing)),
            connector=given.connector,
            start=given.start,
            evidence=given.evidence,
            fences=given.fences,
            expect=given.expect,
            writes=given.writes,
            late_after_ms=given.late_after_ms,
            deletes=given.deletes,
            truncates=given.truncates,
            redelivery=given.redelivery,
            ignore_columns=given.ignore_columns,
            mode=given.mode,
            commands_per_minute=given.commands_per_minute,
            command_ttl_ms=given.command_ttl_ms,
            columns=given.columns,
            leave_out_tables=tuple(sorted(given.leave_out_tables)),
            leave_out_operations=given.leave_out_operations,
            rows=tuple(given.rows.items()),
            rows_out=tuple(given.rows_out.items()),
            before=(self.source.before or "") if given.rows or given.rows_out else "",
        )

    def ownership(self, sink: str, topic: str) -> Ownership:
        """Whose a change topic of a sink is; nobody's for a sink that is not configured any more."""
        given = self.sinks.get(sink)
        return Ownership() if given is None else given.ownership(topic)

    def contracts(self, existing: Iterable[str] = ()) -> list[Contract]:
        """Every sink's contract, in the configuration's order."""
        known = list(existing)
        return [self.contract(sink, known) for sink in self.sinks]

    def evidence_topics(self) -> set[str]:
        """Every topic that some sink's evidence is read from."""
        found: set[str] = set()
        for sink in self.sinks.values():
            found.update(sink.receipts, sink.dead_letters, sink.success_topics)
        return found

    def _candidates(self, existing: Collection[str]) -> list[str]:
        """Topics that a pattern may mean: not the verifier's own, not Kafka's own, not evidence, no sink's change log."""
        logs = {name for sink in self.sinks.values() for name in topics.resolve(sink.change_log, existing)}
        evidence = self.evidence_topics() | logs
        own = f"{self.verifier.prefix}."
        return [name for name in existing if not name.startswith((own, "__")) and name not in evidence]


def key_of(name: str) -> str:
    """A field's key in the file: units are in the field's name, not in the key (``grace_ms`` is ``grace``)."""
    return name.removesuffix("_ms").removesuffix("_bytes")


def described(section: type) -> Iterator[tuple[str, str, Kind, str]]:
    """Of each setting of a section: its key, its field's name, its kind and what it is for."""
    for item in fields(section):
        if "kind" in item.metadata:
            yield key_of(item.name), item.name, item.metadata["kind"], item.metadata["text"]


SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "kafka": KafkaSettings,
        "registry": RegistrySettings,
        "connect": ConnectSettings,
        "state": StateSettings,
        "metrics": MetricsSettings,
        "verifier": VerifierSettings,
        "source": SourceSettings,
    }
)
"""Every section of the file but ``sinks``, in the order that `show` prints."""


def keys() -> list[str]:
    """Every setting's key as documents write it: ``source.topics``, ``sinks.<name>.grace``."""
    found = [f"{name}.{key}" for name, section in SECTIONS.items() for key, _, _, _ in described(section)]
    found += [f"sinks.<name>.{key}" for key, _, _, _ in described(SinkSettings)]
    return found + [f"sinks.<name>.overrides.<topic>.{key}" for key, _, _, _ in described(OverrideSettings)]
