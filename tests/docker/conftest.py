"""An engine, the images, and a network with a broker and a registry on it, for all of these tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.docker.engine import engine, is_missing
from tests.docker.images import Images, build
from tests.docker.registry import COMMAND, PORT, RemoteRegistry
from tests.stack.child import free_port
from tests.stack.process import wait_until

pytest.register_assert_rewrite("tests.stack.deployment")

START_S = 60.0


def pytest_configure(config: pytest.Config) -> None:
    """Docker's client leaves its connections, all of them to a socket of this machine, to the garbage collector."""
    config.addinivalue_line("filterwarnings", r"ignore:unclosed <socket.socket fd=\d+, family=1,:ResourceWarning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A network with ``kafka:9092`` and ``registry:8081`` on it; ``bootstrap`` and ``registry`` as the test reaches them."""

    network: Network
    bootstrap: str
    registry: RemoteRegistry


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    if reason := is_missing():
        without(reason)
    with pytest.MonkeyPatch.context() as patch, engine() as found:
        if found.url is not None:  # our own can't pull the reaper, and stops everything itself
            patch.setenv("DOCKER_HOST", found.url)
            patch.setattr(testcontainers_config, "_ryuk_disabled", True)
            patch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)
        yield build(found)


@pytest.fixture(scope="session")
def cluster(images: Images) -> Iterator[Cluster]:
    port = free_port()
    with Network() as network:
        kafka = DockerContainer(images.kafka, env=broker_properties(port)).with_bind_ports(9094, port)
        registry = DockerContainer(images.worker, entrypoint=["python", "-c", COMMAND]).with_exposed_ports(PORT)
        with on(network, "kafka", kafka), on(network, "registry", registry):
            bootstrap = f"{kafka.get_container_host_ip()}:{port}"
            remote = RemoteRegistry(f"http://{registry.get_container_host_ip()}:{registry.get_exposed_port(PORT)}")
            wait_until(remote.is_up, "the registry answers")
            wait_until(lambda: is_answering(bootstrap, kafka), "the broker answers", START_S)
            yield Cluster(network=network, bootstrap=bootstrap, registry=remote)


def is_answering(bootstrap: str, kafka: DockerContainer) -> bool:
    """Whether the broker does; one that has ended is shown."""
    kafka.reload()
    assert kafka.status == "running", b"".join(kafka.get_logs()).decode()[-4000:]
    try:
        AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=1)
    except KafkaException:
        return False
    return True


def on(network: Network, name: str, container: DockerContainer) -> DockerContainer:
    """A container that others of the network reach by a name."""
    return container.with_network(network).with_network_aliases(name)


def broker_properties(port: int) -> dict[str, str]:
    """One broker in KRaft mode; ``port`` is where the machine reaches it."""
    return {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "INSIDE://:9092,OUTSIDE://:9094,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://kafka:9092,OUTSIDE://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LOG_DIRS": "/tmp/kafka",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }


def without(reason: str) -> None:
    """Skip the test that asks for what this machine lacks; fail it where everything is required."""
    (pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip)(reason)


@pytest.fixture
def program() -> Callable[..., str]:
    """The first of some programs that this machine has."""

    def find(*names: str) -> str:
        found = next((path for name in names if (path := shutil.which(name))), None)
        if found is None:
            without(f"no {' and no '.join(names)} on this machine")
        return found or ""

    return find
