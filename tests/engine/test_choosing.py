"""A contract that chooses rows by their key, with a grace and an owner of its own for one topic, on an embedded broker."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client import generate_latest

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.adapters.topics import own_topics
from app.config import load
from app.decode.images import ImageDecoder
from app.errors import ConfigError
from app.model import State
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.engine.test_probing import CONFIG, GROUP, lanes, states
from tests.engine.test_routing import RECORDED, TOPIC, until
from topologies.verifier import start

CHOOSING = CONFIG.replace(
    '[source]\ntopics = ["shop.public.orders"]', '[source]\ntopics = ["/shop[.].*/"]\nbefore = "key"'
)
CHOOSING = CHOOSING.replace('dead_letters = ["dlq"]\n', "").replace('grace = "100ms"', 'grace = "1h"')
CHOOSING += """
rows = {{ "orders.id" = ["{first}", "{gone}"] }}
[sinks.warehouse.overrides."shop.public.orders"]
grace = "100ms"
owner = "ada"
"""


async def test_deletes_are_judged_by_their_keys_and_fenced_after_the_topics_own_grace(tmp_path: Path) -> None:
    """The schemas of keys are fetched ahead of decoding, as those of values are."""
    recording = Recording(RECORDED)
    raw = recording.partitions(TOPIC)[0]
    images = list(ImageDecoder(recording.schemas(), UNAVAILABLE_VALUE).decode(raw))
    deletes = [image for image in images if image.op == "d"]
    told = [*[image for image in images if image.op == "c"][:2], *deletes[:2]]
    ids = [int.from_bytes((image.key or {})["id"][1:], "little") for image in told]
    assert len(set(ids)) == 4
    async with AsyncExitStack() as running:
        parts = running.enter_context(ExitStack())
        broker, registry = parts.enter_context(EmbeddedBroker()), parts.enter_context(EmbeddedRegistry())
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        counts = {TOPIC: 1}
        counts |= {name: n for name, (n, _) in own_topics("cdc-verifier", {"cdc-verifier.lane.1": 1}, 1).items()}
        for name, count in counts.items():
            broker.create_topic(name, count)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for image in told:
            row = raw.offsets.tolist().index(image.offset)
            producer.produce(TOPIC, raw.value(row), raw.key(row), partition=0)
        producer.flush(10)
        file = tmp_path / "config.toml"
        places = {"bootstrap": broker.bootstrap, "registry": registry.url, "state": tmp_path}
        file.write_text(CHOOSING.format(**places, first=ids[0], gone=ids[2]))
        worker = await start(load(file, {}), counts)
        running.push_async_callback(worker.stop)
        await until(lambda: len(worker.worker.lanes(is_caught_up=True)) == 1, 60)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP})
        parts.callback(consumer.close)
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 4)], asynchronous=False)

        await until(lambda: [lane.fence for lane in lanes(worker)] == [4], 60)

        (lane,) = lanes(worker)
        assert states(lane) == {0: State.ATTEMPTED, 1: State.EXEMPT, 2: State.ATTEMPTED, 3: State.EXEMPT}
        info = 'cdc_verifier_contract_info{owner="ada",severity="",sink="warehouse",topic="shop.public.orders"} 1.0'
        assert info in generate_latest(worker.metrics.registry).decode()


async def test_an_override_for_a_topic_that_does_not_exist_is_told_at_the_start(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, EmbeddedRegistry() as registry:
        file = tmp_path / "config.toml"
        places = {"bootstrap": broker.bootstrap, "registry": registry.url, "state": tmp_path}
        file.write_text(CHOOSING.format(**places, first=1, gone=2))
        broker.create_topic("shop.public.items", 1)
        with pytest.raises(ConfigError, match=r"topic shop\.public\.orders does not exist"):
            await start(load(file, {}), {"shop.public.items": 1})
