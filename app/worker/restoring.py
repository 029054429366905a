"""A store from a checkpoint of the ledger topic: what a worker with an empty disk, or an outrun one, goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.adapters.store import Store
from app.worker import outbox
from app.worker.checkpoints import OUTBOX, Restored, Sent
from app.worker.head import Head
from app.worker.partition import HEAD, SNAPSHOT_HEAD
from app.worker.sending import SENT


def fill(store: Store, restored: Restored, owner: str, keys: Iterable[str], ends: Mapping[str, int]) -> None:
    """Write a checkpoint into an empty store.

    Args:
        owner: the store's token; its own checkpoints have it in their keys.
        keys: everything that the topic holds of this store under other owners; forgotten there with our first checkpoint.
        ends: recorded ends that the topic holds.
    """
    head = Head.load(restored.head)
    head.owner = owner
    head.ends = dict(ends)
    blocks = dict(restored.blocks)
    effects = outbox.unpack(blocks.pop(OUTBOX))
    sent = Sent(number=0, garbage=set(keys))
    puts = [(b"s" + name.encode(), data) for name, data in blocks.items()]
    dumped = head.dump()
    store.write([*puts, *effects, (HEAD, dumped), (SNAPSHOT_HEAD, dumped), (SENT, sent.dump())])
