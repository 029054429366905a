"""Counts of one lane: where its evidence went, and how its cells closed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Tally:
    """Where every row of evidence went (law 1), and the sums that seals and metrics need."""

    rows: Counter[str] = field(default_factory=Counter)
    closed: np.ndarray = field(default_factory=lambda: np.zeros(10, np.int64))
    flags: np.ndarray = field(default_factory=lambda: np.zeros(8, np.int64))
    levels: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))
    """Closed cells that are delivered or attempted, by `Level`."""
    left: int = 0
    """Cells that left the counts with an END."""
