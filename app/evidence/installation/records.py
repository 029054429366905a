"""What sampled records of the change topics show: times, keys and where they lie, what can be read, transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from app.decode.framing import key_body
from app.evidence.installation.finding import Finding, altered, lasting, listed
from app.evidence.installation.partitioner import partition_of
from app.evidence.installation.seen import Installation, LogSeen, Record, SinkSeen
from app.evidence.installation.topics import is_compacted

SKEW_MS = 2_000
"""A smaller difference of clocks is the network's, or a header's whole seconds."""
ROWS = ("upsert", "delete", "tombstone")
"""Kinds of changes that are about one row and so have a key."""


def timestamps(seen: Installation) -> Iterator[Finding]:
    """Dead letters take their change's timestamp along, unless the topic gives them the broker's."""
    for topic in seen.of("dead letters"):
        if topic.config is not None and topic.config.get("message.timestamp.type") == "CreateTime":
            yield Finding(
                level="warning", about="timestamps", place=f"topic {topic.name}",
                says="its message.timestamp.type is CreateTime, and Connect writes dead letters with their change's timestamp",
                means="applied_at is the change's time: a late rejection is never flagged late, and retention counts from the "
                "change: a letter about an old one may be deleted at once, and its rejection is hidden",
                do=altered(topic.name, "message.timestamp.type=LogAppendTime"),
            )  # fmt: skip


def clocks(seen: Installation) -> Iterator[Finding]:
    """Differences between the clocks that flag late is measured with, where they can be told."""
    for whose, ahead_ms in seen.clocks.items():
        if abs(ahead_ms) > SKEW_MS:
            where = "ahead of" if ahead_ms > 0 else "behind"
            yield _skewed(whose, f"its clock is {lasting(abs(ahead_ms))} {where} this machine's")
    for topic in seen.of("change"):
        sample = [record for log in seen.logs_of(topic.name) for record in log.sample]
        future = max((record.timestamp - seen.now_ms for record in sample), default=0)
        if future > SKEW_MS:
            yield _skewed(f"topic {topic.name}", f"holds records of {lasting(future)} after this machine's now")
        told = [record.source_ms - record.timestamp for record in sample if record.source_ms is not None]
        if max(told, default=0) > SKEW_MS:
            yield _skewed(
                f"topic {topic.name}",
                f"the source's ts_ms is up to {lasting(max(told))} after the record's timestamp: the source's clock is ahead",
            )


def _skewed(place: str, says: str) -> Finding:
    return Finding(
        level="warning", about="clocks", place=place, says=says,
        means="flag late compares these clocks: it is told where nothing is late, or not where something is; no state depends on it",
        do="let all machines keep time by NTP, or raise late_after above the difference",
    )  # fmt: skip


def keys(seen: Installation) -> Iterator[Finding]:
    """Where keys lie: the order of a key's changes is that of one partition, or there is none."""
    for topic in seen.of("change"):
        logs = seen.logs_of(topic.name)
        rows = [(log.partition, record) for log in logs for record in log.sample if record.kind in ROWS]
        if logs and not rows and all(log.end == log.earliest for log in logs):
            yield Finding(
                level="unknown", about="keys", place=f"topic {topic.name}",
                says="it holds no records: where its keys lie can't be told",
                means="whether a key's changes have one order was not looked at", do="check again when it holds some",
            )  # fmt: skip
        yield from _null_keys(topic.name, rows)
        yield from _placed(topic.name, topic.partitions or 0, rows)


def _null_keys(topic: str, rows: Sequence[tuple[int, Record]]) -> Iterator[Finding]:
    without = [f"{topic}:{partition}:{record.offset}" for partition, record in rows if record.key is None]
    if without:
        yield Finding(
            level="warning", about="keys", place=f"topic {topic}",
            says=f"{len(without)} of {len(rows)} sampled changes have no key: {listed(without)}",
            means="a null key equals no key: nothing of them is superseded or out of order, a command names each of them, and rows "
            "can't be read back",
            do="give the table a primary key, or the source connector message.key.columns",
        )  # fmt: skip


def _placed(topic: str, count: int, rows: Sequence[tuple[int, Record]]) -> Iterator[Finding]:
    known = [(partition, record.key) for partition, record in rows if record.key is not None]
    places: dict[bytes, set[int]] = {}
    for partition, key in known:
        places.setdefault(key_body(key), set()).add(partition)
    split = sorted((body, sorted(found)) for body, found in places.items() if len(found) > 1)
    strays = [(partition, key) for partition, key in known if count and partition_of(key, count) != partition]
    do = "take producer.override.partitioner.class and routing transforms out of the source connector; a topic whose partition "
    do += 'count was raised: README.md, "When a topic\'s partition count changes"'
    if split:
        shown = listed(f"{body.hex()[:32]} in {' and '.join(map(str, found))}" for body, found in split)
        yield Finding(
            level="error", about="keys", place=f"topic {topic}",
            says=f"{len(split)} sampled keys lie in several partitions (key without framing, hex): {shown}",
            means="the changes of a key have no one order: what is superseded, out of order or the newest of a key is judged "
            "wrongly, and rows that are read back may be called diverged",
            do=do,
        )  # fmt: skip
    elif strays:
        yield Finding(
            level="warning", about="keys", place=f"topic {topic}",
            says=f"{len(strays)} of {len(known)} sampled keys do not lie where the default partitioner (murmur2) puts them in "
            f"{count} partitions{_fitting(strays, count)}",
            means="whether all changes of a key stand in one partition can't be told; where they don't, superseded and out of "
            "order are judged wrongly",
            do=do,
        )  # fmt: skip


def _fitting(strays: Sequence[tuple[int, bytes]], count: int) -> str:
    """A smaller partition count under which the strays would lie where they are."""
    for fewer in range(count - 1, 1, -1):
        if len(strays) > 1 and all(partition_of(key, fewer) == partition for partition, key in strays):
            return f"; they fit {fewer}, so the count seems to have been raised"
    return ""


def decoding(seen: Installation) -> Iterator[Finding]:
    """Sampled changes that can't be read, by reason: a schema that the registry does not know, or no envelope."""
    for topic in seen.of("change"):
        bad: dict[str, list[str]] = {}
        total = 0
        for log in seen.logs_of(topic.name):
            total += len(log.sample)
            for record in log.sample:
                if record.kind == "unreadable":
                    bad.setdefault(record.reason, []).append(f"{topic.name}:{log.partition}:{record.offset}")
        for reason, places in bad.items():
            yield Finding(
                level="error", about="decoding", place=f"topic {topic.name}",
                says=f"{len(places)} of {total} sampled records can't be read: {reason}: {listed(places)}",
                means="they are undecodable, so unverifiable once a sink has passed them: the proof stands still there",
                do="mend registry.url or the source's converter and transforms; take a topic that holds no changes out of source.topics",
            )  # fmt: skip


def is_transactional(seen: Installation, topic: str) -> bool:
    """Whether a topic's offsets have holes between its newest records, which transactions' markers are, and aborted records."""
    if is_compacted(seen.by_name.get(topic)):
        return False
    return any(_has_holes(log) for log in seen.logs_of(topic))


def _has_holes(log: LogSeen) -> bool:
    offsets = [record.offset for record in log.sample]
    return any(after - before > 1 for before, after in pairwise([*offsets, log.end]))


def isolation(seen: Installation, exactly_once: Mapping[str, str]) -> Iterator[Finding]:
    """The verifier reads what was committed; a sink that reads more writes what no change says.

    Args:
        exactly_once: by change topic, why its source is known to write in transactions.
    """
    for sink in seen.sinks:
        why = {topic: exactly_once.get(topic, "its offsets have holes") for topic in sink.contract.topics
               if topic in exactly_once or is_transactional(seen, topic)}  # fmt: skip
        if why:
            yield from _isolated(seen, sink, why)


def _isolated(seen: Installation, sink: SinkSeen, why: Mapping[str, str]) -> Iterator[Finding]:
    options = seen.options(sink)
    level = "" if options is None else options.get("consumer.override.isolation.level", "")
    if level.strip().lower() == "read_committed":
        return
    topics = listed(f"{topic} ({reason})" for topic, reason in why.items())
    who = f"connector {sink.contract.connector}" if sink.contract.connector else f"sinks.{sink.name}"
    means = "a sink that reads uncommitted writes changes that were aborted: rows that no change says, and receipts that are orphans"
    if level:
        yield Finding(
            level="error", about="isolation", place=who, says=f"reads {level} of topics written in transactions: {topics}",
            means=means, do="consumer.override.isolation.level=read_committed in the connector's configuration",
        )  # fmt: skip
    elif options is not None:
        yield Finding(
            level="unknown", about="isolation", place=who,
            says=f"does not say consumer.override.isolation.level; Connect does not tell its worker's, and Kafka's default is "
            f"read_uncommitted. Written in transactions: {topics}",
            means=means, do="consumer.override.isolation.level=read_committed in the connector's configuration",
        )  # fmt: skip
    else:
        yield Finding(
            level="unknown", about="isolation", place=who,
            says=f"nobody tells whether it reads committed records only. Written in transactions: {topics}",
            means=means, do="set isolation.level=read_committed in the sink's consumer",
        )  # fmt: skip
