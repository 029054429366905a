"""One simulated world: written, judged by the oracle and by the product, and compared.

    python -m tests.simulation --seed 7 [--keep DIR]

Exit status: 0 they agree, 1 they differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.simulation.compare import differences
from tests.simulation.world import write_world


def main(arguments: list[str] | None = None) -> int:
    """Run one world."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="one simulated world, judged twice")
    parser.add_argument("--seed", type=int, default=1, help="the world's number; the same number is the same world")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the recording there and leave it")
    options = parser.parse_args(arguments)
    if options.keep is not None:
        return run(options.seed, options.keep)
    with tempfile.TemporaryDirectory(prefix="world-") as directory:
        return run(options.seed, Path(directory))


def run(seed: int, directory: Path) -> int:
    """Write a world, judge it twice, print what was planted and every difference."""
    planted = write_world(seed, directory)
    found = differences(directory)
    print(f"seed {seed}: planted {', '.join(f'{count} {kind}' for kind, count in sorted(planted.items()))}")  # noqa: T201
    for difference in found:
        print(difference)  # noqa: T201
    print("the product and the oracle agree" if not found else f"{len(found)} differences")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
