"""Checkpoints: the last snapshot of a store as records of the compacted ledger topic, for a worker with an empty disk.

A checkpoint is a store's own blocks, so that a worker elsewhere goes on exactly where this one was (law 3). Only blocks that
changed since the last checkpoint are sent. Every block has two places in the topic, and a checkpoint writes the one that
the last checkpoint does not use: whoever dies in between leaves that one whole. Keys are texts:

    checkpoint|<width>|<partition>|<owner>|<block>|<place>|<part>   uint64 number, uint32 parts, one part of the block
    checkpoint|<width>|<partition>|<owner>||<place>|<part>          the same of the index: JSON {head, blocks}

``owner`` is the store's token, so that a worker that has lost its partitions and does not know it yet writes over nobody.
The index is sent when the broker has every block of it; of all checkpoints that are whole the one with the highest number
is the newest.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PART_BYTES = 512 << 10
"""Half of what a broker takes for a record when nothing else is configured."""
INDEX = ""
OUTBOX = "outbox"
"""The block that is none of the fold: what the outbox holds when the checkpoint is sent."""
_NUMBER = struct.Struct(">Q")

Record = tuple[str, bytes]
"""Key and value of one record of the ledger topic."""


@dataclass(slots=True)
class Placed:
    """Where one block stands in the topic.

    Attributes:
        place: 0 or 1; number: of the checkpoint that wrote it; parts: how many it has.
        written: how many parts were ever written in each place.
    """

    place: int
    number: int
    parts: int
    written: list[int]

    @classmethod
    def after(cls, before: Placed | None, number: int, parts: int) -> Placed:
        """Written anew, in the place that was not in use."""
        place = 0 if before is None else 1 - before.place
        written = [0, 0] if before is None else list(before.written)
        written[place] = max(written[place], parts)
        return cls(place, number, parts, written)

    def dump(self, *, is_dirty: bool) -> bytes:
        """As JSON."""
        return json.dumps([self.place, self.number, self.parts, self.written, is_dirty]).encode()

    def keys(self, prefix: str, name: str) -> Iterator[str]:
        """Every key that the block has in the topic."""
        for place, parts in enumerate(self.written):
            yield from (key_of(prefix, name, place, part) for part in range(parts))


@dataclass(slots=True)
class Sent:
    """What the ledger topic holds of a store; kept in the store, a value for each block, since few change at a time.

    Attributes:
        number: of the last checkpoint that the broker has whole; 0 for none.
        blocks: by name, as of that checkpoint.
        dirty: blocks that changed since.
        garbage: keys that nothing needs any more.
    """

    number: int = 0
    blocks: dict[str, Placed] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    garbage: set[str] = field(default_factory=set)

    def dump(self) -> bytes:
        """All but the blocks, as JSON."""
        return json.dumps({"number": self.number, "garbage": sorted(self.garbage)}).encode()

    @classmethod
    def load(cls, data: bytes | None, blocks: Iterable[tuple[str, bytes]]) -> Sent:
        """From `dump` and each block's; nothing was sent where there is none."""
        told: dict[str, Any] = {"number": 0, "garbage": ()} if data is None else json.loads(data)
        found = cls(told["number"], garbage=set(told["garbage"]))
        if "blocks" in told:  # an older version wrote all of it as one value
            found.blocks = {name: Placed(*block) for name, block in told["blocks"].items()}
            found.dirty = set(told["dirty"])
        for name, dumped in blocks:
            *block, is_dirty = json.loads(dumped)
            found.blocks[name] = Placed(*block)
            found.dirty.update([name] if is_dirty else ())
        return found


class Upload:
    """One checkpoint on its way: blocks first, the index when the broker has them all.

    Args:
        prefix: of its keys, see `prefix_of`.
        number: of the snapshot that it consists of.
        sent: what the topic holds; left as it is.
        live: every block of the snapshot.
        head: the snapshot's head, as `Head.dump` gives it.
        read: the bytes of a block.
    """

    def __init__(
        self, prefix: str, number: int, sent: Sent, live: set[str], head: bytes, read: Callable[[str], bytes]
    ) -> None:
        self.number = number
        self._prefix = prefix
        self._sent = sent
        self._head = head
        self._read = read
        self._blocks = {name: block for name, block in sent.blocks.items() if name in live}
        self._todo = sorted(name for name in live if name in sent.dirty or name not in sent.blocks)
        self._has_index = False

    def records(self, limit: int) -> list[Record]:
        """The next records, of some ``limit`` bytes: blocks, and when all were given the index; none after it.

        The caller asks for the next ones when the broker has acknowledged the last ones.
        """
        found: list[Record] = []
        size = 0
        while self._todo and size < limit:
            name = self._todo.pop()
            data = self._read(name)
            size += len(data)
            parts = split(data)
            block = self._blocks[name] = Placed.after(self._sent.blocks.get(name), self.number, len(parts))
            found.extend(self._records(name, block.place, parts))
        if not found and not self._has_index:
            self._has_index = True
            found = self._records(INDEX, self.number % 2, split(self._index()))
        return found

    def done(self) -> Sent:
        """What the topic holds when the broker has every record."""
        garbage = set(self._sent.garbage)
        for name, block in self._sent.blocks.items():
            if name not in self._blocks:
                garbage.update(block.keys(self._prefix, name))
        return Sent(self.number, self._blocks, set(), garbage)

    def _index(self) -> bytes:
        blocks = {name: [block.place, block.number, block.parts] for name, block in self._blocks.items()}
        return json.dumps({"head": json.loads(self._head), "blocks": blocks}).encode()

    def _records(self, name: str, place: int, parts: list[bytes]) -> list[Record]:
        numbered = (_NUMBER.pack(self.number) + struct.pack(">I", len(parts)) + part for part in parts)
        return [(key_of(self._prefix, name, place, number), value) for number, value in enumerate(numbered)]


class Restored(NamedTuple):
    """A checkpoint as it was found.

    Attributes:
        number: of the snapshot; head: as `Head.load` takes it; blocks: bytes by name.
    """

    number: int
    head: bytes
    blocks: dict[str, bytes]


def newest(records: Mapping[str, bytes]) -> Restored | None:
    """Of all checkpoints of one store that are whole, the newest; None for none.

    Args:
        records: what the compacted topic holds under `prefix_of` the store, by key.
    """
    found = None
    for key in records:
        prefix, name, place, part = _parsed(key)
        if name != INDEX or part:
            continue
        number = _NUMBER.unpack_from(records[key])[0]
        if found is None or number > found.number:
            found = _assembled(records, prefix, place, number) or found
    return found


def _assembled(records: Mapping[str, bytes], prefix: str, place: int, number: int) -> Restored | None:
    index = _joined(records, prefix, INDEX, place, number)
    if index is None:
        return None
    told: dict[str, Any] = json.loads(index)
    blocks = {}
    for name, (where, written, _) in told["blocks"].items():
        data = _joined(records, prefix, name, where, written)
        if data is None:
            return None
        blocks[name] = data
    return Restored(number, json.dumps(told["head"]).encode(), blocks)


def _joined(records: Mapping[str, bytes], prefix: str, name: str, place: int, number: int) -> bytes | None:
    """The parts of one block, None where one is not there or another checkpoint has written over it."""
    parts: list[bytes] = []
    count = 1
    while len(parts) < count:
        value = records.get(key_of(prefix, name, place, len(parts)))
        if value is None or _NUMBER.unpack_from(value)[0] != number:
            return None
        (count,) = struct.unpack_from(">I", value, _NUMBER.size)
        parts.append(value[_NUMBER.size + 4 :])
    return b"".join(parts)


def split(data: bytes) -> list[bytes]:
    """Parts that a broker takes; at least one."""
    return [data[at : at + PART_BYTES] for at in range(0, max(len(data), 1), PART_BYTES)]


def store_prefix(width: int, partition: int) -> str:
    """What the keys of one store begin with, whoever owns it."""
    return f"checkpoint|{width}|{partition}|"


def prefix_of(width: int, partition: int, owner: str) -> str:
    """What the keys of one store under one owner begin with."""
    return f"{store_prefix(width, partition)}{owner}|"


def key_of(prefix: str, name: str, place: int, part: int) -> str:
    """The key of one part; a block's name may hold anything."""
    return f"{prefix}{name}|{place}|{part}"


def _parsed(key: str) -> tuple[str, str, int, int]:
    """(prefix, name, place, part) of a key."""
    rest, place, part = key.rsplit("|", 2)
    *prefix, name = rest.split("|", 4)
    return "|".join(prefix) + "|", name, int(place), int(part)
