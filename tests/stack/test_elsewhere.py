"""A worker with an empty disk, on a real broker whose logs no longer hold what was read: the ledger topic tells it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker, is_missing
from tests.stack.test_live import Worker, _commanded, _is_done, _open_verdicts, until, watermarks
from tests.stack.world import RECEIPTS, TOPIC, World, read_topic

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


def test_an_empty_disk_goes_on_from_the_ledger_where_the_logs_have_lost_their_beginning(
    broker: Broker, tmp_path: Path
) -> None:
    with EmbeddedRegistry() as registry:
        world = World(broker.bootstrap, registry, seed=8)
        world.create_topics()
        worker = Worker(tmp_path, "first", broker, registry)
        worker.config.write_text(
            worker.config.read_text().replace("[metrics]", 'checkpoint_interval = "1s"\n[metrics]')
        )
        worker.start()
        for _ in world.steps(6):
            pass
        world.fence_all()
        ends = dict(world.truth.ends)
        until(lambda: _is_done(broker.bootstrap, ends), 90, worker)
        until(lambda: _has_checkpoints_at(broker, ends), 60, worker)
        assert worker.stop() == 0, worker.log()

        _forget(broker, ends)
        shutil.rmtree(worker.directory / "state")
        worker.start()
        for _ in world.steps(6):
            pass
        world.fence_all()
        ends = dict(world.truth.ends)
        until(lambda: _is_done(broker.bootstrap, ends), 90, worker)
        assert worker.stop() == 0, worker.log()

        assert "goes on from checkpoint" in worker.log()
        assert _open_verdicts(broker.bootstrap) == world.truth.bad
        assert _commanded(broker.bootstrap) <= set(world.truth.bad)
        assert (
            sum(sum(told["counts"].values()) for told in watermarks(broker.bootstrap).values()) == world.truth.changes
        )


def _has_checkpoints_at(broker: Broker, ends: dict[int, int]) -> bool:
    """Whether the ledger topic holds a checkpoint of every partition at its end."""
    from app.worker.checkpoints import newest
    from app.worker.head import Head

    records = [((key or b"").decode(), value) for key, value in read_topic(broker.bootstrap, "cdc-verifier.ledger")]
    for partition, end in ends.items():
        mine = {k: v for k, v in records if k.startswith(f"checkpoint|4|{partition}|") and v is not None}
        found = newest(mine)
        if found is None or Head.load(found.head).positions.get(TOPIC, 0) < end:
            return False
    return True


def _forget(broker: Broker, ends: dict[int, int]) -> None:
    """Retention: everything that was read is gone."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    asked = [TopicPartition(topic, partition, -1) for topic in (TOPIC, RECEIPTS) for partition in ends]
    for done in admin.delete_records(asked).values():
        done.result(30)
