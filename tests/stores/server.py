"""A database server as a plain child process: a directory of its own, a free port, stopped by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_S = 60.0


class Server:
    """What PostgreSQL and MariaDB have in common here; `start` may be called again after `kill`.

    Args:
        user: who runs it where we are root, since PostgreSQL refuses to; None: ourselves.
    """

    def __init__(self, user: str | None) -> None:
        self.user = user if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="cdc-store-"))
        if self.user is not None:
            shutil.chown(self.directory, self.user)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str | Path) -> None:
        """Run something once as the server's user, to its end."""
        done = subprocess.run(
            command, user=self.user, extra_groups=[] if self.user else None, cwd=self.directory, capture_output=True,
            check=False, timeout=START_S,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    def launch(self, *command: str | Path, is_up: Callable[[], bool]) -> None:
        """Start the server and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                user=self.user,
                extra_groups=[] if self.user else None,
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not is_up():
            assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def send(self, number: int) -> None:
        """Send a signal to the server's main process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would; its children end by themselves."""
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(30)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it in order, by its pid, and remove what it wrote."""
        if self.process is not None and self.process.poll() is None:
            self.send(number)
            self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
