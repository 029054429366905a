"""Three simulated sinks of the demo, and the faults planted in them.

A sink knows every change beforehand, so it can be written as the list of what it says of them, in order. Nothing here is
seen by the verifier but Kafka records.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.model import ChangeBatch, ChangeKind
from cdc_receipts.codec import Mark, MarkKind, Receipt, Status, encode_mark, encode_receipt

OUTAGE = (0.45, 0.6)
"""Part of its lane during which a sink with an outage says nothing; afterwards it catches up, and nothing may alarm."""
FENCE_EVERY = 40
"""Receipts between two fences of an emitter."""
EARLY = 350
"""A receipt that comes after its fence is planted below this offset, and said at the end of the log."""

BAD_FAULTS = ("lost", "diverged", "wrong_kind", "rejected", "late_beyond_fence")
FLAG_FAULTS = ("late", "twice", "out_of_order")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One record of evidence of a sink, or an offset that it commits; ``row`` is the change it has come to."""

    row: int
    value: bytes | None
    progress: int | None = None
    is_in_outage: bool = False


@dataclass(slots=True)
class SimulatedSink:
    """A sink's contract in short, and what was planted in it.

    Attributes:
        emits_fences: else it commits offsets of its group, and the verifier's probe fences.
        planted: fault by (topic, partition, offset); unrepairable: those that a repair is refused for.
    """

    name: str
    topics: tuple[str, ...]
    receipts: str
    emits_fences: bool
    is_latest_state: bool = False
    deletes: bool = True
    has_outage: bool = False
    planted: dict[tuple[str, int, int], str] = field(default_factory=dict)
    unrepairable: set[tuple[str, int, int]] = field(default_factory=set)

    def plant(self, changes: list[ChangeBatch], rng: random.Random, each: int) -> None:
        """Choose ``each`` changes for every kind of fault, no two of one key."""
        free = []
        for batch in changes:
            if batch.topic in self.topics:
                offsets = _upserts(batch, rng, is_newest=self.is_latest_state)
                free += [(batch.topic, batch.partition, offset) for offset in offsets]
        rng.shuffle(free)
        early = [place for place in free if place[2] < EARLY]
        for _ in range(each):
            place = early.pop()
            free.remove(place)
            self.planted[place] = "late_beyond_fence"
        for fault in ("lost", "diverged", "wrong_kind", "rejected", "late", "twice"):
            for _ in range(each):
                self.planted[free.pop()] = fault
        bad = [place for place, fault in self.planted.items() if fault in ("lost", "diverged")]
        self.unrepairable = {bad[0], bad[-1]}
        self._plant_out_of_order(changes, each)
        holes = [(b.topic, b.partition, hole) for b in changes if b.topic in self.topics for hole in _holes(b)]
        self.planted |= dict.fromkeys(rng.sample(holes, each), "orphan")

    def _plant_out_of_order(self, changes: list[ChangeBatch], each: int) -> None:
        """Pairs of changes of one key: the first is applied after the second."""
        left = each
        for batch in changes:
            if batch.topic not in self.topics:
                continue
            for first, second in _neighbours(batch):
                places = [(batch.topic, batch.partition, offset) for offset in (first, second)]
                if left and not any(place in self.planted for place in places):
                    self.planted[places[0]] = "out_of_order"
                    left -= 1

    def speak(self, batch: ChangeBatch, ids: dict[str, int]) -> Iterator[Spoken]:
        """Everything this sink says of one source partition, in order."""
        held: list[tuple[int, bytes]] = []  # (after which offset, receipt)
        orphans = [hole for hole in _holes(batch) if (batch.topic, batch.partition, hole) in self.planted]
        count = len(batch)
        outage = range(int(count * OUTAGE[0]), int(count * OUTAGE[1])) if self.has_outage else range(0)
        for row in range(count):
            offset = int(batch.offsets[row])
            place = (batch.topic, batch.partition, offset)
            fault = self.planted.get(place)
            is_in_outage = row in outage
            while orphans and orphans[0] < offset:
                yield Spoken(row, self._orphan(batch, orphans.pop(0), ids), None, is_in_outage)
            for value, wait in self._receipts(batch, row, fault, ids):
                if wait:
                    held.append((offset + wait, value))
                else:
                    yield Spoken(row, value, None, is_in_outage)
            for due in [item for item in held if item[0] <= offset]:
                held.remove(due)
                yield Spoken(row, due[1], None, is_in_outage)
            if row % FENCE_EVERY == FENCE_EVERY - 1:
                yield self.pass_by(batch.topic, batch.partition, offset + 1, ids, row, is_in_outage=is_in_outage)
        for _, value in held:
            yield Spoken(count, value)
        yield self.pass_by(batch.topic, batch.partition, batch.next, ids, count)

    def pass_by(
        self, topic: str, partition: int, offset: int, ids: dict[str, int], row: int, *, is_in_outage: bool = False
    ) -> Spoken:
        """The sink has disposed of everything below an offset: a fence of its own, or an offset it commits."""
        if not self.emits_fences:
            return Spoken(row, None, offset, is_in_outage)
        at = round(time.time() * 1000)
        mark = Mark(sink=self.name, topic=topic, partition=partition, kind=MarkKind.FENCE, offset=offset, at=at)
        return Spoken(row, encode_mark(mark, ids["SinkMark"]), None, is_in_outage)

    def _orphan(self, batch: ChangeBatch, offset: int, ids: dict[str, int]) -> bytes:
        """The sink says that it applied what never was."""
        receipt = Receipt(
            sink=self.name, topic=batch.topic, partition=batch.partition, offset=offset, status=Status.APPLIED,
            fingerprint=None, applied_at=int(batch.source_ts_ms[0]),
        )  # fmt: skip
        return encode_receipt(receipt, ids["DeliveryReceipt"])

    def _receipts(
        self, batch: ChangeBatch, row: int, fault: str | None, ids: dict[str, int]
    ) -> Iterator[tuple[bytes, int]]:
        """(receipt, by how many offsets it is held back) of one change."""
        status = _expected(ChangeKind(int(batch.kinds[row])), deletes=self.deletes)
        if status is None or fault == "lost":
            return
        fingerprint = int(batch.fingerprints[row, 0]).to_bytes(8, "little") if status is Status.APPLIED else None
        applied_at = int(batch.source_ts_ms[row]) + 300
        wait = 0
        match fault:
            case "diverged":
                fingerprint = bytes(8)
            case "wrong_kind":
                status, fingerprint = Status.DELETED, None
            case "rejected":
                status, fingerprint = Status.REJECTED, None
            case "late":
                applied_at += 3_600_000
            case "late_beyond_fence":
                wait = 1 << 40
            case "out_of_order":
                wait = FENCE_EVERY // 4
        receipt = Receipt(
            sink=self.name, topic=batch.topic, partition=batch.partition, offset=int(batch.offsets[row]), status=status,
            fingerprint=fingerprint, applied_at=applied_at,
        )  # fmt: skip
        yield encode_receipt(receipt, ids["DeliveryReceipt"]), wait
        if fault == "twice":
            again = Receipt(
                **{name: getattr(receipt, name) for name in Receipt.__slots__} | {"applied_at": applied_at + 9}
            )
            yield encode_receipt(again, ids["DeliveryReceipt"]), 0


def _holes(batch: ChangeBatch) -> list[int]:
    """Offsets inside a batch's range that hold no change."""
    return sorted(set(range(batch.start, batch.next)) - set(batch.offsets.tolist()))


def _expected(kind: ChangeKind, *, deletes: bool) -> Status | None:
    if kind is ChangeKind.UPSERT:
        return Status.APPLIED
    return Status.DELETED if kind is ChangeKind.DELETE and deletes else None


def _upserts(batch: ChangeBatch, rng: random.Random, *, is_newest: bool) -> list[int]:
    """One upsert a key, away from both ends of the log; the last change of its key where a later one would stand for it."""
    by_key: dict[bytes, list[int]] = {}
    for row in range(len(batch)):
        by_key.setdefault(batch.key_hashes[row].tobytes(), []).append(row)
    chosen = [rows[-1] if is_newest else rng.choice(rows) for rows in by_key.values()]
    edge = len(batch) // 10
    return [
        int(batch.offsets[row])
        for row in chosen
        if batch.kinds[row] == ChangeKind.UPSERT and edge <= row < len(batch) - edge
    ]


def _neighbours(batch: ChangeBatch) -> Iterator[tuple[int, int]]:
    """Pairs of upserts of one key that stand a few offsets apart with no other change of it behind them at once."""
    before: dict[bytes, int] = {}
    used: set[bytes] = set()
    for row in range(len(batch) - 3 * FENCE_EVERY):
        key = batch.key_hashes[row].tobytes()
        first = before.get(key)
        is_pair = (
            first is not None and 0 < row - first <= FENCE_EVERY // 4 and batch.kinds[first] == batch.kinds[row] == 1
        )
        if is_pair and key not in used and first is not None and first % FENCE_EVERY < FENCE_EVERY // 2:
            used.add(key)
            yield int(batch.offsets[first]), int(batch.offsets[row])
        before[key] = row
