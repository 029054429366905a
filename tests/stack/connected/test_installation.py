"""``doctor --check`` over a pipeline of a real Connect: nothing false about a right one, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from app.cli.main import main
from tests.stack.child import free_port
from tests.stack.reading import read_records
from tests.stack.watching import ROLE, verifier_config
from tests.stack.world import Pipeline


def test_a_right_installation_is_fine_nothing_is_written_and_everything_that_is_wrong_is_named_at_once(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, (a, b) = pipeline.world, pipeline.sinks
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    config = verifier_config(world, pipeline, tmp_path, has_stores=True)
    file = tmp_path / "config.toml"
    alter(admin, pipeline.dead_letters, "message.timestamp.type", "LogAppendTime")

    def checked() -> list[dict[str, str]]:
        status = main(["doctor", "--check", "--json", "--config", str(file)])
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        bad = [one for one in found if one["level"] != "fine"]
        assert status == bool(bad)
        return bad

    def there() -> tuple[set[str], list[str]]:
        return set(admin.list_topics(timeout=30).topics), httpx.get(f"{world.registry.url}/subjects").json()

    file.write_text(config)
    before = there()
    assert checked() == []
    assert there() == before

    orders, notes = pipeline.changes["orders"], pipeline.changes["notes"]
    twice = next(record for record in read_records(world.bootstrap, orders) if record.key() and record.value())
    world.postgres.sql(pipeline.source, "delete from notes where id = (select min(id) from notes)")
    pipeline.await_arrived(b)
    producer = Producer({"bootstrap.servers": world.bootstrap})
    producer.produce(orders, twice.value(), twice.key(), partition=(twice.partition() + 1) % 3)
    producer.produce(notes, b"this is no Avro", b"k", partition=0)
    assert producer.flush(30) == 0
    alter(admin, notes, "cleanup.policy", "compact")
    alter(admin, pipeline.dead_letters, "retention.ms", "3600000")
    world.postgres.sql(a, f"grant insert on orders to {ROLE}; alter table customers rename to clients")
    told = world.connect.ask("GET", f"/connectors/{b}/config")
    world.connect.put(b, told | {"errors.deadletterqueue.context.headers.enable": "false"})
    world.connect.pause(a)
    of_a, of_b = config.split(f"[sinks.{b}]")
    of_b = of_b.replace(f":{world.postgres.port}/", f":{free_port()}/").replace('"latest-state"', '"every-change"')
    of_a = of_a.replace("[source]\n", '[source]\nunavailable_value = "?"\n')
    file.write_text(f'{of_a}group = "another"\n[sinks.{b}]{of_b}')

    found = {(one["level"], one["about"], one["place"]) for one in checked()}
    found.discard(("warning", "connectors", f"connector {b} (sinks.{b})"))  # it may be starting anew yet
    assert found == {
        ("error", "compaction", f"topic {notes}"),  # every change of it is expected
        ("warning", "retention", f"topic {pipeline.dead_letters}"),
        ("warning", "progress", "group another"),
        ("error", "keys", f"topic {orders}"),
        ("error", "decoding", f"topic {notes}"),
        ("error", "sources", f"connector {pipeline.source}"),  # the placeholder
        ("warning", "sources", f"topic {notes}"),  # a delete that holds the key alone, and a sink that marks the row
        ("error", "connectors", f"connector {a} (sinks.{a})"),  # its group
        ("warning", "connectors", f"connector {a} (sinks.{a})"),  # paused
        ("error", "connectors", f"connector {b} (sinks.{b})"),  # dead letters without headers
        ("warning", "contracts", f"connector {b} (sinks.{b})"),  # every change of a store
        ("error", "stores", f"sinks.{a}.store, table customers"),
        ("warning", "stores", f"sinks.{a}.store"),
        ("unknown", "stores", f"sinks.{b}.store"),
    }


def alter(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
