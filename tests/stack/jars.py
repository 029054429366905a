"""Jars from Maven Central, fetched once into the user's cache."""

from __future__ import annotations

import fcntl
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Literal

MAVEN = Path(__file__).parent / "maven"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cdc-verifier"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
FETCH_S = 600.0


def fetched(name: str, goal: Literal["copy", "unpack"] = "copy", within: str = ".") -> Path:
    """The directory that holds what ``maven/<name>.xml`` names: its jars, or what its archives hold.

    Args:
        within: where in that directory they lie.
    """
    pom = MAVEN / f"{name}.xml"
    directory = CACHE / f"{name}-{sha256(pom.read_bytes()).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two of Maven at once spoil their common repository
        if not (directory / "done").exists():
            told = [
                f"{PLUGIN}:{goal}-dependencies",
                f"-DoutputDirectory={directory / within}",
                "-DincludeScope=runtime",
            ]
            subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *told], check=True, timeout=FETCH_S)
            (directory / "done").touch()
    return directory
