"""One store's checkpoints: what the ledger topic holds of it, and the one that is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from app.adapters.store import Store
from app.worker.checkpoints import OUTBOX, Sent, Upload
from app.worker.head import Head

SENT = b"u"


class Sending:
    """Kept beside the fold, in the same store.

    Args:
        pack_outbox: what the outbox holds now, as a block.
    """

    def __init__(self, store: Store, pack_outbox: Callable[[], bytes]) -> None:
        self._store = store
        self._pack_outbox = pack_outbox
        self._upload: Upload | None = None
        blocks = [(key[len(SENT) :].decode(), value) for key, value in store.scan(SENT) if key != SENT]
        self.sent = Sent.load(store.get(SENT), blocks)
        if len(self.sent.blocks) > len(blocks):  # an older version wrote them
            self._store.write([(SENT, self.sent.dump()), *self._entries(self.sent.blocks)])

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self._upload is not None

    def changed(self, names: Iterable[str]) -> list[tuple[bytes, bytes]]:
        """A snapshot was made of which these blocks are new: what to write with it.

        What was on its way is given up: its blocks are no longer those of one snapshot.
        """
        self._upload = None
        dirty = [name for name in names if name in self.sent.blocks and name not in self.sent.dirty]
        self.sent.dirty.update(dirty)
        return list(self._entries(dirty))

    def upload(self, prefix: str, head: bytes | None, blocks: Callable[[], Iterable[str]]) -> Upload | None:
        """The checkpoint to send now, the same one until it was sent or given up; None where the newest was sent.

        Args:
            head: the last snapshot's, None before the first; blocks: gives the names of its blocks.
        """
        if self._upload is None and head is not None:
            number = Head.load(head).snapshot
            if number > self.sent.number:
                self.sent.dirty.add(OUTBOX)
                self._upload = Upload(prefix, number, self.sent, {*blocks(), OUTBOX}, head, self._block)
        return self._upload

    def uploaded(self, upload: Upload) -> None:
        """The broker has a checkpoint whole."""
        if upload is self._upload:
            self._upload = None
            before, self.sent = self.sent, upload.done()
            is_new = [name for name, block in self.sent.blocks.items() if before.blocks.get(name) is not block]
            gone = before.blocks.keys() - self.sent.blocks.keys()
            self._store.write(
                [(SENT, self.sent.dump()), *self._entries(is_new)], [SENT + name.encode() for name in sorted(gone)]
            )

    def abandon(self) -> None:
        """The broker did not take all of it: it begins anew."""
        self._upload = None

    def swept(self, keys: set[str]) -> None:
        """The broker has forgotten keys that nothing needed any more."""
        self.sent.garbage -= keys
        self._store.write([(SENT, self.sent.dump())])

    def _block(self, name: str) -> bytes:
        return self._pack_outbox() if name == OUTBOX else self._store.get(b"s" + name.encode()) or b""

    def _entries(self, names: Iterable[str]) -> Iterator[tuple[bytes, bytes]]:
        for name in names:
            yield SENT + name.encode(), self.sent.blocks[name].dump(is_dirty=name in self.sent.dirty)
