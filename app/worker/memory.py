"""The limit of the segments in memory: that of the worker, divided evenly among its open stores."""

from __future__ import annotations

from collections.abc import Collection

from app.worker.partition import PartitionWorker


class Memory:
    """Called from the event loop.

    Args:
        limit: of all stores together, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def share(self, workers: Collection[PartitionWorker]) -> None:
        """Give each store its part: stores are opened and closed."""
        for worker in workers:
            worker.fold.residents.limit = self._limit // len(workers)
            worker.fold.residents.shrink()

    def used(self, workers: Collection[PartitionWorker]) -> tuple[int, int]:
        """Bytes in memory, and how many segments were read from disk since this was asked last."""
        loaded = sum(worker.fold.residents.loaded for worker in workers)
        for worker in workers:
            worker.fold.residents.loaded = 0
        return sum(worker.fold.residents.bytes for worker in workers), loaded
