"""``make recovery``: kill -9 at full load with millions of open cells, and how long until the worker is where it should be.

1. One of two sinks says nothing: every change is an open cell of it. The worker reads them all and is stopped.
2. More changes are written; the worker is started and reads them as fast as it can.
3. As soon as its group has committed a tenth of them, it is killed.
4. It is started again. Measured is the time until it reads (process, group, stores with their open cells), and until the
   last planted verdict below the ends that the inputs had at the restart was appended by the broker.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions

from benchmarks.cluster import WAIT_S, Cluster, Tail
from benchmarks.judging import score
from benchmarks.load import Fault, Load, Shape
from benchmarks.measuring import DEADLINE_S, Launch
from benchmarks.peers import ours
from benchmarks.process import Measured, Told, disk_bytes, megabytes
from benchmarks.single import measure
from benchmarks.table import Column, arguments, progress

SILENT = "warehouse-two"
NAME = "recovery"
RECORD_BYTES = {"changes": 330, "receipts": 80}
"""Of a record in its batch, key and value and some bytes of its own."""

COLUMNS = (
    Column("open cells at the kill, at least", "open_cells"),
    Column("state on disk at the kill, MB", "state_mb"),
    Column("seconds until it reads", "reading_s"),
    Column("records left to read, at most", "records_left"),
    Column("the same, MB", "left_mb"),
    Column("seconds until the ends are reached", "recovered_s"),
    Column("CPU-s until then", "recovered_cpu_s"),
    Column("peak RSS, MB", "peak_rss_mb"),
    Column("verdicts", "verdicts"),
)


def main() -> int:
    """Run it; 1 where a verdict was wrong."""
    parser = arguments("A worker that is killed at full load, and started again.")
    parser.add_argument("--open-cells", type=int, default=5_000_000, help="open cells before the load")
    parser.add_argument("--changes", type=int, default=1_000_000, help="changes of the load in which it is killed")
    return measure(parser.parse_args(), NAME, COLUMNS, run)


def run(told: argparse.Namespace) -> Told:
    """The four steps."""
    with Cluster() as cluster:
        first = Shape(changes=told.open_cells, silent=frozenset({SILENT}))
        before = cluster.fill(first)
        progress(f"written: {before.planted.records}")
        launch = ours.launch(cluster, first, NAME, cluster.directory / NAME)
        found: dict[Fault, float] = {}
        tail = Tail(cluster.bootstrap, f"{NAME}.verdicts")
        with launch.program() as program:  # 1.
            _wait_for(program, tail, launch, found, before.planted.faults)
            progress(f"{first.total} cells are open; stopped with {program.stop()}")
        more = Shape(changes=told.changes, silent=first.silent, first=first.per_place, seed=8)
        load = cluster.fill(more)  # 2.
        with launch.program() as program:
            _kill_soon(cluster, program, load)  # 3.
        row = {
            "open_cells": committed(cluster, more.topics[0]),
            "state_mb": megabytes(disk_bytes(launch.state)),
        }
        planted = before.planted.faults | load.planted.faults
        try:
            return row | left_to_read(cluster, load) | _again(launch, tail, found, planted)  # 4.
        finally:
            tail.close()


def _wait_for(program: Measured, tail: Tail, launch: Launch, found: dict[Fault, float], planted: set[Fault]) -> float:
    """Read verdicts until all planted ones are there; when the last was appended, in seconds since the epoch."""
    assert launch.decode is not None
    deadline = time.monotonic() + DEADLINE_S
    while not planted <= found.keys():
        if not program.is_running() or time.monotonic() > deadline:
            raise RuntimeError(f"{len(planted - found.keys())} verdicts did not come: {program.log()}")
        for _, _, at_ms, value in tail.read():
            found.setdefault(launch.decode(value), at_ms / 1000)
    return max(found[fault] for fault in planted)


def _kill_soon(cluster: Cluster, program: Measured, load: Load) -> None:
    """Kill -9 as soon as the group has committed a tenth of the load's changes."""
    tenth = load.shape.first * load.shape.partitions + load.shape.total // 10
    deadline = time.monotonic() + DEADLINE_S
    while committed(cluster, load.shape.topics[0]) < tenth:
        if not program.is_running() or time.monotonic() > deadline:
            raise RuntimeError(f"it did not read a tenth of the load: {program.log()}")
        time.sleep(0.05)
    program.stop(signal.SIGKILL)
    progress("killed at full load")


def _again(launch: Launch, tail: Tail, found: dict[Fault, float], planted: set[Fault]) -> dict[str, Any]:
    """Start it again; what that took."""
    with launch.program() as program:
        done_s = _wait_for(program, tail, launch, found, planted)
        if done_s < program.began_s:
            raise RuntimeError("it had read everything before it was killed: take a larger load, with --changes")
        assert launch.decode is not None
        for _, _, at_ms, value in tail.rest():
            found.setdefault(launch.decode(value), at_ms / 1000)
        program.stop()
    judged = score(found.keys(), planted)
    return {
        "reading_s": round((program.reading_s or 0) - program.began_s, 2),
        "recovered_s": round(done_s - program.began_s, 2),
        "recovered_cpu_s": round(program.cpu_at(done_s), 2),
        "peak_rss_mb": megabytes(program.peak_rss_bytes),
        "verdicts": str(judged),
        "is_right": judged.is_right,
    }


def left_to_read(cluster: Cluster, load: Load) -> dict[str, Any]:
    """Records between the group's committed offsets, behind which the stores never are, and the inputs' ends."""
    shape = load.shape
    changes = sum(cluster.ends(shape.topics).values()) - sum(committed(cluster, topic) for topic in shape.topics)
    logs = [shape.receipts(sink) for sink in shape.sinks]
    receipts = sum(cluster.ends(logs).values()) - sum(committed(cluster, log) for log in logs)
    size = changes * RECORD_BYTES["changes"] + receipts * RECORD_BYTES["receipts"]
    return {"records_left": changes + receipts, "left_mb": megabytes(size)}


def committed(cluster: Cluster, topic: str) -> int:
    """What the worker's group has committed of a topic, over all partitions."""
    asked = cluster.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(NAME)])
    parts = asked[NAME].result(WAIT_S).topic_partitions or []
    return sum(max(0, part.offset) for part in parts if part.topic == topic)


if __name__ == "__main__":
    sys.exit(main())
