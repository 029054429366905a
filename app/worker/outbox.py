"""The outbox of one store: effects that no broker has acknowledged, written with the state that made them.

Keys of the store, each with a number that rises:

    o <uint64 BE>   an effect
    c <uint64 BE>   a replay command, apart because a limit per minute may hold it up, and it nothing else
    h <uint64 BE>   a verdict or command held back while catching up (protocol section 4)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain, islice

from app.adapters.store import Store
from app.model.effects import Command, Verdict
from app.worker import effects
from app.worker.effects import Effect

EFFECTS, COMMANDS, HELD = b"o", b"c", b"h"

Entry = tuple[bytes, bytes]
"""Key and value as they stand in the store."""


class Outbox:
    """Numbers effects and finds them again; the caller writes what `entries` gives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lowest = {EFFECTS: 0, COMMANDS: 0}
        self._next = 1 + max((number_of(key) for key, _ in self.everything()), default=-1)

    @property
    def next(self) -> int:
        """The number that the next effect gets."""
        return self._next

    def entries(self, made: Iterable[Effect], *, is_held: bool) -> list[Entry]:
        """What to write for effects that were made."""
        return [self._entry(effect, is_held=is_held and isinstance(effect, Verdict | Command)) for effect in made]

    def oldest(self, limit: int) -> list[tuple[bytes, Effect]]:
        """The oldest effects and the oldest commands, at most so many of each, with their keys."""
        found = [*islice(self._waiting(EFFECTS), limit), *islice(self._waiting(COMMANDS), limit)]
        return [(key, effects.load(value)) for key, value in found]

    def is_through(self, number: int) -> bool:
        """Whether the broker has every effect below a number, commands apart, and none is held back."""
        if next(self._store.scan(HELD), None) is not None:
            return False
        first = next(self._waiting(EFFECTS), None)
        return first is None or number_of(first[0]) >= number

    def hold(self) -> None:
        """Hold what was not acknowledged: a worker elsewhere has gone on since, and it may not stand any more."""
        self._hold((EFFECTS, COMMANDS), lambda effect: isinstance(effect, Verdict | Command))

    def hold_commands(self, sinks: Container[str]) -> None:
        """Hold the commands of some sinks that were not acknowledged."""
        self._hold((COMMANDS,), lambda effect: isinstance(effect, Command) and effect.sink in sinks)

    def _hold(self, prefixes: Iterable[bytes], is_meant: Callable[[Effect], bool]) -> None:
        found = [entry for prefix in prefixes for entry in self._store.scan(prefix)]
        moved = [(key, value) for key, value in found if is_meant(effects.load(value))]
        if moved:
            self._store.write([(HELD + key[1:], value) for key, value in moved], [key for key, _ in moved])

    def held(self) -> list[tuple[bytes, Effect]]:
        """What is held back, in the order in which it was made, with its keys."""
        return [(key, effects.load(value)) for key, value in self._store.scan(HELD)]

    def everything(self) -> Iterator[Entry]:
        """Every entry as it stands in the store."""
        for prefix in (EFFECTS, COMMANDS, HELD):
            yield from self._store.scan(prefix)

    def pack(self) -> bytes:
        """Everything, for a checkpoint."""
        return json.dumps([[key.hex(), value.decode()] for key, value in self.everything()]).encode()

    def _waiting(self, prefix: bytes) -> Iterator[Entry]:
        """Entries of one kind, ascending. Their numbers rise, so nothing stands below the lowest that was seen."""
        found = self._store.scan(prefix, numbered(b"", self._lowest[prefix]))
        first = next(found, None)
        self._lowest[prefix] = self._next if first is None else number_of(first[0])
        return chain(() if first is None else (first,), found)

    def _entry(self, effect: Effect, *, is_held: bool) -> Entry:
        prefix = HELD if is_held else COMMANDS if isinstance(effect, Command) else EFFECTS
        self._next += 1
        return numbered(prefix, self._next - 1), effects.dump(effect)


def unpack(data: bytes) -> list[Entry]:
    """Entries as `Outbox.pack` packed them."""
    return [(bytes.fromhex(key), value.encode()) for key, value in json.loads(data)]


def numbered(prefix: bytes, number: int) -> bytes:
    """A key of the store that ends with a number; keys of one prefix stand in the order of their numbers."""
    return prefix + struct.pack(">Q", number)


def number_of(key: bytes) -> int:
    """The number in an entry's key."""
    (number,) = struct.unpack(">Q", key[1:])
    return int(number)
