"""Which topics a deployment reads, and how they go together: groups of equal partition counts, and every sink's lane.

A sink's lane about the topics of one group is its receipts topic, where that is its only evidence and has as many
partitions; else it is the internal topic ``<prefix>.lane.<count>``, into which all its evidence is routed (protocol
section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.config.settings import Settings
from app.errors import ConfigError
from app.model import Contract
from app.worker.lanes import is_direct


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Topics of one partition count; one store per group and partition number.

    Attributes:
        sources: change topics.
        contracts: of every sink that consumes some of them, with just those topics.
        lanes: per sink, the topic its lane is read from.
    """

    partitions: int
    sources: frozenset[str]
    contracts: tuple[Contract, ...]
    lanes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything that is read.

    Attributes:
        inputs: partition count by topic: changes, direct lanes, internal lanes, and logs that are routed.
        groups: by partition count.
        routed: sinks that are routed, by evidence topic.
    """

    inputs: Mapping[str, int]
    groups: Mapping[int, Group]
    routed: Mapping[str, frozenset[str]]

    def group_of(self, topic: str) -> Group:
        """The group that an input belongs to by its partition count."""
        return self.groups[self.inputs[topic]]

    def routed_logs(self, sink: str) -> list[tuple[str, int]]:
        """Every partition of every log that is routed for a sink, whoever reads it."""
        topics = sorted(topic for topic, sinks in self.routed.items() if sink in sinks)
        return [(topic, number) for topic in topics for number in range(self.inputs[topic])]


def lane_topic(prefix: str, partitions: int) -> str:
    """The internal lane topic of a partition count."""
    return f"{prefix}.lane.{partitions}"


def plan(settings: Settings, counts: Mapping[str, int]) -> Layout:
    """The layout for the topics that exist.

    Args:
        counts: partition count of every topic of the cluster.

    Raises:
        ConfigError: topics that are configured but don't exist, all at once.
    """
    missing = missing_topics(settings, counts)
    if missing:
        raise ConfigError([absent(topic) for topic in missing])
    sources = settings.source_topics(counts)
    contracts = settings.contracts(counts)
    lanes = {contract.sink: _lanes(settings, contract, counts) for contract in contracts}
    groups = {
        count: _group(count, frozenset(t for t in sources if counts[t] == count), contracts, lanes)
        for count in sorted({counts[topic] for topic in sources})
    }
    routed = _routed(settings, contracts, lanes)
    inputs = {topic: counts[topic] for topic in (*sources, *routed)}
    inputs |= {lane: count for group in lanes.values() for count, lane in group.items()}
    for count in {inputs[topic] for topic in routed} - groups.keys():
        groups[count] = Group(partitions=count, sources=frozenset(), contracts=(), lanes={})
    return Layout(inputs=inputs, groups=groups, routed=routed)


def _group(
    count: int, sources: frozenset[str], contracts: list[Contract], lanes: Mapping[str, Mapping[int, str]]
) -> Group:
    here = [
        replace(contract, topics=tuple(topic for topic in contract.topics if topic in sources))
        for contract in contracts
        if sources.intersection(contract.topics)
    ]
    return Group(
        partitions=count,
        sources=sources,
        contracts=tuple(here),
        lanes={contract.sink: lanes[contract.sink][count] for contract in here},
    )


def _lanes(settings: Settings, contract: Contract, counts: Mapping[str, int]) -> dict[int, str]:
    """Of one sink, the lane by partition count of its change topics."""
    sink = settings.sinks[contract.sink]
    wanted = {counts[topic] for topic in contract.topics}
    if is_direct(sink) and wanted == {counts[sink.receipts[0]]}:
        return {counts[sink.receipts[0]]: sink.receipts[0]}
    return {count: lane_topic(settings.verifier.prefix, count) for count in wanted}


def _routed(
    settings: Settings, contracts: list[Contract], lanes: Mapping[str, Mapping[int, str]]
) -> dict[str, frozenset[str]]:
    """Sinks by evidence topic, for topics that are not those sinks' lane."""
    found: dict[str, set[str]] = {}
    for contract in contracts:
        sink = settings.sinks[contract.sink]
        for topic in (*sink.receipts, *sink.dead_letters, *sink.success_topics):
            if topic not in lanes[contract.sink].values():
                found.setdefault(topic, set()).add(contract.sink)
    return {topic: frozenset(sinks) for topic, sinks in found.items()}


def missing_topics(settings: Settings, counts: Mapping[str, int]) -> list[str]:
    """Topics that are configured by name and that the cluster does not have, or does not show us."""
    return sorted((set(settings.source_topics(counts)) | settings.evidence_topics()) - counts.keys())


def narrow_lanes(prefix: str, layout: Layout, counts: Mapping[str, int]) -> list[str]:
    """Internal lanes with fewer partitions than the change topics they are about; a wider one is suspended by itself."""
    return [
        f"topic {lane} has {counts[lane]} partitions and needs {width}, as many as the change topics whose evidence it takes. "
        f"Raise it: kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic {lane} --partitions {width}"
        for width in sorted(layout.groups)
        if (lane := lane_topic(prefix, width)) in layout.inputs and counts.get(lane, width) < width
    ]


def absent(topic: str) -> str:
    """That a topic is missing, and what to do."""
    return (
        f"topic {topic} is configured but does not exist. If its producer will create it, start the verifier after it, or "
        f"create it now: kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {topic} --partitions N"
    )
