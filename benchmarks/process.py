"""One program under measurement: what it takes of processor and memory, sampled from outside, and in all at its end.

The kernel's accounting of the process and its threads is read from /proc twenty times a second (user and system time in
hundredths of a second); whoever wants to know what was used between two moments asks `Measured.cpu_at`. The sum over its
whole life comes from `os.wait4`, the peak of its memory from VmHWM.
"""

from __future__ import annotations

import bisect
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.machine import ROOT

SAMPLE_S = 0.05
DISK_EVERY = 20
"""Samples between two looks at the disk."""
END_S = 90.0
TICKS = os.sysconf("SC_CLK_TCK")


class Measured:
    """A program; a context manager that starts it, and leaves no process behind where nobody called `stop`.

    Args:
        command: what to run.
        log: where its output goes.
        state: the directory whose size is watched.
        marker: what its output says when it begins to read.
    """

    def __init__(
        self, command: Sequence[str], log: Path, state: Path, marker: bytes, environ: Mapping[str, str] | None = None
    ) -> None:
        self._command, self._log, self._state, self._marker = list(command), log, state, marker
        self._environ = os.environ | {"PYTHONWARNINGS": "ignore"} | dict(environ or {})
        self._at: list[float] = []
        self._cpu: list[float] = []
        self._busy: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.began_s = 0.0
        self.reading_s: float | None = None
        self.peak_rss_bytes = 0
        self.state_bytes = 0
        self.cpu_s = 0.0

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self.stop(signal.SIGKILL)

    def _start(self) -> None:
        """From here on it is watched."""
        self._state.mkdir(parents=True, exist_ok=True)
        self.began_s = time.time()
        with self._log.open("ab") as log:
            self._seen = log.tell()
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environ, cwd=ROOT)
        self._thread.start()

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return _state_of(self.pid) not in {"Z", "X", ""}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and wait; the exit status. What does not end in time is killed."""
        if self.is_running():
            os.kill(self.pid, number)
        deadline = time.monotonic() + END_S
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._over.set()
        self._thread.join()
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        assert self._process is not None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        return self._process.returncode

    def cpu_at(self, at_s: float) -> float:
        """CPU seconds that it had taken at a moment, between two samples in proportion.

        Args:
            at_s: seconds since the epoch.
        """
        return self._between(self._cpu, at_s)

    def others_cores(self, began_s: float, ended_s: float) -> float:
        """How many cores everything else on the machine kept busy between two moments, the broker among it."""
        busy_s = self._between(self._busy, ended_s) - self._between(self._busy, began_s)
        return (busy_s - self.cpu_at(ended_s) + self.cpu_at(began_s)) / (ended_s - began_s)

    def _between(self, values: list[float], at_s: float) -> float:
        index = bisect.bisect_right(self._at, at_s)
        if index in {0, len(self._at)}:
            return 0.0 if index == 0 else values[-1]
        before, after = self._at[index - 1], self._at[index]
        share = (at_s - before) / (after - before)
        return values[index - 1] + share * (values[index] - values[index - 1])

    def log(self) -> str:
        """The end of what it said."""
        return self._log.read_text(errors="replace")[-3_000:]

    def _watch(self) -> None:
        number = 0
        while not self._over.wait(SAMPLE_S):
            self._sample()
            if number % DISK_EVERY == 0:
                self.state_bytes = max(self.state_bytes, disk_bytes(self._state))
            number += 1
        self.state_bytes = max(self.state_bytes, disk_bytes(self._state))

    def _sample(self) -> None:
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        self._at.append(time.time())
        self._cpu.append((int(fields[11]) + int(fields[12])) / TICKS)
        self._busy.append(_machine_busy_s())
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_rss_bytes = max(self.peak_rss_bytes, int(line.split()[1]) << 10)
        if self.reading_s is None and self._says_that_it_reads():
            self.reading_s = self._at[-1]

    def _says_that_it_reads(self) -> bool:
        with self._log.open("rb") as log:
            log.seek(self._seen)
            return self._marker in log.read()


def _machine_busy_s() -> float:
    """CPU seconds that the machine has worked; a machine that is a virtual one does not see what its host took from it."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        user, nice, system, _, _, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def disk_bytes(directory: Path) -> int:
    """What the files below a directory take of the disk."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_blocks * 512
            except OSError:  # a file that was just compacted away
                continue
    return total


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def megabytes(size: float) -> float:
    """Bytes as MB (2^20), to one place."""
    return round(size / (1 << 20), 1)


def per_million(seconds: float, changes: int) -> float:
    """CPU seconds of a run, for a million changes."""
    return round(seconds / changes * 1e6, 2)


Told = dict[str, Any]
"""Measurements of one run, by name."""
