"""Starting where something is missing: rights, topics, a password, the broker itself; the message says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker, is_missing
from tests.stack.process import wait_until

GUARDED = """
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{other},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{other}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_verifier="hidden-word";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
"""Who comes by the plain listener may do everything; the verifier comes by the other one."""

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
security_protocol = "SASL_PLAINTEXT"
sasl_username = "verifier"
start_wait = "{wait}"
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = 0
[source]
topics = ["orders"]
[sinks.warehouse]
receipts = ["receipts"]
fences = "progress"
group = "loader"
"""
OWN = ("verdicts", "repair", "ledger", "watermarks", "control", "quarantine")

STARTED: list[subprocess.Popen[bytes]] = []

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("guarded"), GUARDED)
    found.start()
    yield found
    found.stop()


class Guard:
    """What the cluster's administrator does."""

    def __init__(self, broker: Broker) -> None:
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def reset(self) -> None:
        """No rights and no topics."""
        everything = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        for done in self.admin.delete_acls([everything]).values():
            done.result(10)
        topics = [name for name in self.admin.list_topics(timeout=10).topics if not name.startswith("__")]
        for done in self.admin.delete_topics(topics).values() if topics else ():
            done.result(10)
        wait_until(lambda: not {*topics} & {*self.admin.list_topics(timeout=10).topics}, "the topics are gone")

    def create(self, **topics: int) -> None:
        asked = [NewTopic(name.replace("__", "."), count, 1) for name, count in topics.items()]
        for done in self.admin.create_topics(asked).values():
            done.result(10)

    def allow(self, kind: str, name: str, operation: str) -> None:
        rule = AclBinding(
            ResourceType[kind.upper()], name, ResourcePatternType.LITERAL, "User:verifier", "*",
            AclOperation[operation.upper().replace("BECONFIGS", "BE_CONFIGS")], AclPermissionType.ALLOW,
        )  # fmt: skip
        for done in self.admin.create_acls([rule]).values():
            done.result(10)

    def allow_what(self, said: str) -> int:
        """Type every kafka-acls command of a message; how many there were."""
        found = re.findall(
            r"kafka-acls\.sh --bootstrap-server HOST:PORT --add --allow-principal 'User:verifier' "
            r"--operation (\w+) --(topic|group) (\S+)",
            said,
        )
        for operation, kind, name in found:
            self.allow(kind, name, operation)
        return len(found)


@pytest.fixture
def guard(guarded: Broker) -> Guard:
    found = Guard(guarded)
    found.reset()
    return found


class Started:
    """One ``cdc-verifier run``, or another command."""

    def __init__(self, directory: Path, bootstrap: str, wait: str = "20s", password: str = "hidden-word") -> None:
        self._directory = directory
        self._bootstrap = bootstrap
        self._wait = wait
        self._password = password
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, registry: EmbeddedRegistry, *command: str) -> None:
        config = self._directory / "config.toml"
        config.write_text(
            CONFIG.format(
                bootstrap=self._bootstrap, registry=registry.url, state=self._directory / "state", wait=self._wait
            )
        )
        environ = {**os.environ, "PYTHONWARNINGS": "ignore", "CDC_VERIFIER__KAFKA__SASL_PASSWORD": self._password}
        with (self._directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli.main", *(command or ("run",)), "--config", str(config)],
                stdout=log, stderr=log, env=environ,
            )  # fmt: skip
        STARTED.append(self.process)

    def status(self, deadline_s: float = 60.0) -> int:
        """Its exit status, when it has ended."""
        assert self.process is not None
        return self.process.wait(deadline_s)

    def said(self) -> str:
        return (self._directory / "log").read_text()

    def runs(self) -> bool:
        return "stores open" in self.said()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as found:
        yield found


def refused(started: Started, registry: EmbeddedRegistry) -> str:
    """What a start says that ends with status 2."""
    started.start(registry)

    assert started.status() == 2, started.said()
    assert "Traceback" not in started.said()
    assert "hidden-word" not in started.said()
    return started.said()


def test_every_right_that_is_missing_is_named_and_what_the_message_says_is_enough(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Nothing is allowed at first; then what each message says is typed, until it runs."""
    guard.create(orders=2, receipts=2, **{f"cdc-verifier__{name}": 2 for name in OWN})
    started = Started(tmp_path, guarded.other_bootstrap)

    said = refused(started, registry)

    for kind, name, operation in (
        ("topic", "orders", "Read"),
        ("topic", "orders", "DescribeConfigs"),
        ("topic", "receipts", "Read"),
        ("topic", "cdc-verifier.verdicts", "Write"),
        ("topic", "cdc-verifier.ledger", "Read"),
        ("topic", "cdc-verifier.ledger", "Write"),
        ("group", "cdc-verifier", "Read"),
        ("group", "loader", "Describe"),
    ):
        assert f"{kind} {name}: User:verifier lacks the right {operation} on it" in said
    rounds = 0
    while guard.allow_what(said):
        rounds += 1
        started.start(registry)
        wait_until(lambda: started.runs() or started.process.poll() is not None, "it runs or ends", 60)
        if started.runs():
            break
        said = started.said()
    assert started.runs(), said
    assert rounds <= 3
    assert started.stop() == 0, started.said()


def test_one_right_that_is_missing_is_all_that_is_named(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    guard.create(orders=2, receipts=2, **{f"cdc-verifier__{name}": 2 for name in OWN})
    for name in ("orders", "receipts", "cdc-verifier.ledger"):
        guard.allow("topic", name, "read")
    for name in ("receipts", *(f"cdc-verifier.{own}" for own in OWN if own != "verdicts")):
        guard.allow("topic", name, "write")
    guard.allow("group", "cdc-verifier", "read")
    guard.allow("group", "loader", "describe")
    guard.allow("topic", "orders", "DescribeConfigs")

    said = refused(Started(tmp_path, guarded.other_bootstrap), registry)

    assert re.findall(r"^(\w+ \S+): User:verifier lacks the right (\w+)", said, re.MULTILINE) == [
        ("topic cdc-verifier.verdicts", "Write")
    ]


def test_topics_that_it_may_not_create_are_named_with_both_ways_out_and_nothing_is_created(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    guard.create(orders=2, receipts=2)
    for name in ("orders", "receipts", *(f"cdc-verifier.{own}" for own in OWN)):
        guard.allow("topic", name, "read")
        guard.allow("topic", name, "write")
    guard.allow("topic", "cdc-verifier.verdicts", "create")
    guard.allow("group", "cdc-verifier", "read")

    said = refused(Started(tmp_path, guarded.other_bootstrap), registry)

    assert "group loader" in said
    refusals = re.findall(r"^topic (\S+) does not exist, and User:verifier may not create it", said, re.MULTILINE)
    assert refusals == [f"cdc-verifier.{own}" for own in OWN if own != "verdicts"]
    assert "kafka-topics.sh --bootstrap-server HOST:PORT --create --topic cdc-verifier.ledger --partitions 2" in said
    assert "--operation Create --topic cdc-verifier.ledger" in said
    assert not {f"cdc-verifier.{own}" for own in OWN} & {*guard.admin.list_topics(timeout=10).topics}


def test_a_topic_that_does_not_exist_is_told_apart_from_one_that_is_hidden(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    guard.create(orders=2)
    guard.allow("topic", "receipts", "read")

    said = refused(Started(tmp_path, guarded.other_bootstrap), registry)

    assert "topic receipts is configured but does not exist" in said
    assert "topic orders: User:verifier lacks the right Read" in said
    assert "topic orders is configured but does not exist" not in said


def test_a_topic_that_was_made_but_may_not_be_written_is_named(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    guard.create(orders=2, receipts=2)
    for name in ("orders", "receipts", "cdc-verifier.ledger"):
        guard.allow("topic", name, "read")
    for name in ("receipts", *(f"cdc-verifier.{own}" for own in OWN if own != "repair")):
        guard.allow("topic", name, "write")
    guard.allow("topic", "cdc-verifier.repair", "describe")

    for own in OWN:
        guard.allow("topic", f"cdc-verifier.{own}", "create")
    guard.allow("group", "cdc-verifier", "read")
    guard.allow("group", "loader", "describe")
    guard.allow("topic", "orders", "DescribeConfigs")

    said = refused(Started(tmp_path, guarded.other_bootstrap), registry)

    assert re.findall(r"^(\w+ \S+): User:verifier lacks the right (\w+)", said, re.MULTILINE) == [
        ("topic cdc-verifier.repair", "Write")
    ]


def test_a_password_that_is_refused_is_told_at_once_and_without_it(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    began = time.monotonic()
    said = refused(Started(tmp_path, guarded.other_bootstrap, wait="2m", password="another-word"), registry)

    assert "kafka: the brokers don't let us in" in said
    assert "kafka.sasl_password" in said
    assert "another-word" not in said
    assert time.monotonic() - began < 30


def test_a_broker_that_is_away_is_waited_for_and_then_told(registry: EmbeddedRegistry, tmp_path: Path) -> None:
    said = refused(Started(tmp_path, "127.0.0.1:9", wait="4s"), registry)

    assert "no broker of 127.0.0.1:9 answered within 4 s" in said
    assert "next try in 0.5 s" in said


def test_a_broker_that_comes_while_it_is_waited_for_is_used(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """The broker is stopped, and started again four seconds after the worker."""
    guard.create(orders=2, receipts=2)
    guarded.stop()
    later = threading.Timer(4.0, guarded.start)
    later.start()

    said = refused(Started(tmp_path, guarded.other_bootstrap, wait="60s"), registry)
    later.join()

    assert "next try in" in said
    assert "topic orders: User:verifier lacks the right Read" in said


def test_every_right_that_an_operators_command_lacks_is_named_and_what_the_message_says_is_enough(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """The first round is for the topics that the lane follows from, the second for all the rest."""
    guard.create(orders=2, receipts=2, **{f"cdc-verifier__{name}": 2 for name in OWN})
    guard.allow("topic", "orders", "describe")
    guard.allow("topic", "receipts", "describe")
    guard.allow("topic", "cdc-verifier.ledger", "describe")
    guard.allow("topic", "cdc-verifier.watermarks", "describe")
    started = Started(tmp_path, guarded.other_bootstrap)
    rounds = []
    while not rounds or (rounds[-1] and len(rounds) < 4):
        started.start(registry, "onboard", "warehouse")
        assert started.status() == (0 if len(rounds) == 2 else 2), started.said()
        rounds.append(re.findall(r"^(\w+ \S+): User:verifier lacks the right (\w+)", started.said(), re.MULTILINE))
        guard.allow_what(started.said())

    assert rounds == [
        [("topic cdc-verifier.ledger", "Read"), ("group cdc-verifier", "Read")],
        [("topic receipts", "Write"), ("topic cdc-verifier.watermarks", "Read"), ("group loader", "Describe")],
        [],
    ]
    assert "START 0, generation 0" in started.said()


def test_the_check_names_every_right_without_making_anything_and_what_it_says_is_enough_for_it_and_for_a_start(
    guarded: Broker, guard: Guard, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """It wants more than a worker: to look at settings of all topics, and at the watermarks."""
    guard.create(orders=2, receipts=2)
    started = Started(tmp_path, guarded.other_bootstrap)

    def checked() -> list[dict[str, str]]:
        started.start(registry, "doctor", "--check", "--json")
        assert started.status() == 1, started.said()
        assert "hidden-word" not in started.said()
        return [json.loads(line) for line in started.said().splitlines() if line.startswith("{")]

    found = checked()
    assert {(one["place"], one["says"].split(" is missing")[0]) for one in found if one["about"] == "rights"} >= {
        ("topic orders", "the right Read"),
        ("topic orders", "the right DescribeConfigs"),
        ("group cdc-verifier", "the right Read"),
        ("group loader", "the right Describe"),
    }
    assert not [one for one in found if one["says"].startswith("does not exist (")]
    rounds = 0
    while guard.allow_what(" ".join(one["do"] for one in found)) and rounds < 5:
        rounds += 1
        found = checked()
    left = {(one["level"], one["about"]) for one in found if one["level"] != "fine"}
    assert left == {
        ("unknown", "keys"),
        ("unknown", "sources"),
    }  # the topic holds no records, and connect.url is not set
    assert not {f"cdc-verifier.{own}" for own in OWN} & {*guard.admin.list_topics(timeout=10).topics}

    started.start(registry)
    wait_until(lambda: started.runs() or started.process.poll() is not None, "it runs or ends", 60)
    assert started.runs(), started.said()
    assert started.stop() == 0, started.said()
