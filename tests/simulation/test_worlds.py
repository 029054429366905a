"""Simulated worlds: the product says of each what the oracle says, and they hold enough of every fault to mean something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.compare import differences
from tests.simulation.oracle import judge
from tests.simulation.world import KINDS, World, write_world

WORLDS = 200
GROUP = 20
ENOUGH = 500
"""Planted faults of each kind, and cells of each verdict, over all worlds."""

HEALTHY = {"delivered", "attempted", "superseded", "exempt", "pending"}
GRACE_S = 2.0

GROUPS = [range(first, first + GROUP) for first in range(0, WORLDS, GROUP)]

STATES = "exempt rejected unverifiable duplicated delivered superseded diverged attempted missing pending".split()
FLAGS = "late redelivered out_of_order recovered repaired guarded unexpected source_duplicate".split()
RECORDS = "orphans contradicted unreadable unknown_sink".split()
COMMANDED = "commanded"


@pytest.mark.parametrize("seeds", GROUPS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_the_product_says_of_every_world_what_the_oracle_says(seeds: range, tmp_path: Path) -> None:
    found: dict[int, list[str]] = {}
    for seed in seeds:
        write_world(seed, tmp_path / str(seed))
        if faults := differences(tmp_path / str(seed)):
            found[seed] = faults[:20]

    assert found == {}


def test_over_all_worlds_every_fault_is_planted_often_and_every_verdict_found_often(tmp_path: Path) -> None:
    planted: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    found: Counter[str] = Counter(dict.fromkeys([*STATES, *FLAGS, *RECORDS, COMMANDED], 0))
    for seed in range(WORLDS):
        planted.update(write_world(seed, tmp_path / str(seed)))
        said = judge(tmp_path / str(seed))
        for sink in said["sinks"]:
            found.update(sink["counts"])
        for *_, flags in said["cells"]:
            found.update(flags)
        found.update({kind: len(said[kind]) for kind in RECORDS})
        found[COMMANDED] += sum(len(repair["must"]) for repair in said["repair"].values())

    assert {kind: count for kind, count in planted.items() if count < ENOUGH} == {}
    assert {word: count for word, count in found.items() if count < ENOUGH} == {}


def test_a_seed_is_always_the_same_world(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_world(7, tmp_path / name)

    assert judge(tmp_path / "one") == judge(tmp_path / "other")


def test_outages_gaps_and_lying_clocks_alone_alarm_nobody(tmp_path: Path) -> None:
    for seed in range(GROUP):
        directory = tmp_path / str(seed)
        World(seed, is_clean=True).write(directory)
        said = judge(directory)

        assert {cell[4] for cell in said["cells"]} <= HEALTHY
        assert {flag for cell in said["cells"] for flag in cell[5]} <= {"source_duplicate"}
        assert [said[part] for part in ("orphans", "contradicted", "unreadable", "unknown_sink")] == [[]] * 4
        assert differences(directory) == []


def test_a_capture_without_fences_is_judged_by_the_grace(tmp_path: Path) -> None:
    found: dict[int, list[str]] = {}
    for seed in range(GROUP):
        directory = tmp_path / str(seed)
        World(seed, is_unfenced=True).write(directory)
        if faults := differences(directory, GRACE_S):
            found[seed] = faults[:20]

    assert found == {}
