"""The worker as the transport sees it: stores of the partition numbers it owns, and what it tells the world of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from app.adapters.metrics import Metrics
from app.adapters.registry import Registry
from app.adapters.store import RocksStore, Store
from app.config.settings import Settings
from app.ledger.partition import PartitionFold, projections_of
from app.ledger.sink import SinkPartition
from app.model import RawBatch
from app.worker import takeover
from app.worker.acknowledged import Acknowledged
from app.worker.decoding import Decoding
from app.worker.disk import Disk
from app.worker.ends import Ends
from app.worker.layout import Group, Layout
from app.worker.logs import Logs
from app.worker.memory import Memory
from app.worker.partition import PartitionWorker
from app.worker.ports import Assignment, Committed, Input, Shipping
from app.worker.positions import Committed as CommittedOf
from app.worker.positions import Positions, begin, first_offsets, nothing_committed
from app.worker.rereading import Rereader
from app.worker.routing import Router
from app.worker.suspension import Suspension
from app.worker.takeover import ReadLedger, Takeover
from app.worker.telling import Teller
from app.worker.uploads import Uploads

logger = logging.getLogger(__name__)

WATERMARKS_S = 1.0
END_LOOK_S = 1.0


class Place(NamedTuple):
    """One store: a group, by its width (partition count), and a partition number."""

    width: int
    partition: int


class LiveWorker:
    """See `app.worker.ports.Worker`.

    Args:
        read_ledger: for stores whose disk is empty or outrun; None where there is no ledger topic.

    Attributes:
        bounds: asks the broker for (earliest, end) of inputs now; seek: makes the transport go on elsewhere; both set once it runs.
        rereader: reads changes again that evidence still comes about; None where nothing can.
        committed: asks what a sink's consumer group has committed; compacted: change topics that Kafka compacts.
        logs: looks for topics that were made again; None where the broker can't tell.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        registry: Registry,
        router: Router,
        shipper: Shipping,
        metrics: Metrics,
        read_ledger: ReadLedger | None = None,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self.registry = registry
        self.router = router
        self.shipper = shipper
        self.metrics = metrics
        self.bounds: Callable[[Collection[Input]], Awaitable[Mapping[Input, tuple[int, int]]]] | None = None
        self.seek: Callable[[Input, int], Awaitable[None]] | None = None
        self.committed: CommittedOf = nothing_committed
        self.logs: Logs | None = None
        self.compacted: frozenset[str] = frozenset()
        self.rereader: Rereader | None = None
        self._teller = Teller(metrics, shipper, settings.verifier.instance_id or "")
        self._positions = Positions(layout, router, metrics)
        self._read_ledger = read_ledger
        self._uploads = Uploads(shipper.put, settings.state.checkpoint_interval_ms / 1000)
        self._acknowledged = Acknowledged(layout.routed.keys())
        self._recorded_ends = Ends(shipper.put)
        self._workers: dict[Place, PartitionWorker] = {}
        self._takeovers: dict[Place, Takeover] = {}
        self.suspension = Suspension(layout, metrics.suspended)
        self._held: frozenset[Input] = frozenset()
        self._memory = Memory(settings.state.max_memory_bytes)
        self._disk = Disk(settings.state.max_disk_bytes)
        self._ends: dict[Input, int] = {}
        contracts = settings.contracts(layout.inputs)
        self._projections = projections_of(contracts)
        self.decoding = Decoding(settings, layout, registry, router, self._projections)
        self._next_watermarks = self._next_look = 0.0
        self._next_snapshot: dict[Place, float] = {}
        self._holes: dict[Input, int] = {}

    # ---------------------------------------------------------------- opening and closing

    async def open(self, assignment: Assignment) -> Mapping[Input, int]:
        """Open stores; nothing is rebuilt here, because the group waits for this answer."""
        places = {Place(self.layout.inputs[source.topic], source.partition) for source in assignment.inputs}
        open_now = self._workers.keys() | self._takeovers.keys()
        self._close(open_now - places)
        positions = {source: assignment.earliest[source] for source in assignment.inputs}
        if self.logs is not None:
            await self.logs.look()
        for place in sorted(places):
            mine = self._inputs(place)
            if place not in open_now:
                self._open_store(place, {assignment.committed[s].metadata for s in mine if s in assignment.committed})
            if place in self._workers:
                positions |= self._start(place, assignment.earliest, assignment.ends)
        logger.info("stores open: %s", ", ".join(f"{p.width}/{p.partition}" for p in sorted(places)))
        self._hold()
        return positions

    def close(self, inputs: AbstractSet[Input] | None) -> None:
        """Close the stores of some inputs, or all."""
        if inputs is None:
            self._close(self._workers.keys() | self._takeovers.keys())
            return
        read = {source for source in inputs if source.topic not in self.suspension.topics}
        self._close({Place(self.layout.inputs[source.topic], source.partition) for source in read})

    def _close(self, gone: AbstractSet[Place]) -> None:
        for place in gone & self._takeovers.keys():
            self._takeovers.pop(place).abandon()
        for place in gone & self._workers.keys():
            worker = self._workers.pop(place)
            self._teller.forget(worker)
            self.shipper.forget(worker)
            self._uploads.forget(worker)
            self._acknowledged.forget(worker)
            worker.store.close()
            for topic in [topic for topic, count in self.layout.inputs.items() if count == place.width]:
                self.metrics.forget(topic, place.partition)

    def _open_store(self, place: Place, owners: AbstractSet[str]) -> None:
        group = self.layout.groups[place.width]
        path = Path(self.settings.state.dir) / f"group-{place.width}-partition-{place.partition}"

        def open_worker(store: RocksStore) -> PartitionWorker:
            limit = self.settings.state.max_memory_bytes
            return PartitionWorker(lambda: self._fold(group, place.partition), store, group.lanes, memory_bytes=limit)

        opened = takeover.begin(path, open_worker, owners, place.width, self._read_ledger)
        if isinstance(opened, Takeover):
            self._takeovers[place] = opened
        else:
            self._workers[place] = opened

    def _start(self, place: Place, earliest: Mapping[Input, int], ends: Mapping[Input, int]) -> dict[Input, int]:
        """Where the inputs of an open store go on; what it finds is held until they were read up to their ends."""
        worker = self._workers[place]
        mine = [source for source in self._inputs(place) if source in ends]  # a topic that is gone is waited for
        worker.suspend(self.suspension.names(place.width))
        self._teller.begin(worker)
        ids, start = {} if self.logs is None else self.logs.ids, self._positions.start
        positions = {source: start(worker, source, earliest[source], ends[source], ids) for source in mine}
        worker.catch_up({source.topic: ends[source] for source in mine})
        return positions

    async def _finish_takeovers(self) -> None:
        """Go on with stores of which the ledger topic was read."""
        ready = {place: waiting for place, waiting in self._takeovers.items() if waiting.is_ready}
        if not ready or self.bounds is None or self.seek is None:
            return
        bounds = await self.bounds([source for place in ready for source in self._inputs(place)])
        groups = {name: sink.group for name, sink in self.settings.sinks.items()}
        for place, waiting in ready.items():
            mine = {source: bounds[source] for source in self._inputs(place) if source in bounds}
            ends = {source: end for source, (_, end) in mine.items()}
            first = await first_offsets(self.layout.groups[place.width].contracts, groups, ends, self.committed)
            if self._takeovers.get(place) is not waiting:
                continue  # it went to another worker while the broker answered
            del self._takeovers[place]
            self._workers[place] = waiting.finish()
            begin(self._workers[place], first)
            positions = self._start(place, {source: earliest for source, (earliest, _) in mine.items()}, ends)
            for source, position in positions.items():
                await self.seek(source, position)
            self._hold()

    def _fold(self, group: Group, partition: int) -> PartitionFold:
        compacted = self.compacted & group.sources
        return PartitionFold(group.contracts, partition, projections=self._projections, compacted=compacted)

    def _inputs(self, place: Place) -> list[Input]:
        read = sorted(self.layout.inputs.keys() - self.suspension.topics)
        return [Input(topic, place.partition) for topic in read if self.layout.inputs[topic] == place.width]

    def note_counts(self, counts: Mapping[str, int]) -> AbstractSet[str]:
        """Suspend what has another partition count; stores hear of it when the transport opens the worker again."""
        self.suspension.note(counts)
        return self.suspension.topics

    def note_compacted(self, compacted: frozenset[str]) -> None:
        """Other change topics are compacted than before: for every store that is open this is a change of its contracts."""
        self.compacted = compacted
        for place, worker in self._workers.items():
            worker.agree(list(worker.fold.contracts.values()), compacted & self.layout.groups[place.width].sources)

    def note_ends(self, ends: Mapping[Input, int]) -> None:
        """Ends of logs that are not read: their lag grows and shows."""
        self._ends.update(ends)

    # ---------------------------------------------------------------- input

    async def take(self, ranges: Sequence[RawBatch]) -> Mapping[Input, int]:
        """Decode, judge and store ranges; see the port."""
        holes: dict[Input, int] = {}
        ready: dict[PartitionWorker, list[RawBatch]] = {}
        for raw in ranges:
            source = Input(raw.topic, raw.partition)
            worker = self._worker_of(source)
            expected = None if worker is None else worker.position(raw.topic)
            if worker is None or (expected is not None and raw.next <= expected):
                continue
            if expected is not None and raw.start > expected:
                holes[source] = await self._hole(worker, source, expected)
                continue
            await self.decoding.fetch_schemas(raw)
            ready.setdefault(worker, []).append(raw)
        for worker, mine in ready.items():
            if worker not in self._workers.values():
                continue  # it went to another worker while the registry answered
            began = time.perf_counter()
            self._take_now(worker, mine)
            self.metrics.batch(time.perf_counter() - began)
            worker.check_caught_up()
        self._hold()
        return holes

    def _take_now(self, worker: PartitionWorker, ranges: Sequence[RawBatch]) -> None:
        """Ranges of one store in one write: each write costs as much as judging hundreds of records."""
        found = [self.decoding.batch(raw) for raw in ranges if len(raw)]
        if found:
            worker.take([batch for batch, _ in found], [effect for _, beside in found for effect in beside])
        for raw in ranges:
            if not len(raw):
                worker.passed(raw.topic, raw.next)

    async def _hole(self, worker: PartitionWorker, source: Input, expected: int) -> int:
        """Go back to where we were; where retention has overtaken us, record the loss instead."""
        if self._holes.get(source) == expected and self.bounds is not None:
            earliest, _ = (await self.bounds([source]))[source]
            if earliest > expected and self._worker_of(source) is worker:
                self._positions.lose(worker, source, expected, earliest)
                expected = earliest
        self._holes[source] = expected
        return expected

    def is_held(self, source: Input) -> bool:
        """Asked from the fetcher's thread: a lane whose rows wait for changes is not read on, nor what is suspended."""
        return source in self._held or source.topic in self.suspension.topics

    def _hold(self) -> None:
        held = {source for place in self._takeovers for source in self._inputs(place)}
        if self._disk.is_full:
            held.update(Input(t, p.partition) for p in self._workers for t in self.layout.groups[p.width].sources)
        for place, worker in self._workers.items():
            for name, topic in worker.held & worker.fold.sinks.keys():
                if not self.suspension.has(name, topic):
                    held.add(Input(worker.lane_topics[name], place.partition))
        self._held = frozenset(held)

    def _worker_of(self, source: Input) -> PartitionWorker | None:
        if source.topic in self.suspension.topics:
            return None
        return self._workers.get(Place(self.layout.inputs[source.topic], source.partition))

    # ---------------------------------------------------------------- telling

    def restart_positions(self) -> Mapping[Input, Committed]:
        """Our positions, with the owner's token: lag for people, and a mark against zombies.

        Of a log that is routed, how far it is in its lanes: other workers' fences wait for that.
        """
        committable = self._acknowledged.committable
        return {
            Input(topic, place.partition): Committed(committable(worker, topic, position), worker.head.owner)
            for place, worker in self._workers.items()
            for topic, position in worker.head.positions.items()
        }

    def lanes(self, *, is_caught_up: bool = False) -> dict[tuple[str, Input], SinkPartition]:
        """Every (sink, source partition) that is judged here; ``is_caught_up``: only where all that was written was read."""
        return {
            (name, Input(topic, place.partition)): sink
            for place, worker in self._workers.items()
            for (name, topic), sink in worker.fold.sinks.items()
            if not self.suspension.has(name, topic) and not (is_caught_up and worker.is_catching_up)
        }

    def store_of(self, source: Input) -> Store | None:
        """The store of a source partition that is judged here."""
        return None if (worker := self._worker_of(source)) is None else worker.store

    def routed_position(self, source: Input) -> int | None:
        """How far a routed log is in its lanes; None where another worker reads it, or nobody."""
        worker = self._worker_of(source)
        return None if worker is None else self._acknowledged.position(worker, source.topic)

    def ship(self) -> bool:
        """Send what was made since the last call; whether the broker still has something to acknowledge."""
        self.shipper.poll()
        for worker in self._workers.values():
            self.shipper.ship(worker, is_news=True)
        return self.shipper.is_waiting

    async def tick(self) -> None:
        """Ship the outboxes and checkpoints, look for ends that lanes wait for, tell watermarks and metrics."""
        now = time.monotonic()
        await self._finish_takeovers()
        self._memory.share(self._workers.values())
        if self.rereader is not None:
            await self.rereader.advance(self._workers)
        if self.logs is not None:
            await self.logs.watch()
        for place, worker in list(self._workers.items()):
            self.shipper.ship(worker)
            self._acknowledged.look(worker)
            self._uploads.advance(place.width, worker)
            self._teller.send_watermarks(worker)
        self.shipper.poll()
        self._snapshot_one(now)
        if now >= self._next_look:
            self._next_look = now + END_LOOK_S
            await self._look_for_ends()
        if now >= self._next_watermarks:
            began = time.monotonic()
            self._tell()
            self._next_watermarks = began + max(WATERMARKS_S, self._teller.pause_s(time.monotonic() - began))
        await asyncio.sleep(0)

    def _snapshot_one(self, now: float) -> None:
        """A snapshot now and then also where little moves: retention waits for none.

        One store's at a time, since verdicts wait meanwhile. One that is on its way to the ledger topic would be given up.
        """
        then = now + self.settings.state.checkpoint_interval_ms / 1000
        free = [place for place, worker in self._workers.items() if not worker.checkpoints.is_busy]
        first = min(free, key=lambda place: self._next_snapshot.setdefault(place, then), default=None)
        if first is not None and now >= self._next_snapshot[first]:
            self._next_snapshot[first] = then
            if self._workers[first].has_news():
                self._workers[first].snapshot()

    async def _look_for_ends(self) -> None:
        """A lane that waits for changes beyond the end of their partition names more than there is."""
        waiting = [
            (place, worker, sink, need)
            for place, worker in self._workers.items()
            for sink, need in worker.fold.blocked()
            if not worker.is_catching_up and sink.changes.topic not in self.suspension.topics
        ]
        if not waiting or self.bounds is None:
            return
        bounds = await self.bounds({Input(sink.changes.topic, place.partition) for place, _, sink, _ in waiting})
        self._ends |= {source: end for source, (_, end) in bounds.items()}
        for place, worker, sink, need in waiting:
            if self._workers.get(place) is worker:
                self._recorded_ends.settle(worker, sink, need, self._ends[Input(sink.changes.topic, place.partition)])

    def _tell(self) -> None:
        for worker in self._workers.values():
            self._teller.tell(worker, self._ends)
        size = sum(worker.store.bytes_used() for worker in self._workers.values())
        self.metrics.store(size)
        self.metrics.memory(*self._memory.used(self._workers.values()))
        if self._disk.look(size):
            self._hold()
