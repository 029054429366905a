"""A Docker engine for the tests: the one that answers, else one of our own, which takes root and Debian's docker.io.

Our own is a plain child process, and goes with whoever started it. It makes no bridge of its own, writes no firewall rules
and forwards nothing, so it leaves the machine as it was: containers of one network reach each other, published ports reach
the loopback (through Docker's proxy), and builds use the machine's network. Its images stay in the user's cache. No image
can be pulled where this runs: a stand-in for Debian with Python is made by mmdebstrap, with the machine's own certificates
and pip configuration in it, which is why these images are never to be pushed anywhere.

python -m tests.docker.engine says what this machine lacks, and ends with status 1 if it lacks something.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from tests.stack.jars import CACHE
from tests.stack.process import wait_until

logger = logging.getLogger(__name__)

PROGRAMS = ("dockerd", "tini", "mmdebstrap")
START_S = 60.0
STOP_S = 60.0

PUBLIC_BASE = "python:3.11-slim-bookworm"
"""What images are made from where an engine runs already: it may pull."""

BASE_PACKAGES = "ca-certificates,gcc,libc6-dev,python3,python3-dev,python3-venv"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
PIP_CONFIGURATION = Path("/etc/pip.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine; ``base`` names a Debian image with Python, ``url`` is what DOCKER_HOST is set to, None for the default."""

    url: str | None
    base: str

    def client(self) -> docker.DockerClient:
        return docker.from_env() if self.url is None else docker.DockerClient(base_url=self.url)


def is_missing() -> str | None:
    """What this machine lacks to run these tests, or None."""
    if shutil.which("mvn") is None:
        return "no mvn on this machine, which fetches the broker that is put into an image"
    if is_answering():
        return None
    if os.geteuid() != 0:
        return "no Docker engine answers, and to start one takes root"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no Docker engine answers, and to start one takes {' and '.join(lacking)}" if lacking else None


def is_answering() -> bool:
    """Whether the engine that DOCKER_HOST, or the default, names answers."""
    try:
        with contextlib.closing(docker.from_env(timeout=10)) as client:
            return bool(client.ping())
    except DockerException:
        return False


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An engine that answers; one that is started here is stopped, with all that it ran."""
    if is_answering():
        yield Engine(url=None, base=PUBLIC_BASE)
        return
    cache = CACHE / "docker"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="cdc-verifier-docker-") as run:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two engines over one directory of images would ruin it
        process = _start(Path(run), cache)
        try:
            found = Engine(url=f"unix://{run}/socket", base=_base_name())
            wait_until(lambda: _is_up(found, process, Path(run)), "the engine answers", START_S)
            _make_base(found)
            yield found
        finally:
            _stop(process, f"unix://{run}/socket", Path(run))


def _start(run: Path, cache: Path) -> subprocess.Popen[bytes]:
    """dockerd under tini, which passes signals on, waits for orphans and ends its child when we die."""
    with (run / "log").open("wb") as log:
        return subprocess.Popen(
            [
                *("tini", "-s", "-p", "SIGTERM", "--", "dockerd", "--host", f"unix://{run}/socket"),
                *("--data-root", str(cache / "data"), "--exec-root", str(run / "exec"), "--pidfile", str(run / "pid")),
                *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"),
                *("--ip", "127.0.0.1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _is_up(found: Engine, process: subprocess.Popen[bytes], run: Path) -> bool:
    assert process.poll() is None, f"dockerd ended: {(run / 'log').read_text()[-3000:]}"
    with contextlib.suppress(DockerException, OSError), contextlib.closing(found.client()) as client:
        return bool(client.ping())
    return False


def _stop(process: subprocess.Popen[bytes], url: str, run: Path) -> None:
    """1. What still runs goes, with its volumes and networks. 2. The engine ends. 3. What it mounted is unmounted."""
    with contextlib.suppress(DockerException, OSError):
        client = docker.DockerClient(base_url=url, timeout=20)
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)
        client.networks.prune()
        client.volumes.prune()
        client.images.prune()
        client.close()
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.kill(int((run / "pid").read_text()), signal.SIGKILL)  # tini ends with its child
        process.wait(STOP_S)
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in places if place.startswith(f"{run}/")), reverse=True):
        subprocess.run(["umount", place], check=True)


def _base_name() -> str:
    """The stand-in's name, which changes with what is put into it."""
    told = hashlib.sha256(" ".join(_base_command()).encode())
    for file in _copied():
        told.update(file.read_bytes())
    return f"cdc-verifier-test/base:{told.hexdigest()[:12]}"


def _copied() -> list[Path]:
    return [file for file in [*sorted(CERTIFICATES.glob("*.crt")), PIP_CONFIGURATION] if file.exists()]


def _base_command() -> list[str]:
    hooks = [f"--customize-hook=copy-in {file} {file.parent}" for file in _copied()]
    return [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", *hooks),
        *('--customize-hook=chroot "$1" update-ca-certificates', "bookworm"),
    ]


def _make_base(found: Engine) -> None:
    """Make the stand-in, unless the cache holds it."""
    with contextlib.closing(found.client()) as client:
        with contextlib.suppress(ImageNotFound):
            client.images.get(found.base)
            return
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cdc-verifier-base-") as scratch:
            archive = Path(scratch) / "base.tar"
            subprocess.run([*_base_command(), str(archive)], check=True, timeout=600)
            repository, _, tag = found.base.partition(":")
            client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
        logger.info("made the base image in %.1f s", time.monotonic() - began)


if __name__ == "__main__":
    reason = is_missing()
    print(reason or "nothing is missing")
    sys.exit(reason is not None)
