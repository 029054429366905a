"""Retention against lag: when Kafka would delete what somebody still needs; and what committed offsets say of a sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from app.evidence.installation.finding import Finding, altered, lasting, listed
from app.evidence.installation.seen import Installation, LogSeen, Place, ReaderSeen, SinkSeen, TopicSeen
from app.evidence.installation.topics import DAY_MS, number, policies

LOST = "changes that are deleted before they are read are missing (a SKIP over them) or unverifiable, by number"
UNREAD = (
    "what is deleted before the verifier reads it is unverifiable, and so are the cells that it could have spoken for"
)


class Left(NamedTuple):
    """How long a record is kept, ms from now at the least, and the setting that says so."""

    ms: int
    setting: str


def left_of(seen: Installation, topic: TopicSeen, log: LogSeen | None, offset: int, at_ms: int) -> Left | None:
    """How long a record is kept; None where retention does not threaten it.

    By bytes it is a forecast from the sampled records' mean size and from how many came since the first of them.
    """
    if "delete" not in policies(topic):
        return None
    found = []
    kept_ms, kept_bytes = number(topic, "retention.ms"), number(topic, "retention.bytes")
    if kept_ms is not None and kept_ms >= 0:
        found.append(Left(at_ms + kept_ms - seen.now_ms, "retention.ms"))
    if kept_bytes is not None and kept_bytes >= 0 and log is not None and log.sample:
        size = sum(record.size for record in log.sample)
        room = kept_bytes - size / len(log.sample) * (log.end - offset)
        took_ms = max(seen.now_ms - log.sample[0].timestamp, 1)
        found.append(Left(max(int(room * took_ms / max(size, 1)), 0), "retention.bytes"))
    return min(found, default=None)


def retention(seen: Installation) -> Iterator[Finding]:
    """What a sink, or the verifier, has before it that Kafka may delete first."""
    for sink in seen.sinks:
        yield from _threatened(seen, sink.readers, f"sinks.{sink.name}", sink.grace_ms, LOST)
    yield from _threatened(seen, seen.own, "the verifier", 0, UNREAD)
    yield from _short(seen.of("change"), max((sink.grace_ms for sink in seen.sinks), default=0), LOST)
    yield from _short(seen.of("receipts", "dead letters", "success"), 0, UNREAD)
    for one in seen.of("receipts", "dead letters", "success"):
        yield from _evidence(seen, one)
        yield from _by_bytes(one)
    for one in seen.of("lane"):
        yield from _lane(seen, one)


def _threatened(
    seen: Installation, readers: Sequence[ReaderSeen], whose: str, grace_ms: int, means: str
) -> Iterator[Finding]:
    """The oldest open record that goes first, of all that are near: a day, or half of what their topic keeps."""
    found = []
    for one in readers:
        topic = seen.by_name.get(one.topic)
        if topic is None or one.open is None or one.open_ms is None:
            continue
        left = left_of(seen, topic, seen.by_place.get((one.topic, one.partition)), one.open, one.open_ms)
        kept = 0 if left is None else number(topic, left.setting) or 0
        room = DAY_MS if left is None or left.setting == "retention.bytes" else min(DAY_MS, kept // 2)
        if left is not None and left.ms < max(room, 2 * grace_ms):
            found.append((left, kept, one))
    if not found:
        return
    left, kept, first = min(found, key=lambda one: one[0].ms)
    is_sure = left.ms <= (2 * grace_ms if left.setting == "retention.ms" else 0)
    lag = lasting(seen.now_ms - (first.open_ms or seen.now_ms))
    more = f"; {len(found) - 1} partitions more are so near" if len(found) > 1 else ""
    wanted = max(kept, 0) + 7 * DAY_MS if left.setting == "retention.ms" else 10 * max(kept, 1)
    yield Finding(
        level="error" if is_sure else "warning", about="retention",
        place=f"{first.topic}:{first.partition}:{first.open}",
        says=f"the oldest that {whose} has not settled is {lag} old, and Kafka may delete it in {lasting(left.ms)} "
        f"({left.setting}){more}",
        means=means, do=altered(first.topic, f"{left.setting}={wanted}") + ", then mend what stands still",
    )  # fmt: skip


def _short(topics: Sequence[TopicSeen], grace_ms: int, means: str) -> Iterator[Finding]:
    """Retentions that an outage may outlast, together those that are equal."""
    kept: dict[int, list[TopicSeen]] = {}
    for topic in topics:
        kept_ms = number(topic, "retention.ms")
        if "delete" in policies(topic) and kept_ms is not None and 0 <= kept_ms < DAY_MS + 2 * grace_ms:
            kept.setdefault(kept_ms, []).append(topic)
    for kept_ms, alike in sorted(kept.items()):
        is_graceless = kept_ms <= 2 * grace_ms
        yield Finding(
            level="error" if is_graceless else "warning", about="retention",
            place=f"{'topic' if len(alike) == 1 else 'topics'} {listed(topic.name for topic in alike)}",
            says=f"records are kept for {lasting(kept_ms)}" + (f", and grace is {lasting(grace_ms)}" if is_graceless else ""),
            means=f"in an outage that lasts longer, {means}",
            do=altered(alike[0].name, f"retention.ms={7 * DAY_MS + 2 * grace_ms}") + (", and so on" if len(alike) > 1 else ""),
        )  # fmt: skip


def _evidence(seen: Installation, topic: TopicSeen) -> Iterator[Finding]:
    """Evidence about changes that are open is read again by a worker whose disk is gone."""
    kept_ms = number(topic, "retention.ms")
    listeners = [
        sink for sink in seen.sinks if topic.name in (*sink.receipts, *sink.dead_letters, *sink.success_topics)
    ]
    oldest = min((one.open_ms for sink in listeners for one in sink.readers if one.open_ms is not None), default=None)
    if "delete" not in policies(topic) or kept_ms is None or kept_ms < DAY_MS or oldest is None:
        return
    if seen.now_ms - oldest > kept_ms:
        yield Finding(
            level="warning", about="retention", place=f"topic {topic.name}",
            says=f"keeps evidence for {lasting(kept_ms)}, and a change that it may speak for is open since "
            f"{lasting(seen.now_ms - oldest)}",
            means="should a worker's disk be lost, what was said of open changes can't be read again: they are unverifiable",
            do=altered(topic.name, f"retention.ms={seen.now_ms - oldest + 7 * DAY_MS}"),
        )  # fmt: skip


def _by_bytes(topic: TopicSeen) -> Iterator[Finding]:
    """Evidence is not sampled, so that nothing is forecast of it."""
    kept_bytes = number(topic, "retention.bytes")
    if "delete" in policies(topic) and kept_bytes is not None and kept_bytes >= 0:
        yield Finding(
            level="unknown", about="retention", place=f"topic {topic.name}",
            says=f"keeps {kept_bytes} bytes of a partition (retention.bytes): how long that lasts was not looked at",
            means=f"where it is too little, {UNREAD}",
            do=altered(topic.name, "retention.bytes=-1") + ", and let retention.ms decide",
        )  # fmt: skip


def _lane(seen: Installation, lane: TopicSeen) -> Iterator[Finding]:
    """A lane keeps what it holds at least as long as the change topics that it is about (protocol section 7)."""
    for name in ("retention.ms", "retention.bytes"):
        kept = number(lane, name)
        if kept is None or kept < 0 or "delete" not in policies(lane):
            continue
        longer = [
            topic.name for topic in seen.of("change") if topic.partitions == lane.wanted and _keeps(topic, name) > kept
        ]
        if longer:
            yield Finding(
                level="warning", about="retention", place=f"topic {lane.name}",
                says=f"its {name} is {kept}, less than that of {listed(longer)}",
                means="evidence is gone before its changes are: should a worker's disk be lost, open changes are unverifiable",
                do=altered(lane.name, f"{name}=-1"),
            )  # fmt: skip


def _keeps(topic: TopicSeen, name: str) -> float:
    kept = number(topic, name)
    return float("inf") if kept is None or kept < 0 or "delete" not in policies(topic) else kept


def progress(seen: Installation) -> Iterator[Finding]:
    """What committed offsets say: nothing at all, below the log's start, or beyond its end."""
    logs = seen.by_place
    for sink in seen.sinks:
        if sink.group is None:
            continue
        yield from _silent(sink, logs)
        below, beyond = [], []
        for one in sink.readers:
            log = logs.get((one.topic, one.partition))
            if log is None or one.committed is None:
                continue
            end = max(log.end, log.end_later)
            place = f"{one.topic}:{one.partition} (committed {one.committed}, the log holds {log.earliest} to {end})"
            below += [place] if one.committed < log.earliest else []
            beyond += [place] if one.committed > end else []
        if below:
            yield Finding(
                level="error", about="progress", place=f"group {sink.group}", says=f"stands below the log's start: {listed(below)}",
                means="Kafka deleted what the sink had not read: it is missing as soon as the sink goes on",
                do="bring the sink up to date, raise retention.ms, and mend the rows by hand or by a snapshot",
            )  # fmt: skip
        if beyond:
            yield Finding(
                level="error", about="progress", place=f"group {sink.group}", says=f"stands beyond the log's end: {listed(beyond)}",
                means="the offsets are of another life of the topic: no fence is written, and the sink will skip new changes",
                do=f"stop the sink, move its offsets to where it is, then cdc-verifier rebuild {sink.name}",
            )  # fmt: skip


def _silent(sink: SinkSeen, logs: Mapping[Place, LogSeen]) -> Iterator[Finding]:
    mine = [logs[one.topic, one.partition] for one in sink.readers if (one.topic, one.partition) in logs]
    is_needed = sink.contract.fences == "progress" or sink.contract.start == "committed"
    if is_needed and any(log.end > log.earliest for log in mine) and all(one.committed is None for one in sink.readers):
        yield Finding(
            level="warning", about="progress", place=f"group {sink.group}",
            says=f"has committed nothing of {listed(sorted({log.topic for log in mine}))}, and they hold records",
            means=f"sinks.{sink.name} is never fenced: every change stays pending, whatever became of it",
            do="start the sink; see that its group is this one, and that it commits offsets to Kafka",
        )  # fmt: skip


def unknown_progress(seen: Installation) -> Iterator[Finding]:
    """Sinks of which nobody can tell how far they are."""
    for sink in seen.sinks:
        known = {(one.topic, one.partition) for one in sink.readers if one.open is not None}
        logs = [log for topic in sink.contract.topics for log in seen.logs_of(topic) if log.end > log.earliest]
        missing = [f"{log.topic}:{log.partition}" for log in logs if (log.topic, log.partition) not in known]
        if missing and not (sink.group and all(one.committed is None for one in sink.readers)):
            yield Finding(
                level="unknown", about="progress", place=f"sinks.{sink.name}",
                says=f"how far it is with {listed(missing)} can't be told: "
                + ("its group has committed nothing of them" if sink.group else "it has no group")
                + ", and no worker has told a watermark of them",
                means="whether retention deletes changes before it settles them was not looked at",
                do='start a worker (mode = "observe" makes no commands), let it fence, and check again',
            )  # fmt: skip
