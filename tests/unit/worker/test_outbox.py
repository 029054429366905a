"""The outbox finds its oldest entries without passing over what was acknowledged before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.store import MemoryStore, RocksStore, Store
from app.model import Origin
from app.worker.effects import Effect, Routed
from app.worker.outbox import EFFECTS, Outbox, numbered


def routed(number: int) -> Routed:
    return Routed(topic="lane", partition=0, origin=Origin("receipts", 0, number), value=b"%d" % number)


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "store")
    yield made
    made.close()


def test_a_scan_begins_where_it_is_told_to_and_ends_with_its_prefix(store: Store) -> None:
    store.write([(numbered(prefix, number), b"") for prefix in (b"c", b"d", b"e") for number in (1, 2, 300)])
    assert [key for key, _ in store.scan(b"d", numbered(b"", 2))] == [numbered(b"d", 2), numbered(b"d", 300)]


def test_what_was_acknowledged_is_passed_over_and_what_comes_later_is_found(store: Store) -> None:
    outbox = Outbox(store)
    made: list[Effect] = []

    def make(*numbers: int) -> None:
        made[:] = [routed(number) for number in numbers]
        store.write(outbox.entries(made, is_held=False))

    def waiting() -> list[bytes]:
        return [effect.value for _, effect in outbox.oldest(10) if isinstance(effect, Routed)]

    make(1, 2, 3)
    assert waiting() == [b"1", b"2", b"3"]
    store.write([], [numbered(EFFECTS, 0), numbered(EFFECTS, 2)])  # the second did not arrive
    assert waiting() == [b"2"]
    assert not outbox.is_through(3)
    store.write([], [numbered(EFFECTS, 1)])
    assert waiting() == []
    assert outbox.is_through(3)
    make(4)
    assert waiting() == [b"4"]
    assert [effect.value for _, effect in Outbox(store).oldest(10) if isinstance(effect, Routed)] == [b"4"]
