"""Taking a store over: its own disk, or a checkpoint of the ledger topic where that is newer (design section 4).

A local store that the group's last owner wrote is the truth. An empty one, or one that another worker has outrun, asks the
ledger topic first, in a thread: the group waits for `open`, and a checkpoint may be large.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.adapters.store import RocksStore, remove_store
from app.worker import restoring
from app.worker.checkpoints import newest, store_prefix
from app.worker.ends import read_ends
from app.worker.origins import ends_prefix
from app.worker.partition import PartitionWorker

logger = logging.getLogger(__name__)

ReadLedger = Callable[[int, tuple[str, ...]], dict[str, bytes]]
"""What the ledger topic holds of a partition number under prefixes of keys; blocks until it knows."""


@dataclass(slots=True)
class Takeover:
    """One store that waits for what the ledger topic says of it.

    Attributes:
        local: what stands on this machine's disk, perhaps nothing.
        is_outrun: another worker has gone on since the local store was written.
    """

    path: Path
    local: PartitionWorker
    is_outrun: bool
    reading: asyncio.Future[dict[str, bytes]]
    open_worker: Callable[[RocksStore], PartitionWorker]

    @property
    def is_ready(self) -> bool:
        """Whether the ledger topic was read."""
        return self.reading.done()

    def finish(self) -> PartitionWorker:
        """The worker to go on with; raises what reading raised."""
        records = self.reading.result()
        ends = read_ends(records)
        self.local.head.ends |= ends
        records = {key: value for key, value in records.items() if key not in ends}
        found = newest(records)
        if found is None or found.number <= self.local.head.snapshot:
            if self.is_outrun:
                logger.warning("%s: another worker has gone on since, and left no newer checkpoint", self.path.name)
                self.local.effects.hold()
            return self.local
        self.local.store.close()
        remove_store(self.path)
        store = RocksStore(self.path)
        restoring.fill(store, found, uuid.uuid4().hex, records, ends)
        logger.info("%s goes on from checkpoint %d of the ledger topic", self.path.name, found.number)
        return self.open_worker(store)

    def abandon(self) -> None:
        """It went to another worker."""
        self.reading.cancel()
        self.local.store.close()


def begin(
    path: Path,
    open_worker: Callable[[RocksStore], PartitionWorker],
    owners: Iterable[str],
    width: int,
    read: ReadLedger | None,
) -> PartitionWorker | Takeover:
    """Open a store: the worker where its disk is the truth, else a takeover.

    Args:
        owners: the tokens that the group committed last with this store's inputs.
        width: of its group; read: None where there is no ledger topic to ask.
    """
    local = open_worker(RocksStore(path))
    local.head.owner = local.head.owner or uuid.uuid4().hex
    is_outrun = bool(set(owners) - {"", local.head.owner})
    if read is None or (local.head.positions and not is_outrun):
        return local
    loop = asyncio.get_running_loop()
    prefixes = (store_prefix(width, local.partition), ends_prefix(local.partition))
    reading = loop.run_in_executor(None, read, local.partition, prefixes)
    return Takeover(path, local, is_outrun, reading, open_worker)
