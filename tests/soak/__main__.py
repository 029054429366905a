"""A long run on a real stack that works and breaks at random; everything planted must be told in the end, and nothing else.

    python -m tests.soak [--minutes 30] [--seed N] [--keep DIR]

Exit status: 0 so it was, 1 it was not, 2 this machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Soak
from tests.stack import broker, postgres
from tests.stack.world import ConnectWorld


def main(arguments: list[str] | None = None) -> int:
    """One run."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="a long run on a real stack")
    parser.add_argument("--minutes", type=float, default=30, help="how long to work and break; mending comes after")
    parser.add_argument(
        "--seed", type=int, default=None, help="of everything random; another one each time, unless given"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="logs and what was planted go there; else to a new directory"
    )
    options = parser.parse_args(arguments)
    if missing := broker.is_missing() or postgres.is_missing():
        print(missing)  # noqa: T201
        return 2
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    directory = options.keep or Path(tempfile.mkdtemp(prefix="soak-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}, {options.minutes:g} minutes, everything in {directory}", flush=True)  # noqa: T201
    return run(seed, options.minutes, directory)


def run(seed: int, minutes: float, directory: Path) -> int:
    """Start the stack, run, stop it, and tell."""
    found = broker.Broker(directory)
    found.start()
    try:
        with ConnectWorld(found, directory) as world, world.pipeline("soak", seed) as pipeline:
            soak = Soak(pipeline, found, directory, seed)
            wrong = soak.run(minutes)
            numbers = soak.numbers()
    finally:
        found.stop()
    for line in wrong:
        print(f"WRONG  {line}")  # noqa: T201
    print(f"seed {seed}: {'all is well' if not wrong else f'{len(wrong)} WRONG'}; {json.dumps(numbers)}")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
