"""The files of docker/: they agree with each other, with the verifier's metrics and with its configuration."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.adapters.shapes import METRICS
from app.config import load
from app.config.topics import is_match

DECLARED = {
    "postgres": ("/var/lib/postgresql/data",),
    "apache/kafka": ("/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"),
    "quay.io/apicurio/apicurio-registry-sql": (),
    "quay.io/debezium/connect": ("/kafka/config", "/kafka/data", "/kafka/logs"),
    "prom/prometheus": ("/prometheus",),
    "grafana/grafana": (),
    "cdc-verifier": ("/state",),
}
"""By image, what its Dockerfile declares as volumes (as of the versions in compose.yaml)."""

HISTOGRAM = ("_bucket", "_count", "_sum")


@pytest.fixture
def register(root: Path) -> Any:
    """docker/connect/register.py."""
    spec = importlib.util.spec_from_file_location("register", root / "docker/connect/register.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", ["docker/prometheus/rules.yml", "docker/grafana/dashboards/cdc-verifier.json"])
def test_alerts_and_panels_ask_for_metrics_that_exist(root: Path, file: str) -> None:
    asked = set(re.findall(r"\bcdc_verifier_\w+", (root / file).read_text()))

    assert asked
    assert {name for name in asked if not _exists(name)} == set()


def test_the_dashboard_asks_the_source_that_is_provisioned(root: Path) -> None:
    dashboard = json.loads((root / "docker/grafana/dashboards/cdc-verifier.json").read_text())
    source = (root / "docker/grafana/provisioning/datasources/prometheus.yml").read_text()
    asked = {panel["datasource"]["uid"] for panel in dashboard["panels"]}

    assert asked == set(re.findall(r"uid: (\S+)", source))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_image_has_a_fixed_version(root: Path) -> None:
    images = re.findall(r"^ +image: (\S+)$", (root / "docker/compose.yaml").read_text(), re.MULTILINE)

    assert len(images) >= 8
    assert [image for image in images if not re.search(r":v?\d+\.\d+[\w.]*$|:local$", image)] == []


def test_ports_are_published_on_the_loopback_only(root: Path) -> None:
    published = re.findall(r'ports: \["([^"]+)"\]', (root / "docker/compose.yaml").read_text())

    assert len(published) == 7
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port)] == []


def test_no_volume_is_anonymous_so_that_none_is_left_behind(root: Path) -> None:
    text = (root / "docker/compose.yaml").read_text()
    services = re.split(r"^  \w+:\n", text[text.index("\nservices:") : text.index("\nvolumes:")], flags=re.MULTILINE)[
        1:
    ]
    mounted: list[str] = []
    for service in services:
        image = re.search(r"^    image: (\S+):", service, re.MULTILINE)
        mounts = re.findall(r"^ +- ([\w-]+):(/\S+)$", service, re.MULTILINE)
        mounted += [name for name, _ in mounts]

        assert sorted(path for _, path in mounts) == sorted(DECLARED[image[1] if image else "cdc-verifier"]), service

    assert sorted(mounted) == sorted(re.findall(r"^  ([\w-]+):$", text[text.index("\nvolumes:") :], re.MULTILINE))


def test_no_health_check_starts_a_jvm(root: Path) -> None:
    """They go on for ever, every few seconds, and those of Kafka's tools take seconds of CPU each."""
    checks = re.findall(r"^ +test: (.+)$", (root / "docker/compose.yaml").read_text(), re.MULTILINE)

    assert len(checks) >= 2
    assert [check for check in checks if ".sh" in check or "java" in check] == []


def test_the_verifier_judges_the_sinks_that_are_registered(root: Path, register: Any) -> None:
    settings = load(root / "docker/cdc-verifier.toml", {})

    assert {sink.connector for sink in settings.sinks.values()} == set(register.SINKS)
    for sink in settings.sinks.values():
        config = json.loads((root / f"docker/connect/{sink.connector}.json").read_text())
        judged = {
            topic
            for topic in register.TOPICS
            if any(is_match(one, topic) for one in sink.topics or settings.source.topics)
        }
        assert judged == {topic for topic in register.TOPICS if re.fullmatch(config["topics.regex"], topic)}
        assert list(sink.dead_letters) == [
            value for key, value in config.items() if key == "errors.deadletterqueue.topic.name"
        ]


def test_every_table_of_the_shop_has_a_topic_that_is_waited_for(root: Path, register: Any) -> None:
    tables = re.findall(r"^CREATE TABLE (\w+)", (root / "docker/postgres/shop.sql").read_text(), re.MULTILINE)

    assert {f"shop.public.{table}" for table in tables} == register.TOPICS


def _exists(name: str) -> bool:
    return name in METRICS or any(name.removesuffix(end) in METRICS for end in HISTOGRAM)
