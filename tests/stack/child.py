"""A program that runs beside the tests: on a free port, its output in a file, ended by its own process id."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

START_S = 120.0
END_S = 15.0
SHOWN = 3_000
"""Characters of its output that a failure shows."""

SMALL_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")
"""What a Java program is told that shares two cores with others: no threads of its own for garbage, code that is there soon."""


class Child:
    """One program; `begin`, then `await_up`, so that several start side by side.

    Args:
        name: of its file of output.
        settings: passed on to `subprocess.Popen`.
    """

    def __init__(self, name: str, directory: Path, **settings: Any) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was begun last."""
        assert self._process is not None
        return self._process.pid

    def begin(self, command: Sequence[str]) -> None:
        """Start the program, and don't wait for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._settings
            )

    def await_up(self, is_up: Callable[[], object]) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended by itself, or does not answer in time; with the end of what it wrote.
        """
        deadline = time.monotonic() + START_S
        while not is_up():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log()}")
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait; what does not end is killed. Nothing happens where nothing runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)

    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-SHOWN:]


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
