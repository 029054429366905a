"""A counting worker in a process of its own, and what tests do with one.

python -m tests.stack.process '{"brokers": [...], "inputs": {...}, ...}'
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.stack.counting import CountingWorker, furthest, states

if TYPE_CHECKING:
    from topologies.engine import EngineSettings

ROOT = Path(__file__).resolve().parents[2]


def wait_until(is_so: Callable[[], Any], what: str, deadline_s: float = 30.0) -> float:
    """Wait until a condition holds; returns how long it took.

    Raises:
        AssertionError: it did not within the deadline.
    """
    began = time.monotonic()
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() - began < deadline_s, f"not within {deadline_s:.0f} s: {what}"
        pause.wait(0.02)
    return time.monotonic() - began


STARTED: list[WorkerProcess] = []
"""Every worker that a test started, so that none outlives it."""


@dataclass(slots=True)
class WorkerProcess:
    """One worker; started and ended by its own process id."""

    name: str
    directory: Path
    told: dict[str, Any]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def state_dir(self) -> Path:
        return self.directory / self.name

    @property
    def _ready(self) -> Path:
        """Is there as soon as signals are heard."""
        return self.state_dir / "ready"

    def start(self, **more: Any) -> Self:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._ready.unlink(missing_ok=True)
        STARTED.append(self)
        told = self.told | {"directory": str(self.state_dir)} | more
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "receipts")))}
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.stack.process", json.dumps(told)],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def end(self, number: int = signal.SIGTERM, deadline_s: float = 40.0) -> int:
        """Send a signal and wait; the exit status."""
        assert self.process is not None
        if number == signal.SIGTERM:
            wait_until(lambda: self._ready.exists() or self.process.poll() is not None, "it hears signals")
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(deadline_s)

    def log(self) -> str:
        return (self.directory / f"{self.name}.log").read_text()

    def records(self) -> int:
        """Records in its stores."""
        return sum(count.records for counts in states(self.state_dir).values() for count in counts.values())


def have_read(workers: list[WorkerProcess], ends: dict[tuple[str, int], int]) -> bool:
    """Whether some worker has read every input up to its end."""
    best = furthest(worker.state_dir for worker in workers)
    return all(best[source].next >= end if source in best else end == 0 for source, end in ends.items())


def main(told: dict[str, Any]) -> int:
    from topologies.engine import EngineSettings

    logging.basicConfig(level=told.get("log", "WARNING"), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    directory = Path(told["directory"])
    worker = CountingWorker(directory)
    settings = EngineSettings(
        application_id=told["application_id"],
        brokers=told["brokers"],
        inputs=told["inputs"],
        data_dir=directory,
        instance_id=told.get("instance_id"),
        session_timeout_s=told.get("session_timeout_s", 6.0),
    )
    return asyncio.run(run(settings, worker))


async def run(settings: EngineSettings, worker: CountingWorker, stop: asyncio.Event | None = None) -> int:
    """Run an engine until ``stop`` is set, or without one until a signal."""
    from topologies.engine import build_app

    stopped = stop or asyncio.Event()
    if stop is None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "ready").touch()
    app = build_app(settings, worker)
    worker.app = app
    app.finalize()
    await app.start()
    await stopped.wait()
    await app.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
