"""A counting worker on a real broker, killed, joined, left, lied to: its state equals a single pass over the same logs."""

from __future__ import annotations

import itertools
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as Place
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.worker.ports import Input
from tests.stack.broker import Broker, is_missing
from tests.stack.counting import Count, furthest, link, states
from tests.stack.process import STARTED, WorkerProcess, have_read, wait_until

PARTITIONS = 3
_numbers = itertools.count()

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


class KafkaBroker:
    """A broker with what these tests do to topics."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    def create_topic(self, topic: str, config: dict[str, str] | None = None) -> None:
        self.admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config or {})])[topic].result(20)
        wait_until(lambda: topic in self.admin.list_topics(timeout=10).topics, f"topic {topic} is there")

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result(20)
        wait_until(lambda: topic not in self.admin.list_topics(timeout=10).topics, f"topic {topic} is gone")


@pytest.fixture
def kafka(broker: Broker) -> KafkaBroker:
    return KafkaBroker(broker)


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    yield
    for worker in STARTED:
        if worker.process is not None and worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
    STARTED.clear()


class Feed:
    """Two topics of one test, and what writes them."""

    def __init__(self, kafka: KafkaBroker, config: dict[str, str] | None = None) -> None:
        self.kafka = kafka
        self.name = f"chaos{next(_numbers)}"
        self.topics = [f"{self.name}.changes", f"{self.name}.receipts"]
        for topic in self.topics:
            kafka.create_topic(topic, config)

    @property
    def inputs(self) -> dict[str, int]:
        return dict.fromkeys(self.topics, PARTITIONS)

    def plain(self, count: int, *, seed: int, rate: float = 0.0, size: int = 60) -> None:
        """Records by a plain producer, at ``rate`` a second (0: as fast as it goes)."""
        rng, pause = random.Random(seed), threading.Event()
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True})
        for number in range(count):
            producer.produce(
                rng.choice(self.topics), b"%d " % number + rng.randbytes(rng.randint(0, size)), b"k%d" % rng.randint(0, 99),
                partition=rng.randrange(PARTITIONS),
            )  # fmt: skip
            if number % 200 == 199:
                producer.poll(0)
                if rate:
                    pause.wait(200 / rate)
        assert producer.flush(30) == 0

    def bounds(self) -> dict[Input, tuple[int, int]]:
        """First offset and end of every input."""
        client = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": "bounds", "isolation.level": "read_committed"}
        )
        try:
            return {
                Input(topic, number): client.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                for topic in self.topics
                for number in range(PARTITIONS)
            }
        finally:
            client.close()

    def ends(self) -> dict[Input, int]:
        return {source: end for source, (_, end) in self.bounds().items()}

    def worker(self, directory: Path, name: str, *, is_static: bool = False) -> WorkerProcess:
        told = {
            "application_id": self.name,
            "brokers": [self.kafka.bootstrap],
            "inputs": self.inputs,
            "session_timeout_s": 3.0,
            "instance_id": name if is_static else None,
        }
        return WorkerProcess(name, directory, told)


async def single_pass(feed: Feed) -> dict[Input, Count]:
    """The same fold by a stock client, once from the earliest offset to the end."""
    found = {}
    client = AIOKafkaConsumer(
        bootstrap_servers=feed.kafka.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await client.start()
    try:
        for source, (earliest, end) in feed.bounds().items():
            place = Place(*source)
            client.assign([place])
            client.seek(place, earliest)
            count, chain = Count(next=end), b""
            while await client.position(place) < end:
                for record in (await client.getmany(place, timeout_ms=500)).get(place, ()):
                    count.records += 1
                    chain = link(chain, record.offset, record.timestamp, record.key, record.value)
            count.chain = chain.hex()
            found[source] = count
    finally:
        await client.stop()
    return found


@pytest.fixture
def feeding() -> Iterator[list[threading.Thread]]:
    """Threads that write while workers are disturbed; waited for at the end."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(60)


async def test_workers_that_join_leave_and_freeze_leave_no_trace(
    kafka: KafkaBroker, tmp_path: Path, feeding: list[threading.Thread]
) -> None:
    """The third is frozen for longer than its session: what it reads as a zombie is nobody's state but its own."""
    feed = Feed(kafka)
    feeding.append(threading.Thread(target=feed.plain, args=(60_000,), kwargs={"seed": 2, "rate": 4_000}))
    feeding[0].start()
    first, second, third = workers = [feed.worker(tmp_path, f"w{number}") for number in range(3)]
    first.start()
    wait_until(first.records, "the first reads")
    second.start()
    wait_until(second.records, "the second reads")
    first.end(signal.SIGKILL)
    third.start()
    wait_until(third.records, "the third reads")
    assert third.process is not None
    third.process.send_signal(signal.SIGSTOP)
    first.start()
    feeding[0].join(60)
    wait_until(lambda: have_read([first, second], feed.ends()), "the others read all while the third is frozen")
    third.process.send_signal(signal.SIGCONT)
    feed.plain(2_000, seed=3)
    wait_until(lambda: have_read(workers, feed.ends()), "everything is read")

    assert [worker.end() for worker in workers] == [0, 0, 0]
    assert furthest(worker.state_dir for worker in workers) == await single_pass(feed)


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """A restart of the broker ends no worker."""
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory)
    broker.start()
    try:
        feed = Feed(KafkaBroker(broker))
        feed.plain(500, seed=8)
        worker = feed.worker(tmp_path, "w0").start()
        wait_until(lambda: have_read([worker], feed.ends()), "the beginning is read")
        broker.stop()
        broker.start()
        feed.plain(500, seed=9)
        wait_until(lambda: have_read([worker], feed.ends()), "reading goes on", 60)
        assert worker.end() == 0
        assert worker.records() == 1_000
    finally:
        broker.stop()


def test_a_topic_that_was_made_again_is_noticed_under_a_running_worker(kafka: KafkaBroker, tmp_path: Path) -> None:
    """The new log is shorter than what was read of the old one: silence here would mean that its records are dropped."""
    feed = Feed(kafka)
    feed.plain(3_000, seed=10)
    worker = feed.worker(tmp_path, "w0").start()
    wait_until(lambda: have_read([worker], feed.ends()), "the old log is read")
    kafka.delete_topic(feed.topics[0])
    kafka.create_topic(feed.topics[0])
    feed.plain(600, seed=11)
    ends = feed.ends()

    def has_begun_anew() -> bool:
        return all(
            counts[feed.topics[0]].next == ends[Input(feed.topics[0], n)]
            for n, counts in states(worker.state_dir).items()
        )

    wait_until(has_begun_anew, "the new log is read from its beginning", 45)
    assert worker.end() == 0
