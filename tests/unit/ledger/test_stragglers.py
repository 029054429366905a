"""Open cells below the fence are found again among millions of others."""

from __future__ import annotations

import numpy as np
import pytest

from app.ledger.stragglers import Straggler, Stragglers
from app.model import ChangeKind, State


@pytest.mark.parametrize("seed", range(5))
def test_stragglers_are_found_among_many_offsets_and_keys(seed: int) -> None:
    chance = np.random.default_rng(seed)
    stragglers = Stragglers()
    hashes = chance.integers(0, 40, (60, 2)).astype(np.uint64)  # halves that are equal, of keys that are not
    for offset in chance.choice(1_000, 60 if seed else 0, replace=False).tolist():
        key = hashes[offset % 60].tobytes() if offset % 7 else None
        stragglers.add(Straggler(offset, key, ChangeKind.UPSERT, State.MISSING, 0))
    asked = chance.integers(0, 1_000, 500)
    assert stragglers.among(asked) == sorted(set(asked.tolist()) & stragglers.by_offset.keys())
    assert stragglers.among(asked + 5_000) == []
    keys = chance.integers(0, 40, (300, 2)).astype(np.uint64)
    may = stragglers.may_have(keys[:, 0])
    assert all(may[row] for row, key in enumerate(keys) if key.tobytes() in stragglers.by_key)
