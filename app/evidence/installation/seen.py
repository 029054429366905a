"""What was seen of an installation: plain facts, asked for by `topologies.checking`, judged beside this module.

What could not be asked is a `Gap`, and its place here is empty: who judges knows from the gap that nothing follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from app.evidence.connector import Report
from app.evidence.connectors import Proposal, SourceTable
from app.evidence.installation.finding import Gap
from app.evidence.tables import StoreTerms
from app.model import Contract

Role = Literal["change", "receipts", "dead letters", "success", "lane", "ledger", "watermarks", "control", "output"]
Place = tuple[str, int]
"""A topic and its partition number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSeen:
    """One topic that the installation needs.

    Attributes:
        partitions: None where it does not exist, or is hidden from us.
        config: its settings, defaults included; None where nobody told, or there is no topic.
        known: the partition count that state was made under; None before the first start.
        wanted: of an own topic, the partitions that it must have.
        refusal: of an own topic that does not exist, why the start could not make it, with the command to type.
        is_hidden: we may not even see whether it exists, which the check of rights tells.
    """

    name: str
    role: Role
    partitions: int | None
    config: Mapping[str, str] | None = None
    known: int | None = None
    wanted: int | None = None
    refusal: str | None = None
    is_hidden: bool = False


class Record(NamedTuple):
    """One sampled record of a change topic; times in ms since the epoch, ``size`` in bytes of key and value.

    ``kind`` is the word of its change's kind, ``reason`` why it can't be read, ``source_ms`` the source's own time.
    """

    offset: int
    timestamp: int
    size: int
    key: bytes | None
    kind: str
    reason: str = ""
    source_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSeen:
    """One partition of an input: where it begins and ends, and of a change topic its newest records, ascending.

    Attributes:
        end: where it ended when its newest records were asked for.
        end_later: where it ended after its readers were asked how far they are.
    """

    topic: str
    partition: int
    earliest: int
    end: int
    end_later: int = 0
    sample: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSeen:
    """How far somebody is in one log.

    Attributes:
        sink: the sink's name; empty for the verifier itself.
        committed: the next offset that its group reads; None for no commit.
        open: the oldest offset that is not settled yet, or not read; None where nobody knows.
        open_ms: the timestamp of the record there; None where nothing is open, or nobody knows.
    """

    sink: str
    topic: str
    partition: int
    committed: int | None
    open: int | None
    open_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSeen:
    """A right that a worker needs; ``command`` is what gives it."""

    kind: str
    name: str
    operation: str
    purpose: str
    is_there: bool
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSeen:
    """A connector as Connect tells of it. The configuration may hold secrets: only options picked out are shown."""

    config: Mapping[str, str]
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSeen:
    """A table of a sink's store; ``problem``: why it can't be read, and the rest is empty."""

    name: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    may_write: bool | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSeen:
    """One sink: what its contract says, and what was seen of it.

    Attributes:
        change_log: of its own database, as configured; logged: the topics of it that exist.
        terms: what its contract says of rows; has_store: whether rows are read back.
        connector: None where Connect has none of that name, or was not asked.
        proposal: the contract that the connector's configuration calls for, with the tolerances of the store's types.
        tables: of its store, by change topic; empty where it could not be asked.
        readers: of its group, by its topics' partitions; empty where it could not be asked, or there is no group.
    """

    contract: Contract
    group: str | None
    grace_ms: int
    receipts: tuple[str, ...] = ()
    dead_letters: tuple[str, ...] = ()
    success_topics: tuple[str, ...] = ()
    change_log: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()
    terms: StoreTerms = field(default_factory=StoreTerms)
    has_store: bool = False
    connector: ConnectorSeen | None = None
    proposal: Proposal | None = None
    tables: Mapping[str, TableSeen] = field(default_factory=dict)
    readers: tuple[ReaderSeen, ...] = ()

    @property
    def name(self) -> str:
        """The sink's."""
        return self.contract.sink


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything that was seen.

    Attributes:
        now_ms: this machine's clock, ms since the epoch.
        patterns: ``source.topics`` as configured.
        unavailable_value: ``source.unavailable_value``.
        own: the verifier itself as a reader of its inputs.
        connectors: every connector that Connect has, by name; None where it was not asked.
        consumed: by connector, the existing topics that it consumes.
        clocks: by whose clock it is, ms that it is ahead of this machine's, as an answer told it.
        tables: the source's table by change topic, as its newest records tell; keys: the columns of their keys.
        deletes: by change topic, how many sampled deletes there were, and how many of them hold the key alone.
        refusals: why the registry refuses schemas of ours.
        gaps: what could not be asked.
    """

    now_ms: int
    patterns: tuple[str, ...]
    unavailable_value: str
    topics: tuple[TopicSeen, ...] = ()
    logs: tuple[LogSeen, ...] = ()
    sinks: tuple[SinkSeen, ...] = ()
    own: tuple[ReaderSeen, ...] = ()
    rights: tuple[RightSeen, ...] = ()
    connectors: Mapping[str, ConnectorSeen] | None = None
    consumed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clocks: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deletes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def is_cluster_known(self) -> bool:
        """Whether the brokers answered at all."""
        return all(gap.about != "brokers" for gap in self.gaps)

    def of(self, *roles: Role) -> list[TopicSeen]:
        """Topics of some roles."""
        return [topic for topic in self.topics if topic.role in roles]

    @cached_property
    def by_name(self) -> Mapping[str, TopicSeen]:
        """Topics by name."""
        return {topic.name: topic for topic in self.topics}

    @cached_property
    def by_place(self) -> Mapping[Place, LogSeen]:
        """Partitions by topic and number."""
        return {(log.topic, log.partition): log for log in self.logs}

    @cached_property
    def by_topic(self) -> Mapping[str, list[LogSeen]]:
        """The partitions of each topic."""
        found: dict[str, list[LogSeen]] = {}
        for log in self.logs:
            found.setdefault(log.topic, []).append(log)
        return found

    def logs_of(self, topic: str) -> list[LogSeen]:
        """The partitions of a topic."""
        return self.by_topic.get(topic, [])

    def sinks_of(self, topic: str) -> list[SinkSeen]:
        """The sinks that consume a change topic."""
        return [sink for sink in self.sinks if topic in sink.contract.topics]

    def options(self, sink: SinkSeen) -> Mapping[str, Any] | None:
        """The configuration of a sink's connector, where it is known."""
        return None if sink.connector is None else sink.connector.config
