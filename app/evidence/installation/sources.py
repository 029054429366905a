"""Source connectors: what their configuration makes of the changes before the verifier reads them (debezium.md's pages)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.evidence.connectors import UNWRAP, Config, is_source
from app.evidence.installation.finding import Finding, Level, listed
from app.evidence.installation.seen import ConnectorSeen, Installation
from app.evidence.installation.topics import is_compacted
from app.evidence.options import listed as listed_option
from app.evidence.options import transforms_of

UNAVAILABLE = "__debezium_unavailable_value"
REGEX_ROUTER = "org.apache.kafka.connect.transforms.RegexRouter"
ROUTED = ("io.debezium.transforms.ByLogicalTableRouter", "io.debezium.transforms.partitions.PartitionRouting")
SNAPSHOTS: Mapping[str, str] = {
    "when_needed": "where the source has lost its position it takes a snapshot instead: changes in between were never on the topic, "
    "and rows deleted meanwhile have no delete",
    "always": "every start takes a snapshot: rows deleted while it was down have no delete",
    "initial_only": "after the snapshot no changes come",
}
"""Modes after which the topic says less than happened, and what."""
LOSSY: Mapping[tuple[str, str], str] = {
    ("decimal.handling.mode", "double"): "decimals are doubles on the topic, cut to some 16 digits",
    ("time.precision.mode", "connect"): "times are whole milliseconds on the topic",
    (
        "time.precision.mode",
        "structured",
    ): "times are structs on the topic, which are compared field by field and with no sink's own type",
}
DROPPED: Mapping[str, str] = {"c": "creates", "u": "updates", "d": "deletes"}
LOST_EVENTS = ("warn", "skip", "ignore")


class Source(NamedTuple):
    """A source connector and those of the change topics that it writes."""

    name: str
    seen: ConnectorSeen
    topics: tuple[str, ...]

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.seen.config

    def finding(self, level: Level, says: str, means: str, do: str) -> Finding:
        """One about this connector."""
        return Finding(level=level, about="sources", place=f"connector {self.name}", says=says, means=means, do=do)


def sources_of(seen: Installation) -> list[Source]:
    """The source connectors that write some of the change topics, by their topic prefix: the longest that fits."""
    known = {name: one for name, one in (seen.connectors or {}).items() if is_source(one.config)}
    mine: dict[str, list[str]] = {name: [] for name in known}
    for topic in seen.of("change"):
        fitting = [name for name, one in known.items() if f"{topic.name}.".startswith(f"{one.config['topic.prefix']}.")]
        if fitting:
            mine[max(fitting, key=lambda name: len(known[name].config["topic.prefix"]))].append(topic.name)
    return [Source(name, known[name], tuple(topics)) for name, topics in sorted(mine.items()) if topics]


def exactly_once(seen: Installation) -> dict[str, str]:
    """By change topic, why its source is known to write in transactions."""
    found: dict[str, str] = {}
    for source in sources_of(seen):
        if source.config.get("exactly.once.support") == "required":
            reason = f"connector {source.name}: exactly.once.support=required"
            if boundary := source.config.get("transaction.boundary"):
                reason += f", transaction.boundary={boundary}"
            found |= dict.fromkeys(source.topics, reason)
    return found


def sources(seen: Installation) -> Iterator[Finding]:
    """Everything about the sources; nothing where Connect was not asked, which is a gap."""
    if seen.connectors is None:
        return
    known = sources_of(seen)
    written = {topic for source in known for topic in source.topics}
    orphans = [topic.name for topic in seen.of("change") if topic.partitions is not None and topic.name not in written]
    if orphans:
        yield Finding(
            level="unknown", about="sources", place="source.topics",
            says=f"which connector writes {listed(orphans)} can't be told: no source of this Connect has such a topic.prefix",
            means="how its source writes placeholders, numbers, deletes and partitions was not looked at",
            do="compare its configuration by hand: unavailable.value.placeholder, skipped.operations, partitioner, transforms",
        )  # fmt: skip
    for source in known:
        yield from _status(source)
        yield from _values(seen, source)
        yield from _operations(seen, source)
        yield from _routing(source)
    for name, one in seen.connectors.items():
        if is_source(one.config):
            yield from _no_changes(seen, Source(name, one, ()))


def _status(source: Source) -> Iterator[Finding]:
    report = source.seen.report
    if report.state != "RUNNING":
        yield source.finding(
            "error" if report.state == "FAILED" else "warning",
            f"is {report.state}" + (f": {report.cause}" if report.cause else ""),
            f"no changes come to {listed(source.topics)}: nothing is wrong, and nothing new is judged",
            f"POST /connectors/{source.name}/restart?includeTasks=true&onlyFailed=true, or resume it",
        )


def _values(seen: Installation, source: Source) -> Iterator[Finding]:
    text = source.config.get("unavailable.value.placeholder", UNAVAILABLE)
    if re.fullmatch(r"hex:(?:[0-9A-Fa-f]{2})+", text):
        text = bytes.fromhex(text.removeprefix("hex:")).decode(errors="replace")
    if text != seen.unavailable_value:
        yield source.finding(
            "error",
            f"its unavailable.value.placeholder is {text!r}, and source.unavailable_value {seen.unavailable_value!r}",
            "the placeholder is taken for a value: a sink that left the column as it was is diverged, one that stored the "
            "placeholder is delivered",
            f'source.unavailable_value = "{text}"; sources that differ need installations of their own',
        )
    for (option, value), says in LOSSY.items():
        if source.config.get(option) == value:
            yield source.finding(
                "warning", f"{option} is {value}: {says}",
                "sinks are judged by what the topic holds; what was cut before it is never found",
                f"{option}={'precise' if option.startswith('decimal') else 'adaptive'}, if a sink keeps more",
            )  # fmt: skip
    if source.config.get("event.processing.failure.handling.mode") in LOST_EVENTS:
        yield source.finding(
            "warning",
            f"event.processing.failure.handling.mode is {source.config['event.processing.failure.handling.mode']}",
            "a change that it can't process is left out of the topic, and nobody misses it",
            "event.processing.failure.handling.mode=fail",
        )


def _operations(seen: Installation, source: Source) -> Iterator[Finding]:
    skipped = listed_option(source.config.get("skipped.operations", "t"))
    if gone := [word for letter, word in DROPPED.items() if letter in skipped]:
        yield source.finding(
            "warning", f"skipped.operations leaves out {', '.join(gone)}",
            "they are not on the topic: sinks are not judged by them, and rows that should have gone or changed are not missed",
            "skipped.operations=t (the default), or none",
        )  # fmt: skip
    emptied = sorted({
        sink.name for topic in source.topics for sink in seen.sinks_of(topic) if sink.contract.truncates == "apply"
    })  # fmt: skip
    if "t" in skipped and emptied:
        yield source.finding(
            "warning", "skipped.operations leaves out truncates, as its default does",
            f"{listed(f'sinks.{name}' for name in emptied)} promise to apply truncates, and none comes: rows of an emptied table "
            "stay, and are not missed",
            "skipped.operations=none",
        )  # fmt: skip
    compacted = [topic for topic in source.topics if is_compacted(seen.by_name.get(topic))]
    if source.config.get("tombstones.on.delete") == "false" and compacted:
        yield source.finding(
            "warning", f"tombstones.on.delete is false, and {listed(compacted)} are compacted",
            "the last change of a deleted key is kept for ever; what compaction took before it is not missed",
            "tombstones.on.delete=true",
        )  # fmt: skip
    mode = source.config.get("snapshot.mode", "initial")
    if mode in SNAPSHOTS:
        yield source.finding(
            "warning", f"snapshot.mode is {mode}: {SNAPSHOTS[mode]}",
            "the topic is the truth here: what never came to it is not missed at any sink",
            "snapshot.mode=initial, and keep the source's log longer than any outage",
        )  # fmt: skip


def _routing(source: Source) -> Iterator[Finding]:
    split = "the changes of a key may stand in several partitions: superseded and out of order are judged wrongly"
    if kind := source.config.get("producer.override.partitioner.class"):
        yield source.finding(
            "warning", f"producer.override.partitioner.class is {kind}", split, "take it out: the default goes by the key",
        )  # fmt: skip
    for name, given in transforms_of(source.config):
        kind = given.get("type", "")
        if kind == ROUTED[1]:
            yield source.finding(
                "warning", f"the transform {name} (PartitionRouting) chooses partitions by {given.get('partition.payload.fields', '?')}",
                split, "route by the columns of the primary key only, which never change, or not at all",
            )  # fmt: skip
        elif kind == ROUTED[0] and given.get("key.enforce.uniqueness", "true") != "true":
            yield source.finding(
                "error", f"the transform {name} (ByLogicalTableRouter) joins tables and keeps their keys as they are",
                "rows of two tables that have one key are one key here: one supersedes the other",
                f"transforms.{name}.key.enforce.uniqueness=true",
            )  # fmt: skip
        elif kind == UNWRAP:
            yield source.finding(
                "error", f"the transform {name} (ExtractNewRecordState) takes the envelope away at the source",
                "no record is a change that can be read: all are undecodable", "unwrap at the sinks instead",
            )  # fmt: skip
        elif kind == REGEX_ROUTER:
            yield source.finding(
                "unknown", f"the transform {name} ({kind.rpartition('.')[2]}) renames topics",
                "whether it joins tables into one topic can't be told; if so, equal keys of two tables are one key here",
                "see that every table has a topic of its own",
            )  # fmt: skip


def _no_changes(seen: Installation, source: Source) -> Iterator[Finding]:
    """Topics of the connector beside its changes that a pattern takes for such."""
    prefix, given = source.config["topic.prefix"], source.config.get
    others = {
        prefix,
        f"{prefix}.{given('topic.transaction', 'transaction')}",
        f"{given('topic.heartbeat.prefix', '__debezium-heartbeat')}.{prefix}",
    }
    taken = [topic.name for topic in seen.of("change") if topic.name in others]
    if taken:
        yield source.finding(
            "error", f"{listed(taken)} hold no changes of tables, and source.topics takes them for change topics",
            "each of their records is undecodable, and so unverifiable at every sink that passes it",
            "name the tables' topics in source.topics, or a pattern that leaves these out",
        )  # fmt: skip
