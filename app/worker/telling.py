"""What a worker tells of its stores: watermarks on their topic, and metrics."""

from __future__ import annotations

from collections.abc import Mapping

from app.adapters.metrics import Metrics
from app.ledger import counting, watermarks
from app.model import NO_TIME
from app.model.effects import SinkWatermark
from app.worker.lanes import HELD_ROWS
from app.worker.partition import PartitionWorker
from app.worker.ports import Input, Shipping

SEGMENTS_AT_ONCE = 64
"""Segments of a sink that are counted before the event loop goes on with something else: some hundredths of a second."""
PAUSES, COUNTING_PAUSES = 20, 3
"""What latest-state supersedes may need a look at every open cell: telling may take a twentieth of the time, no more; a quarter
while it has not counted all cells yet, since nothing is told before."""


class Teller:
    """Called from the event loop.

    Args:
        owner: the worker's name, as watermarks tell it.
    """

    def __init__(self, metrics: Metrics, shipper: Shipping, owner: str) -> None:
        self._metrics = metrics
        self._shipper = shipper
        self._owner = owner
        self._is_counting = False
        self._waiting: dict[int, tuple[int, list[SinkWatermark]]] = {}

    def tell(self, worker: PartitionWorker, ends: Mapping[Input, int]) -> None:
        """Metrics now; watermarks as soon as the verdicts below them were told."""
        for topic, position in worker.head.positions.items():
            self._metrics.position(topic, worker.partition, position)
        if not self._count(worker):
            return
        now = worker.watermarks(self._owner)
        if not worker.is_catching_up:
            self._waiting.setdefault(id(worker), (worker.effects.next, now))
        for sink, told in zip(worker.fold.sinks.values(), now, strict=True):
            name, topic = told.sink, told.topic
            end = max(ends.get(Input(topic, worker.partition), 0), sink.changes.next)
            self._metrics.watermark(
                told,
                ahead=watermarks.expected_from(sink, sink.frontier) + end - sink.changes.next,
                unverified=watermarks.expected_from(sink, told.verified_watermark) + end - sink.changes.next,
                oldest_open_ts_ms=watermarks.oldest_open_time(sink),
                fence_at_ms=None if sink.fence_at == NO_TIME else sink.fence_at,
            )
            self._metrics.evidence_rows(name, topic, worker.partition, sink.tally.rows)
            left = watermarks.difference(sink, sum(told.open_counts))
            self._metrics.conservation(name, topic, worker.partition, left)
            self._metrics.held(name, topic, worker.partition, is_held=sink.queued > HELD_ROWS)

    def _count(self, worker: PartitionWorker) -> bool:
        """Whether all is counted; if not, the next time goes on with the rest, since after a start everything is new.

        All sinks are counted over the same segments, which are in memory then.
        """
        left = [sink for sink in worker.fold.sinks.values() if not counting.count(sink, SEGMENTS_AT_ONCE)]
        self._is_counting = self._is_counting or bool(left)
        return not left

    def pause_s(self, took_s: float) -> float:
        """How long telling rests after all stores were told in so many seconds."""
        pauses = COUNTING_PAUSES if self._is_counting else PAUSES
        self._is_counting = False
        return took_s * pauses

    def begin(self, worker: PartitionWorker) -> None:
        """A store was opened: counters count from here on, and are on the page from here on."""
        for sink in worker.fold.sinks.values():
            self._metrics.opened(
                sink.contract.sink, sink.changes.topic, worker.partition, sink.tally.rows, sink.tally.flags.tolist()
            )

    def send_watermarks(self, worker: PartitionWorker) -> None:
        """Whoever reads that a sink is verified up to an offset can read every verdict below it."""
        number, told = self._waiting.get(id(worker), (0, []))
        if told and worker.effects.is_through(number):
            for watermark in told:
                self._shipper.send(watermark)
            del self._waiting[id(worker)]

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed."""
        self._waiting.pop(id(worker), None)
