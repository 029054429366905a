"""Random histories of one partition number: changes of one topic, and one lane topic that several sinks share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from app.adapters.store import MemoryStore, Store
from app.ledger import blocks
from app.ledger.partition import PartitionFold
from app.model import ChangeKind, Contract, EvidenceKind, ReceiptStatus, SinkTopic
from app.testing import Change, Row, change_batch, evidence_batch
from app.worker.partition import PartitionWorker

TOPIC = "shop.orders"
LANE = "receipts"
CONTRACTS = (
    Contract(sink="every", topics=(TOPIC,), truncates="apply"),
    Contract(sink="latest", topics=(TOPIC,), expect="latest-state", deletes="ignore"),
    Contract(sink="append", topics=(TOPIC,), writes="append", redelivery="fault"),
    Contract(sink="passed", topics=(TOPIC,), evidence="progress"),
)


@dataclass(slots=True)
class History:
    """Everything that Kafka holds in the end."""

    changes: list[Change]
    evidence: list[tuple[SinkTopic, Row]]

    @property
    def end(self) -> int:
        """The change partition's end."""
        return self.changes[-1].offset + 1


@dataclass(slots=True)
class Read:
    """What one reading of a history made of it."""

    effects: dict[str, list[str]] = field(default_factory=dict)
    state: list[bytes] = field(default_factory=list)


def history(seed: int) -> History:
    """A history of some hundred changes, with every kind of mark and receipt in it."""
    rng = random.Random(seed)
    changes = _changes(rng)
    lanes = {contract.sink: _lane(rng, changes, contract) for contract in CONTRACTS}
    evidence: list[tuple[SinkTopic, Row]] = []
    while lanes:
        sink = rng.choice(sorted(lanes))
        evidence.append((SinkTopic(sink, TOPIC, 0), lanes[sink].pop(0)))
        if not lanes[sink]:
            del lanes[sink]
    return History(changes, evidence)


def _changes(rng: random.Random) -> list[Change]:
    changes, offset = [], rng.choice([0, 4_000, 100_000])
    kinds = [ChangeKind.UPSERT] * 12 + [
        ChangeKind.DELETE, ChangeKind.DELETE, ChangeKind.TOMBSTONE, ChangeKind.TRUNCATE, ChangeKind.MESSAGE,
        ChangeKind.UNREADABLE,
    ]  # fmt: skip
    for _ in range(rng.randint(20, 120)):
        kind = rng.choice(kinds)
        key = None if rng.random() < 0.1 or kind is ChangeKind.TRUNCATE else f"k{rng.randint(0, 15)}"
        content = rng.randint(1, 9) if kind is ChangeKind.UPSERT else 0
        position = rng.randint(1, 2_000) if rng.random() < 0.9 else None
        changes.append(Change(offset=offset, kind=kind, key=key, content=content, position=position))
        offset += 1 if rng.random() < 0.95 else rng.choice([2, 7, 3_000, 70_000])
    return changes


def _lane(rng: random.Random, changes: list[Change], contract: Contract) -> list[Row]:
    rows: list[Row] = []
    waiting: list[Row] = []
    time, generation = 1_000, 0
    for change in changes:
        time += rng.randint(0, 2_000_000 if rng.random() < 0.02 else 20)
        said = _receipts(rng, change, time)
        (waiting if rng.random() < 0.25 else rows).extend(said)
        while waiting and rng.random() < 0.3:
            rows.append(waiting.pop(rng.randrange(len(waiting))))
        if rng.random() < 0.15:
            rows.append(_mark(rng, change.offset, time, generation))
        if rng.random() < 0.01:
            generation += 1
            rows.append(Row(offset=change.offset - 3, kind=EvidenceKind.START, at=time, generation=generation))
    rows.extend(waiting)
    rows.append(Row(offset=changes[-1].offset + 1, kind=EvidenceKind.FENCE, at=time, generation=generation))
    return rows


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
        return [good, Row(offset=change.offset, status=status, content=change.content or None, at=time + 5)]
    if dice < 0.9:
        command = rng.random() < 0.5
        bad = Row(offset=change.offset, status=rng.randint(0, 3), content=rng.randint(1, 99), at=time, command=command)
        return [bad] if rng.random() < 0.5 else [bad, good]
    if dice < 0.93:
        return [Row(offset=change.offset, status=ReceiptStatus.SKIPPED, content=None, at=time, command=True)]
    if dice < 0.96:
        sequence = rng.randint(1, 50)
        return [Row(offset=change.offset, status=status, content=change.content or None, at=time, sequence=sequence)]
    return [good, Row(offset=change.offset + rng.choice([1, 500, 900_000]), at=time)]


def _mark(rng: random.Random, offset: int, time: int, generation: int) -> Row:
    kind = rng.choice([EvidenceKind.FENCE] * 6 + [EvidenceKind.PROGRESS, EvidenceKind.SKIP, EvidenceKind.START])
    if kind is EvidenceKind.SKIP:
        return Row(offset=offset - 2, to_offset=offset + 1, kind=kind, at=time, generation=generation)
    if kind is EvidenceKind.START:
        return Row(offset=offset - 60, kind=kind, at=time, generation=generation)
    if rng.random() < 0.05:
        offset += 10_000_000
    if rng.random() < 0.05:
        kind = rng.choice([EvidenceKind.LOSS, EvidenceKind.END, EvidenceKind.WAIVER])
    if rng.random() < 0.1:
        generation = max(0, generation - 1)
    return Row(offset=offset, kind=kind, at=time, generation=generation)


def open_worker(store: Store, snapshot_rows: int = 131_072) -> PartitionWorker:
    """A worker over a store, as after a start."""
    lanes = {contract.sink: LANE for contract in CONTRACTS}
    return PartitionWorker(lambda: PartitionFold(CONTRACTS, 0), store, lanes, snapshot_rows=snapshot_rows)


def read(
    told: History,
    *,
    seed: int | None = None,
    restart: float = 0.0,
    snapshot_rows: int = 131_072,
    first: str | None = None,
) -> Read:
    """Read a history.

    Args:
        seed: of batch sizes and interleaving; None reads all changes, then all evidence, in two batches.
        restart: probability of dropping the worker and opening its store again, after each batch.
        first: ``changes`` or ``evidence``: that log is read to its end before the other.
    """
    rng = random.Random(seed)
    store = MemoryStore()
    worker = open_worker(store, snapshot_rows)
    left: dict[str, list] = {"changes": list(told.changes), "evidence": list(told.evidence)}
    done = {"changes": told.changes[0].offset, "evidence": 0}
    while any(left.values()):
        log = _next_log(rng, left, first, is_whole=seed is None)
        count = len(left[log]) if seed is None else min(len(left[log]), rng.choice([1, 2, 5, 30, 200]))
        rows, left[log] = left[log][:count], left[log][count:]
        if log == "changes":
            worker.take_changes(change_batch(rows, TOPIC, start=done[log]))
            done[log] = rows[-1].offset + 1
        else:
            worker.take_evidence(evidence_batch(rows, LANE, start=done[log]))
            done[log] += count
        if restart and rng.random() < restart:
            worker = open_worker(store, snapshot_rows)
            left, done = _where_it_stands(told, worker)
    while blocked := next(worker.blocked(), None):
        worker.record_end(blocked[0].contract.sink, TOPIC, told.end)
        if restart and rng.random() < restart:
            worker = open_worker(store, snapshot_rows)
    return _collect(worker)


def _where_it_stands(told: History, worker: PartitionWorker) -> tuple[dict[str, list], dict[str, int]]:
    """After a restart reading goes on where the store says, and nowhere else."""
    changes, evidence = worker.position(TOPIC) or told.changes[0].offset, worker.position(LANE) or 0
    left = {"changes": [c for c in told.changes if c.offset >= changes], "evidence": told.evidence[evidence:]}
    return left, {"changes": changes, "evidence": evidence}


def _next_log(rng: random.Random, left: dict[str, list], first: str | None, *, is_whole: bool) -> str:
    ready = [log for log, rows in left.items() if rows]
    if first in ready:
        return first
    return ready[0] if is_whole else rng.choice(ready)


def _collect(worker: PartitionWorker) -> Read:
    found = Read()
    for _, effect in worker.outbox(1_000_000):
        text = repr(effect)
        if type(effect).__name__ == "Command":
            text = repr(normalised(effect))
        found.effects.setdefault(f"{effect.sink} {type(effect).__name__}", []).append(text)
    for name in ("Orphan", "Contradicted"):
        for key in found.effects:
            if key.endswith(name):
                found.effects[key].sort()
    worker.snapshot()
    for sink in worker.fold.sinks.values():
        sink.touched.clear()
        sink.stragglers.dirty.clear()
        sink.changed.clear()
        found.state.append(blocks.pack_sink(sink))
        found.state.extend(blocks.pack_cells(sink.cells[number]) for number in sorted(sink.cells))
    return found


def normalised(command):
    """A command without what may differ between readings: the newest change read so far (protocol section 5)."""
    items = [(item.offset, item.reason, item.kind, item.fingerprint) for item in command.items]
    return (command.id, command.generation, items, command.issued_at, command.expires_at)
