"""The peer on Kafka Streams: Java, built by Maven with what Maven Central has, once for these sources."""

from __future__ import annotations

import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from benchmarks.peers.peer import Program
from tests.stack.jars import CACHE, PLUGIN

SOURCES = Path(__file__).parent / "streams"
BUILD_S = 600.0
HEAP = ("-Xms1g", "-Xmx1g")
"""As much as it takes before garbage collection is what is measured."""


class Streams(Program):
    """Kafka Streams' Processor API, as somebody who knows it would use it."""

    label = "Kafka Streams, Processor API"

    def missing(self) -> str | None:
        lacking = [program for program in ("java", "javac", "mvn") if shutil.which(program) is None]
        if lacking:
            return f"no {' and no '.join(lacking)} on this machine"
        try:
            self._built()
        except (OSError, subprocess.SubprocessError) as error:
            return f"it could not be built: {error}"
        return None

    def versions(self) -> dict[str, str]:
        pom = (SOURCES / "pom.xml").read_text(encoding="utf-8")
        found = dict(re.findall(r"<artifactId>(kafka-streams|avro)</artifactId>\s*<version>([^<]+)", pom))
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
        return found | {"java": told.split('"')[1]}

    def command(self) -> list[str]:
        built = self._built()
        return ["java", *HEAP, "-cp", f"{built / 'classes'}:{built / 'jars'}/*", "peer.Main"]

    def _built(self) -> Path:
        """The directory with its classes and the jars that it needs."""
        files = sorted(path for path in SOURCES.rglob("*") if path.suffix in {".java", ".xml"})
        directory = CACHE / f"streams-{sha256(b''.join(path.read_bytes() for path in files)).hexdigest()[:12]}"
        if not (directory / "done").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            maven = ["mvn", "-q", "-B", "-f", str(SOURCES / "pom.xml")]
            jars = [f"{PLUGIN}:copy-dependencies", f"-DoutputDirectory={directory / 'jars'}", "-DincludeScope=runtime"]
            subprocess.run([*maven, *jars], check=True, timeout=BUILD_S)
            sources = [str(path) for path in files if path.suffix == ".java"]
            compiler = ["javac", "--release", "17", "-cp", f"{directory / 'jars'}/*", "-d", str(directory / "classes")]
            subprocess.run([*compiler, *sources], check=True, timeout=BUILD_S)
            (directory / "done").touch()
        return directory
