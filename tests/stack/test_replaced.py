"""Topics that are deleted and made again under a running worker, on a real broker."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient

from app.adapters.brokers.registry import EmbeddedRegistry
from cdc_receipts.codec import MarkKind
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.load import PARTITIONS, Load, Truth, create
from tests.stack.worker import until


def test_a_change_topic_made_again_begins_a_new_epoch_and_nothing_of_it_is_called_missing(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "replaced", seed=3)
    load = deployment.load
    with deployment.worker("only") as worker:
        worker.start("tests.stack.brisk")
        _write(load)
        until(deployment.is_load_judged, [worker])
        old = dict(load.truth.bad)

        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics([load.topic])[load.topic].result(30)
        create(broker.bootstrap, load.topic)
        until(lambda: {told["epoch"] for told in deployment.load_watermarks().values()} == {1}, [worker])
        load.generation = 1
        for partition in range(PARTITIONS):
            load.mark(partition, MarkKind.START, 0)
        load.truth = Truth()
        _write(load)
        until(deployment.is_load_judged, [worker])
        worker.stop()

        verdicts = deployment.telling.verdicts()
        closed = {(one["partition"], one["offset"]): one["reason"] for one in verdicts if one["closed"]}
        assert closed == dict.fromkeys(old, "log_replaced")
        anew = {(one["partition"], one["offset"]): one["state"].lower() for one in verdicts if one["epoch"] == 1}
        assert anew == load.truth.bad
        assert deployment.counted() == load.truth.changes


def _write(load: Load) -> None:
    for _ in load.steps(3):
        pass
    load.fence_all()
