"""``make tail``: a quiet day. Changes at a steady rate, two receipts each, a fence a second per sink and partition.

Measured are the worker's share of a core, and how long a fence waits for its verdicts: from the broker's append of the
fence to the broker's append of the verdict that it decided, both by the broker's own clock (LogAppendTime). One receipt a
second of each sink and partition is never written, so that every fence decides something.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from benchmarks.accounts import CONTENTS
from benchmarks.cluster import APPENDED, Cluster, Tail
from benchmarks.judging import decoded_verdict
from benchmarks.load import ACCOUNTS, Load, Shape, receipt
from benchmarks.peers import ours
from benchmarks.process import Measured, Told, megabytes
from benchmarks.single import measure
from benchmarks.table import Column, arguments, progress

NAME = "tail"
TICKS = 100
"""Times a second that records are written."""
WARM_S = 5.0
"""At the beginning, of which nothing counts."""
START_S = 60.0
PATIENCE_S = 120.0
"""For verdicts, after the last record was written: a worker that can't keep up is to be seen as one."""

COLUMNS = (
    Column("changes/s", "changes_per_s"),
    Column("share of a core", "core_share"),
    Column("verdicts", "verdicts"),
    Column("fence to verdict, ms: p50", "p50_ms"),
    Column("p95", "p95_ms"),
    Column("p99", "p99_ms"),
    Column("peak RSS, MB", "peak_rss_mb"),
)

Place = tuple[str, int, int]
"""Topic, partition, offset."""


def main() -> int:
    """Run it; 1 where a fence decided nothing."""
    parser = arguments("A steady rate of changes: what it costs, and how soon a verdict is there.")
    parser.add_argument("--rate", type=int, default=10_000, help="changes a second")
    parser.add_argument("--seconds", type=int, default=60, help="how long, after the first five")
    return measure(parser.parse_args(), NAME, COLUMNS, run)


def run(told: argparse.Namespace) -> Told:
    """Write at the rate while a worker reads."""
    shape = Shape(changes=0)
    with Cluster() as cluster:
        cluster.create(shape.topics, shape.partitions)
        cluster.create(map(shape.receipts, shape.sinks), shape.partitions, APPENDED)
        launch = ours.launch(cluster, shape, NAME, cluster.directory / NAME)
        with launch.program() as program:
            _await_reading(program)
            writer = Writer(cluster, shape)
            writer.write(WARM_S, told.rate)
            began_s = time.time()
            writer.write(told.seconds, told.rate)
            ended_s = time.time()
            fences = fences_of(cluster, shape, began_s, ended_s)
            waits = waits_ms(cluster, fences)
            program.stop()
    share = (program.cpu_at(ended_s) - program.cpu_at(began_s)) / (ended_s - began_s)
    return {
        "changes_per_s": round(writer.rate),
        "core_share": round(share, 3),
        "verdicts": f"of {len(waits)} fences of {len(fences)}",
        "is_right": len(waits) == len(fences),
        **{f"p{part}_ms": round(float(np.percentile(waits, part)), 1) for part in (50, 95, 99) if waits},
        "peak_rss_mb": megabytes(program.peak_rss_bytes),
    }


def _await_reading(program: Measured) -> None:
    deadline = time.monotonic() + START_S
    while program.reading_s is None:
        if not program.is_running() or time.monotonic() > deadline:
            raise RuntimeError(f"it did not begin to read: {program.log()}")
        time.sleep(0.05)
    time.sleep(2)


class Writer:
    """Writes changes, receipts and fences as time goes by.

    Attributes:
        rate: changes a second that were really written.
    """

    def __init__(self, cluster: Cluster, shape: Shape) -> None:
        self._shape = shape
        self._load = Load(shape, cluster.ids)
        self._producer = cluster.producer(linger_ms=1)
        self._heads = {
            (sink, partition): self._load.receipt_head(sink, topic, partition)
            for topic, partition in shape.places
            for sink in shape.sinks
        }
        self._ends = [0] * shape.partitions
        self._number = 0
        self._rng = np.random.default_rng(shape.seed)
        self.rate = 0.0

    def write(self, seconds: float, rate: int) -> None:
        """So many seconds at a rate of changes; each second begins with fences, and with a lost receipt below the next."""
        began, before = time.monotonic(), self._number
        for tick in range(int(seconds * TICKS)):
            time.sleep(max(0.0, began + tick / TICKS - time.monotonic()))
            if tick % TICKS == 0:
                self._fence_all()
            for number in range(rate // TICKS):
                self._change(
                    self._number % self._shape.partitions, is_lost=tick % TICKS == 0 and number < self._shape.partitions
                )
            self._producer.poll(0)
        self._fence_all()
        self._producer.flush(START_S)
        self.rate = (self._number - before) / (time.monotonic() - began)

    def _change(self, partition: int, *, is_lost: bool) -> None:
        """One change and its receipts; ``is_lost``: none of them."""
        topic, now_ms = self._shape.topics[0], int(time.time() * 1000)
        row = int(self._rng.integers(1, ACCOUNTS)) * self._shape.partitions + partition
        content = self._number % CONTENTS
        accounts = self._load.accounts
        key, value = accounts.change(row, content, self._number, now_ms)
        self._producer.produce(topic, value, key, partition)
        offset, seen = self._ends[partition], accounts.fingerprint(row, content).to_bytes(8, "little")
        for sink in () if is_lost else self._shape.sinks:
            said = receipt(self._heads[sink, partition], offset, seen, now_ms)
            self._producer.produce(self._shape.receipts(sink), said, partition=partition)
        self._ends[partition] += 1
        self._number += 1

    def _fence_all(self) -> None:
        for topic, partition in self._shape.places:
            for sink in self._shape.sinks:
                fence = self._load.fence(sink, topic, partition, self._ends[partition], int(time.time() * 1000))
                self._producer.produce(fence.topic, fence.value, partition=partition)


def fences_of(cluster: Cluster, shape: Shape, began_s: float, ended_s: float) -> dict[Place, int]:
    """When each fence of these moments was appended, in ms; but each partition's first, below which nothing new is lost."""
    mark_id = cluster.ids["SinkMark"]
    found: dict[Place, int] = {}
    for log in map(shape.receipts, shape.sinks):
        tail = Tail(cluster.bootstrap, log)
        records = tail.rest(2.0)
        tail.close()
        for number in range(shape.partitions):
            marks = [
                (offset, at_ms)
                for partition, offset, at_ms, value in records
                if partition == number and int.from_bytes(value[1:5], "big") == mark_id
            ]
            inner = [(offset, at_ms) for offset, at_ms in sorted(marks) if began_s <= at_ms / 1000 <= ended_s]
            found |= {(log, number, offset): at_ms for offset, at_ms in inner[1:]}
    return found


def waits_ms(cluster: Cluster, fences: dict[Place, int]) -> list[int]:
    """How long after each fence its verdict came; of the fences that have one before the patience is over."""
    found: dict[Place, int] = {}
    tail = Tail(cluster.bootstrap, f"{NAME}.verdicts")
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < len(fences) and time.monotonic() < deadline:
        for _, _, at_ms, value in tail.read():
            origin = decoded_verdict(cluster.registry.schema, value)["fence_origin"]
            place = (origin["topic"], origin["partition"], origin["offset"])
            if place in fences:
                found.setdefault(place, at_ms - fences[place])
    tail.close()
    progress(f"{len(fences)} fences, {len(found)} have verdicts")
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main())
