"""Topics: whether they exist, how their partitions go together (protocol section 3), and what Kafka may delete of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.evidence.installation.finding import Finding, altered, lasting, listed
from app.evidence.installation.seen import Installation, SinkSeen, TopicSeen

DAY_MS = 86_400_000
"""What an outage over a night may take: less room than that is warned of."""
COMPACTED_ROLES = ("ledger", "watermarks")
DAMAGE: Mapping[str, str] = {
    "lane": "evidence vanishes, and what it spoke for is unverifiable or called missing",
    "receipts": "older receipts vanish, and what they spoke for is called missing",
    "dead letters": "older letters about a key vanish: a change that was rejected is attempted, and a loss is hidden",
    "success": "older successes vanish, and what they spoke for is called missing",
    "control": "operators' decisions vanish",
    "output": "older verdicts and commands vanish before anybody reads them",
}


def is_compacted(topic: TopicSeen | None) -> bool:
    """Whether Kafka compacts a topic, as far as it tells."""
    return "compact" in policies(topic)


def policies(topic: TopicSeen | None) -> set[str]:
    """The words of a topic's ``cleanup.policy``; none where nobody told."""
    given = "" if topic is None or topic.config is None else topic.config.get("cleanup.policy", "")
    return {word.strip() for word in given.split(",") if word.strip()}


def number(topic: TopicSeen, name: str) -> int | None:
    """A whole number of a topic's settings; None where nobody told."""
    text = "" if topic.config is None else topic.config.get(name, "")
    return int(text) if text.lstrip("-").isdigit() else None


def existence(seen: Installation) -> Iterator[Finding]:
    """Topics that are configured, or our own, and that do not exist."""
    if not seen.of("change") and seen.is_cluster_known:
        yield Finding(
            level="error", about="topics", place="source.topics",
            says=f"no topic that we may see matches {listed(seen.patterns)}",
            means="nothing is judged, and a worker does not start",
            do="compare with kafka-topics.sh --bootstrap-server HOST:PORT --list; topics without the right Describe are not "
            "in our list",
        )  # fmt: skip
    for topic in seen.topics:
        if topic.partitions is not None or topic.is_hidden:
            continue
        if topic.wanted is None:
            yield Finding(
                level="error", about="topics", place=f"topic {topic.name}", says=f"does not exist ({topic.role})",
                means="a worker does not start",
                do=f"kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {topic.name} --partitions N, or start its "
                "producer first",
            )  # fmt: skip
        elif topic.refusal is not None:
            yield Finding(
                level="error", about="topics", place=f"topic {topic.name}", says="does not exist and can't be made",
                means="a worker does not start", do=topic.refusal,
            )  # fmt: skip


def partitions(seen: Installation) -> Iterator[Finding]:
    """Partition counts that were changed, or that do not go together."""
    for topic in seen.topics:
        if topic.partitions is None:
            continue
        if topic.known is not None and topic.known != topic.partitions and topic.role != "ledger":
            yield Finding(
                level="error", about="partitions", place=f"topic {topic.name}",
                says=f"has {topic.partitions} partitions, and its state was made under {topic.known}",
                means="it is suspended: the changes of a key stand on two partitions, and nothing of it is judged",
                do='README.md, "When a topic\'s partition count changes"',
            )  # fmt: skip
        elif topic.wanted is not None and topic.role in {"lane", "control"} and topic.partitions != topic.wanted:
            yield Finding(
                level="error", about="partitions", place=f"topic {topic.name}",
                says=f"has {topic.partitions} partitions and needs {topic.wanted}",
                means="evidence about a partition does not stand on the lane's partition of that number; what has its lane here "
                "is not judged" if topic.role == "lane" else "operators' decisions have no one order",
                do=f"kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic {topic.name} --partitions {topic.wanted}"
                if topic.partitions < topic.wanted else f"delete {topic.name} before the first start, which makes it anew",
            )  # fmt: skip
    for sink in seen.sinks:
        yield from _receipts(seen, sink)


def _receipts(seen: Installation, sink: SinkSeen) -> Iterator[Finding]:
    """Receipts of source partition p stand on partition p, so there must be as many."""
    known = {topic.name: topic.partitions for topic in seen.topics if topic.partitions is not None}
    widest = max((known.get(topic, 0) for topic in sink.contract.topics), default=0)
    for topic in sink.receipts:
        if known.get(topic, widest) < widest:
            yield Finding(
                level="warning", about="partitions", place=f"topic {topic}",
                says=f"has {known[topic]} partitions, and sinks.{sink.name} consumes change topics of up to {widest}",
                means="receipts of source partition p belong to partition p: those of higher partitions have no place, and what "
                "they would speak for is called missing",
                do=f"kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic {topic} --partitions {widest}",
            )  # fmt: skip


def cleanup(seen: Installation) -> Iterator[Finding]:
    """``cleanup.policy`` of our own topics and of evidence, and compaction against what sinks promise."""
    for topic in seen.topics:
        if topic.config is None:
            continue
        if topic.role in COMPACTED_ROLES:
            yield from _state(topic)
        elif topic.role in DAMAGE and is_compacted(topic):
            yield Finding(
                level="error", about="compaction", place=f"topic {topic.name}", says=f"is compacted ({topic.role})",
                means=DAMAGE[topic.role], do=altered(topic.name, "cleanup.policy=delete"),
            )  # fmt: skip
        elif topic.role == "change" and is_compacted(topic):
            for sink in seen.sinks_of(topic.name):
                yield from _compacted(seen, topic, sink)


def _state(topic: TopicSeen) -> Iterator[Finding]:
    if policies(topic) != {"compact"}:
        yield Finding(
            level="error", about="compaction", place=f"topic {topic.name}",
            says=f"its cleanup.policy is {','.join(sorted(policies(topic))) or 'empty'}, not compact",
            means="Kafka deletes checkpoints and seals by age: a worker with an empty disk would begin anew, and what was told "
            "is told again" if topic.role == "ledger" else "Kafka deletes watermarks by age, and pages and tools lack them",
            do=altered(topic.name, "cleanup.policy=compact"),
        )  # fmt: skip


def _compacted(seen: Installation, topic: TopicSeen, sink: SinkSeen) -> Iterator[Finding]:
    """A compacted change topic: who is slower than the compactor never sees what Kafka took."""
    if sink.contract.expect == "latest-state":
        return
    room = number(topic, "min.compaction.lag.ms") or 0
    behind = max(
        (seen.now_ms - one.open_ms for one in sink.readers if one.topic == topic.name and one.open_ms), default=0
    )
    needed = behind + sink.grace_ms
    if room >= needed + DAY_MS:
        return
    yield Finding(
        level="error" if room <= needed else "warning", about="compaction", place=f"topic {topic.name}",
        says=f"is compacted after {lasting(room)} (min.compaction.lag.ms), and sinks.{sink.name} expects every change; it is "
        f"{lasting(behind)} behind, its grace is {lasting(sink.grace_ms)}",
        means="what Kafka takes before the sink reads it is called missing, though nobody lost it",
        do=f'say sinks.{sink.name}.expect = "latest-state", or '
        + altered(topic.name, f"min.compaction.lag.ms={needed + 2 * DAY_MS}"),
    )  # fmt: skip
