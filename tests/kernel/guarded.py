"""Memory whose pages that nobody may touch stand right behind each record: a read past a record's end ends the process."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import replace

import numpy as np

from app.model import RawBatch, RawRecord

PAGE = mmap.PAGESIZE
SLOT = 2 * PAGE
"""A page that holds a record, which ends where the page does, and the one behind it."""

_PROT_NONE = 0


class Guarded:
    """Room for some records.

    Args:
        records: how many at once, of `PAGE` bytes at most.
    """

    def __init__(self, records: int) -> None:
        self._map = mmap.mmap(-1, records * SLOT)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for slot in range(records):
            if protect(address + slot * SLOT + PAGE, PAGE, _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")

    def held(self, values: list[bytes], raw: RawBatch) -> RawBatch:
        """A batch of these values, each before its forbidden page; a key is the last bytes of its value.

        Args:
            raw: whatever else the batch says.
        """
        sizes = np.array([len(value) for value in values], np.int64)
        ends = np.arange(len(values), dtype=np.int64) * SLOT + PAGE
        for value, end in zip(values, ends.tolist(), strict=True):
            self._map[end - len(value) : end] = value
        key_sizes = np.minimum(sizes, np.arange(len(values)) % 12) - (np.arange(len(values)) % 7 == 0)
        return replace(
            raw,
            buffer=memoryview(self._map),  # type: ignore[arg-type]  # what slices of it are used for works
            value_starts=ends - sizes,
            value_sizes=sizes,
            key_starts=ends - np.maximum(key_sizes, 0),
            key_sizes=key_sizes,
        )


def loose(raw: RawBatch) -> RawBatch:
    """The same batch in a buffer of bytes."""
    keys, values = ([None if one is None else bytes(one) for one in some] for some in (raw.keys(), raw.values()))
    columns = (raw.offsets.tolist(), raw.timestamps.tolist(), keys, values)
    return RawBatch.of(raw.topic, raw.partition, map(RawRecord, *columns), raw.start, raw.next)
