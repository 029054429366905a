"""``make bench``: parts alone, in minutes: decoding, the fold, and reading a store back; one JSON object.

Ratios are what to compare between machines. Whole workers beside others are `benchmarks.compare`; see docs/performance.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from benchmarks import decoding, fold, readback
from benchmarks.machine import described
from tests.stores import postgres

OPEN = 524_288
"""Changes while a sink stands still: enough for several snapshots, whose cost would else fall on one run only."""


FEW, MANY = 1_000, 10_000_000
"""Open cells of a sink that stands still."""
RESTARTED = 5_000_000
"""Open cells of a worker that starts again."""

Result = TypeVar("Result")


def alone(work: Callable[..., Result], *args: object, **options: object) -> Result:
    """What a function gives in a process of its own, whose memory is then that of this work."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **options).result()


def _whole(measured: Mapping[str, float]) -> float:
    return measured["fold_us_per_change"] + measured["tell_us_per_change"]


def _restart() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        alone(fold.filled, Path(directory), RESTARTED)
        return alone(fold.reload, Path(directory))


def main() -> None:
    """Run all of them."""
    few, many = alone(fold.run, OPEN, standing_still=FEW), alone(fold.run, OPEN, standing_still=MANY)
    both = alone(fold.run)
    result: dict[str, object] = {
        "machine": described(),
        "decoding": decoding.run(),
        "fold": both | {"ratio_to_sums": both["fold_us_per_change"] / both["sums_us_per_change"]},
        "open_cells": {
            f"with_{FEW}": few,
            f"with_{MANY}": many,
            "ratio": _whole(many) / _whole(few),
        },
        "restart": {f"with_{RESTARTED}": _restart()},
    }
    lacking = postgres.is_missing()
    result["readback"] = {"skipped": lacking} if lacking else readback.run()
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
