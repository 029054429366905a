"""``make bench``: prints one JSON object of what was measured here; ratios are what to compare between machines."""

from __future__ import annotations

import json
import os
import platform
import sys

from benchmarks import decoding, fold, readback, worker
from tests.stack.broker import is_missing
from tests.stores import postgres

OPEN = 524_288
"""Changes while a sink stands still: enough for several snapshots, whose cost would else fall on one run only."""


def main() -> None:
    """Run all of them."""
    few, many = fold.run(OPEN, standing_still=1_000), fold.run(OPEN, standing_still=1_000_000)
    both = fold.run()
    result: dict[str, object] = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "fold": both | {"ratio_to_sums": both["fold_us_per_change"] / both["sums_us_per_change"]},
        "open_cells": {
            "fold_us_per_change_with_1000": few["fold_us_per_change"],
            "fold_us_per_change_with_1000000": many["fold_us_per_change"],
            "ratio": many["fold_us_per_change"] / few["fold_us_per_change"],
        },
    }
    result["decoding"] = decoding.run()
    lacking = is_missing()
    result["worker"] = {"skipped": lacking} if lacking else worker.run()
    lacking = postgres.is_missing()
    result["readback"] = {"skipped": lacking} if lacking else readback.run()
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
