"""One RocksDB per partition number: what is taken at once is one atomic `WriteBatch` (design section 4).

The fold never sees RocksDB; it sees `Store`. `MemoryStore` is the double that the laws run over, both pass one suite.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, ReadOptions, WriteBatch

from app.errors import Unavailable

WRITE_BUFFER_BYTES = 4 << 20
"""Memtable: some ten full fetches, and the log of it short."""
_CACHE = Cache(16 << 20)
"""Blocks read from disk, of all stores of this process together."""


class Store(Protocol):
    """Ordered bytes to bytes; `write` is atomic and survives the process's death."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys with a prefix and their values, ascending, from ``prefix + start`` on: below it deleted keys may lie in heaps."""

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        """All of it or nothing. Raises `OSError` on a full disk, before anything is acknowledged."""

    def bytes_used(self) -> int:
        """Size on disk."""

    def close(self) -> None:
        """Flush and release; idempotent."""


class RocksStore:
    """RocksDB with its write-ahead log on: the death of the process loses nothing that `write` returned for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db: Rdict | None = Rdict(str(path), _options(), access_type=AccessType.read_write())
        except Exception as error:  # rocksdict raises plain Exception
            raise Unavailable(
                f"the store {path.name} can't be opened: {error}. Is another worker running on the same state.dir?"
            ) from error

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._open().get(key)
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        options = ReadOptions()
        end = _after(prefix)
        if end is not None:
            options.set_iterate_upper_bound(end)
        for key, value in self._open().items(from_key=prefix + start, read_opt=options):
            yield cast("bytes", key), cast("bytes", value)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        batch = WriteBatch(raw_mode=True)
        for key in deletes:
            batch.delete(key)
        for key, value in puts:
            batch.put(key, value)
        try:
            self._open().write(batch)
        except Exception as error:
            raise OSError(f"the store {self.path.name} refused a write: {error}") from error

    def bytes_used(self) -> int:
        return sum(file.stat().st_size for file in self.path.glob("*") if file.is_file())

    def close(self) -> None:
        if self._db is not None:
            self._db.flush_wal(True)
            self._db.close()
            self._db = None

    def _open(self) -> Rdict:
        if self._db is None:
            raise Unavailable(f"the store {self.path.name} was closed")
        return self._db


class MemoryStore:
    """A `Store` in a dict, for tests."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(k for k in self.data if k.startswith(prefix) and k >= prefix + start):
            yield key, self.data[key]

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        for key in deletes:
            self.data.pop(key, None)
        self.data.update(puts)

    def bytes_used(self) -> int:
        return sum(len(key) + len(value) for key, value in self.data.items())

    def close(self) -> None:
        """Nothing to release."""


def remove_store(path: Path) -> None:
    """Forget a store that another worker has outrun."""
    shutil.rmtree(path, ignore_errors=True)


def _after(prefix: bytes) -> bytes | None:
    """The smallest key above all keys with a prefix."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_background_jobs(2)
    # hashes are most of it, and what says little is small already
    options.set_compression_type(DBCompressionType.none())
    options.set_keep_log_file_num(2)
    table = BlockBasedOptions()
    table.set_block_cache(_CACHE)
    options.set_block_based_table_factory(table)
    return options
