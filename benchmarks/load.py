"""The load: changes of some topics, receipts of some sinks about them, and fences, with faults planted at known offsets.

A sink tells of its changes a little out of order (shuffled within `SHUFFLED` changes, as one with several writers does) and fences every `fence_every`
changes, and at the end. Planted are receipts that are never written and receipts with another fingerprint; every last
stretch below a fence at the end has a lost one, so that a verdict stands at the end of all judging.

Records bear event times, 10,000 changes a second over all partitions and their receipts 200 ms later: an engine that reads
its inputs in the order of their timestamps finds them as they would have come. Everything random comes from one seed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.accounts import CONTENTS, Accounts, text, varint
from cdc_receipts.codec import Mark, MarkKind, encode_mark

TOPIC = "commerce.public.accounts"
SINKS = ("warehouse-one", "warehouse-two")
FIRST_MS = 1_790_000_000_000
CHANGES_PER_MS = 10
DELAY_MS = 200
SHUFFLED = 1_000
ACCOUNTS = 200_000
"""Rows of the table by partition, of which each change takes one by chance."""
FAULT_RATE = 1e-4
"""Share of a sink's receipts that are lost, and share that are wrong: some hundred of each in a million changes of two sinks."""

APPLIED = b"\x00\x02"
"""Status APPLIED, and the union's branch of a fingerprint that is there."""
REST = b"\x00\x00\x00\x00"
"""No sequence, command id, error or evidence."""


class Record(NamedTuple):
    """One record to be written; ``timestamp`` in ms since the epoch."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    timestamp: int


class Fault(NamedTuple):
    """What is wrong with one change at one sink; ``state`` is MISSING or DIVERGED."""

    sink: str
    topic: str
    partition: int
    offset: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a load is, and how it is laid out.

    Attributes:
        changes: of all topics and partitions together; rounded down to as many for each.
        silent: of the sinks those that say nothing at all: their cells stay open.
        first: offset of the first change of every source partition, where the load goes on with an earlier one.
        prefix: begins the receipts topics' names.
    """

    changes: int = 1_000_000
    partitions: int = 4
    sinks: tuple[str, ...] = SINKS
    topics: tuple[str, ...] = (TOPIC,)
    silent: frozenset[str] = frozenset()
    fence_every: int = 10_000
    fault_rate: float = FAULT_RATE
    seed: int = 7
    first: int = 0
    prefix: str = "receipts"

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every source partition."""
        return [(topic, partition) for topic in self.topics for partition in range(self.partitions)]

    @property
    def per_place(self) -> int:
        """Changes of one source partition."""
        return self.changes // len(self.places)

    @property
    def total(self) -> int:
        """Changes that there really are."""
        return self.per_place * len(self.places)

    @property
    def speaking(self) -> list[str]:
        """The sinks that write receipts."""
        return [sink for sink in self.sinks if sink not in self.silent]

    def receipts(self, sink: str) -> str:
        """The topic of a sink's receipts."""
        return f"{self.prefix}.{sink}"


@dataclass(slots=True)
class Planted:
    """What was planted, and how many records there are by topic."""

    faults: set[Fault] = field(default_factory=set)
    records: dict[str, int] = field(default_factory=dict)


class Load:
    """The records of a shape, and what was planted among them.

    Args:
        ids: schema ids by name: ``Key``, ``Envelope``, ``DeliveryReceipt`` and ``SinkMark``.
    """

    def __init__(self, shape: Shape, ids: Mapping[str, int]) -> None:
        self.shape = shape
        self._ids = ids
        self.accounts = Accounts(ids["Key"], ids["Envelope"])
        self._receipt_head = struct.pack(">bi", 0, ids["DeliveryReceipt"])
        self.planted = Planted()

    def records(self) -> Iterator[Record]:
        """Everything, source partition by source partition: its changes, then each sink's receipts and fences."""
        for index, (topic, partition) in enumerate(self.shape.places):
            rng = np.random.default_rng((self.shape.seed, index))
            fingerprints: npt.NDArray[np.uint64] = np.empty(self.shape.per_place, np.uint64)
            yield from self._changes(index, topic, partition, rng, fingerprints)
            for sink in self.shape.speaking:
                yield from self._evidence(sink, topic, partition, rng, fingerprints)

    def _changes(
        self, index: int, topic: str, partition: int, rng: np.random.Generator, fingerprints: npt.NDArray[np.uint64]
    ) -> Iterator[Record]:
        """Changes of one source partition; fills ``fingerprints``, from the first change on."""
        shape, accounts = self.shape, self.accounts
        count, places = shape.per_place, len(shape.places)
        rows = (rng.integers(1, ACCOUNTS, count) * shape.partitions + partition).tolist()
        contents = rng.integers(0, CONTENTS, count).tolist()
        for number, (row, content) in enumerate(zip(rows, contents, strict=True)):
            offset = shape.first + number
            ts_ms = self.time_of(offset)
            key, value = accounts.change(row, content, offset * places + index, ts_ms)
            fingerprints[number] = accounts.fingerprint(row, content)
            yield Record(topic, partition, key, value, ts_ms)
        self._count(topic, count)

    def _evidence(
        self, sink: str, topic: str, partition: int, rng: np.random.Generator, fingerprints: npt.NDArray[np.uint64]
    ) -> Iterator[Record]:
        """Receipts of one sink about one source partition, and its fences."""
        count, first, log = len(fingerprints), self.shape.first, self.shape.receipts(sink)
        lost, wrong = self._faults(sink, topic, partition, count, rng)
        head = self.receipt_head(sink, topic, partition)
        said = fingerprints.tobytes()
        for start in range(0, count, SHUFFLED):
            stop = min(start + SHUFFLED, count)
            for place, number in enumerate((start + rng.permutation(stop - start)).tolist(), first + start):
                if number in lost:
                    continue
                seen = said[number * 8 : number * 8 + 8]
                if number in wrong:
                    seen = bytes((seen[0] ^ 0x55,)) + seen[1:]
                ts_ms = self.time_of(place) + DELAY_MS
                yield Record(log, partition, None, receipt(head, first + number, seen, ts_ms), ts_ms)
            if stop % self.shape.fence_every == 0 or stop == count:
                yield self.fence(sink, topic, partition, first + stop, self.time_of(first + stop) + DELAY_MS)
                self._count(log, 1)
        self._count(log, count - len(lost))

    def _faults(
        self, sink: str, topic: str, partition: int, count: int, rng: np.random.Generator
    ) -> tuple[set[int], set[int]]:
        """Which changes, counted from the first, have receipts that are lost, and which have wrong ones."""
        if not self.shape.fault_rate:
            return set(), set()
        each = round(count * self.shape.fault_rate)
        chosen = rng.choice(count, 2 * each, replace=False).tolist()
        last_stretch = (count - 1) // self.shape.fence_every * self.shape.fence_every
        lost = {*chosen[:each], int(rng.integers(last_stretch, count))}
        wrong = set(chosen[each:]) - lost
        for numbers, state in ((lost, "MISSING"), (wrong, "DIVERGED")):
            self.planted.faults |= {
                Fault(sink, topic, partition, self.shape.first + number, state) for number in numbers
            }
        return lost, wrong

    def receipt_head(self, sink: str, topic: str, partition: int) -> bytes:
        """What all receipts of a sink about a source partition begin with."""
        return self._receipt_head + text(sink) + text(topic) + varint(partition)

    def fence(self, sink: str, topic: str, partition: int, offset: int, ts_ms: int) -> Record:
        """A sink's fence at an offset."""
        mark = Mark(sink=sink, topic=topic, partition=partition, kind=MarkKind.FENCE, offset=offset, at=ts_ms)
        value = encode_mark(mark, self._ids["SinkMark"])
        return Record(self.shape.receipts(sink), partition, None, value, ts_ms)

    def time_of(self, offset: int) -> int:
        """When the source committed the change at an offset, whatever its partition: ms since the epoch."""
        return FIRST_MS + offset * len(self.shape.places) // CHANGES_PER_MS

    def _count(self, topic: str, records: int) -> None:
        self.planted.records[topic] = self.planted.records.get(topic, 0) + records


def receipt(head: bytes, offset: int, fingerprint: bytes, applied_at: int) -> bytes:
    """A framed DeliveryReceipt of an applied change.

    Args:
        head: see `Load.receipt_head`.
    """
    return b"".join((head, varint(offset), APPLIED, fingerprint, varint(applied_at), REST))
