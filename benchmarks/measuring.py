"""One run of one verifier over a load that stands there already: started, watched until it has told everything, stopped.

The drain begins when the program says that it reads and ends with the broker's append of the last planted verdict, which a
fence at a partition's end decides. So judging, storing and telling are in it, starting is not, and nothing depends on how
often a program reports its progress. A program that judges nothing ends by itself, and its drain with it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cluster import Cluster, Tail
from benchmarks.judging import Decode, Score, score
from benchmarks.load import Fault, Load
from benchmarks.process import Measured, Told, megabytes, per_million

DEADLINE_S = 1_800.0
QUIET_S, QUIET_CPU_S = 30.0, 1.0
"""A verifier that for so long took less than so much of a processor has nothing more to say."""
FINE = (0, 128 + signal.SIGTERM)
"""How a program ends that was told to; the second is Java's."""
MORE_S = 1.5
"""How long a false verdict is waited for after the last that was planted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a verifier is started.

    Attributes:
        marker: what it says when it begins to read.
        state: the directory that it keeps its state in.
        verdicts: the topic of its verdicts, which exists; None for a program that judges nothing.
    """

    command: Sequence[str]
    directory: Path
    marker: bytes
    verdicts: str | None
    decode: Decode | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def program(self) -> Measured:
        """The program, not yet started."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return Measured(self.command, self.directory / "log", self.state, self.marker, self.environ)


def measured(cluster: Cluster, launch: Launch, load: Load) -> Told:
    """Run it over the load; what it took, and whether it was right.

    Raises:
        RuntimeError: it ended by itself before it was told to, or badly.
    """
    with launch.program() as program:
        if launch.verdicts is None or launch.decode is None:
            drained_s, judged = _ended(program), None
        else:
            drained_s, judged = _judged(cluster, launch, program, load.planted.faults)
        status = program.stop()
    if status not in FINE or program.reading_s is None:
        raise RuntimeError(f"{launch.command[:3]} ended with {status}: {program.log()}")
    changes = load.shape.total
    told: Told = {
        "changes": changes,
        "total_cpu_s_per_million": per_million(program.cpu_s, changes),
        "peak_rss_mb": megabytes(program.peak_rss_bytes),
        "state_mb": megabytes(program.state_bytes),
        "verdicts": "none" if judged is None else str(judged),
        "is_right": None if judged is None else judged.is_right,
    }
    if drained_s is not None:
        seconds = drained_s - program.reading_s
        cpu_s = program.cpu_at(drained_s) - program.cpu_at(program.reading_s)
        told |= {
            "drain_s": round(seconds, 3),
            "changes_per_s": round(changes / seconds),
            "drain_cpu_s_per_million": per_million(cpu_s, changes),
            "others_cores": round(program.others_cores(program.reading_s, drained_s), 2),
        }
    return told


def _ended(program: Measured) -> float:
    """Wait for the end of a program that ends by itself; when that was."""
    deadline = time.monotonic() + DEADLINE_S
    while program.is_running():
        if time.monotonic() > deadline:
            raise TimeoutError(program.log())
        time.sleep(0.01)
    return time.time()


def _judged(cluster: Cluster, launch: Launch, program: Measured, planted: set[Fault]) -> tuple[float | None, Score]:
    """Wait for the planted verdicts; when the last of them was appended (None: not all came), and how they compare."""
    assert launch.verdicts is not None
    assert launch.decode is not None
    tail = Tail(cluster.bootstrap, launch.verdicts)
    found: dict[Fault, float] = {}
    quiet = _Quiet(program)

    def note(records: list[tuple[int, int, int, bytes]]) -> None:
        assert launch.decode is not None
        for _, _, at_ms, value in records:
            found.setdefault(launch.decode(value), at_ms / 1000)

    try:
        while not planted <= found.keys() and program.is_running() and not quiet.is_so():
            note(tail.read())
        note(tail.rest(MORE_S))
    finally:
        tail.close()
    drained_s = max(found[fault] for fault in planted) if planted and planted <= found.keys() else None
    return drained_s, score(found.keys(), planted)


class _Quiet:
    """Whether a program has nothing more to do, though not everything was found; or the deadline is over."""

    def __init__(self, program: Measured) -> None:
        self._program = program
        self._deadline = time.monotonic() + DEADLINE_S

    def is_so(self) -> bool:
        now = time.time()
        if now - self._program.began_s < 2 * QUIET_S:
            return False
        used = self._program.cpu_at(now) - self._program.cpu_at(now - QUIET_S)
        return used < QUIET_CPU_S or time.monotonic() > self._deadline
