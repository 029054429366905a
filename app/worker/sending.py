"""One store's checkpoints: what the ledger topic holds of it, and the one that is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
        self.sent = Sent.load(store.get(SENT))

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self._upload is not None

    def changed(self, names: Iterable[str]) -> tuple[bytes, bytes]:
        """A snapshot was made of which these blocks are new: what to write with it.

        What was on its way is given up: its blocks are no longer those of one snapshot.
        """
        self._upload = None
        self.sent.dirty.update(names)
        return SENT, self.sent.dump()

    def upload(self, prefix: str, head: bytes | None, blocks: Iterable[str]) -> Upload | None:
        """The checkpoint to send now, the same one until it was sent or given up; None where the newest was sent.

        Args:
            head: the last snapshot's, None before the first; blocks: the names of its blocks.
        """
        number = Head.load(head).snapshot
        if self._upload is None and head is not None and number > self.sent.number:
            self.sent.dirty.add(OUTBOX)
            self._upload = Upload(prefix, number, self.sent, {*blocks, OUTBOX}, head, self._block)
        return self._upload

    def uploaded(self, upload: Upload) -> None:
        """The broker has a checkpoint whole."""
        if upload is self._upload:
            self._upload = None
            self._write(upload.done())

    def abandon(self) -> None:
        """The broker did not take all of it: it begins anew."""
        self._upload = None

    def swept(self, keys: set[str]) -> None:
        """The broker has forgotten keys that nothing needed any more."""
        self.sent.garbage -= keys
        self._write(self.sent)

    def _block(self, name: str) -> bytes:
        return self._pack_outbox() if name == OUTBOX else self._store.get(b"s" + name.encode()) or b""

    def _write(self, sent: Sent) -> None:
        self.sent = sent
        self._store.write([(SENT, sent.dump())])
