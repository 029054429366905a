"""The images of the tests: the worker's from docker/Dockerfile, and a broker's from Maven's jars. Layers stay cached."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import BuildError

from tests.docker.engine import Engine
from tests.stack.jars import fetched

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
WORKER = "cdc-verifier-test/worker"
KAFKA = "cdc-verifier-test/kafka"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Names that the engine knows."""

    worker: str
    kafka: str


def build(engine: Engine) -> Images:
    """Build both, side by side."""
    with ThreadPoolExecutor() as pool:
        worker, kafka = pool.submit(_build_worker, engine), pool.submit(_build_kafka, engine)
        return Images(worker=worker.result(), kafka=kafka.result())


def _build_worker(engine: Engine) -> str:
    """The stage that installs has a name, too: what has none is thrown away when the engine ends."""
    how = {"path": str(ROOT), "dockerfile": "docker/Dockerfile", "buildargs": {"BASE": engine.base}}
    _build(engine, f"{WORKER}-build:latest", target="build", **how)
    return _build(engine, f"{WORKER}:latest", **how)


def _build_kafka(engine: Engine) -> str:
    with _context() as directory:
        return _build(engine, f"{KAFKA}:latest", path=str(directory), buildargs={"BASE": engine.base})


@contextlib.contextmanager
def _context() -> Iterator[Path]:
    """A directory with all that the broker's image is made of."""
    with tempfile.TemporaryDirectory(prefix="cdc-verifier-kafka-") as directory:
        shutil.copytree(Path(__file__).parent / "kafka", directory, dirs_exist_ok=True)
        (Path(directory) / "libs").mkdir()
        for jar in fetched("broker").glob("*.jar"):
            shutil.copy2(jar, Path(directory) / "libs")
        yield Path(directory)


def _build(engine: Engine, tag: str, **how: Any) -> str:
    began = time.monotonic()
    with contextlib.closing(engine.client()) as client:
        try:
            client.images.build(tag=tag, network_mode="host", rm=True, **how)
        except BuildError as error:
            told = "".join(str(line.get("stream", line)) for line in error.build_log)
            raise RuntimeError(f"{tag} can't be built: {told[-4000:]}") from error
    logger.info("built %s in %.1f s", tag, time.monotonic() - began)
    return tag
