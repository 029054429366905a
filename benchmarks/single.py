"""A benchmark that measures one thing once, on a real broker: the same frame around each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks.machine import described
from benchmarks.process import Told
from benchmarks.table import Column, report
from tests.stack.broker import is_missing


def measure(
    told: argparse.Namespace, name: str, columns: Sequence[Column], run: Callable[[argparse.Namespace], Told]
) -> int:
    """Run it and show its row; 1 where it could not be run, or what it measured was wrong."""
    if lacking := is_missing():
        print(f"nothing was measured: {lacking}", file=sys.stderr)
        return 1
    machine = described()
    row = run(told)
    report(told, name, {"machine": machine, name: row}, [(columns, [row])])
    return 0 if row["is_right"] else 1
