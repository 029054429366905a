"""A sink whose evidence lies in several logs: routed into its lane by the worker itself, and judged there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.adapters.topics import own_topics
from app.config import load
from app.ledger import watermarks
from app.model import State
from app.worker.live import LiveWorker
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_mark, encode_receipt
from topologies.verifier import start

TOPIC = "shop.public.orders"
RECORDED = Path(__file__).parents[1] / "recordings" / "debezium-3.7"
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
topics = ["shop.public.orders"]
[sinks.warehouse]
receipts = ["receipts.a", "receipts.b"]
dead_letters = ["dlq"]
connector = "warehouse-sink"
"""


async def test_receipts_of_two_logs_and_a_dead_letter_are_judged_in_one_lane(tmp_path: Path) -> None:
    """Four changes: two receipts in one log, one in another on a strange partition, and one dead letter."""
    with EmbeddedBroker() as broker, EmbeddedRegistry() as registry:
        recording = Recording(RECORDED)
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        ids = {name: registry.register(f"cdc_verifier.{name}", text) for name, text in SCHEMAS.items()}
        file = tmp_path / "config.toml"
        file.write_text(CONFIG.format(bootstrap=broker.bootstrap, registry=registry.url, state=tmp_path / "state"))
        settings = load(file, {})
        counts = {TOPIC: 1, "receipts.a": 1, "receipts.b": 3, "dlq": 1}
        counts |= {
            name: count for name, (count, _) in own_topics("cdc-verifier", {"cdc-verifier.lane.1": 1}, 1).items()
        }
        for name, count in counts.items():
            broker.create_topic(name, count)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        raw = recording.partitions(TOPIC)[0]
        for row in range(4):
            producer.produce(TOPIC, raw.value(row), raw.key(row), partition=0)
        producer.flush(10)

        def applied(offset: int) -> bytes:
            receipt = Receipt(
                sink="warehouse", topic=TOPIC, partition=0, offset=offset, status=Status.APPLIED, fingerprint=None,
                applied_at=1,
            )  # fmt: skip
            return encode_receipt(receipt, ids["DeliveryReceipt"])

        running = await start(settings, counts)
        try:
            for offset, log, partition in ((0, "receipts.a", 0), (1, "receipts.a", 0), (2, "receipts.b", 2)):
                producer.produce(log, applied(offset), partition=partition)
            headers = [
                (f"__connect.errors.{name}", value.encode())
                for name, value in (
                    ("topic", TOPIC),
                    ("partition", "0"),
                    ("offset", "3"),
                    ("connector.name", "warehouse-sink"),
                    ("exception.class.name", "DataException"),
                    ("exception.message", "too long"),
                )
            ]
            producer.produce("dlq", b"v", b"k", partition=0, headers=headers)
            producer.produce("receipts.a", b"no receipt", partition=0)
            producer.flush(10)
            await until(lambda: heard(running.worker) == 4)
            mark = Mark(sink="warehouse", topic=TOPIC, partition=0, kind=MarkKind.FENCE, offset=4, at=1)
            producer.produce("receipts.a", encode_mark(mark, ids["SinkMark"]), partition=0)
            producer.flush(10)
            await until(lambda: lane(running.worker).fence == 4)

            sink = lane(running.worker)
            found = {
                offset: state for offset, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink))
            }

            assert found == {0: State.DELIVERED, 1: State.DELIVERED, 2: State.DELIVERED, 3: State.REJECTED}
        finally:
            await running.stop()


def lane(worker: LiveWorker):
    return next(iter(worker.lanes().values()))


def heard(worker: LiveWorker) -> int:
    return lane(worker).tally.rows["cells"] if worker.lanes() else 0


async def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
