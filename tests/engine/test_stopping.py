"""A worker that is told to stop while it still waits for somebody to start with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CONFIG = """
[kafka]
brokers = ["127.0.0.1:9"]
start_wait = "1h"
[registry]
url = "http://127.0.0.1:9"
[state]
dir = "{state}"
[source]
topics = ["t"]
[sinks.s]
receipts = ["r"]
"""


def test_a_worker_that_waits_for_its_brokers_hears_that_it_is_to_stop(tmp_path: Path) -> None:
    """It had to be killed before: whoever stops it waits, and a deployment hangs while a broker or registry is away."""
    (tmp_path / "config.toml").write_text(CONFIG.format(state=tmp_path / "state"))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "app.cli.main", "run", "--config", str(tmp_path / "config.toml")]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        deadline = time.monotonic() + 60
        while b"no broker" not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            assert worker.poll() is None, log.read_text()
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(15) == 0
        assert "told to stop" in log.read_text()
    finally:
        worker.kill()
        worker.wait()
