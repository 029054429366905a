"""The main job on a real broker, under load: killed, joined, left, and right all the same."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fastavro
import pytest

import schemas
from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker, is_missing
from tests.stack.world import RECEIPTS, TOPIC, World, read_topic

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = 0
[verifier]
instance_id = "{name}"
[source]
topics = ["{topic}"]
[sinks.warehouse]
receipts = ["{receipts}"]
late_after = "1h"
commands_per_minute = 100000
"""

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


class Worker:
    """One ``cdc-verifier run`` in a process of its own."""

    def __init__(self, directory: Path, name: str, broker: Broker, registry: EmbeddedRegistry) -> None:
        self.directory = directory / name
        self.directory.mkdir()
        self.config = self.directory / "config.toml"
        self.config.write_text(
            CONFIG.format(
                bootstrap=broker.bootstrap,
                registry=registry.url,
                state=self.directory / "state",
                name=name,
                topic=TOPIC,
                receipts=RECEIPTS,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "app.cli.main", "run", "--config", str(self.config)]
        environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def log(self) -> str:
        return (self.directory / "log").read_text()[-4000:]


def until(holds: Callable[[], bool], seconds: float, worker: Worker) -> None:
    """Wait for a condition, with a deadline; a worker that ended by itself is shown."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, worker.log()
        assert worker.process is None or worker.process.poll() is None, worker.log()
        time.sleep(0.3)


def decoded(name: str, value: bytes | None) -> dict:
    schema = fastavro.parse_schema(schemas.load(name))
    return fastavro.schemaless_reader(io.BytesIO((value or b"")[5:]), schema, None)


def watermarks(bootstrap: str) -> dict[int, dict]:
    found = {}
    for _, value in read_topic(bootstrap, "cdc-verifier.watermarks"):
        told = decoded("Watermark", value)
        found[told["partition"]] = told
    return found


def test_what_was_planted_is_found_and_nothing_else_after_twenty_kills(broker: Broker, tmp_path: Path) -> None:
    """Twenty SIGKILLs at random moments under load, aborted transactions, a second worker that joins, leaves and dies."""
    rng = random.Random(5)
    with EmbeddedRegistry() as registry:
        world = World(broker.bootstrap, registry, seed=5)
        world.create_topics()
        first, second = (Worker(tmp_path, name, broker, registry) for name in ("first", "second"))
        first.start()
        kills = 0
        for number, _ in enumerate(world.steps(44)):
            time.sleep(rng.random() * 0.5)
            if number % 2 and kills < 20:
                first.kill()
                first.start()
                kills += 1
            if number == 12:
                second.start()
            if number == 24:
                assert second.stop() == 0, second.log()
            if number == 30:
                second.start()
            if number == 38:
                second.kill()
        world.fence_all()
        ends = world.truth.ends
        until(lambda: _is_done(broker.bootstrap, ends), 150, first)
        assert first.stop() == 0, first.log()

        assert kills == 20
        assert _open_verdicts(broker.bootstrap) == world.truth.bad
        assert _ever_bad(broker.bootstrap) <= set(world.truth.bad)
        assert _commanded(broker.bootstrap) <= set(world.truth.bad)
        counts = [sum(told["counts"].values()) for told in watermarks(broker.bootstrap).values()]
        assert sum(counts) == world.truth.changes


def _is_done(bootstrap: str, ends: dict[int, int]) -> bool:
    """Every partition was judged up to its end."""
    told = watermarks(bootstrap)
    return told.keys() == ends.keys() and all(
        told[p]["frontier"] == end and told[p]["counts"].get("pending", 0) == 0 for p, end in ends.items()
    )


def _verdicts(bootstrap: str) -> Iterator[dict]:
    for key, value in read_topic(bootstrap, "cdc-verifier.verdicts"):
        del key
        yield decoded("Verdict", value)


def _open_verdicts(bootstrap: str, epoch: int = 0) -> dict[tuple[int, int], str]:
    """What readers of the verdicts topic hold to be bad in the end."""
    found = {}
    for told in (told for told in _verdicts(bootstrap) if told["epoch"] == epoch):
        place = (told["partition"], told["offset"])
        found[place] = told["state"].lower()
        if told["closed"]:
            del found[place]
    return found


def _ever_bad(bootstrap: str) -> set[tuple[int, int]]:
    return {(told["partition"], told["offset"]) for told in _verdicts(bootstrap)}


def _commanded(bootstrap: str) -> set[tuple[int, int]]:
    places: dict[tuple[int, int], str] = {}
    for _, value in read_topic(bootstrap, "cdc-verifier.repair"):
        told = decoded("ReplayCommand", value)
        for item in told["items"]:
            place = (told["partition"], item["offset"])
            assert places.setdefault(place, told["id"]) == told["id"], "one change under two command ids"
    return set(places)
