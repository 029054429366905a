"""A worker with an empty disk, on a real broker: the ledger topic tells it where to go on."""

from __future__ import annotations

import shutil
from itertools import islice, zip_longest
from pathlib import Path

from app.adapters.brokers.registry import EmbeddedRegistry
from app.worker.checkpoints import newest
from app.worker.head import Head
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.load import PARTITIONS, forget
from tests.stack.reading import read_records
from tests.stack.worker import until


def test_an_empty_disk_in_the_middle_changes_nothing_of_what_the_oracle_says(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Stopped with its stores, killed with its stores: in both cases they are gone at the next start."""
    deployment = Deployment(broker, registry, tmp_path, "empty", seed=9, world=(145, 40))
    feed = zip_longest(deployment.load.steps(9), deployment.speak())
    with deployment.worker("only", "1s") as worker:
        worker.start()
        for _ in islice(feed, 4):
            pass
        until(lambda: deployment.counted() > deployment.load.truth.changes / 2, [worker])
        worker.stop()
        shutil.rmtree(worker.state)
        worker.start()
        for _ in islice(feed, 4):
            pass
        until(lambda: deployment.counted() > deployment.load.truth.changes / 2, [worker])
        worker.kill()
        shutil.rmtree(worker.state)
        worker.start()
        for _ in feed:
            pass
        deployment.load.fence_all()
        until(deployment.is_load_judged, [worker])
        deployment.check_world([worker])

        deployment.check_load()


def test_an_empty_disk_goes_on_from_the_ledger_where_the_logs_have_lost_their_beginning(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "elsewhere", seed=8)
    load = deployment.load
    with deployment.worker("only", "1s") as worker:
        worker.start()
        for _ in load.steps(6):
            pass
        load.fence_all()
        until(deployment.is_load_judged, [worker])
        until(lambda: _has_checkpoints(deployment), [worker])
        worker.stop()

        everything = (load.topic, load.receipts)
        forget(broker.bootstrap, ((topic, number, -1) for topic in everything for number in range(PARTITIONS)))
        shutil.rmtree(worker.state)
        worker.start()
        for _ in load.steps(6):
            pass
        load.fence_all()
        until(deployment.is_load_judged, [worker])
        worker.stop()

        assert "goes on from checkpoint" in worker.log()
        deployment.check_load()


def _has_checkpoints(deployment: Deployment) -> bool:
    """Whether the ledger topic holds a checkpoint of every partition at its end."""
    messages = read_records(deployment.broker.bootstrap, f"{deployment.prefix}.ledger")
    records = [((message.key() or b"").decode(), message.value()) for message in messages]
    for partition, end in deployment.load.truth.ends.items():
        mine = {k: v for k, v in records if k.startswith(f"checkpoint|{PARTITIONS}|{partition}|") and v is not None}
        found = newest(mine)
        if found is None or Head.load(found.head).positions.get(deployment.load.topic, 0) < end:
            return False
    return True
