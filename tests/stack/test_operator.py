"""Operators' commands as a user types them, on a real broker, and what a running worker makes of what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.load import PARTITIONS, SINK
from tests.stack.worker import Worker, until

Line = dict[str, Any]


def typed(worker: Worker, *words: str, status: int = 0) -> list[Line]:
    """A command's lines; it reads the worker's own configuration."""
    done = said(worker, *words, "--json", status=status)
    return [json.loads(line) for line in done.splitlines()]


def said(worker: Worker, *words: str, status: int = 0) -> str:
    name, *rest = words
    command = [sys.executable, "-m", "app.cli.main", name, "--config", str(worker.directory / "config.toml"), *rest]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if status < 2 else done.stderr


def configured(worker: Worker, **settings: str) -> None:
    """The sink's section, the last of the file, says this, too."""
    file = worker.directory / "config.toml"
    lines = [line for line in file.read_text().splitlines() if line.partition(" ")[0] not in settings]
    file.write_text("\n".join([*lines, *(f'{key} = "{value}"' for key, value in settings.items()), ""]))


def commit(deployment: Deployment, offsets: dict[int, int]) -> None:
    admin = AdminClient({"bootstrap.servers": deployment.broker.bootstrap})
    places = [TopicPartition(deployment.load.topic, number, offset) for number, offset in offsets.items()]
    asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("loader", places)])
    asked["loader"].result(30)


def write(deployment: Deployment, steps: int) -> None:
    for _ in deployment.load.steps(steps):
        pass
    deployment.load.fence_all()


def open_bad(deployment: Deployment) -> dict[int, int]:
    """Open bad cells by partition."""
    bad = ("missing", "diverged", "rejected")
    told = deployment.load_watermarks()
    return {number: sum(one["open_counts"].get(state, 0) for state in bad) for number, one in told.items()}


def test_a_sink_is_onboarded_where_it_stands_then_waived_and_retired_and_its_counts_follow(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "onboarded", seed=21)
    load = deployment.load
    with deployment.worker("only") as worker:
        configured(worker, group="loader", mode="observe")
        worker.start("tests.stack.brisk")
        write(deployment, 2)
        until(deployment.is_load_judged, [worker])
        stood = dict(load.truth.ends)
        commit(deployment, {number: end for number, end in stood.items() if number})

        shown = typed(worker, "onboard", SINK, "--dry-run")
        assert [(line["kind"], line["offset"], line["lane"]["offset"]) for line in shown] == [
            ("START", stood[number] if number else 0, None) for number in range(PARTITIONS)
        ]
        before = open_bad(deployment)
        written = typed(worker, "onboard", SINK)
        assert all(line["lane"]["topic"] == load.receipts and line["lane"]["offset"] > 0 for line in written)
        write(deployment, 2)
        until(deployment.is_load_judged, [worker])
        until(lambda: all(one["beginning"] is not None for one in deployment.load_watermarks().values()), [worker])

        told = deployment.load_watermarks()
        left = {(p, offset) for p, offset in load.truth.bad if p == 0 or offset >= stood[p]}
        assert {n: told[n]["beginning"] for n in told} == {n: stood[n] if n else 0 for n in stood}
        assert open_bad(deployment) == {n: sum(p == n for p, _ in left) for n in told}
        assert open_bad(deployment)[0] > before[0]
        commit(deployment, load.truth.ends)
        assert {line["kind"] for line in typed(worker, "onboard", SINK)} == {"nothing"}

        number, offset = min(place for place in left if place[0] == 1)
        refusal = said(worker, "waive", SINK, f"{load.topic}:1:{10**6}", "--who", "ada", "--reason", "r", status=2)
        assert "no fence above 1000000 was read yet" in refusal
        typed(worker, "waive", SINK, f"{load.topic}:{number}:{offset}", "--who", "ada", "--reason", "mended by hand")
        load.fence_all()
        until(lambda: deployment.load_watermarks()[1]["verified_watermark"] > offset, [worker])

        assert deployment.telling.commands() == []
        typed(worker, "retire", SINK)
        until(lambda: not any(open_bad(deployment).values()), [worker])
        until(lambda: all(one["ended"] for one in deployment.load_watermarks().values()), [worker])
        assert {line["kind"] for line in typed(worker, "retire", SINK)} == {"nothing"}
        assert "use: cdc-verifier rebuild" in said(worker, "onboard", SINK, status=2)


def test_a_rebuilt_sink_is_judged_anew_by_what_is_said_from_then_on(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "rebuilt", seed=22)
    load = deployment.load
    with deployment.worker("only") as worker:
        worker.start("tests.stack.brisk")
        write(deployment, 1)
        until(deployment.is_load_judged, [worker])

        lines = typed(worker, "rebuild", SINK, "--from", "earliest", "--generation", "1")
        assert {(line["kind"], line["offset"], line["generation"]) for line in lines} == {("START", 0, 1)}
        until(lambda: {one["generation"] for one in deployment.load_watermarks().values()} == {1}, [worker])
        again = typed(worker, "rebuild", SINK, "--from", "earliest", "--generation", "1")
        assert {line["kind"] for line in again} == {"nothing"}
        load.generation = 1
        load.fence_all()
        until(deployment.is_load_judged, [worker])

        counts = deployment.load_watermarks()[0]["counts"]
        assert counts == {"missing": len(load.truth.offsets[0])}


def test_what_was_only_observed_is_commanded_when_the_mode_asks_for_commands(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "observed", seed=23)
    with deployment.worker("only") as worker:
        configured(worker, mode="observe")
        worker.start("tests.stack.brisk")
        write(deployment, 2)
        until(deployment.is_load_judged, [worker])
        worker.stop()
        assert deployment.telling.verdicts()
        assert deployment.telling.commands() == []

        configured(worker, mode="dry-run")
        worker.start("tests.stack.brisk")
        deployment.load.fence_all()
        until(lambda: deployment.load.newest_bad() <= deployment.commanded(), [worker])

        assert {one["mode"] for one in deployment.telling.commands()} == {"DRY_RUN"}
        worker.stop()
        deployment.check_load()
