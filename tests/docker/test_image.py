"""The worker's image beside a broker and a registry in containers of their own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from testcontainers.core.container import DockerContainer, ExecConfig

from tests.docker.conftest import Cluster, on
from tests.docker.images import Images
from tests.stack.deployment import LOAD_SINK, Deployment
from tests.stack.load import SINK
from tests.stack.process import wait_until

METRICS_PORT = 9108
DEADLINE_S = 60.0

CONFIG = """
[kafka]
brokers = ["kafka:9092"]
[registry]
url = "http://registry:8081"
[verifier]
instance_id = "one"
application_id = "{prefix}"
prefix = "{prefix}"
[source]
topics = ["{topic}"]
"""

STEPS = 4

Start = Callable[[Path, str], DockerContainer]


@pytest.fixture
def start(images: Images, cluster: Cluster) -> Iterator[Start]:
    """Runs the worker over a configuration as the README says; nothing of it outlives the test."""
    started: list[DockerContainer] = []

    def run(directory: Path, config: str) -> DockerContainer:
        file = directory / "cdc-verifier.toml"
        file.write_text(config)
        file.chmod(0o644)
        container = DockerContainer(images.worker).with_exposed_ports(METRICS_PORT)
        container.with_volume_mapping(file, "/etc/cdc-verifier/cdc-verifier.toml")
        started.append(on(cluster.network, "verifier", container).start())
        return container

    yield run
    for container in started:
        container.stop()


def test_a_worker_in_a_container_finds_what_was_planted_and_goes_on_after_a_kill(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    deployment = Deployment(cluster, cluster.registry, tmp_path, "docker", seed=7)
    load = deployment.load
    config = CONFIG.format(prefix=deployment.prefix, topic=load.topic)
    worker = start(tmp_path, config + LOAD_SINK.format(sink=SINK, topic=load.topic, receipts=load.receipts))
    for number, _ in enumerate(load.steps(STEPS)):
        if number == STEPS // 2:
            wait_until(lambda: b"stores open" in b"".join(worker.get_logs()), "it reads", DEADLINE_S)
            worker.get_wrapped_container().kill("SIGKILL")
            worker.get_wrapped_container().wait()
            worker.get_wrapped_container().start()
    load.fence_all()
    wait_until(deployment.is_load_judged, "everything is judged", DEADLINE_S)

    deployment.check_load()
    wait_until(lambda: metric(worker, "cdc_verifier_bad_cells") == len(load.truth.bad), "the page shows it", DEADLINE_S)
    assert metric(worker, "cdc_verifier_conservation_difference_changes") == 0
    worker.get_wrapped_container().kill(signal.SIGTERM.name)
    assert worker.wait() == 0, logs(worker)


def test_a_worker_whose_topics_are_missing_ends_and_says_how_to_make_them(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    config = CONFIG.format(prefix="verifier.nothing", topic="no.such.topic")
    worker = start(tmp_path, config + LOAD_SINK.format(sink=SINK, topic="no.such.topic", receipts="no.receipts"))

    assert worker.wait() == 2
    assert "no.such.topic" in logs(worker)


def test_the_image_runs_as_a_user_that_owns_its_state_and_nothing_else(images: Images) -> None:
    with DockerContainer(images.worker, entrypoint=["sleep", "60"]) as container:
        owned = container.exec(ExecConfig(["find", "/", "-xdev", "-user", "verifier"], user="root"))

        assert container.exec(["id", "-un"]).output.decode().strip() == "verifier"
        assert container.exec(["touch", "/state/file"]).exit_code == 0
        assert set(owned.output.decode().split()) <= {"/state", "/etc/cdc-verifier"}


def test_the_image_holds_what_the_worker_needs_and_no_tool_of_its_makers(images: Images) -> None:
    with DockerContainer(images.worker, entrypoint=["sleep", "60"]) as container:
        installed = container.exec(["pip", "list", "--format", "freeze"]).output.decode()

        assert container.exec(["pip", "check"]).exit_code == 0, container.exec(["pip", "check"]).output.decode()
        assert "cdc-verifier-receipts" in installed
        assert not [tool for tool in ("pytest", "mypy", "ruff", "testcontainers") if f"{tool}==" in installed]


def metric(worker: DockerContainer, name: str) -> float:
    """A metric's sum over all its labels, read from the worker's page."""
    worker.get_wrapped_container().reload()
    url = f"http://{worker.get_container_host_ip()}:{worker.get_exposed_port(METRICS_PORT)}/metrics"
    families = text_string_to_metric_families(httpx.get(url).raise_for_status().text)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def logs(worker: DockerContainer) -> str:
    """What it wrote to both of its streams."""
    return b"".join(worker.get_logs()).decode()[-4000:]
