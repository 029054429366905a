"""The peers that are written in Python: a loop that only reads, a verifier without a framework, and one on Quix Streams."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from benchmarks.load import Load
from benchmarks.machine import ROOT
from benchmarks.peers.peer import Program
from tests.stack.jars import CACHE

PROGRAMS = Path(__file__).parent / "programs"
REQUIREMENTS = PROGRAMS / "quix.txt"
INSTALL_S = 600.0


class Confluent(Program):
    """What reading costs: every record handed to Python, and nothing done with it."""

    label = "confluent-kafka, only reading"
    is_judge = False

    def versions(self) -> dict[str, str]:
        return {"confluent-kafka": version("confluent-kafka")}

    def command(self) -> list[str]:
        return [sys.executable, str(PROGRAMS / "reading.py")]

    def told(self, load: Load) -> list[str]:
        return [str(sum(load.planted.records.values()))]


class Plain(Program):
    """What an expert would write without a framework."""

    label = "plain Python: confluent-kafka, fastavro, rocksdict"

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("confluent-kafka", "fastavro", "rocksdict")}

    def command(self) -> list[str]:
        return [sys.executable, str(PROGRAMS / "plain.py")]

    def environ(self) -> dict[str, str]:
        return RECEIPTS


class Quix(Program):
    """The same on Quix Streams, in a virtual environment of its own: none of it is the product's."""

    label = "Quix Streams"

    def missing(self) -> str | None:
        try:
            self._python()
        except (OSError, subprocess.SubprocessError) as error:
            return f"its virtual environment could not be made: {error}"
        return None

    def versions(self) -> dict[str, str]:
        lines = REQUIREMENTS.read_text(encoding="ascii").split()
        return dict(line.split("==") for line in lines if line.startswith("quixstreams"))

    def command(self) -> list[str]:
        return [str(self._python()), str(PROGRAMS / "on_quix.py")]

    def environ(self) -> dict[str, str]:
        return RECEIPTS

    def _python(self) -> Path:
        """The interpreter of the environment, which is made once for these requirements."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        directory = CACHE / f"quix-{python}-{sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
        if not (directory / "done").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True, timeout=INSTALL_S)
            install = ["-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)]
            subprocess.run([str(directory / "bin" / "python"), *install], check=True, timeout=INSTALL_S)
            (directory / "done").touch()
        return directory / "bin" / "python"


RECEIPTS = {"PYTHONPATH": os.pathsep.join((str(ROOT / "receipts"), str(PROGRAMS)))}
"""Where the fingerprint of rows lies, that sinks and these verifiers share."""
