"""Random rows of random schemas through both decoders.

python -m tests.kernel.random_rows --rows 1000000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import time

from tests.kernel import generator
from tests.kernel.agreement import BothDecoders

ROWS_A_TABLE = 100


def run(seed: int, rows: int) -> tuple[int, int]:
    """Compare ``rows`` rows; returns them and how many of them the kernel left to the reference.

    Raises:
        AssertionError: they differ; the message has the table's own seed, by which `one` repeats it.
    """
    done = left = 0
    for number in range(-(-rows // ROWS_A_TABLE)):
        done, left = done + ROWS_A_TABLE, left + one(f"{seed}/{number}")
    return done, left


def one(seed: str) -> int:
    """Compare one table's rows; returns how many the kernel left to the reference."""
    batch = generator.batch(random.Random(seed), ROWS_A_TABLE)
    both = BothDecoders(batch.schemas, batch.projections)
    try:
        both.decode(batch.raw)
    except AssertionError as error:
        raise AssertionError(f"seed {seed!r}: {error}") from error
    return both.left


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    began = time.monotonic()
    done, left = run(given.seed, given.rows)
    print(f"seed {given.seed}: {done} rows alike, {left} left to the reference, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
