"""Random histories of one partition number: changes of two topics, and two lanes that four sinks share.

One lane is a receipts topic, read as it is. The other is an internal topic into which evidence was routed, at least once:
its records name their origin, and some stand in it twice. Both may have lost ranges, and so may the changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.model import ChangeKind, Contract, EvidenceKind, Origin, ReceiptStatus, SinkTopic
from app.testing import Change, Row

SOURCES = ("shop.orders", "shop.items")
DIRECT = "receipts"
ROUTED = "cdc-verifier.lane.1"
ORIGINS = ("dlq", "receipts.elsewhere")
CONTRACTS = (
    Contract(sink="every", topics=SOURCES, truncates="apply"),
    Contract(sink="latest", topics=SOURCES, expect="latest-state", deletes="ignore"),
    Contract(sink="append", topics=SOURCES[:1], writes="append", redelivery="fault"),
    Contract(sink="passed", topics=SOURCES, evidence="progress"),
)
LANES = {"every": DIRECT, "latest": DIRECT, "append": ROUTED, "passed": ROUTED}
STRANGERS = (
    SinkTopic("stranger", SOURCES[0], 0),
    SinkTopic("append", SOURCES[1], 0),
    SinkTopic("every", SOURCES[0], 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Offsets ``[offset, end)`` of a log that retention took before they were read."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a lane: what it says of whom; without a name it can't be read. Routed ones name their origin."""

    offset: int
    name: SinkTopic | None = None
    rows: tuple[Row, ...] = ()
    origin: Origin | None = None


Item = Change | Record | Hole


@dataclass(frozen=True, slots=True)
class History:
    """Everything that Kafka holds in the end, by topic."""

    logs: dict[str, list[Item]]

    def end(self, topic: str) -> int:
        """A log's end."""
        last = self.logs[topic][-1]
        return last.end if isinstance(last, Hole) else last.offset + 1

    def changes(self, topic: str) -> list[Change]:
        """The changes of a topic that can be read."""
        return [item for item in self.logs[topic] if isinstance(item, Change)]

    def lost(self, topic: str) -> list[int]:
        """The offsets of a topic that retention took."""
        return [n for item in self.logs[topic] if isinstance(item, Hole) for n in range(item.offset, item.end)]

    def records(self, topic: str) -> list[Record]:
        """The records of a lane that can be read."""
        return [item for item in self.logs[topic] if isinstance(item, Record)]

    def without(self, *kinds: EvidenceKind) -> History:
        """The same history with some kinds of rows taken out of its lanes; no record changes its place."""
        logs = dict(self.logs)
        for lane in (DIRECT, ROUTED):
            logs[lane] = [
                replace(item, rows=tuple(row for row in item.rows if row.kind not in kinds))
                if isinstance(item, Record)
                else item
                for item in logs[lane]
            ]
        return History(logs)


def history(seed: int) -> History:
    """A history of some hundred changes, with every kind of mark, receipt and loss in it."""
    rng = random.Random(seed)
    logs: dict[str, list[Item]] = {topic: _changes(rng) for topic in SOURCES}
    said: dict[str, dict[SinkTopic, list[tuple[Row, ...]]]] = {DIRECT: {}, ROUTED: {}}
    for contract in CONTRACTS:
        for topic in contract.topics:
            rows = _said(rng, [item for item in logs[topic] if isinstance(item, Change)])
            said[LANES[contract.sink]][SinkTopic(contract.sink, topic, 0)] = _with_statuses(f"{seed} {topic}", rows)
    logs[DIRECT] = _direct(rng, list(_mixed(rng, said[DIRECT])))
    logs[ROUTED] = _routed(rng, list(_mixed(rng, said[ROUTED])))
    for topic in list(logs):
        if rng.random() < 0.25:
            logs[topic] = _with_hole(rng, logs[topic])
    return History(logs)


# -------------------------------------------------------------------- changes


def _changes(rng: random.Random) -> list[Item]:
    changes: list[Item] = []
    offset = rng.choice([0, 4_000, 100_000])
    kinds = [ChangeKind.UPSERT] * 12 + [
        ChangeKind.DELETE, ChangeKind.DELETE, ChangeKind.TOMBSTONE, ChangeKind.TRUNCATE, ChangeKind.MESSAGE,
        ChangeKind.UNREADABLE,
    ]  # fmt: skip
    for _ in range(rng.randint(4, 45)):
        kind = rng.choice(kinds)
        key = None if rng.random() < 0.1 or kind is ChangeKind.TRUNCATE else f"k{rng.randint(0, 9)}"
        content = rng.randint(1, 9) if kind is ChangeKind.UPSERT else 0
        position = rng.randint(1, 1_000) if rng.random() < 0.9 else None
        changes.append(Change(offset=offset, kind=kind, key=key, content=content, position=position))
        offset += 1 if rng.random() < 0.95 else rng.choice([2, 7, 3_000, 70_000])
    return changes


def _with_hole(rng: random.Random, items: list[Item]) -> list[Item]:
    """Retention took a short range: not the head, which nobody has seen, and not the end."""
    first = rng.randint(1, max(len(items) - 2, 1))
    last = min(first + rng.randint(0, 6), len(items) - 2)
    start, end = items[first].offset, items[last + 1].offset if last >= first else 0
    if last < first or end - start > 4_000:
        return items
    return [*items[:first], Hole(offset=start, end=end), *items[last + 1 :]]


# -------------------------------------------------------------------- what sinks say


def _said(rng: random.Random, changes: list[Change]) -> list[tuple[Row, ...]]:
    """What one sink says of one topic, in order: the rows of each record."""
    rows: list[tuple[Row, ...]] = []
    waiting: list[tuple[Row, ...]] = []
    time, generation = 1_000, 0
    for change in changes:
        time += rng.randint(0, 2_000_000 if rng.random() < 0.02 else 20)
        said = _receipts(rng, change, time)
        together = [tuple(said)] if said and rng.random() < 0.3 else [(row,) for row in said]
        (waiting if rng.random() < 0.25 else rows).extend(together)
        while waiting and rng.random() < 0.3:
            rows.append(waiting.pop(rng.randrange(len(waiting))))
        if rng.random() < 0.15:
            rows.append((_mark(rng, change.offset, time, generation),))
        if rng.random() < 0.012:
            generation += 1
            rows.append((Row(offset=change.offset - 3, kind=EvidenceKind.START, at=time, generation=generation),))
    rows.extend(waiting)
    end = changes[-1].offset + 1
    last = Row(offset=end, kind=EvidenceKind.FENCE, at=time, generation=generation)
    if rng.random() < 0.3:  # the sink stands still, but passed a few offsets without looking
        last = replace(last, offset=end - 3, to_offset=end - 1, kind=EvidenceKind.SKIP)
    rows.append((last,))
    return rows


def _with_statuses(seed: str, rows: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
    """A probe tells of the connector now and then; by chance of its own, so that all the rest is as it was without."""
    rng = random.Random(seed)
    status = Row(offset=0, kind=EvidenceKind.STATUS, to_offset=rng.randint(-1, 50))
    return [(*told, status) if rng.random() < 0.05 else told for told in rows]


def _receipts(rng: random.Random, change: Change, time: int) -> list[Row]:
    status = ReceiptStatus.DELETED if change.kind is ChangeKind.DELETE else ReceiptStatus.APPLIED
    if change.kind in (ChangeKind.TOMBSTONE, ChangeKind.MESSAGE) and rng.random() < 0.9:
        return []
    good = Row(offset=change.offset, status=status, content=change.content or None, at=time)
    dice = rng.random()
    if dice < 0.7:
        return [good]
    if dice < 0.78:
        return []
    if dice < 0.82:
        return [good, replace(good, at=time + 5)]
    if dice < 0.9:
        command = rng.random() < 0.5
        bad = Row(offset=change.offset, status=rng.randint(0, 3), content=rng.randint(1, 99), at=time, command=command)
        return rng.choice([[bad], [bad, good], [good, bad, good, bad]])
    if dice < 0.93:
        return [Row(offset=change.offset, status=ReceiptStatus.SKIPPED, content=None, at=time, command=True)]
    if dice < 0.96:
        return [replace(good, sequence=rng.randint(1, 50))]
    return [good, Row(offset=change.offset + rng.choice([1, 500, 900_000]), at=time)]


def _mark(rng: random.Random, offset: int, time: int, generation: int) -> Row:
    kind = rng.choice([EvidenceKind.FENCE] * 6 + [EvidenceKind.PROGRESS, EvidenceKind.SKIP, EvidenceKind.START])
    if kind is EvidenceKind.SKIP:
        return Row(offset=offset - 2, to_offset=offset + 1, kind=kind, at=time, generation=generation)
    if kind is EvidenceKind.START:
        return Row(offset=offset - 60, kind=kind, at=time, generation=generation)
    if rng.random() < 0.05:
        offset += 10_000_000
    if rng.random() < 0.08:
        kind = rng.choice([EvidenceKind.LOSS, EvidenceKind.LOSS, EvidenceKind.END, EvidenceKind.WAIVER])
    if rng.random() < 0.1:
        generation = max(0, generation - 1)
    return Row(offset=offset, kind=kind, at=time, generation=generation)


# -------------------------------------------------------------------- lanes

Told = tuple[SinkTopic | None, tuple[Row, ...]]


def _mixed(rng: random.Random, said: dict[SinkTopic, list[tuple[Row, ...]]]) -> Iterator[Told]:
    """Several sinks write into one log; now and then a record stands there that is nobody's."""
    left = {name: list(rows) for name, rows in said.items()}
    while left:
        name = rng.choice(sorted(left))
        yield name, left[name].pop(0)
        if not left[name]:
            del left[name]
        if rng.random() < 0.02:
            yield rng.choice([*STRANGERS, None]), (Row(offset=rng.randint(0, 50)),)


def _direct(rng: random.Random, told: list[Told]) -> list[Item]:
    items: list[Item] = []
    offset = 0
    for name, rows in told:
        items.append(Record(offset=offset, name=name, rows=() if name is None else rows))
        offset += 1 if rng.random() < 0.97 else 3
    return items


def _routed(rng: random.Random, told: list[Told]) -> list[Item]:
    """The router reads two logs in order; wherever it stopped without committing, it routes the last records again."""
    nexts = dict.fromkeys(ORIGINS, 0)
    records: list[Record] = []
    for name, rows in told:
        log = rng.choice(ORIGINS)
        said = () if name is None else rows
        records.append(Record(offset=0, name=name, rows=said, origin=Origin(log, 0, nexts[log])))
        nexts[log] += 1 if rng.random() < 0.9 else 4
        if rng.random() < 0.03:
            again = [record for record in records if record.origin.topic == log]
            records.extend(again[-rng.randint(1, 4) :])
    return [replace(record, offset=offset) for offset, record in enumerate(records)]
