"""A worker that counts and chains: the smallest fold whose state shows any record that was lost, doubled or swapped.

Its state is a file per partition number to which every batch appends one line, the whole state, in one write; a restart
reads the last whole line. So it has the promise of the real store (one atomic write per batch) without its decisions.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.model import RawBatch
from app.worker.ports import Assignment, Committed, Input


@dataclass(slots=True)
class Count:
    """One input so far.

    Attributes:
        next: the next offset.
        records: how many there were; chain: a hash over all of them, in order, with their offsets.
        lost: ranges that expired unread.
    """

    next: int = 0
    records: int = 0
    chain: str = ""
    lost: list[list[int]] = field(default_factory=list)

    def take(self, raw: RawBatch) -> None:
        """Fold the part of a batch that is new."""
        chain = bytes.fromhex(self.chain)
        for row in range(len(raw)):
            offset = int(raw.offsets[row])
            if offset < self.next:
                continue
            self.records += 1
            chain = link(chain, offset, int(raw.timestamps[row]), raw.key(row), raw.value(row))
        self.chain = chain.hex()
        self.next = raw.next


def link(chain: bytes, offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> bytes:
    """The chain with one more record."""
    told = struct.pack("<qqii", offset, timestamp, -1 if key is None else len(key), -1 if value is None else len(value))
    return hashlib.blake2b(b"".join((chain, told, key or b"", value or b"")), digest_size=16).digest()


class CountStore:
    """State of one partition number: a count by topic."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.counts = {topic: Count(**told) for topic, told in _last_state(path).items()}
        path.with_suffix(".new").write_text(self._line())
        path.with_suffix(".new").replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self) -> None:
        """One write: all of it, or nothing that a restart would see."""
        os.write(self._file, self._line().encode())

    def close(self) -> None:
        os.close(self._file)

    def _line(self) -> str:
        return json.dumps({topic: asdict(count) for topic, count in sorted(self.counts.items())}) + "\n"


def _last_state(path: Path) -> dict[str, dict[str, object]]:
    whole = (
        [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] if path.exists() else []
    )
    return json.loads(whole[-1]) if whole else {}


def states(directory: Path) -> dict[int, dict[str, Count]]:
    """What a worker's directory holds, by partition number and topic."""
    found = {}
    for path in sorted(directory.glob("*.state")):
        found[int(path.stem)] = {topic: Count(**told) for topic, told in _last_state(path).items()}
    return found


def furthest(directories: Iterable[Path]) -> dict[Input, Count]:
    """Of several workers, who read each input furthest."""
    best: dict[Input, Count] = {}
    for directory in directories:
        for number, counts in states(directory).items():
            for topic, count in counts.items():
                if count.next > best.get(Input(topic, number), Count(next=-1)).next:
                    best[Input(topic, number)] = count
    return best


class CountingWorker:
    """A `Worker`. What it was asked and given stands in ``events``, for tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.app: Any = None
        self.stores: dict[int, CountStore] = {}
        self.held: frozenset[Input] = frozenset()
        self.events: list[tuple[str, object]] = []
        self.ranges: dict[Input, list[tuple[int, int, int]]] = {}

    async def open(self, assignment: Assignment) -> Mapping[Input, int]:
        self.events.append(("open", frozenset(assignment.inputs)))
        positions = {}
        for source in sorted(assignment.inputs):
            if source.partition not in self.stores:
                self.stores[source.partition] = CountStore(self.directory / f"{source.partition}.state")
            store = self.stores[source.partition]
            count = store.counts.setdefault(source.topic, Count())
            earliest = assignment.earliest[source]
            if count.next > assignment.ends[source]:
                self.events.append(("replaced", source))
                count = store.counts[source.topic] = Count(next=earliest)
            if count.next < earliest:
                count.lost.append([count.next, earliest])
                count.next = earliest
                store.write()
            positions[source] = count.next
        return positions

    def close(self, inputs: AbstractSet[Input] | None) -> None:
        self.events.append(("close", inputs))
        for number in set(self.stores) if inputs is None else {source.partition for source in inputs}:
            store = self.stores.pop(number, None)
            if store is not None:
                store.close()

    async def take(self, ranges: Sequence[RawBatch]) -> Mapping[Input, int]:
        found = {Input(raw.topic, raw.partition): self._take(raw) for raw in ranges}
        return {source: hole for source, hole in found.items() if hole is not None}

    def _take(self, raw: RawBatch) -> int | None:
        source = Input(raw.topic, raw.partition)
        store = self.stores.get(source.partition)
        if store is None:
            self.events.append(("not ours", source))
            return None
        count = store.counts[source.topic]
        if raw.next <= count.next:
            self.events.append(("known", source))
            return None
        if raw.start > count.next:
            self.events.append(("hole", source))
            return count.next
        self.ranges.setdefault(source, []).append((raw.start, raw.next, len(raw)))
        count.take(raw)
        store.write()
        return None

    def note_counts(self, counts: Mapping[str, int]) -> AbstractSet[str]:
        return frozenset()

    def is_held(self, source: Input) -> bool:
        return source in self.held

    def restart_positions(self) -> Mapping[Input, Committed]:
        return {
            Input(topic, number): Committed(count.next, f"number {number}")
            for number, store in self.stores.items()
            for topic, count in store.counts.items()
        }

    def ship(self) -> bool:
        return False

    async def tick(self) -> None:
        """Nothing beside reading."""

    def next(self, source: Input) -> int:
        """The next offset of an input, -1 where its store is not open."""
        store = self.stores.get(source.partition)
        return store.counts[source.topic].next if store and source.topic in store.counts else -1
