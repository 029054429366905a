"""A change topic whose partition count is raised, on a real broker: it is suspended, the other one goes on, nothing is false.

Two change topics of two partitions, a sink whose lane is its receipts topic, and one whose lane is internal.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from app.adapters.brokers.registry import EmbeddedRegistry
from app.worker.checkpoints import newest
from app.worker.head import Head
from cdc_receipts.codec import Mark, MarkKind, Receipt, Status, encode_mark, encode_receipt
from tests.stack.broker import Broker, is_missing
from tests.stack.load import Load
from tests.stack.process import wait_until
from tests.stack.reading import Telling, read_records

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
checkpoint_interval = "1s"
[metrics]
port = {port}
[verifier]
instance_id = "{name}"
[source]
topics = ["steady", "raised"]
[sinks.direct]
receipts = ["r.direct"]
[sinks.routed]
receipts = ["r.one", "r.two"]
"""
STEADY, RAISED = "steady", "raised"
STEP, PLANTED = 50, 7
"""Changes of a partition in a step, and the place in it of the one that no sink receives."""

STARTED: list[subprocess.Popen[bytes]] = []

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


INPUTS = (STEADY, RAISED, "r.direct", "cdc-verifier.lane.2")
"""What is judged by; the routed log is read beside them."""


class Two:
    """Two topics, two sinks, and what they say."""

    def __init__(self, broker: Broker, registry: EmbeddedRegistry) -> None:
        self.bootstrap = broker.bootstrap
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        load = Load(broker.bootstrap, registry, "counts", seed=1)
        self.rows, self.ids = load.rows, load.ids
        self.telling = Telling(broker.bootstrap, registry, "cdc-verifier")
        self.producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
        self.ends: dict[tuple[str, int], int] = {}
        for topic in ("cdc-verifier.verdicts", "cdc-verifier.watermarks"):
            self.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        for topic in (STEADY, RAISED, "r.direct", "r.one", "r.two"):
            self.admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)

    def add_a_partition(self, topic: str) -> None:
        self.admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        wait_until(lambda: len(self.admin.list_topics(topic, 10).topics[topic].partitions) == 3, "it is there")
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})  # the other knows of two

    def change(self, topic: str, partition: int) -> range:
        """One step of changes; their offsets."""
        start = self.ends.get((topic, partition), 0)
        for row in range(STEP):
            key, value, *_ = self.rows[row % len(self.rows)]
            self.producer.produce(topic, value, key, partition=partition)
        self.ends[topic, partition] = start + STEP
        return range(start, start + STEP)

    def receive(self, topic: str, partition: int, offsets: range, liar: str = "") -> None:
        """Both sinks receive all but the planted one, and fence; a liar fences only."""
        for sink, log in (("direct", "r.direct"), ("routed", "r.one")):
            for offset in offsets:
                if offset % STEP != PLANTED and sink != liar:
                    receipt = Receipt(
                        sink=sink, topic=topic, partition=partition, offset=offset, status=Status.APPLIED,
                        fingerprint=None, applied_at=1,
                    )  # fmt: skip
                    value = encode_receipt(receipt, self.ids["DeliveryReceipt"])
                    self.producer.produce(log, value, partition=partition)
            self.fence(sink, log, topic, partition, offsets.stop)

    def fence(self, sink: str, log: str, topic: str, partition: int, offset: int) -> None:
        mark = Mark(sink=sink, topic=topic, partition=partition, kind=MarkKind.FENCE, offset=offset, at=1_000)
        self.producer.produce(log, encode_mark(mark, self.ids["SinkMark"]), partition=partition)

    def step(self, *topics: str, liar: str = "") -> None:
        for topic in topics:
            for partition in range(2):
                self.receive(topic, partition, self.change(topic, partition), liar)
        assert self.producer.flush(30) == 0

    def lie(self) -> None:
        """Changes of the raised topic on every partition, and fences above them without a receipt."""
        for partition in range(3):
            self.change(RAISED, partition)
        for partition in range(2):
            for sink, log in (("direct", "r.direct"), ("routed", "r.one")):
                self.fence(sink, log, RAISED, partition, self.ends[RAISED, partition])
        assert self.producer.flush(30) == 0

    def is_on_the_ledger(self) -> bool:
        """Whether the ledger topic holds a checkpoint of each partition with all that was read: what an empty disk needs."""
        messages = read_records(self.bootstrap, "cdc-verifier.ledger")
        records = [((message.key() or b"").decode(), message.value()) for message in messages]
        for partition in range(2):
            prefix = f"checkpoint|2|{partition}|"
            found = newest({key: value for key, value in records if key.startswith(prefix) and value is not None})
            if found is None:
                return False
            positions = Head.load(found.head).positions
            if any(positions.get(topic, 0) < self.end(topic, partition) for topic in INPUTS):
                return False
        return True

    def end(self, topic: str, partition: int) -> int:
        """Where a log ends now."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "ends"})
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.close()
        return int(end)

    def frontiers(self, *topics: str, sinks: tuple[str, ...] = ("direct", "routed")) -> set[int]:
        """Where sinks stand on both partitions of topics; -1 where nothing was told yet."""
        found = {place: told["frontier"] for place, told in self.telling.watermarks().items()}
        return {found.get(place, -1) for place in itertools.product(sinks, topics, range(2))}

    def bad(self) -> set[tuple[str, str, int, int]]:
        """Everything that was ever said to be bad."""
        return {(told["sink"], told["topic"], told["partition"], told["offset"]) for told in self.telling.verdicts()}

    def planted(self, *sinks: str, **steps: int) -> set[tuple[str, str, int, int]]:
        """What is bad after so many steps of each topic."""
        return {
            (sink, topic, partition, number * STEP + PLANTED)
            for sink in sinks or ("direct", "routed")
            for topic, count in steps.items()
            for partition in range(2)
            for number in range(count)
        }


class Worker:
    """One ``cdc-verifier run`` with its metrics page."""

    def __init__(self, directory: Path, name: str, broker: Broker, registry: EmbeddedRegistry) -> None:
        self.directory = directory / name
        self.directory.mkdir()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        (self.directory / "config.toml").write_text(
            CONFIG.format(
                bootstrap=broker.bootstrap, registry=registry.url, state=self.directory / "state", port=self.port,
                name=name,
            )
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.stack.brisk",
            "run",
            "--config",
            str(self.directory / "config.toml"),
        ]
        with (self.directory / "log").open("ab") as log:
            environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        STARTED.append(self.process)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def metric(self, name: str, **labels: str) -> list[float]:
        """Its values of the label sets that have these labels; none while there is no page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                page = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return []
        found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", page, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return [float(value) for text, value in found if all(one in text.split(",") for one in wanted)]

    def is_suspended(self, topic: str) -> bool:
        return self.metric("cdc_verifier_suspended_topics", topic=topic) == [1.0]

    def until(self, is_so: object, what: str, deadline_s: float = 90.0) -> None:
        def ended_or_so() -> bool:
            assert self.lives(), self.log()[-4000:]
            return bool(is_so())  # type: ignore[operator]

        try:
            wait_until(ended_or_so, what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from error


def test_a_topic_that_is_raised_is_suspended_and_the_other_goes_on_here_after_a_restart_and_elsewhere(
    broker: Broker, tmp_path: Path
) -> None:
    with EmbeddedRegistry() as registry:
        two = Two(broker, registry)
        first, second = (Worker(tmp_path, name, broker, registry) for name in ("first", "second"))
        first.start()
        two.step(STEADY, RAISED)
        first.until(lambda: two.frontiers(STEADY, RAISED) == {STEP}, "both are judged")
        first.until(two.is_on_the_ledger, "an empty disk would know")
        assert not first.is_suspended(RAISED)

        # 1. Raised while it runs.
        two.add_a_partition(RAISED)
        first.until(lambda: first.is_suspended(RAISED), "the metric says so")
        assert not first.is_suspended(STEADY)
        two.lie()
        two.step(STEADY)
        first.until(lambda: two.frontiers(STEADY) == {2 * STEP}, "the other one goes on")
        behind = 2.0 * (2 * STEP - PLANTED)  # on two partitions, from the planted cell to the end
        first.until(
            lambda: first.metric("cdc_verifier_verified_lag_changes", topic=RAISED, sink="direct") == [behind],
            "the lag of the suspended one grows",
        )
        assert two.frontiers(RAISED) == {STEP}
        assert two.bad() == two.planted(steady=2, raised=1)

        # 2. Killed and started again, with another worker beside it.
        first.end(signal.SIGKILL)
        first.start()
        first.until(lambda: first.is_suspended(RAISED), "a restart knows it")
        second.start()
        second.until(lambda: second.is_suspended(RAISED), "another worker knows it")
        two.lie()
        two.step(STEADY)
        first.until(lambda: two.frontiers(STEADY) == {3 * STEP}, "both workers go on with the other one")
        assert second.lives(), second.log()
        assert second.end() == 0, second.log()

        # 3. With an empty disk.
        assert first.end() == 0, first.log()
        shutil.rmtree(first.directory / "state")
        first.start()
        two.lie()
        two.step(STEADY)
        first.until(lambda: two.frontiers(STEADY) == {4 * STEP}, "an empty disk goes on")
        assert first.is_suspended(RAISED)
        assert first.end() == 0, first.log()

        assert two.frontiers(RAISED) == {STEP}
        assert two.bad() == two.planted(steady=4, raised=1)
        assert "topic raised has 3 partitions, and its state was made under 2" in first.log()
        assert not [name for name in two.admin.list_topics(timeout=10).topics if name == "cdc-verifier.lane.3"]


@pytest.mark.parametrize(
    ("log", "stands", "goes_on"),
    [("r.direct", "direct", "routed"), ("cdc-verifier.lane.2", "routed", "direct"), ("r.two", "routed", "direct")],
)
def test_a_lane_or_a_routed_log_that_is_raised_suspends_its_sink_and_the_other_goes_on(
    broker: Broker, tmp_path: Path, log: str, stands: str, goes_on: str
) -> None:
    with EmbeddedRegistry() as registry:
        two = Two(broker, registry)
        worker = Worker(tmp_path, "first", broker, registry)
        worker.start()
        two.step(STEADY, RAISED)
        worker.until(lambda: two.frontiers(STEADY, RAISED) == {STEP}, "both are judged")
        worker.until(two.is_on_the_ledger, "an empty disk would know")

        two.add_a_partition(log)
        worker.until(lambda: worker.is_suspended(log), "the metric says so")
        two.step(STEADY, RAISED, liar=stands)
        worker.until(lambda: two.frontiers(STEADY, RAISED, sinks=(goes_on,)) == {2 * STEP}, "the other one goes on")
        assert worker.end() == 0, worker.log()
        shutil.rmtree(worker.directory / "state")
        worker.start()
        two.step(STEADY, RAISED, liar=stands)
        worker.until(lambda: two.frontiers(STEADY, RAISED, sinks=(goes_on,)) == {3 * STEP}, "so it does elsewhere")
        assert worker.is_suspended(log)
        assert worker.end() == 0, worker.log()

        assert two.frontiers(STEADY, RAISED, sinks=(stands,)) == {STEP}
        assert two.bad() == two.planted(goes_on, steady=3, raised=3) | two.planted(stands, steady=1, raised=1)


def test_a_topic_that_is_taken_out_of_the_configuration_ends_no_worker(broker: Broker, tmp_path: Path) -> None:
    """The group gives a static member back what it had; aiokafka ends over a topic that it did not ask for."""
    with EmbeddedRegistry() as registry:
        two = Two(broker, registry)
        worker = Worker(tmp_path, "first", broker, registry)
        worker.start()
        two.step(STEADY, RAISED)
        worker.until(lambda: two.frontiers(STEADY, RAISED) == {STEP}, "both are judged")
        assert worker.end() == 0, worker.log()

        config = worker.directory / "config.toml"
        config.write_text(config.read_text().replace('topics = ["steady", "raised"]', 'topics = ["steady"]'))
        worker.start()
        two.step(STEADY)
        worker.until(lambda: two.frontiers(STEADY) == {2 * STEP}, "the other one goes on")
        assert worker.end() == 0, worker.log()
