"""Changes that were forgotten and are asked for again: read in a thread, one stretch of one log at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from app.model import ChangeBatch, RawBatch
from app.worker.partition import PartitionWorker

Read = Callable[[str, int, int], tuple[int, RawBatch]]
"""(topic, partition, offset) to where the log begins now, and a stretch of it from that offset on; blocks until it knows."""


class Rereader:
    """Called from the event loop, again and again.

    Args:
        decode: a stretch as changes; it may wait for schemas.
    """

    def __init__(self, read: Read, decode: Callable[[RawBatch], Awaitable[ChangeBatch]]) -> None:
        self._read = read
        self._decode = decode
        self._reading: asyncio.Future[tuple[int, RawBatch]] | None = None
        self._whose: tuple[Any, PartitionWorker] | None = None

    async def advance(self, workers: Mapping[Any, PartitionWorker]) -> None:
        """Begin with the next stretch that some store waits for, or give it what was read."""
        if self._reading is None or self._whose is None:
            self._begin(workers.items())
            return
        if not self._reading.done():
            return
        (earliest, raw), (place, worker) = self._reading.result(), self._whose
        self._reading = None
        batch = await self._decode(raw)
        if workers.get(place) is worker:  # else it went to another worker meanwhile
            worker.read_again(batch, earliest)

    def _begin(self, workers: Iterable[tuple[Any, PartitionWorker]]) -> None:
        for place, worker in workers:
            asked = next(worker.fold.far(), None)
            if asked is not None:
                topic, offset = asked
                self._whose = (place, worker)
                loop = asyncio.get_running_loop()
                self._reading = loop.run_in_executor(None, self._read, topic, worker.partition, offset)
                return
