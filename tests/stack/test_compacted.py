"""A change topic that Kafka compacts, on a real broker: receipts for offsets that hold nothing are counted, not told."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from app.adapters.brokers.registry import EmbeddedRegistry
from cdc_receipts.codec import Receipt, Status, encode_receipt
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.load import PARTITIONS, SINK, Load
from tests.stack.worker import until


def test_a_receipt_for_what_is_gone_is_an_orphan_until_the_topic_is_compacted_under_the_worker_and_over_restarts(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "compacted", seed=31)
    load = deployment.load

    def counted(word: str) -> list[int]:
        return [one["rows"].get(word, 0) for _, one in sorted(deployment.load_watermarks().items())]

    with deployment.worker("only") as worker:
        worker.start("tests.stack.brisk")
        _write(load, "id-1")
        until(deployment.is_load_judged, [worker])
        until(lambda: counted("orphans") == [1] * PARTITIONS, [worker])
        resource = ConfigResource(
            ConfigResource.Type.TOPIC,
            load.topic,
            incremental_configs=[
                ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
            ],
        )
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(30)
        until(lambda: "its cleanup.policy was changed, Kafka compacts it from now on" in worker.log(), [worker])
        for number in (2, 3):
            if number == 3:
                worker.stop()
                worker.start("tests.stack.brisk")
            _write(load, f"id-{number}")
            until(deployment.is_load_judged, [worker])
            until(lambda number=number: counted("compacted") == [number - 1] * PARTITIONS, [worker])
        worker.stop()

        assert counted("orphans") == [1] * PARTITIONS
        assert len([one for one in deployment.telling.findings() if one["kind"] == "ORPHAN"]) == PARTITIONS
        assert "expects every change of it" in worker.log()
        deployment.check_load()


def _write(load: Load, command: str) -> None:
    """A step, and in each partition a receipt for an offset that holds no change but a transaction's marker."""
    before = dict(load.truth.ends)
    for _ in load.steps(2):
        pass
    for partition, offsets in load.truth.offsets.items():
        known = set(offsets)
        gone = next(n for n in range(before.get(partition, 0), offsets[-1]) if n not in known)
        receipt = Receipt(
            sink=SINK, topic=load.topic, partition=partition, offset=gone, status=Status.APPLIED, fingerprint=None,
            applied_at=1, command_id=command,
        )  # fmt: skip
        load._say(encode_receipt(receipt, load.ids["DeliveryReceipt"]), partition, [receipt])
    load.fence_all()
