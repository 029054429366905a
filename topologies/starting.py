"""Before a worker starts: what the cluster has, what it lets us do, and our own topics; every problem is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import schemas
from app.adapters.connection import Connection
from app.adapters.encode import SCHEMA_NAMES
from app.adapters.kafka_config import client_config
from app.adapters.rights import Need, Rights, problems, rights_of
from app.adapters.topics import compacted_topics, create_missing, own_topics
from app.config import Settings, override_problems
from app.errors import ConfigError
from app.worker.layout import Layout, absent, lane_topic, missing_topics, narrow_lanes, plan
from app.worker.needs import needs_of, principal_of
from cdc_receipts.codec import SCHEMAS
from topologies.counts import PLACE, PREFIX, remembered
from topologies.ledger import LedgerReader

EVIDENCE_NAMES = ("EvidenceLoss", "SinkStatus", "Waiver")
"""Schemas of what stands in lanes beside what sinks write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a worker starts from.

    Attributes:
        layout: with the partition counts that state was made under; what the cluster has now may be another count.
        counts: of all topics, as the cluster has them now.
        fresh: of topics that are about to be read for the first time.
        ledger_partitions: how many partitions the ledger topic had when it was first written.
        compacted: change topics that Kafka compacts.
    """

    layout: Layout
    counts: Mapping[str, int]
    fresh: Mapping[str, int]
    ledger_partitions: int
    compacted: frozenset[str] = frozenset()


def prepare(settings: Settings, connection: Connection, counts: Mapping[str, int] | None) -> Prepared:
    """Compare the settings with the cluster, and make our topics where it can.

    Args:
        counts: of all topics, where the cluster can neither create any nor tell of rights (the embedded broker).

    Raises:
        ConfigError: topics that are missing, rights that are missing, topics of ours that can't be made.
        Unavailable: no broker answers.
    """
    if counts is not None:
        known = recalled(settings, counts)
        if strange := override_problems(settings, counts):
            raise ConfigError(strange)
        return _prepared(settings, plan(settings, as_known(counts, known)), counts, known)
    existing = connection.partition_counts()
    known = recalled(settings, existing) if _may_recall(settings, connection, existing) else {}
    missing = missing_topics(settings, existing)
    is_empty = not settings.source_topics(existing)
    found = None if missing or is_empty else plan(settings, as_known(existing, known))
    needs = needs_of(settings, found)
    rights = _rights(connection, needs)
    faults = [absent(topic) for topic in missing if topic not in rights.hidden()]
    if is_empty:
        faults.append(_nothing(settings))
    faults += override_problems(settings, existing)
    faults += problems(needs, rights, principal_of(settings))
    faults += [] if found is None else narrow_lanes(settings.verifier.prefix, found, existing)
    faults += _own(settings, connection, found, existing, rights, is_rehearsal=bool(faults))
    if faults or found is None:
        raise ConfigError(faults)
    compacted = compacted_topics(connection.admin, sorted(settings.source_topics(found.inputs)))
    return replace(_prepared(settings, found, existing, known), compacted=compacted)


def _prepared(settings: Settings, layout: Layout, counts: Mapping[str, int], known: Mapping[str, int]) -> Prepared:
    ledger = ledger_topic(settings)
    inputs = {**layout.inputs, ledger: counts.get(ledger, max(layout.groups))}
    return Prepared(
        layout=layout,
        counts=counts,
        fresh={topic: count for topic, count in inputs.items() if topic not in known},
        ledger_partitions=known.get(ledger, inputs[ledger]),
    )


def as_known(counts: Mapping[str, int], known: Mapping[str, int]) -> dict[str, int]:
    """The counts that state was made under, of the topics that are there."""
    return {topic: known.get(topic, count) for topic, count in counts.items()}


def _may_recall(settings: Settings, connection: Connection, existing: Mapping[str, int]) -> bool:
    """Whether we may read the ledger topic; where not, that is among the problems that are told."""
    ledger = ledger_topic(settings)
    needs = [
        Need(kind="topic", name=ledger, operation="Read", purpose="know what was read before"),
        Need(kind="group", name=settings.verifier.application_id, operation="Read", purpose="be a reader"),
    ]
    return ledger in existing and all(map(_rights(connection, needs).has, needs))


def recalled(settings: Settings, existing: Mapping[str, int]) -> dict[str, int]:
    """Partition counts of topics that were read before."""
    ledger = ledger_topic(settings)
    if ledger not in existing:
        return {}
    reader = LedgerReader(client_config(settings), ledger, existing[ledger], settings.verifier.application_id)
    return remembered(reader.read(PLACE, (PREFIX,)))


def our_schemas() -> dict[str, str]:
    """Every schema that a worker writes with, by its record's name."""
    return {**SCHEMAS, **{name: schemas.text(name) for name in (*SCHEMA_NAMES, *EVIDENCE_NAMES)}}


def ledger_topic(settings: Settings) -> str:
    """Where seals and checkpoints are."""
    return f"{settings.verifier.prefix}.ledger"


def _own(
    settings: Settings,
    connection: Connection,
    layout: Layout | None,
    existing: Mapping[str, int],
    rights: Rights,
    *,
    is_rehearsal: bool,
) -> list[str]:
    """Make our own topics that are not there; then ask for our rights on them, which nobody could tell before."""
    prefix = settings.verifier.prefix
    internal = set() if layout is None else {lane_topic(prefix, width) for width in layout.groups}
    lanes = {} if layout is None else {topic: count for topic, count in layout.inputs.items() if topic in internal}
    widest = 1 if layout is None else max(layout.groups)
    wanted = own_topics(prefix, lanes, widest)
    known = existing.keys() | rights.hidden()
    principal = principal_of(settings)
    faults = create_missing(connection.admin, wanted, known, principal, is_rehearsal=is_rehearsal)
    made = wanted.keys() - known
    if faults or is_rehearsal or not made:
        return faults
    needs = [need for need in needs_of(settings, layout) if need.kind == "topic" and need.name in made]
    return problems(needs, _rights(connection, needs, are_new=True), principal)


def _rights(connection: Connection, needs: Iterable[Need], *, are_new: bool = False) -> Rights:
    topics = {need.name for need in needs if need.kind == "topic"}
    groups = {need.name for need in needs if need.kind == "group"}
    return rights_of(connection.admin, topics, groups, are_new=are_new)


def _nothing(settings: Settings) -> str:
    return (
        f"source.topics: no topic that {principal_of(settings)} may see matches {', '.join(settings.source.topics)}. Compare "
        "with kafka-topics.sh --bootstrap-server HOST:PORT --list; topics without the right Describe are not in our list"
    )
