"""Keys that were seen: none is forgotten, few are mistaken, and not the same ones by another pass."""

from __future__ import annotations

import random

import pytest

from app.worker.seen import LEAST_BITS, MOST_BITS, Seen


@pytest.mark.parametrize("keys", [1, 20_000])
def test_what_was_added_is_always_known_and_little_else(keys: int) -> None:
    chance = random.Random(7)
    added = [chance.getrandbits(64) for _ in range(keys)]
    others = [chance.getrandbits(64) for _ in range(20_000)]
    found = []
    for seed in (1, 2):
        seen = Seen(keys, seed)
        for number in added:
            seen.add(number)
        assert all(map(seen.has, added))
        found.append({number for number in others if seen.has(number)})

    assert all(len(mistaken) < 0.02 * len(others) for mistaken in found)
    assert not found[0] or found[0] != found[1]


def test_its_size_is_bounded() -> None:
    assert len(Seen(0, 1)._bits) * 8 == LEAST_BITS
    assert len(Seen(1 << 40, 1)._bits) * 8 == MOST_BITS
