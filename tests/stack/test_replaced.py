"""Topics that are deleted and made again under a running worker, on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from app.adapters.brokers.registry import EmbeddedRegistry
from cdc_receipts.codec import Mark, MarkKind, encode_mark
from tests.stack.broker import Broker, is_missing
from tests.stack.test_live import Worker, _is_done, _open_verdicts, _verdicts, until, watermarks
from tests.stack.world import PARTITIONS, RECEIPTS, TOPIC, Truth, World, create

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


def test_a_change_topic_made_again_begins_a_new_epoch_and_nothing_of_it_is_called_missing(
    broker: Broker, tmp_path: Path
) -> None:
    with EmbeddedRegistry() as registry:
        world = World(broker.bootstrap, registry, seed=3)
        world.create_topics()
        worker = Worker(tmp_path, "first", broker, registry)
        worker.start()
        for _ in world.steps(3):
            pass
        world.fence_all()
        ends = dict(world.truth.ends)
        until(lambda: _is_done(broker.bootstrap, ends), 90, worker)
        old = dict(world.truth.bad)

        _delete(broker, TOPIC)
        create(broker.bootstrap, TOPIC)
        until(lambda: {told["epoch"] for told in watermarks(broker.bootstrap).values()} == {1}, 90, worker)
        _begin(world)
        world.truth = Truth()
        for _ in world.steps(3):
            pass
        world.fence_all()
        again = dict(world.truth.ends)
        until(lambda: _is_done(broker.bootstrap, again), 90, worker)
        assert worker.stop() == 0, worker.log()

        closed = {
            (told["partition"], told["offset"]): told["reason"]
            for told in _verdicts(broker.bootstrap)
            if told["epoch"] == 0 and told["closed"]
        }
        assert closed == dict.fromkeys(old, "log_replaced")
        assert _open_verdicts(broker.bootstrap, epoch=1) == world.truth.bad
        told = watermarks(broker.bootstrap).values()
        assert sum(sum(one["counts"].values()) for one in told) == world.truth.changes


def _delete(broker: Broker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)


def _begin(world: World) -> None:
    """The sink was pointed at the new log."""
    for partition in range(PARTITIONS):
        mark = Mark(
            sink="warehouse", topic=TOPIC, partition=partition, kind=MarkKind.START, offset=0, at=1_000, generation=1
        )
        world.producer.produce(RECEIPTS, encode_mark(mark, world.ids["SinkMark"]), partition=partition)
    world.generation = 1
    world.producer.flush(30)
