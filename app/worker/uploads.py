"""Checkpoints on their way to the ledger topic: one store's at a time in flight, and none whose broker is behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from app.worker.checkpoints import prefix_of
from app.worker.partition import PartitionWorker

LIMIT_BYTES = 4 << 20
"""Of one store in flight."""
SWEEP_KEYS = 1_000

Put = Callable[[int, Sequence[tuple[str, bytes | None]], Callable[[bool], None]], None]
"""Writes records to the ledger topic (partition number, keys and values); the callback is told once whether all arrived."""


@dataclass(slots=True)
class _Flight:
    """What was put and not answered yet; ``arrived`` is None until it is."""

    swept: set[str] = field(default_factory=set)
    arrived: bool | None = None

    def answer(self, arrived: bool) -> None:  # a callback
        self.arrived = arrived


class Uploads:
    """Called from the event loop, again and again.

    Args:
        interval_s: after a checkpoint was sent whole, so long none of that store begins: at full speed a store makes a snapshot
            every second, and sending them all would double what the brokers have to write.
        clock: seconds that only grow.
    """

    def __init__(self, put: Put, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._put = put
        self._interval_s = interval_s
        self._clock = clock
        self._flights: dict[Hashable, _Flight] = {}
        self._due: dict[Hashable, float] = {}

    def advance(self, width: int, worker: PartitionWorker) -> None:
        """Send the next part of a store's checkpoint, if there is one and the last part has arrived."""
        flight = self._flights.get(id(worker))
        if flight is not None:
            if flight.arrived is None:
                return
            del self._flights[id(worker)]
            if not flight.arrived:
                worker.checkpoints.abandon()
                return
            if flight.swept:
                worker.checkpoints.swept(flight.swept)
        self._next(width, worker)

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed: what is in flight is no longer waited for."""
        self._flights.pop(id(worker), None)
        self._due.pop(id(worker), None)

    def _next(self, width: int, worker: PartitionWorker) -> None:
        is_due = self._clock() >= self._due.get(id(worker), 0.0) or worker.checkpoints.is_busy
        upload = worker.upload(prefix_of(width, worker.partition, worker.head.owner)) if is_due else None
        if upload is not None:
            records = upload.records(LIMIT_BYTES)
            if records:
                self._send(worker, records, _Flight())
                return
            worker.checkpoints.uploaded(upload)
            self._due[id(worker)] = self._clock() + self._interval_s
        if worker.checkpoints.sent.number and worker.checkpoints.sent.garbage:  # what others left, once ours is whole
            keys = set(sorted(worker.checkpoints.sent.garbage)[:SWEEP_KEYS])
            self._send(worker, [(key, None) for key in sorted(keys)], _Flight(keys))

    def _send(self, worker: PartitionWorker, records: Sequence[tuple[str, bytes | None]], flight: _Flight) -> None:
        self._flights[id(worker)] = flight
        self._put(worker.partition, records, flight.answer)
