"""Snapshots of the fold as blocks, by key: what is written, what is loaded, and what nothing asks for any more.

Keys are ``s`` and a JSON list: ["c", topic], ["cs", topic, segment], ["k", sink, topic], ["ks", sink, topic, segment]. The
blocks of sources and sinks tell which segments they have; a segment's block is read when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from xxhash import xxh3_128_digest

from app.adapters.store import Store
from app.ledger import blocks
from app.ledger.partition import PartitionFold
from app.ledger.segments import Names, Segments
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, TAIL_OFFSETS

PREFIX = b"s"

ROWS = 262_144
"""Rows of deltas between snapshots: a restart folds at most so many again, half a second."""
UPLOAD_ROWS = 4 * ROWS
"""Rows of deltas at which a snapshot is made though the last one is still on its way to the ledger topic."""


class Snapshots:
    """The last snapshot of one store, and how the next one differs from it.

    Args:
        fold: empty; `load` gives it its state.

    Blocks of sources and sinks are small and many, and mostly as they were: those are found by their digests and neither
    written nor sent to the ledger topic again.
    """

    def __init__(self, fold: PartitionFold, store: Store) -> None:
        self._fold = fold
        self._store = store
        self._small: dict[bytes, bytes] = {}
        self._made: dict[bytes, bytes] = {}
        self._digests: dict[bytes, bytes] = {}

    def read(self, names: Names, number: int) -> bytes | None:
        """The block of a segment."""
        return self._store.get(_key(*names, number))

    def names(self) -> Iterator[str]:
        """Every block of the last snapshot."""
        yield from (key[1:].decode() for key in self._small)
        yield from (_key(*names, number)[1:].decode() for names, number in self._fold.residents.gone)
        for segments in _segments(self._fold):
            before = json.dumps(segments.names)[:-1]
            yield from (f"{before}, {number}]" for number in segments if segments.is_stored(number))

    # ---------------------------------------------------------------- loading

    def load(self) -> None:
        """Give the fold the state of the last snapshot: of segments their numbers."""
        for key, block in self._blocks("c"):
            (topic,) = key
            changes = self._fold.source(topic)
            changes.segments.stored(self._numbers(("cs", topic), block))
            blocks.restore_source(changes, block)
        for key, block in self._blocks("k"):
            name, topic = key
            numbers = self._numbers(("ks", name, topic), block)
            sink = self._fold.sinks.get((name, topic))
            if sink is None:  # it was taken out of the configuration
                self._fold.residents.gone.update((("ks", name, topic), number) for number in numbers)
            else:
                sink.cells.stored(numbers)
                blocks.restore_sink(sink, block)

    def _blocks(self, kind: str) -> Iterator[tuple[list[str], bytes]]:
        for key, block in self._store.scan(PREFIX + json.dumps([kind])[:-1].encode() + b","):
            self._small[key] = xxh3_128_digest(block)
            yield json.loads(key[1:])[1:], block

    def _numbers(self, names: Names, block: bytes) -> list[int]:
        """Numbers of the segments of a source or sink; an older version did not write them down."""
        found = blocks.segments_of(block)
        if found is not None:
            return found
        prefix = PREFIX + json.dumps(names)[:-1].encode() + b","
        return [int(json.loads(key[1:])[-1]) for key, _ in self._store.scan(prefix)]

    # ---------------------------------------------------------------- the next one

    def begin(self) -> tuple[list[bytes], list[bytes]]:
        """Forget what nothing asks for any more; keys of the blocks that the next snapshot writes, and of those it deletes."""
        _prune(self._fold)
        self._made = dict(_small_blocks(self._fold))
        deletes = [key for key in self._small if key not in self._made]
        deletes += [_key(*names, number) for names, number in sorted(self._fold.residents.gone)]
        self._digests = {key: xxh3_128_digest(block) for key, block in self._made.items()}
        self._made = {key: block for key, block in self._made.items() if self._small.get(key) != self._digests[key]}
        segments = [_key(*of.names, number) for of in _segments(self._fold) for number in sorted(of.changed)]
        return [*self._made, *segments], deletes

    def blocks(self) -> Iterator[tuple[bytes, bytes]]:
        """What `begin` named, one by one: all of them at once are as large as what memory may hold."""
        yield from self._made.items()
        for changes in self._fold.changes.values():
            for number in sorted(changes.segments.changed):
                yield _key(*changes.segments.names, number), blocks.pack_changes(changes.segments[number])
        for sink in self._fold.sinks.values():
            for number in sorted(sink.cells.changed):
                yield _key(*sink.cells.names, number), blocks.pack_cells(sink.cells[number])

    def written(self) -> None:
        """The store has it all: what it holds may leave memory."""
        self._small, self._made = self._digests, {}
        self._fold.residents.gone.clear()
        for segments in _segments(self._fold):
            segments.snapshotted()
        self._fold.residents.shrink()


def _segments(fold: PartitionFold) -> Iterator[Segments[Any]]:
    for changes in fold.changes.values():
        yield changes.segments
    for sink in fold.sinks.values():
        yield sink.cells


def _small_blocks(fold: PartitionFold) -> Iterator[tuple[bytes, bytes]]:
    for topic, changes in fold.changes.items():
        yield _key("c", topic), blocks.pack_source(changes)
    for (name, topic), sink in fold.sinks.items():
        yield _key("k", name, topic), blocks.pack_sink(sink)


def _prune(fold: PartitionFold) -> None:
    """Closed segments more than 65,536 offsets below every sink's fence are no longer asked for."""
    for topic, changes in fold.changes.items():
        sinks = list(fold.sinks_of(topic))
        if not sinks:
            continue
        floor = min(min(sink.fence - TAIL_OFFSETS, _lowest(sink), _unsealed(sink)) for sink in sinks)
        for number in changes.prune(floor):
            for sink in sinks:
                sink.cells.pop(number)


def _lowest(sink: SinkPartition) -> int:
    lowest = sink.stragglers.lowest()
    return sink.fence if lowest is None else lowest


def _unsealed(sink: SinkPartition) -> int:
    return min(sink.unsealed, default=sink.fence >> SEGMENT_BITS) << SEGMENT_BITS


def _key(*names: str | int) -> bytes:
    return PREFIX + json.dumps(names).encode()
