"""Probes on a real broker: a group that works, stops, and has its offsets moved; dead letters that other workers route."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from tests.stack.broker import Broker
from tests.stack.reading import Telling, Told
from tests.stack.worker import CONFIG, Worker, until

TOPIC = "probed.public.orders"
RECORDED = Path(__file__).parents[1] / "recordings" / "debezium-3.7"
PREFIX, GROUP = "verifier.probes", "connect-probed"
CHANGES = 12
PROBED = """
probe_interval = "1s"
[source]
topics = ["{topic}"]
[sinks.probed]
dead_letters = ["dlq.probed"]
connector = "probed"
grace = "1s"
"""


class Deployment:
    """A change topic and a dead letter topic of two partitions each, and a sink that only commits."""

    def __init__(self, broker: Broker, registry: EmbeddedRegistry, directory: Path) -> None:
        self.bootstrap, self.registry, self.directory = broker.bootstrap, registry, directory
        recording = Recording(RECORDED)
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for answer in self.admin.create_topics([NewTopic(TOPIC, 2, 1), NewTopic("dlq.probed", 2, 1)]).values():
            answer.result(30)
        self.producer = Producer({"bootstrap.servers": self.bootstrap})
        raw = recording.partitions("shop.public.orders")[0]
        for partition in range(2):
            for row in range(CHANGES):
                self.producer.produce(TOPIC, raw.value(row), raw.key(row), partition=partition)
        self.producer.flush(30)
        self.telling = Telling(self.bootstrap, registry, PREFIX)

    def worker(self, name: str) -> Worker:
        directory = self.directory / name
        config = CONFIG.format(
            bootstrap=self.bootstrap, registry=self.registry.url, state=directory / "state", checkpoint_interval="1m",
            name=name, prefix=PREFIX,
        )  # fmt: skip
        return Worker(directory, config + PROBED.format(topic=TOPIC))

    def reject(self, partition: int, offset: int) -> None:
        """The sink sends a change to its dead letters, on the partition that the other worker reads."""
        said = {"topic": TOPIC, "partition": str(partition), "offset": str(offset), "connector.name": "probed"}
        headers = [(f"__connect.errors.{name}", value.encode()) for name, value in said.items()]
        self.producer.produce("dlq.probed", b"v", b"k", partition=1 - partition, headers=headers)
        self.producer.flush(30)

    def work(self, upto: int) -> None:
        """The sink joins, reads, commits ``upto`` on its way out, and leaves."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "session.timeout.ms": 6_000,
            }
        )
        consumer.subscribe([TOPIC])
        until(lambda: consumer.poll(0.1) is None and len(consumer.assignment()) == 2, [])
        consumer.commit(offsets=[TopicPartition(TOPIC, number, upto) for number in range(2)], asynchronous=False)
        consumer.close()

    def move(self, partition: int, offset: int) -> None:
        """An operator moves the offsets of a group without members."""
        moved = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, partition, offset)])
        self.admin.alter_consumer_group_offsets([moved])[GROUP].result(30)

    def frontiers(self) -> list[int]:
        told = self.telling.watermarks()
        return [told[at]["frontier"] if (at := ("probed", TOPIC, n)) in told else 0 for n in range(2)]

    def counts(self, partition: int) -> Told:
        found: Told = self.telling.watermarks().get(("probed", TOPIC, partition), {}).get("counts", {})
        return found

    def attempted(self) -> list[int]:
        return [self.counts(number).get("attempted", 0) for number in range(2)]


def test_what_a_hand_moved_is_missing_and_what_the_sink_committed_on_its_way_out_is_not(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path)
    with deployment.worker("first") as first, deployment.worker("second") as second:
        workers = [first, second]
        for worker in workers:
            worker.start()
        until(
            lambda: all("group-2-partition" in str(list(worker.state.glob("group-*"))) for worker in workers), workers
        )
        for partition in range(2):
            deployment.reject(partition, 1)
        deployment.work(upto=4)
        until(lambda: deployment.attempted() == [3, 3], workers)  # a look at the empty group has written this fence
        deployment.move(partition=1, offset=7)
        until(lambda: deployment.frontiers() == [4, 7], workers)
        deployment.work(upto=9)
        until(lambda: deployment.frontiers() == [9, 9], workers)
        until(lambda: all(deployment.counts(n).get("pending") == CHANGES - 9 for n in range(2)), workers)

        assert deployment.counts(0) == {"rejected": 1, "attempted": 8, "pending": 3}
        assert deployment.counts(1) == {"rejected": 1, "attempted": 5, "missing": 3, "pending": 3}
        missing = {
            (one["partition"], one["offset"]) for one in deployment.telling.verdicts() if one["state"] == "MISSING"
        }
        assert missing == {(1, 4), (1, 5), (1, 6)}
