"""The files of docker/ before those who read them: compose, and Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.conftest import without


@pytest.fixture
def compose() -> list[str]:
    """docker compose, or what it was before it was a plugin."""
    known = (["docker", "compose"], ["docker-compose"])
    for command in known:
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], check=False, capture_output=True).returncode == 0
        ):
            return command
    without("no docker compose and no docker-compose on this machine")
    return []


def test_compose_reads_its_file(root: Path, compose: list[str]) -> None:
    read = told([*compose, "--file", str(root / "docker/compose.yaml"), "config", "--services"])

    assert sorted(read.split()) == sorted(
        ["connect", "customers", "grafana", "kafka", "postgres", "prometheus", "register", "registry", "verifier"]
    )


def test_prometheus_reads_its_configuration_and_the_alerts(root: Path, program: Callable[..., str]) -> None:
    promtool = program("promtool")

    told([promtool, "check", "config", str(root / "docker/prometheus/prometheus.yml")])


def test_alerts_fire_for_what_is_wrong_and_for_nothing_else(
    root: Path, program: Callable[..., str], tmp_path: Path
) -> None:
    rules = str(root / "docker/prometheus/rules.yml")
    tests = tmp_path / "rules_test.yml"
    tests.write_text((root / "tests/docker/rules_test.yml").read_text().replace("RULES", rules))

    told([program("promtool"), "test", "rules", str(tests)])


def test_a_wrong_expectation_of_an_alert_is_found(root: Path, program: Callable[..., str], tmp_path: Path) -> None:
    text = (
        (root / "tests/docker/rules_test.yml").read_text().replace("RULES", str(root / "docker/prometheus/rules.yml"))
    )
    tests = tmp_path / "rules_test.yml"
    tests.write_text(text.replace('alertname="CdcVerifierLostOffsets"}', 'alertname="CdcVerifierNothing"}'))

    assert subprocess.run([program("promtool"), "test", "rules", str(tests)], check=False).returncode == 1


def told(command: list[str]) -> str:
    """What a command prints; it must succeed."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
