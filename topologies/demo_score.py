"""What the demo shows: the live table while it runs, and at the end what was planted and what was found."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from app.ledger import watermarks
from app.model import Flag, State
from app.repair import reporting
from app.worker.live import LiveWorker
from topologies.demo_sinks import FLAG_FAULTS, SimulatedSink

FLAG_OF = {"late": Flag.LATE, "twice": Flag.REDELIVERED, "out_of_order": Flag.OUT_OF_ORDER}

Cell = tuple[str, str, int, int]
"""Sink, topic, partition, offset; of evidence that is nobody's, its own coordinates."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the score is made of: what was planted, what was said aloud, and the worker that said it."""

    sinks: list[SimulatedSink]
    alarms: dict[Cell, str]
    worker: LiveWorker


@dataclass(frozen=True, slots=True)
class Score:
    """What came of the planted faults, by kind; a repaired cell was bad and is delivered by a command's answer."""

    planted: Counter[str]
    found: Counter[str]
    wrong: set[Cell]
    open: set[Cell]
    repaired: int


def score_of(stage: Seen) -> Score:
    """Compare what was planted with what was said."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    flags = dict(_flags(stage))
    for sink in stage.sinks:
        for place, fault in sink.planted.items():
            cell = (sink.name, *place)
            planted[fault] += 1
            if fault == "twice" and sink.name == "lake":
                found[fault] += cell in stage.alarms
            elif fault == "orphan":
                found[fault] += stage.alarms.get(cell) == fault
            elif fault in FLAG_FAULTS:
                found[fault] += bool(flags.get(cell, Flag(0)) & FLAG_OF[fault])
            else:
                found[fault] += cell in stage.alarms
    meant = {
        (sink.name, *place)
        for sink in stage.sinks
        for place, fault in sink.planted.items()
        if fault not in FLAG_FAULTS or (fault == "twice" and sink.name == "lake")
    }
    repaired = sum(1 for flag in flags.values() if flag & Flag.REPAIRED)
    return Score(planted, found, set(stage.alarms) - meant, _open_bad(stage), repaired)


def _flags(stage: Seen) -> Iterator[tuple[Cell, Flag]]:
    for (name, source), sink in stage.worker.lanes().items():
        for offset, _, flag in watermarks.closed_cells(sink):
            if flag:
                yield (name, source.topic, source.partition, offset), flag


def _open_bad(stage: Seen) -> set[Cell]:
    """Cells that are bad now; what was applied twice stays so, no command can take it back."""
    return {
        (name, source.topic, source.partition, offset)
        for (name, source), sink in stage.worker.lanes().items()
        for offset, straggler in sink.stragglers.by_offset.items()
        if straggler.state is not State.DUPLICATED
    }


def report(stage: Seen, seconds: float) -> int:
    """Print the end; returns the exit status: 0 only where all that was planted was found, and nothing else."""
    score = score_of(stage)
    print(f"\n{'fault':<20} {'planted':>8} {'found':>8}")
    for fault, count in sorted(score.planted.items()):
        print(f"{fault:<20} {count:>8} {score.found[fault]:>8}")
    planted, found = score.planted.total(), score.found.total()
    print(
        f"\nplanted {planted}   found {found}   false {len(score.wrong)}   repaired {score.repaired}   "
        f"still open {len(score.open)}   in {seconds:.0f} s"
    )
    for cell in sorted(score.wrong)[:10]:
        print("  false alarm: {} about {}:{}:{}".format(*cell), stage.alarms[cell])
    return 0 if planted == found and not score.wrong else 1


async def show(stage: Seen, began: float) -> None:
    """A row per sink and topic, every second; redrawn in place on a terminal."""
    height = 0
    while True:
        rows = list(_rows(stage, time.monotonic() - began))
        if sys.stdout.isatty():
            print(f"\x1b[{height}A\x1b[J" if height else "", end="")
            height = len(rows)
        print("\n".join(rows), flush=True)
        await asyncio.sleep(1.0 if sys.stdout.isatty() else 4.0)


def _rows(stage: Seen, seconds: float) -> Iterator[str]:
    columns = ("read", "verified", "delivered", "superseded", "open", "missing", "diverged", "rejected", "twice")
    yield f"{seconds:5.1f} s  {'sink':<10} {'topic':<22}" + "".join(f"{column:>11}" for column in columns)
    sums: dict[tuple[str, str], Counter[str]] = {}
    for (name, source), sink in stage.worker.lanes().items():
        told = reporting.watermark(sink)
        counts = sums.setdefault((name, source.topic), Counter())
        counts.update(
            {
                "read": sink.changes.read,
                "verified": told.verified_watermark,
                "open": sum(told.open_counts),
                **{column: told.counts[State[column.upper()]] for column in columns[2:8] if column != "open"},
                "twice": told.counts[State.DUPLICATED],
            }
        )
    for (name, topic), counts in sorted(sums.items()):
        yield f"         {name:<10} {topic:<22}" + "".join(f"{counts[column]:>11}" for column in columns)
