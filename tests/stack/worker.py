"""The main job in a process of its own, and waiting for what it tells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

DEADLINE_S = 150.0

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
checkpoint_interval = "{checkpoint_interval}"
[metrics]
port = 0
[verifier]
instance_id = "{name}"
application_id = "{prefix}"
prefix = "{prefix}"
"""


class Worker:
    """One ``cdc-verifier run``; a context manager that leaves no process behind.

    Args:
        directory: of its own.
        config: TOML with what `CONFIG` leaves open.
        program: a module that runs like ``cdc-verifier``.
    """

    def __init__(self, directory: Path, config: str, program: str = "app.cli.main") -> None:
        self.directory = directory
        self.directory.mkdir(parents=True)
        self.program = program
        (directory / "config.toml").write_text(config)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self.kill()

    @property
    def state(self) -> Path:
        """Where its stores are."""
        return self.directory / "state"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, program: str | None = None) -> None:
        config = str(self.directory / "config.toml")
        command = [sys.executable, "-m", program or self.program, "run", "--config", config]
        environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """Ask it to end, and see that it ended well."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log()

    def opened(self) -> int:
        """How often it has opened its stores."""
        return (self.directory / "log").read_text().count("stores open")

    def log(self) -> str:
        return (self.directory / "log").read_text()[-4000:]


def until(holds: Callable[[], object], workers: Iterable[Worker], what: Callable[[], object] = str) -> None:
    """Wait for a condition, with a deadline; a worker that ended by itself is shown, else ``what``."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        for worker in workers:
            assert worker.process is None or worker.process.poll() in {None, -signal.SIGKILL, 0}, worker.log()
        assert time.monotonic() < deadline, f"{what()}\n{[worker.log() for worker in workers]}"
        time.sleep(0.3)
