"""The whole worker on a real broker, beside a loop that decodes every change and receipt with fastavro and does no more.

Both drain the same topics: real change records, two sinks with single receipts of each. CPU seconds are the operating
system's accounting of each process, from its start to its end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.decode.changes import ReferenceChangeDecoder
from app.model import ChangeKind
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_mark, encode_receipt
from tests.stack.broker import Broker

ROOT = Path(__file__).parents[1]
TOPIC, SINKS, PARTITIONS = "shop.public.orders", ("one", "two"), 4
DEADLINE_S = 600.0
CHANGES = 500_000
"""Enough that starting, some two CPU seconds of the worker and a tenth of the loop's, is a small part of either."""

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = 0
[source]
topics = ["{topic}"]
[sinks.one]
receipts = ["receipts.one"]
late_after = "1h"
[sinks.two]
receipts = ["receipts.two"]
late_after = "1h"
"""

LOOP = """
import io, json, sys
import fastavro
from confluent_kafka import Consumer, TopicPartition
from cdc_receipts.schemas import loaded
bootstrap, texts, total = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
by_id = {}
for number, text in texts.items():
    try:
        by_id[int(number)] = fastavro.parse_schema(loaded(text))
    except Exception:
        pass  # a key that is no record; no value of these topics is written with it
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "loop", "queued.min.messages": 100000})
topics = ["shop.public.orders", "receipts.one", "receipts.two"]
consumer.assign([TopicPartition(t, p, 0) for t in topics for p in range(4)])
seen = 0
while seen < total:
    for message in consumer.consume(10000, timeout=0.2):
        value = message.value()
        seen += 1
        if value is not None:
            fastavro.schemaless_reader(io.BytesIO(value[5:]), by_id[int.from_bytes(value[1:5], "big")], None)
consumer.close()
"""


def run(changes: int = CHANGES) -> dict[str, float]:
    """CPU seconds per million changes of the worker and of the loop, starts included, and their ratio.

    The loop runs before and after the worker, since a machine's speed moves with whatever else it does.
    """
    with tempfile.TemporaryDirectory() as directory, EmbeddedRegistry() as registry:
        broker = Broker(Path(directory))
        broker.start()
        try:
            texts, total = _fill(broker.bootstrap, registry, changes)
            schemas = Path(directory) / "schemas.json"
            schemas.write_text(json.dumps(texts))
            command = [sys.executable, "-c", LOOP, broker.bootstrap, str(schemas), str(total)]
            before = _cpu(command)
            config = Path(directory) / "config.toml"
            state = Path(directory) / "state"
            config.write_text(
                CONFIG.format(bootstrap=broker.bootstrap, registry=registry.url, state=state, topic=TOPIC)
            )
            worker = _cpu(
                [sys.executable, "-m", "app.cli.main", "run", "--config", str(config)],
                lambda: _judged(broker.bootstrap, changes // PARTITIONS),
            )
            loop = (before + _cpu(command)) / 2
        finally:
            broker.stop()
    million = 1_000_000 / changes
    return {
        "changes": changes,
        "worker_cpu_s_per_million": worker * million,
        "loop_cpu_s_per_million": loop * million,
        "ratio": worker / loop,
    }


def _fill(bootstrap: str, registry: EmbeddedRegistry, changes: int) -> tuple[dict[int, str], int]:
    """Write the topics; returns every schema by id, and how many records there are."""
    recording = Recording(ROOT / "tests" / "recordings" / "debezium-3.7")
    for number, text in recording.schemas().items():
        registry.register(f"recorded-{number}", text, number)
    ids = {name: registry.register(f"cdc_verifier.{name}", text) for name, text in SCHEMAS.items()}
    topics = [TOPIC, *(f"receipts.{sink}" for sink in SINKS)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        done.result(30)
    raw = recording.partitions(TOPIC)[0]
    batch = ReferenceChangeDecoder(recording.schemas(), [frozenset()], "__debezium_unavailable_value").decode(raw)
    rows = [row for row in range(len(raw)) if batch.kinds[row] == ChangeKind.UPSERT]
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for number in range(changes):
        row, partition, offset = rows[number % len(rows)], number % PARTITIONS, number // PARTITIONS
        producer.produce(TOPIC, raw.value(row), raw.key(row), partition=partition)
        for sink in SINKS:
            receipt = Receipt(
                sink=sink, topic=TOPIC, partition=partition, offset=offset, status=Status.APPLIED,
                fingerprint=int(batch.fingerprints[row, 0]).to_bytes(8, "little"), applied_at=1,
            )  # fmt: skip
            producer.produce(f"receipts.{sink}", encode_receipt(receipt, ids["DeliveryReceipt"]), partition=partition)
        producer.poll(0)
    for sink in SINKS:
        for partition in range(PARTITIONS):
            mark = Mark(
                sink=sink, topic=TOPIC, partition=partition, kind=MarkKind.FENCE, offset=changes // PARTITIONS, at=1
            )
            producer.produce(f"receipts.{sink}", encode_mark(mark, ids["SinkMark"]), partition=partition)
    producer.flush(60)
    texts = dict(recording.schemas().items()) | {number: SCHEMAS[name] for name, number in ids.items()}
    return texts, changes * 3 + len(SINKS) * PARTITIONS


def _judged(bootstrap: str, end: int) -> bool:
    """Whether the group has read every change; the last fence is read in the same moments."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "cdc-verifier"})
    topics = [TOPIC, *(f"receipts.{sink}" for sink in SINKS)]
    asked = [TopicPartition(topic, partition) for topic in topics for partition in range(PARTITIONS)]
    found = consumer.committed(asked, timeout=10)
    consumer.close()
    return all(part.offset >= (end if part.topic == TOPIC else end + 1) for part in found)


def _cpu(command: list[str], is_done: object = None) -> float:
    """CPU seconds of a process; with ``is_done`` it is asked to stop when that holds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(" ".join(command[:4]))
        if callable(is_done) and is_done():
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"{command[1:3]} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
