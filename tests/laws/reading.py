"""Reading a history: batch boundaries, interleaving, reading speeds, restarts and catching up, all drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from app.adapters.store import MemoryStore, Store
from app.ledger import blocks
from app.ledger.partition import PartitionFold
from app.model import Batch, ChangeBatch, ChangeKind, Contract
from app.model.effects import Command, Contradicted, Orphan, Seal, UnknownSink, Verdict
from app.testing import Change, change_batch, evidence_batch
from app.worker.effects import Effect
from app.worker.partition import PartitionWorker
from tests.laws.histories import CONTRACTS, LANES, SOURCES, History, Hole, Item, Record

ALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a history is read.

    Attributes:
        seed: of batch sizes and interleaving; None reads every log in as few batches as there can be.
        restart: probability of dropping the worker and opening its store again, after each batch.
        first: a kind of log that is read to its end before the other: ``changes`` or ``evidence``.
        catches_up: whether a worker that was opened holds back what it finds until it has caught up.
        acknowledged: probability that what was emitted after a batch is acknowledged; None emits at the end alone.
        memory_bytes: of the segments in memory; None for no limit.
    """

    seed: int | None = None
    restart: float = 0.0
    snapshot_rows: int = 131_072
    first: str | None = None
    catches_up: bool = False
    acknowledged: float | None = None
    memory_bytes: int | None = None


@dataclass(slots=True)
class Read:
    """What one reading of a history made of it; ``emitted`` is in the order in which a broker would hold it."""

    worker: PartitionWorker
    emitted: list[Effect] = field(default_factory=list)
    state: list[bytes] = field(default_factory=list)

    @property
    def effects(self) -> dict[str, list[str]]:
        """What was emitted by sink, topic and kind, as texts; the order of remarks is nobody's business."""
        found: dict[str, list[str]] = {}
        for effect in self.emitted:
            text = repr(normalised(effect)) if isinstance(effect, Command) else repr(effect)
            key = f"{getattr(effect, 'sink', '')} {effect.topic} {type(effect).__name__}"
            found.setdefault(key, []).append(text)
        return {key: sorted(rows) if key.endswith(_UNORDERED) else rows for key, rows in found.items()}

    def of(self, kind: type[Verdict | Command | Seal]) -> list:
        """What was emitted of one kind."""
        return [effect for effect in self.emitted if isinstance(effect, kind)]


_UNORDERED = (Orphan.__name__, Contradicted.__name__, UnknownSink.__name__)


def normalised(command: Command) -> tuple:
    """A command without what may differ between readings: the newest change read so far (protocol section 5)."""
    items = [(item.offset, item.reason, item.kind, item.fingerprint) for item in command.items]
    return (command.id, command.sink, command.generation, command.topic, items, command.issued_at, command.expires_at)


def read(told: History, how: How | None = None, watch: Callable[[PartitionWorker], None] | None = None) -> Read:
    """Read a history to its end; ``watch`` looks at the worker after every batch."""
    reader = Reader(told, how or How(), watch or (lambda _: None))
    reader.run()
    return reader.result()


class Reader:
    """One reading of one history."""

    contracts: tuple[Contract, ...] = CONTRACTS

    def __init__(self, told: History, how: How, watch: Callable[[PartitionWorker], None] = lambda _: None) -> None:
        self.told, self.how, self.watch = told, how, watch
        self.rng = random.Random(how.seed)
        self.worker = self._opened(MemoryStore())
        self.read = Read(self.worker)

    def run(self) -> None:
        """Read every log to its end, then fix the ends that rows beyond them wait for."""
        most = (
            10 * sum(map(len, self.told.logs.values())) + 100
        )  # one batch each, read some times: else it goes in circles
        while self._step():
            self._after_batch()
            most -= 1
            assert most, "reading comes to no end"

    def _step(self) -> bool:
        """One batch, or one end; False where all was read. A worker that went on from a checkpoint reads some again."""
        ready = [topic for topic in self.told.logs if self._left(topic)]
        if ready:
            found = [self._next_batch(topic) for topic in self._next_logs(ready)]
            batches = [batch for batch in found if batch is not None]
            if batches:
                self.worker.take(batches)
            return True
        blocked = next(self.worker.fold.blocked(), None)
        if blocked is None:
            return False
        source = blocked[0].changes.topic
        self.worker.record_end(blocked[0].contract.sink, source, self.told.end(source))
        return True

    def result(self) -> Read:
        """What was emitted, and the whole state as bytes."""
        self._emit(is_acknowledged=True)
        self.read.worker = self.worker
        self.worker.snapshot()
        for _, sink in sorted(self.worker.fold.sinks.items()):
            sink.touched.clear()
            sink.stragglers.dirty.clear()
            sink.cells.changed.clear()
            self.read.state.append(blocks.pack_sink(sink))
            self.read.state.extend(blocks.pack_cells(sink.cells[number]) for number in sorted(sink.cells))
        return self.read

    def _opened(self, store: Store) -> PartitionWorker:
        """A worker over a store, as after a start; it catches up to ends that the logs have by now."""
        worker = PartitionWorker(
            lambda: PartitionFold(self.contracts, 0),
            store,
            LANES,
            snapshot_rows=self.how.snapshot_rows,
            memory_bytes=self.how.memory_bytes,
        )
        if self.how.catches_up:
            ends = {}
            for topic, items in self.told.logs.items():
                left = [item for item in items if item.offset >= (worker.position(topic) or 0)]
                if left:
                    ends[topic] = left[self.rng.randrange(len(left))].offset
            worker.catch_up(ends)
        return worker

    # ---------------------------------------------------------------- input

    def _left(self, topic: str) -> list[Item]:
        position = self.worker.position(topic)
        items = self.told.logs[topic]
        return items if position is None else [item for item in items if _end(item) > position]

    def _next_logs(self, ready: list[str]) -> list[str]:
        """One log, or some of which a fetch brings something together."""
        wanted = [topic for topic in ready if self.how.first == ("changes" if topic in SOURCES else "evidence")]
        among = wanted or ready
        count = min(self.rng.choice([1, 1, 2, 9]), len(among))
        return among[:1] if self.how.seed is None else self.rng.sample(among, count)

    def _next_batch(self, topic: str) -> Batch | None:
        """None where the log has a hole next, of which the worker is told."""
        items = self._left(topic)
        start = self.worker.position(topic)
        start = items[0].offset if start is None else start
        if isinstance(items[0], Hole):
            lose = self.worker.lose_changes if topic in SOURCES else self.worker.lose_evidence
            if start < items[0].offset:  # the log holds nothing up to there
                self.worker.passed(topic, items[0].offset)
            lose(topic, items[0].offset, items[0].end)
            return None
        count = next((n for n, item in enumerate(items) if isinstance(item, Hole)), len(items))
        again: list[Item] = []
        if self.how.seed is not None:
            count = min(count, self.rng.choice([1, 2, 5, 30, 200]))
            again = self._read_before(topic, start, self.rng.choice([0, 0, 0, 1, 4]))
        batch = [*again, *items[:count]]
        start = again[0].offset if again else start
        return self._batch(batch, topic, start) if topic in SOURCES else lane_batch(batch, topic, start)

    def _batch(self, changes: list[Item], topic: str, start: int, end: int | None = None) -> ChangeBatch:
        """Changes as they are decoded for these contracts."""
        return change_batch(changes, topic, start=start, end=end)

    def _read_before(self, topic: str, start: int, count: int) -> list[Item]:
        """The last few items before a position: a fetch may begin below it."""
        before = [item for item in self.told.logs[topic] if _end(item) <= start]
        last_hole = max((n for n, item in enumerate(before) if isinstance(item, Hole)), default=-1)
        return before[max(len(before) - count, last_hole + 1) :]

    def _read_again(self, topic: str, offset: int) -> None:
        """Changes that were forgotten since, for evidence that still came about them; what was lost is lost again."""
        changes = [*self.told.changes(topic), *(Change(offset=n, kind=ChangeKind.LOST) for n in self.told.lost(topic))]
        wanted = [change for change in changes if offset <= change.offset < (self.worker.position(topic) or 0)]
        batch = sorted(wanted, key=lambda change: change.offset)
        self.worker.read_again(self._batch(batch, topic, offset, self.worker.position(topic)), earliest=0)

    # ---------------------------------------------------------------- after a batch

    def _after_batch(self) -> None:
        while asked := next(self.worker.fold.far(), None):
            self._read_again(*asked)
        self.worker.check_caught_up()
        self.watch(self.worker)
        if self.how.acknowledged is not None and self.rng.random() < 0.5:
            self._emit(is_acknowledged=self.rng.random() < self.how.acknowledged)
        if self.how.restart and self.rng.random() < self.how.restart:
            self.worker = self._opened(self.worker.store)

    def _emit(self, *, is_acknowledged: bool) -> None:
        """Send the outbox; what is not acknowledged is sent again."""
        sent = self.worker.outbox(ALL)
        self.read.emitted.extend(effect for _, effect in sent)
        if is_acknowledged:
            self.worker.acknowledge([key for key, _ in sent])


def _end(item: Item) -> int:
    return item.end if isinstance(item, Hole) else item.offset + 1


def lane_batch(records: list[Record], topic: str, start: int):
    """A batch of a lane's records."""
    readable = [record for record in records if record.name is not None]
    batch = evidence_batch([(record.name, row) for record in readable for row in record.rows], topic)
    owners = [record for record in readable for _ in record.rows]
    return replace(
        batch,
        start=start,
        next=records[-1].offset + 1,
        records=np.array([record.offset for record in owners], np.int64),
        origins={row: record.origin for row, record in enumerate(owners) if record.origin is not None},
        unreadable=[(record.offset, "planted") for record in records if record.name is None],
    )
