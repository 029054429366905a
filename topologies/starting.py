"""Before a worker starts: what the cluster has, what it lets us do, and our own topics; every problem is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.adapters.connection import Connection
from app.adapters.rights import Need, Rights, problems, rights_of
from app.adapters.topics import create_missing, own_topics
from app.config import Settings
from app.errors import ConfigError
from app.worker.layout import Layout, absent, lane_topic, missing_topics, plan
from app.worker.needs import needs_of, principal_of


def prepare(settings: Settings, connection: Connection, counts: Mapping[str, int] | None) -> tuple[Layout, int]:
    """The layout, and the partition count of our ledger topic; makes our topics where the cluster can.

    Args:
        counts: of all topics, where the cluster can neither create any nor tell of rights (the embedded broker).

    Raises:
        ConfigError: topics that are missing, rights that are missing, topics of ours that can't be made.
        Unavailable: no broker answers.
    """
    if counts is not None:
        layout = plan(settings, counts)
        return layout, counts.get(ledger_topic(settings), max(layout.groups))
    existing = connection.partition_counts()
    missing = missing_topics(settings, existing)
    found = None if missing or not settings.source_topics(existing) else plan(settings, existing)
    needs = needs_of(settings, found)
    rights = _rights(connection, needs)
    faults = [absent(topic) for topic in missing if topic not in rights.hidden()]
    if not settings.source_topics(existing):
        faults.append(_nothing(settings))
    faults += problems(needs, rights, principal_of(settings))
    faults += _own(settings, connection, found, existing, rights, is_rehearsal=bool(faults))
    if faults or found is None:
        raise ConfigError(faults)
    return found, existing.get(ledger_topic(settings), max(found.groups))


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
