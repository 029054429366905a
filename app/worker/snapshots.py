"""A snapshot of the fold as blocks, by key: what is written, what is loaded, and what nothing asks for any more.

Keys are ``s`` and a JSON list: ["c", topic], ["cs", topic, segment], ["k", sink, topic], ["ks", sink, topic, segment].
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.ledger import blocks
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, TAIL_OFFSETS

PREFIX = b"s"


def names(fold: PartitionFold) -> Iterator[bytes]:
    """Keys of all blocks that the fold now consists of."""
    for topic, changes in fold.changes.items():
        yield _block("c", topic)
        yield from (_block("cs", topic, number) for number in changes.segments)
    for (name, topic), sink in fold.sinks.items():
        yield _block("k", name, topic)
        yield from (_block("ks", name, topic, number) for number in sink.cells)


def pack(fold: PartitionFold) -> Iterator[tuple[bytes, bytes]]:
    """The blocks that changed since the last snapshot."""
    for topic, changes in fold.changes.items():
        yield _block("c", topic), blocks.pack_source(changes)
        for number in sorted(changes.changed):
            yield _block("cs", topic, number), blocks.pack_changes(changes.segments[number])
        changes.changed.clear()
    for (name, topic), sink in fold.sinks.items():
        yield _block("k", name, topic), blocks.pack_sink(sink)
        for number in sorted(sink.changed & sink.cells.keys()):
            yield _block("ks", name, topic, number), blocks.pack_cells(sink.cells[number])
        sink.changed.clear()


def load(fold: PartitionFold, found: Iterator[tuple[bytes, bytes]]) -> None:
    """Give an empty fold the state of a snapshot; segments come before what is computed from them."""
    blocks_by_key = [(json.loads(key[1:]), value) for key, value in found]
    for (kind, *places), value in sorted(blocks_by_key, key=lambda item: ("cs", "c", "ks", "k").index(item[0][0])):
        _load_block(fold, kind, places, value)


def _load_block(fold: PartitionFold, kind: str, names: list[Any], value: bytes) -> None:
    if kind == "cs":
        fold.source(names[0]).segments[names[1]] = blocks.unpack_changes(names[1], value)
    elif kind == "c":
        blocks.restore_source(fold.source(names[0]), value)
    elif (names[0], names[1]) in fold.sinks:  # a sink that was taken out of the configuration has no fold
        sink = fold.sinks[names[0], names[1]]
        if kind == "ks":
            sink.cells[names[2]] = blocks.unpack_cells(names[2], value)
        else:
            blocks.restore_sink(sink, value)


def prune(fold: PartitionFold) -> None:
    """Closed segments more than 65,536 offsets below every sink's fence are no longer asked for."""
    for topic, changes in fold.changes.items():
        sinks = list(fold.sinks_of(topic))
        if not sinks:
            continue
        floor = min(min(sink.fence - TAIL_OFFSETS, _lowest(sink), _unsealed(sink)) for sink in sinks)
        for number in changes.prune(floor):
            for sink in sinks:
                sink.cells.pop(number, None)


def _lowest(sink: SinkPartition) -> int:
    lowest = sink.stragglers.lowest()
    return sink.fence if lowest is None else lowest


def _unsealed(sink: SinkPartition) -> int:
    return min(sink.unsealed, default=sink.fence >> SEGMENT_BITS) << SEGMENT_BITS


def _block(*names: str | int) -> bytes:
    return b"s" + json.dumps(names).encode()
