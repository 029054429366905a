"""``make compare``: this verifier beside what one would build instead, on one input and one broker.

The input is written once: changes, receipts of two sinks, fences, and faults whose offsets are known. Then every peer runs
over it in turn, round after round, so that whatever else the machine does falls on all of them. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.load import Load, Shape
from benchmarks.machine import described
from benchmarks.measuring import measured
from benchmarks.peers import PEERS, Peer
from benchmarks.process import Told
from benchmarks.table import Column, Row, arguments, progress, report
from tests.stack.broker import is_missing

COLUMNS = (
    Column("system", "label"),
    Column("changes/s, draining", "changes_per_s"),
    Column("CPU-s per million changes, draining", "drain_cpu_s_per_million"),
    Column("the same, with start and stop", "total_cpu_s_per_million"),
    Column("peak RSS, MB", "peak_rss_mb"),
    Column("state on disk, MB", "state_mb"),
    Column("cores that all else took", "others_cores"),
    Column("verdicts", "verdicts"),
    Column("runs", "runs"),
    Column("versions", "versions"),
)
MEDIANS = (
    "changes_per_s", "drain_cpu_s_per_million", "total_cpu_s_per_million", "peak_rss_mb", "state_mb", "drain_s", "others_cores",
)  # fmt: skip


def main() -> int:
    """Run the comparison; 1 where a peer was wrong or failed."""
    told = _parsed()
    if lacking := is_missing():
        print(f"nothing was compared: {lacking}", file=sys.stderr)
        return 1
    peers = {name: PEERS[name]() for name in told.peers.split(",")}
    machine = described()
    skipped = {name: reason for name, peer in peers.items() if (reason := peer.missing())}
    for name, reason in skipped.items():
        progress(f"{name} is left out: {reason}")
    present = {name: peer for name, peer in peers.items() if name not in skipped}
    runs, written = run(present, told.changes, told.rounds)
    rows = [summary(peer, runs[name]) for name, peer in present.items()]
    rows += [{"label": peers[name].label, "verdicts": f"left out: {reason}"} for name, reason in skipped.items()]
    report(told, "compare", {"machine": machine, "input": written, "summary": rows, "runs": runs}, [(COLUMNS, rows)])
    bad = [run for one in runs.values() for run in one if "failed" in run or run["is_right"] is False]
    return 1 if bad else 0


def run(peers: dict[str, Peer], changes: int, rounds: int) -> tuple[dict[str, list[Told]], dict[str, Any]]:
    """Every peer's measurements by round, and what the input was."""
    runs: dict[str, list[Told]] = {name: [] for name in peers}
    with Cluster() as cluster:
        began = time.monotonic()
        load = cluster.fill(Shape(changes=changes))
        written = describe(load) | {"written_in_s": round(time.monotonic() - began, 1)}
        progress(f"written: {written}")
        for number in range(1, rounds + 1):
            for name, peer in peers.items():
                result = one_run(cluster, peer, load, f"{name}-{number}")
                runs[name].append(result)
                progress(f"round {number} {name}: {result}")
    return runs, written


def one_run(cluster: Cluster, peer: Peer, load: Load, name: str) -> Told:
    """One run; a peer that fails is told, and does not keep the others from theirs."""
    try:
        return measured(cluster, peer.launch(cluster, load, name, cluster.directory / name), load)
    except (RuntimeError, TimeoutError) as error:
        return {"failed": str(error)}
    finally:
        cluster.delete(name)


def describe(load: Load) -> dict[str, Any]:
    """What the input was."""
    states = [fault.state for fault in load.planted.faults]
    return {
        "changes": load.shape.total,
        "partitions": load.shape.partitions,
        "sinks": len(load.shape.sinks),
        "records": load.planted.records,
        "planted": {state: states.count(state) for state in sorted(set(states))},
        "fence_every": load.shape.fence_every,
    }


def summary(peer: Peer, runs: list[Told]) -> Row:
    """A peer's row: medians of its runs, and of its verdicts the worst."""
    fine = [run for run in runs if "failed" not in run]
    row: dict[str, Any] = {"label": peer.label, "runs": len(fine)}
    row["versions"] = ", ".join(f"{name} {version}" for name, version in peer.versions().items())
    for name in MEDIANS:
        if values := [run[name] for run in fine if name in run]:
            row[name] = statistics.median(values)
    verdicts = [run["verdicts"] for run in fine]
    wrong = [verdict for verdict in verdicts if "WRONG" in verdict]
    failed = ["failed"] if len(fine) < len(runs) else []
    row["verdicts"] = (failed or wrong or verdicts or ["not run"])[0]
    return row


def _parsed() -> argparse.Namespace:
    parser = arguments("This verifier beside what one would build instead.")
    parser.add_argument("--changes", type=int, default=1_000_000, help="changes, each with a receipt of two sinks")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every peer; the table shows medians")
    parser.add_argument("--peers", default=",".join(PEERS), help="who runs, separated by commas")
    told = parser.parse_args()
    if strange := set(told.peers.split(",")) - PEERS.keys():
        parser.error(f"unknown peers: {', '.join(sorted(strange))}; known are {', '.join(PEERS)}")
    return told


if __name__ == "__main__":
    sys.exit(main())
