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


def begun(deployment: Deployment) -> dict[int, int | None]:
    """Where judging begins, by partition."""
    return {number: one["beginning"] for number, one in deployment.load_watermarks().items()}


def test_a_sink_is_onboarded_where_it_stands_and_what_was_judged_before_is_exempt(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Its group has committed nothing of partition 0, which is judged from the log's start."""
    deployment = Deployment(broker, registry, tmp_path, "onboarded", seed=21)
    load = deployment.load
    with deployment.worker("only") as worker:
        configured(worker, group="loader")
        worker.start("tests.stack.brisk")
        write(deployment, 2)
        until(deployment.is_load_judged, [worker])
        stood = {number: end if number else 0 for number, end in load.truth.ends.items()}
        commit(deployment, {number: end for number, end in stood.items() if number})

        shown = typed(worker, "onboard", SINK, "--dry-run")
        assert [(line["kind"], line["offset"], line["lane"]["offset"]) for line in shown] == [
            ("START", stood[number], None) for number in range(PARTITIONS)
        ]
        written = typed(worker, "onboard", SINK)
        assert all(line["lane"]["topic"] == load.receipts and line["lane"]["offset"] > 0 for line in written)
        write(deployment, 1)
        until(deployment.is_load_judged, [worker])
        until(lambda: begun(deployment) == stood, [worker])

        left = [place for place in load.truth.bad if place[1] >= stood[place[0]]]
        assert open_bad(deployment) == {n: sum(p == n for p, _ in left) for n in stood}
        commit(deployment, load.truth.ends)
        assert {line["kind"] for line in typed(worker, "onboard", SINK)} == {"nothing"}


def test_what_stands_is_told_without_a_worker_a_waived_cell_is_passed_and_a_retired_sink_leaves_the_counts(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "retired", seed=24)
    load = deployment.load
    with deployment.worker("only") as worker:
        worker.start("tests.stack.brisk")
        write(deployment, 1)
        until(deployment.is_load_judged, [worker])

        standing = {line["partition"]: line for line in typed(worker, "status", status=1) if line["kind"] == "sink"}
        assert {n: line["bad"] for n, line in standing.items()} == open_bad(deployment)
        assert f"{SINK}  {load.topic}  {PARTITIONS} partitions: " in said(worker, "status", status=1)
        (ready,) = typed(worker, "readiness", status=1)
        assert [(one["level"], one["what"]) for one in ready["points"]] == [("blocks", "bad")]
        bad = {f"{load.topic}:{p}:{offset} {state}" for (p, offset), state in load.truth.bad.items()}
        assert set(ready["points"][0]["places"]) == bad

        number, offset = min(load.truth.bad)
        why = ("--who", "ada", "--reason", "mended by hand")
        refusal = said(worker, "waive", SINK, f"{load.topic}:{number}:1000000", *why, status=2)
        assert "no fence above 1000000 was read yet" in refusal
        typed(worker, "waive", SINK, f"{load.topic}:{number}:{offset}", *why)
        load.fence_all()
        until(lambda: deployment.load_watermarks()[number]["verified_watermark"] > offset, [worker])

        typed(worker, "retire", SINK)
        until(lambda: all(one["ended"] for one in deployment.load_watermarks().values()), [worker])
        assert not any(open_bad(deployment).values())
        assert {line["kind"] for line in typed(worker, "retire", SINK)} == {"nothing"}
        assert {line["wrong"] for line in typed(worker, "status") if line["kind"] == "sink"} == {False}
        assert [one["what"] for one in typed(worker, "readiness")[0]["points"]] == ["retired"]


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
