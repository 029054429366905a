"""``make scaling``: what a change costs as there is more of everything: partitions, sinks, topics, open cells.

The first three are whole workers on a real broker, over loads of their own; open cells are the fold alone
(`benchmarks.fold`), each count in a process of its own, since millions of them take minutes to make with a broker.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from benchmarks import fold
from benchmarks.cluster import Cluster
from benchmarks.load import Shape
from benchmarks.machine import described
from benchmarks.measuring import measured
from benchmarks.peers import ours
from benchmarks.process import Told
from benchmarks.table import Column, arguments, progress, report
from tests.stack.broker import is_missing

PARTITIONS = (1, 4, 16, 64)
SINKS = (1, 2, 4, 8)
TOPICS = 300
OPEN_CELLS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MOVING = 131_072
"""Changes while a sink stands still; its open cells grow by as many meanwhile."""

COLUMNS = (
    Column("what", "what"),
    Column("changes/s, draining", "changes_per_s"),
    Column("CPU-s per million changes, draining", "drain_cpu_s_per_million"),
    Column("CPU-s per million records, draining", "drain_cpu_s_per_million_records"),
    Column("peak RSS, MB", "peak_rss_mb"),
    Column("state on disk, MB", "state_mb"),
    Column("cores that all else took", "others_cores"),
    Column("verdicts", "verdicts"),
)
OPEN_COLUMNS = (
    Column("open cells of a sink that stands still", "open_cells"),
    Column("CPU-µs per change, the fold alone", "fold_us_per_change"),
    Column("peak RSS, MB", "peak_rss_mb"),
)


def main() -> int:
    """Run all of it; 1 where verdicts were wrong."""
    told = _parsed()
    machine = described()
    parts = set(told.only.split(","))
    rows: list[Told] = []
    if lacking := is_missing():
        progress(f"workers on a broker are left out: {lacking}")
    elif wanted := {what: shape for what, shape in shapes(told.changes).items() if what.partition(":")[0] in parts}:
        rows = workers(wanted)
    cells = open_cells(told.most_cells) if "cells" in parts else []
    result = {"machine": machine, "workers": rows, "open_cells": cells}
    report(told, "scaling", result, [(COLUMNS, rows), (OPEN_COLUMNS, cells)])
    return 0 if all(row["is_right"] for row in rows) else 1


def shapes(changes: int) -> dict[str, Shape]:
    """The loads by what is told of them."""
    plain = Shape(changes=changes)
    names = tuple(f"sink-{number}" for number in range(max(SINKS)))
    found = {f"partitions: {count}": replace(plain, partitions=count) for count in PARTITIONS}
    found |= {f"sinks: {count}": replace(plain, sinks=names[:count]) for count in SINKS}
    topics = tuple(f"accounts.{number:03d}" for number in range(TOPICS))
    return found | {f"topics: {TOPICS}": replace(plain, topics=topics, partitions=1)}


def workers(wanted: dict[str, Shape]) -> list[Told]:
    """A worker over each load, one after the other, each on topics of its own."""
    rows = []
    with Cluster() as cluster:
        for number, (what, shape) in enumerate(wanted.items()):
            world = f"scale{number}"
            mine = replace(
                shape, topics=tuple(f"{world}.{topic}" for topic in shape.topics), prefix=f"{world}.receipts"
            )
            load = cluster.fill(mine)
            launch = ours.launch(cluster, mine, f"{world}.worker", cluster.directory / world)
            row = {"what": what} | measured(cluster, launch, load)
            cluster.delete(world)
            if "drain_cpu_s_per_million" in row:
                records = sum(load.planted.records.values()) / mine.total
                row["drain_cpu_s_per_million_records"] = round(row["drain_cpu_s_per_million"] / records, 2)
            progress(str(row))
            rows.append(row)
    return rows


def open_cells(most: int) -> list[Told]:
    """The fold alone while one of two sinks stands still with so many open cells."""
    rows: list[Told] = []
    for count in OPEN_CELLS:
        if count <= most:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
                rows.append(child.submit(_standing_still, count).result())
            progress(str(rows[-1]))
    return rows


def _standing_still(count: int) -> dict[str, Any]:
    measured_us = fold.run(MOVING, standing_still=count)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"open_cells": count, "peak_rss_mb": round(peak_kb / 1024, 1)} | measured_us


def _parsed() -> argparse.Namespace:
    parser = arguments("What a change costs as there is more of everything.")
    parser.add_argument("--changes", type=int, default=1_000_000, help="changes of every load on the broker")
    parser.add_argument("--most-cells", type=int, default=max(OPEN_CELLS), help="the largest count of open cells")
    parser.add_argument(
        "--only", default="partitions,sinks,topics,cells", help="which of these are measured, separated by commas"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
