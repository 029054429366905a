"""The fold of one partition number with its store: what a fetch brings of its inputs is one atomic write.

What a batch changes is written as the batch itself (a *delta*, immutable); every so often a *snapshot* of the fold
replaces the deltas. A restart loads the snapshot and folds the deltas again, which gives the same state because the fold
is pure (law 3), and makes no effects because they were written with the deltas. Keys of the store:

    m                       head: JSON, see `app.worker.head`
    n                       the head as it was at the last snapshot: where folding the deltas again begins
    d <uint64 BE>           delta, in the order taken
    s <text>                block of the last snapshot (`app.ledger.blocks`)
    u <text>                what the ledger topic holds of it, and of each block (`app.worker.checkpoints`)
    w <text>                where a scrub stands (`app.worker.scrubbed`); no part of the fold
    o, c, h <uint64 BE>     effects that no broker has acknowledged (`app.worker.outbox`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from app.adapters.store import Store
from app.errors import require
from app.ledger import blocks
from app.ledger.lane import RANK_BITS, LaneRows, lane_ranks, lost_rows, split
from app.ledger.partition import PartitionFold
from app.ledger.segments import Residents
from app.ledger.sink import SinkPartition
from app.ledger.terms import same
from app.model import Batch, ChangeBatch, Contract, EvidenceBatch, EvidenceKind, SinkTopic
from app.model.effects import SinkWatermark, Unreadable
from app.repair import planner, reporting
from app.worker import agreements, snapshots, standing
from app.worker.checkpoints import Upload
from app.worker.effects import Effect
from app.worker.findings import remarks, unknown
from app.worker.head import Head, pair_name
from app.worker.lanes import HELD_ROWS
from app.worker.origins import repeated, with_ends
from app.worker.outbox import Outbox, number_of, numbered
from app.worker.sending import Sending

HEAD, DELTA = b"m", b"d"
SNAPSHOT_HEAD = b"n"


class PartitionWorker:
    """Takes decoded batches of one partition number, judges, and keeps state and outbox in one store.

    Args:
        make_fold: an empty fold of this partition number.
        store: opened for this partition number alone.
        lane_topics: per sink, the topic its lane is read from; evidence of a sink in another topic is not judged here.
        snapshot_rows: how many rows of deltas call for a snapshot.
        memory_bytes: what its segments may take of memory; None for no limit.
    """

    def __init__(
        self,
        make_fold: Callable[[], PartitionFold],
        store: Store,
        lane_topics: Mapping[str, str],
        *,
        snapshot_rows: int = snapshots.ROWS,
        memory_bytes: int | None = None,
    ) -> None:
        self.store = store
        self.fold = make_fold()
        self.lane_topics = lane_topics
        self.snapshot_rows = snapshot_rows
        self.is_catching_up = False
        self.held: set[tuple[str, str]] = set()
        self._ends: dict[str, int] = {}
        self._snapshots = snapshots.Snapshots(self.fold, store)
        self.fold.residents = Residents(self._snapshots.read, memory_bytes)
        self._rows = self._delta = self._oldest_delta = 0
        self.effects = Outbox(store)
        self.checkpoints = Sending(store, self.effects.pack)
        contracts, self._decoded = list(self.fold.contracts.values()), list(self.fold.projections)
        compacted = self.fold.compacted
        self.head, newest = Head.load(store.get(SNAPSHOT_HEAD)), Head.load(store.get(HEAD))
        for name in ("owner", "topic_ids", "ends"):  # no delta holds these
            setattr(self.head, name, getattr(newest, name))
        agreements.recall(self.fold, self.head)
        store.write([(SNAPSHOT_HEAD, self.head.dump())])
        self._load()
        self.agree(contracts, compacted)

    # ---------------------------------------------------------------- input

    @property
    def partition(self) -> int:
        """The partition number."""
        return self.fold.partition

    def position(self, topic: str) -> int | None:
        """The next offset to read of an input; None where it was never read."""
        return self.head.positions.get(topic)

    def take(self, batches: Sequence[Batch], beside: Iterable[Effect] = ()) -> None:
        """Add batches, each of another input, and judge; all in one write. The caller has checked their ranges against `position`.

        Args:
            beside: what the reading of these batches makes besides (records routed to lanes, records for quarantine).
        """
        taken = [self._projected(batch) for batch in batches]
        deltas = [blocks.pack_batch(batch) for batch in taken]
        self._commit(deltas, lambda: [*beside, *self._batches(taken)], sum(map(len, taken)))

    def _projected(self, batch: Batch) -> Batch:
        expected = self.position(batch.topic)
        require(
            expected is None or batch.start <= expected,
            f"{batch.topic}:{self.partition}: a batch from {batch.start} was given, {expected} is next",
        )
        return agreements.projected(batch, self._decoded, self.fold.projections)

    def passed(self, topic: str, next_offset: int) -> None:
        """A range without records: only the position moves."""
        self._happens("passed", topic=topic, next_offset=next_offset)

    def agree(self, contracts: Sequence[Contract], compacted: frozenset[str]) -> None:
        """A changed configuration, ours or a topic's, takes effect where every input stands now; an equal one changes nothing."""
        if compacted != self.fold.compacted or not same(contracts, list(self.fold.contracts.values())):
            self.effects.hold_commands({contract.sink for contract in contracts if contract.mode == "observe"})
            self._happens("amended", **agreements.told(contracts, self._decoded, compacted))

    def begin(self, sink: str, topic: str, offset: int) -> None:
        """A sink that is seen for the first time is judged from ``offset`` on, as its contract's ``start`` says."""
        self._happens("begun", sink=sink, topic=topic, offset=offset)

    def lose_changes(self, topic: str, start: int, end: int) -> None:
        """Changes ``[start, end)`` expired before they were read: unverifiable, by number."""
        self._happens("lost", topic=topic, start=start, end=end)

    def lose_evidence(self, topic: str, start: int, end: int, beside: Sequence[Effect] = ()) -> None:
        """Evidence ``[start, end)`` expired before it was read: what it could have spoken for is unverifiable.

        Args:
            beside: what lanes must be told, where the log is no lane itself.
        """
        self._happens("evidence_lost", beside, topic=topic, start=start, end=end)

    def replace_log(self, topic: str, topic_id: str) -> None:
        """A topic was deleted and made again: a change topic begins a new epoch, a lane has lost what was in it."""
        self._happens("replaced", topic=topic, topic_id=topic_id)

    def read_again(self, batch: ChangeBatch, earliest: int) -> None:
        """Changes that were forgotten were read again, for evidence that still came (`app.ledger.far`); their log begins at ``earliest``."""
        taken = agreements.projected(batch, self._decoded, self.fold.projections)
        arrays = {"batch": np.frombuffer(blocks.pack_batch(taken), np.uint8)}
        delta = blocks.pack({"kind": "read again", "earliest": earliest}, arrays)
        self._commit([delta], lambda: self._read_again(taken, earliest), 0)

    def suspend(self, names: Iterable[str]) -> None:
        """What a sink says of a topic is passed over and counted, for these and no others; see `app.worker.suspension`."""
        wanted = sorted(names)
        if wanted != self.head.suspended:
            self._happens("suspended", names=wanted)

    def record_end(self, sink: str, topic: str, end: int) -> None:
        """The row that blocks a lane names more than the change partition's end; every later reading takes that end."""
        self._happens("end", sink=sink, topic=topic, end=end)

    def _happens(self, kind: str, beside: Sequence[Effect] = (), forget: Sequence[bytes] = (), **told: Any) -> None:
        """What is no batch: a delta that holds the arguments of the method of its kind."""
        delta = blocks.pack({"kind": kind, "told": told}, {})
        self._commit([delta], lambda: [*beside, *self._event(kind)(**told)], 0, forget)

    def _event(self, kind: str) -> Callable[..., Iterable[Effect]]:
        found: Callable[..., Iterable[Effect]] = getattr(self, f"_{kind}")
        return found

    def _batches(self, batches: Iterable[Batch]) -> Iterator[Effect]:
        for batch in batches:
            if isinstance(batch, ChangeBatch):
                self.fold.take_changes(batch)
                self.head.positions[batch.topic] = max(batch.next, self.position(batch.topic) or 0)
            else:
                yield from self._evidence(batch)
        yield from self._judge(self.fold.stirred())

    def _evidence(self, batch: EvidenceBatch) -> Iterator[Effect]:
        position = self.position(batch.topic) or 0
        self.head.positions[batch.topic] = max(batch.next, position)
        for offset, reason in batch.unreadable:
            if offset >= position:
                self.head.counters["unreadable"] += 1
                yield Unreadable(topic=batch.topic, partition=batch.partition, offset=offset, reason=reason)
        base = self.head.bases.get(batch.topic, 0)
        ranks = lane_ranks(batch, base)
        again = repeated(batch, ranks, position, self.head)
        for name, rows in split(batch, ranks).items():
            fresh = rows.rows(int(np.searchsorted(rows.ranks, (position + base) << RANK_BITS)), len(rows))
            if again:
                fresh = fresh.picked([row for row, rank in enumerate(fresh.ranks.tolist()) if rank not in again])
            if len(fresh):
                yield from self._lane(batch.topic, name, fresh)

    def _lane(self, topic: str, name: SinkTopic, rows: LaneRows) -> Iterator[Effect]:
        if not name.sink:  # a loss of no one sink speaks of all that have their lane here
            losses = rows.picked(np.flatnonzero(rows.kinds == EvidenceKind.LOSS).tolist())
            for sink in [sink for sink, lane in self.lane_topics.items() if lane == topic and len(losses)]:
                if self.fold.is_known(name._replace(sink=sink)):
                    yield from self._lane(topic, name._replace(sink=sink), losses)
            return
        if self.lane_topics.get(name.sink) != topic:  # routed from here, or nobody's, which the router tells
            self.head.counters["judged_elsewhere"] += len(rows)
            return
        if self.fold.is_known(name):
            if pair_name(name.sink, name.topic) in self.head.suspended:
                self._pass_over(name, rows)
            else:
                self.fold.take_evidence(name, with_ends(rows, name, self.head.ends) if self.head.ends else rows)
            return
        for finding in unknown(name, rows, self.partition):
            self.head.counters["unknown_sink"] += 1
            yield finding

    def _pass_over(self, name: SinkTopic, rows: LaneRows) -> None:
        """Rows about what is suspended: in their place stands a loss, once, for the cells that they may have spoken for."""
        self.head.counters["suspended"] += len(rows)
        pair = pair_name(name.sink, name.topic)
        if pair not in self.head.passed_over:
            self.head.passed_over.append(pair)
            lane = self.lane_topics[name.sink]
            self.fold.take_evidence(name, lost_rows(lane, self.partition, int(rows.ranks[0]) >> RANK_BITS))

    def _suspended(self, names: list[str]) -> Iterable[Effect]:
        self.head.suspended, self.head.passed_over = names, []
        return ()

    def _lost(self, topic: str, start: int, end: int) -> Iterator[Effect]:
        self.fold.source(topic).lose(start, end)
        self.head.positions[topic] = end
        yield from self._judge()

    def _evidence_lost(self, topic: str, start: int, end: int) -> Iterator[Effect]:
        self.head.positions[topic] = end
        self._lose_lane(topic, start)
        yield from self._judge()

    def _replaced(self, topic: str, topic_id: str) -> Iterator[Effect]:
        position = self.head.positions.pop(topic, 0)
        self.head.topic_ids[topic] = topic_id
        if topic not in self.fold.changes:
            self._lose_lane(topic, position)
            self.head.bases[topic] = self.head.bases.get(topic, 0) + position + 1
        else:
            for sink, outcome in self.fold.replace(topic):
                yield from reporting.verdicts(sink, outcome)
                yield from reporting.seals(sink, is_final=True)
        yield from self._judge()

    def _lose_lane(self, topic: str, record: int) -> None:
        """Every lane that is read from a topic has lost something at this place, also about sources not seen yet."""
        rows = lost_rows(topic, self.partition, record, self.head.bases.get(topic, 0))
        for contract in self.fold.contracts.values():
            for source in contract.topics if self.lane_topics.get(contract.sink) == topic else ():
                self.fold.take_evidence(SinkTopic(contract.sink, source, self.partition), rows)

    def _amended(self, **told: Any) -> Iterator[Effect]:
        agreements.amend(self.fold, self.head, **told)
        yield from self._judge()

    def _begun(self, sink: str, topic: str, offset: int) -> Iterator[Effect]:
        self.fold.source(topic)
        self.fold.sinks[sink, topic].begin(offset)
        yield from self._judge()

    def _read_again(self, batch: Batch, earliest: int) -> Iterator[Effect]:
        if isinstance(batch, ChangeBatch):
            self.fold.read_again(batch, earliest)
        yield from self._judge()

    def _passed(self, topic: str, next_offset: int) -> Iterator[Effect]:
        self.head.positions[topic] = max(next_offset, self.position(topic) or 0)
        changes = self.fold.changes.get(topic)
        if changes is not None and changes.first >= 0:
            changes.next = max(changes.next, next_offset)
            for sink in self.fold.sinks_of(topic):
                sink.take_changes()
        yield from self._judge()

    def _end(self, sink: str, topic: str, end: int) -> Iterator[Effect]:
        self.fold.sinks[sink, topic].record_end(end)
        yield from self._judge()

    # ---------------------------------------------------------------- judging and writing

    def _judge(self, some: list[SinkPartition] | None = None) -> Iterator[Effect]:
        sinks = list(self.fold.sinks.values()) if some is None else some
        for sink, outcome in self.fold.judge(sinks):
            yield from reporting.verdicts(sink, outcome)
            yield from planner.plan(sink, outcome)
            yield from reporting.seals(sink)
        for sink in sinks:
            yield from remarks(sink, self.lane_topics, self.head.bases)
            held = self.held.add if sink.queued + len(sink.far) > HELD_ROWS else self.held.discard
            held((sink.contract.sink, sink.changes.topic))

    def _commit(
        self, deltas: Sequence[bytes], work: Callable[[], Iterable[Effect]], rows: int, forget: Sequence[bytes] = ()
    ) -> None:
        """1. Fold. 2. One write of deltas, head and effects. 3. A snapshot, where enough has gathered on disk or in memory."""
        made = list(work())  # 1
        puts = [(numbered(DELTA, number), delta) for number, delta in enumerate(deltas, self._delta)]
        self._delta += len(deltas)
        puts.extend(self.effects.entries(made, is_held=self.is_catching_up))
        self.store.write([*puts, (HEAD, self.head.dump())], forget)  # 2
        self._rows += rows
        self.fold.residents.shrink()
        limit = snapshots.UPLOAD_ROWS if self.checkpoints.is_busy else self.snapshot_rows
        if self._rows >= limit or self.fold.residents.is_full:  # 3
            self.snapshot()

    # ---------------------------------------------------------------- catching up

    def catch_up(self, ends: Mapping[str, int]) -> None:
        """Hold verdicts and commands until every input has been read up to the end it had when the store was opened."""
        self._ends, self.is_catching_up = dict(ends), True
        self.check_caught_up()

    def check_caught_up(self) -> bool:
        """Called after every batch: at the ends, what still stands is told; what does not is as if no fence had found it."""
        if not self.is_catching_up or any((self.position(topic) or 0) < end for topic, end in self._ends.items()):
            return False
        self.is_catching_up = False
        held = self.effects.held()
        if held:
            kept, withdrawn = standing.settle(self.fold, [effect for _, effect in held])
            self._happens("withdrawn", kept, [key for key, _ in held], cells=withdrawn)
        return True

    def _withdrawn(self, cells: Sequence[standing.Withdrawn]) -> Iterable[Effect]:
        standing.withdraw(self.fold, cells)
        return ()

    # ---------------------------------------------------------------- outbox

    def outbox(self, limit: int) -> list[tuple[bytes, Effect]]:
        """The oldest effects that no broker has acknowledged, with the keys that `acknowledge` takes."""
        return self.effects.oldest(limit)

    def acknowledge(self, keys: list[bytes]) -> None:
        """The broker has them: forget them."""
        self.store.write([], keys)

    def watermarks(self, owner: str) -> list[SinkWatermark]:
        """Where every sink of this partition number stands."""
        return [reporting.watermark(sink, owner) for sink in self.fold.sinks.values()]

    # ---------------------------------------------------------------- snapshots and checkpoints

    def snapshot(self) -> None:
        """Write the whole fold and forget the deltas; old segments that nothing asks for any more are forgotten first."""
        changed, deletes = self._snapshots.begin()
        deletes += [numbered(DELTA, number) for number in range(self._oldest_delta, self._delta)]
        self.head.snapshot += 1
        head = self.head.dump()
        sent = self.checkpoints.changed(key[1:].decode() for key in changed)
        self.store.write(chain(self._snapshots.blocks(), [*sent, (HEAD, head), (SNAPSHOT_HEAD, head)]), deletes)
        self._snapshots.written()
        self._oldest_delta = self._delta
        self._rows = 0

    def has_news(self) -> bool:
        """Whether something was read since the last snapshot."""
        return self._oldest_delta < self._delta

    def upload(self, prefix: str) -> Upload | None:
        """The checkpoint to send now, None for none: see `Sending.upload`."""
        return self.checkpoints.upload(prefix, self.store.get(SNAPSHOT_HEAD), self._snapshots.names)

    def _load(self) -> None:
        """1. The last snapshot. 2. The deltas after it."""
        self._snapshots.load()  # 1
        for key, delta in self.store.scan(DELTA):  # 2
            self._oldest_delta = self._oldest_delta if self._delta else number_of(key)
            self._replay(delta)
            self._delta = number_of(key) + 1

    def _replay(self, delta: bytes) -> None:
        """Fold a delta again; its effects were written with it."""
        header, arrays = blocks.unpack(delta)
        work: Iterable[Effect]
        match header["kind"]:
            case "changes" | "evidence":
                batch = blocks.unpack_batch(delta)
                work = self._batches([batch])
                self._rows += len(batch)
            case "read again":
                work = self._read_again(blocks.unpack_batch(arrays["batch"].tobytes()), header["earliest"])
            case kind:
                work = self._event(kind)(**header["told"])
        for _ in work:
            pass
