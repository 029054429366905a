"""Both ways of reading a fetch, side by side; and bytes that no broker would send.

    python -m tests.kernel.batches --count 1000000 [--seed 1]

A damaged batch is an error or is read as aiokafka reads it; nothing outside the bytes is touched, which a page behind
them that nobody may read makes sure of. Checksums are off, else no damage would get beyond them.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import mmap
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.structs import TopicPartition

from app.model import RawBatch
from app.model.batches import Headers
from app.native import kernel
from tests.kernel.written import BODY, Fetched, some_log
from topologies import fetching
from topologies.raw_fetch import COLUMNS, FORMAT, MAGIC_AT, RawMemory, RawRecords

TP = TopicPartition("changes", 3)
ERRORS = (
    KafkaError,
    TypeError,
    ValueError,
    IndexError,
    struct.error,
    EOFError,
    OSError,
    zlib.error,
    cramjam.DecompressionError,
)
"""What aiokafka raises over damaged bytes."""

DAMAGES = 25
"""So often is one log damaged, each time anew: to make it takes longer than to read it."""

Read = tuple[int, int, bytes | None, bytes | None, Headers]


def ranges(
    data: Any, at: int, aborted: list[tuple[int, int]] | None = None, *, is_raw: bool, most: int | None = None,
    is_committed: bool = True, check_crcs: bool = True,
) -> Iterator[RawBatch]:  # fmt: skip
    """Every range of one fetch from ``at`` on, ``most`` records at a time."""
    assignment = Assignment([TP])
    assignment.state_value(TP).seek(at)
    make, memory, result = (
        (RawRecords, RawMemory, fetching.RawFetchResult) if is_raw
        else (fetching._stock_records, fetching._stock_memory, fetching.RangedFetchResult)
    )  # fmt: skip
    isolation = fetcher.READ_COMMITTED if is_committed else fetcher.READ_UNCOMMITTED
    holds = memory(data)
    if not holds.has_next():
        return
    records = make(TP, holds, list(aborted or ()), at, None, None, check_crcs, isolation)
    one = result(TP, assignment=assignment, partition_records=records, backoff=0)
    while one.has_more():
        found = one.getall(most)
        if found:
            yield found.batch


def rows(batch: RawBatch) -> list[Read]:
    """Its records, one by one."""
    return [
        (
            int(batch.offsets[row]),
            int(batch.timestamps[row]),
            batch.key(row),
            batch.value(row),
            tuple(batch.headers.get(row, ())),
        )
        for row in range(len(batch))
    ]


def read(found: Iterator[RawBatch]) -> tuple[list[Read], list[tuple[int, int]]]:
    """All records, and all ranges as (start, next)."""
    batches = list(found)
    return [row for batch in batches for row in rows(batch)], [(batch.start, batch.next) for batch in batches]


class Guarded:
    """Memory whose end is the end of what may be touched: one step further ends the process.

    Attributes:
        size: how many bytes it can hold.
    """

    def __init__(self, pages: int = 64) -> None:
        self.size = pages * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self.size + mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address + self.size), ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def holding(self, data: bytes) -> memoryview:
        """The bytes, up to the guarded page."""
        begin = self.size - len(data)
        self._map[begin : self.size] = data
        return memoryview(self._map)[begin : self.size].toreadonly()


def damaged(chance: random.Random, data: bytes) -> bytes:
    """A few bytes changed, mostly where lengths stand; sometimes cut off."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(min(len(found), chance.choice((BODY, BODY + 20, len(found)))))
        found[place] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256), found[place] ^ 1 << chance.randrange(8))
        )
    return bytes(found[: chance.randrange(1, len(found))]) if chance.random() < 0.1 else bytes(found)


def outcome(
    read_it: Callable[[], tuple[list[Read], list[tuple[int, int]]]], errors: tuple[type[Exception], ...]
) -> Any:
    """What was read, or None where it was an error."""
    try:
        return read_it()
    except errors:
        return None


def disagreement(chance: random.Random, log: Fetched, guarded: Guarded) -> str | None:
    """Read damaged bytes both ways: what was seen that may not be, or None. Any other exception is a fault too."""
    data, at, is_committed = (
        damaged(chance, log.data),
        chance.randrange(log.start, log.first_next),
        chance.random() < 0.5,
    )
    if len(data) > guarded.size or is_old(data):
        return None

    def both(given: Any, *, is_raw: bool) -> tuple[list[Read], list[tuple[int, int]]]:
        return read(ranges(given, at, log.aborted, is_raw=is_raw, is_committed=is_committed, check_crcs=False))

    ours = outcome(lambda: both(guarded.holding(data), is_raw=True), (CorruptRecordException,))
    theirs = None if ours is None else outcome(lambda: both(data, is_raw=False), ERRORS)
    if ours is None or theirs is None or ours == (not_before(theirs[0], at), theirs[1]):
        return None
    return f"{data!r} at {at}: {ours} is not {theirs}"


def not_before(found: list[Read], at: int) -> list[Read]:
    """aiokafka goes back where damage lets a batch end before the position."""
    return [row for row in found if row[0] >= at]


def is_old(data: bytes) -> bool:
    """Whether damage has made a batch of an older format of one: aiokafka reads those."""
    room = np.empty((len(data) // BODY + 1, len(COLUMNS)), np.int64)
    _, at, fault = kernel.scan(data, False, room)
    return fault is not None and data[at + MAGIC_AT] < FORMAT


async def disagreements(seed: int, count: int) -> list[str]:
    """What was seen in so many damaged fetches; aiokafka needs a running loop for a partition's state."""
    guarded, chance, found = Guarded(), random.Random(seed), []
    for number in range(count):
        if number % DAMAGES == 0:
            log = some_log(chance, codecs=(0, 0, 0, 1, 2, 3, 4), size=4)
        told = disagreement(chance, log, guarded)
        found += [] if told is None else [f"{number}: {told[:2000]}"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    fetching.install()
    found = asyncio.run(disagreements(asked.seed, asked.count))
    summary = f"{asked.count} damaged fetches, {len(found)} read otherwise than aiokafka reads them"
    sys.stdout.write("\n".join([*found, summary]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
