"""Simulated worlds: the product says of each what the oracle says, and they hold enough of every fault to mean something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.compare import differences
from tests.simulation.world import KINDS, write_world

WORLDS = 200
GROUP = 20
ENOUGH = 500
"""Planted faults of each kind, over all worlds."""

GROUPS = [range(first, first + GROUP) for first in range(0, WORLDS, GROUP)]


@pytest.mark.parametrize("seeds", GROUPS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_the_product_says_of_every_world_what_the_oracle_says(seeds: range, tmp_path: Path) -> None:
    found: dict[int, list[str]] = {}
    for seed in seeds:
        write_world(seed, tmp_path / str(seed))
        if faults := differences(tmp_path / str(seed)):
            found[seed] = faults[:20]

    assert found == {}


def test_over_all_worlds_every_kind_of_fault_is_planted_often(tmp_path: Path) -> None:
    planted: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for seed in range(WORLDS):
        planted.update(write_world(seed, tmp_path / str(seed)))

    assert {kind: count for kind, count in planted.items() if count < ENOUGH} == {}
