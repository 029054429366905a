"""Probes on an embedded broker, which does not describe groups: fences are written, and SKIPs can't be proved."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.adapters.topics import own_topics
from app.config import load
from app.ledger import watermarks
from app.ledger.sink import SinkPartition
from app.model import State
from tests.engine.test_routing import RECORDED, TOPIC, until
from topologies.verifier import Running, start

GROUP = "connect-warehouse-sink"
CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = 0
[verifier]
probe_interval = "100ms"
[source]
topics = ["shop.public.orders"]
[sinks.warehouse]
dead_letters = ["dlq"]
connector = "warehouse-sink"
grace = "100ms"
"""


def dead_letter(partition: int, offset: int) -> list[tuple[str, bytes]]:
    said = {"topic": TOPIC, "partition": str(partition), "offset": str(offset), "connector.name": "warehouse-sink"}
    return [(f"__connect.errors.{name}", value.encode()) for name, value in said.items()]


async def test_a_sink_that_only_commits_is_fenced_after_its_dead_letters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The dead letters stand on other partitions than their changes."""
    caplog.set_level(logging.WARNING)
    async with AsyncExitStack() as running:
        parts = running.enter_context(ExitStack())
        broker, registry = parts.enter_context(EmbeddedBroker()), parts.enter_context(EmbeddedRegistry())
        recording = Recording(RECORDED)
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        counts = {TOPIC: 2, "dlq": 2}
        counts |= {name: n for name, (n, _) in own_topics("cdc-verifier", {"cdc-verifier.lane.2": 2}, 2).items()}
        for name, count in counts.items():
            broker.create_topic(name, count)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        raw = recording.partitions(TOPIC)[0]
        for row in range(4):
            for partition in range(2):
                producer.produce(TOPIC, raw.value(row), raw.key(row), partition=partition)
                if row == 1:
                    producer.produce("dlq", b"v", b"k", partition=1 - partition, headers=dead_letter(partition, row))
        producer.flush(10)
        file = tmp_path / "config.toml"
        file.write_text(CONFIG.format(bootstrap=broker.bootstrap, registry=registry.url, state=tmp_path))
        settings = load(file, {})
        worker = await start(settings, counts)
        running.push_async_callback(worker.stop)
        await until(lambda: len(worker.worker.lanes(is_caught_up=True)) == 2, 60)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP})
        parts.callback(consumer.close)
        consumer.commit(offsets=[TopicPartition(TOPIC, partition, 4) for partition in range(2)], asynchronous=False)

        await until(lambda: [lane.fence for lane in lanes(worker)] == [4, 4], 60)

        assert [states(lane)[1] for lane in lanes(worker)] == [State.REJECTED] * 2
        assert [states(lane)[0] for lane in lanes(worker)] == [State.ATTEMPTED] * 2
        assert sum("no SKIP can be proved" in record.getMessage() for record in caplog.records) == 1


def lanes(worker: Running) -> list[SinkPartition]:
    return list(worker.worker.lanes().values())


def states(lane: SinkPartition) -> dict[int, State]:
    return {offset: state for offset, state, _ in (*watermarks.closed_cells(lane), *watermarks.open_cells(lane))}
