"""Segments that leave memory and come back."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import InvariantBroken
from app.ledger import segments
from app.ledger.segments import Residents, Segments

NAMES = ("cs", "t")
BYTES = 8


@pytest.fixture(autouse=True)
def forgets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "RECENT", 0)


class Block:
    """A segment of one number."""

    def __init__(self, number: int, content: int = 0) -> None:
        self.number = number
        self.content = content
        self.nbytes = BYTES


class Disk:
    """Blocks as the last snapshot wrote them."""

    def __init__(self, limit: int | None) -> None:
        self.blocks: dict[int, int] = {}
        self.residents = Residents(self.read, limit)
        self.segments = Segments(self.residents, NAMES, lambda number, block: Block(number, int.from_bytes(block)))

    def read(self, names: tuple[str, ...], number: int) -> bytes | None:
        assert names == NAMES
        content = self.blocks.get(number)
        return None if content is None else content.to_bytes(8)

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.segments[number] = Block(number, number)

    def snapshot(self) -> None:
        self.blocks |= {number: self.segments[number].content for number in self.segments.changed}
        self.segments.snapshotted()
        self.residents.shrink()

    def in_memory(self) -> list[int]:
        return sorted(self.segments.in_memory())


def test_what_was_written_since_the_last_snapshot_stays_in_memory_and_calls_for_one() -> None:
    disk = Disk(limit=2 * BYTES)

    disk.put(1, 2, 3)

    assert disk.in_memory() == [1, 2, 3]
    assert disk.residents.is_full


def test_after_a_snapshot_memory_holds_what_was_used_last() -> None:
    disk = Disk(limit=2 * BYTES)
    disk.put(1, 2, 3)

    disk.snapshot()

    assert disk.in_memory() == [2, 3]
    assert disk.residents.bytes == 2 * BYTES
    assert not disk.residents.is_full


def test_a_segment_that_left_memory_comes_back_from_its_block_and_another_leaves() -> None:
    disk = Disk(limit=2 * BYTES)
    disk.put(1, 2, 3)
    disk.snapshot()

    disk.segments.get(2)
    found = disk.segments[1]

    assert found.content == 1
    assert disk.in_memory() == [1, 2]
    assert disk.residents.loaded == 1


def test_what_was_used_last_stays_within_a_batch_though_memory_is_full_of_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "RECENT", 1)
    disk = Disk(limit=BYTES)
    disk.put(1, 2)
    disk.snapshot()
    disk.put(3, 4)

    for number in (1, 1, 2, 2):
        disk.segments.get(number)

    assert disk.residents.loaded == 2
    assert disk.in_memory() == [2, 3, 4]


def test_all_numbers_are_known_whatever_is_in_memory() -> None:
    disk = Disk(limit=0)
    disk.put(7, 2, 5)

    disk.snapshot()

    assert disk.in_memory() == []
    assert list(disk.segments) == [2, 5, 7]
    assert disk.segments.between(3, 8) == [5, 7]
    assert 5 in disk.segments
    assert disk.segments.get(6) is None


def test_a_segment_that_is_written_to_does_not_leave_memory_before_it_has_a_block() -> None:
    disk = Disk(limit=0)
    disk.put(1, 2)
    disk.snapshot()

    disk.segments.writable(1).content = 99
    disk.segments.get(2)

    assert disk.in_memory() == [1]
    disk.snapshot()
    assert disk.segments[1].content == 99


def test_what_is_no_more_is_told_once_it_has_a_block() -> None:
    disk = Disk(limit=None)
    disk.put(1)
    disk.snapshot()
    disk.put(2)

    disk.segments.clear()

    assert disk.residents.gone == {(NAMES, 1)}
    assert (list(disk.segments), disk.residents.bytes) == ([], 0)
    assert disk.segments.get(1) is None


def test_a_segment_made_again_is_not_read_from_the_block_of_the_one_before() -> None:
    disk = Disk(limit=0)
    disk.put(1)
    disk.snapshot()
    disk.segments.pop(1)

    assert disk.segments.get(1) is None
    disk.segments[1] = Block(1, 50)

    assert disk.segments[1].content == 50


def test_a_block_that_is_not_there_stops_the_worker() -> None:
    disk = Disk(limit=0)
    disk.segments.stored([4])

    with pytest.raises(InvariantBroken, match="segment 4"):
        disk.segments.get(4)


def test_whoever_asks_what_was_written_gets_what_is_new_to_him() -> None:
    disk = Disk(limit=0)
    disk.segments.stored([1, 2, 3])
    disk.blocks = dict.fromkeys([1, 2, 3], 0)

    first, time = disk.segments.written_since(0)
    disk.segments.get(1)
    disk.segments.writable(3)
    disk.put(4)
    second, time = disk.segments.written_since(time)

    assert (sorted(first), sorted(second)) == ([1, 2, 3], [3, 4])
    assert disk.segments.written_since(time)[0] == []


@pytest.mark.parametrize("seed", range(20))
def test_memory_never_holds_more_than_its_limit_and_what_has_no_block(seed: int) -> None:
    """Random reading, writing and snapshots against a dict."""
    rng = np.random.default_rng(seed)
    disk, model = Disk(limit=5 * BYTES), {}
    for step in range(400):
        number = int(rng.integers(30))
        match rng.integers(5):
            case 0:
                disk.segments[number] = Block(number, step)
                model[number] = step
            case 1 if number in model:
                disk.segments.writable(number).content = model[number] = step
            case 2 if rng.random() < 0.2:
                disk.segments.pop(number)
                model.pop(number, None)
            case 3 if rng.random() < 0.2:
                disk.snapshot()
            case _:
                found = disk.segments.get(number)
                assert (None if found is None else found.content) == model.get(number)
        held = len(disk.segments.in_memory())
        assert disk.residents.bytes == held * BYTES
        assert held <= max(5, len(disk.segments.changed))
        assert list(disk.segments) == sorted(model)
