"""The verifier beside a real Connect, with no sink changed and no receipt emitted by anyone: rows are read back.

Each test has a pipeline of its own, and a role in the sinks' databases that may SELECT and nothing else.
"""

from __future__ import annotations

import io
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

import fastavro
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from app.cli.main import main
from tests.stack.child import free_port
from tests.stack.connect import Connect
from tests.stack.connectors import TASKS
from tests.stack.groups import committed
from tests.stack.reading import Told, ends, read_records
from tests.stack.watching import Watch, keep_what_is_deleted, verifier_config
from tests.stack.worker import DEADLINE_S, until
from tests.stack.world import ConnectWorld, Pipeline

TOO_MUCH = Decimal(950)


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    """Whose deletes hold the row as it was."""
    keep_what_is_deleted(pipeline)
    return pipeline


@pytest.fixture
def watch(pipeline: Pipeline, tmp_path: Path) -> Iterator[Watch]:
    """A verifier that reads rows back."""
    found = Watch(pipeline, tmp_path, has_stores=True)
    with found.worker as worker:
        worker.start()
        yield found
        worker.stop()


def verdicts(watch: Watch, **wanted: object) -> list[Told]:
    """Those told so far whose fields are as wanted."""
    return [one for one in watch.telling.verdicts() if all(one[name] == value for name, value in wanted.items())]


def commanded(watch: Watch, sink: str) -> list[tuple[int, int, str]]:
    """Partition, offset and reason of every item that was commanded for a sink."""
    mine = [one for one in watch.telling.commands() if one["sink"] == sink]
    return [(one["partition"], item["offset"], item["reason"]) for one in mine for item in one["items"]]


def holds(watch: Watch, found: Callable[[], object]) -> None:
    """Wait until something was told."""
    until(found, [watch.worker], lambda: (watch.telling.verdicts(), watch.unjudged()))


def test_a_row_that_an_operators_patch_of_the_offsets_lost_is_missing_and_named(
    pipeline: Pipeline, watch: Watch
) -> None:
    """The sink had stopped at a CHECK violation, which was told with the task's error; then somebody skipped the record."""
    world, connect, sink = pipeline.world, pipeline.world.connect, pipeline.sink_b
    topic = pipeline.changes["notes"]
    world.postgres.sql(sink, f"alter table {pipeline.tables[sink]['notes']} add check (amount < 900)")
    pipeline.shop.work(40)
    pipeline.await_arrived()
    pipeline.shop.note(TOO_MUCH)
    connect.await_failed(sink)

    def is_told() -> bool:
        told = [one for one in watch.telling.watermarks().values() if one["sink"] == sink]
        return any(one["status"] == "FAILED" and "check constraint" in (one["status_cause"] or "") for one in told)

    holds(watch, is_told)
    assert verdicts(watch, sink=sink) == []

    ((place, _),) = pipeline.behind(sink).items()
    lost = committed(world.bootstrap, f"connect-{sink}").get(place, 0)
    connect.halt(sink)
    connect.move(sink, {place: ends(world.bootstrap, [topic])[place]})
    connect.resume(sink)
    pipeline.shop.note()
    pipeline.await_committed(sink)

    holds(watch, lambda: verdicts(watch, sink=sink))
    (told,) = verdicts(watch, sink=sink)
    assert (told["state"], told["topic"], told["partition"], told["offset"]) == ("MISSING", *place, lost)
    holds(watch, lambda: commanded(watch, sink))
    assert commanded(watch, sink) == [(place[1], lost, "MISSING")]


def test_placeholder_text_over_a_true_value_is_diverged_with_the_column(pipeline: Pipeline, watch: Watch) -> None:
    pipeline.shop.document()
    pipeline.shop.touch()
    pipeline.await_arrived()

    holds(watch, lambda: verdicts(watch, sink=pipeline.sink_a))
    found = verdicts(watch, sink=pipeline.sink_a)
    assert {(one["state"], one["topic"], one["reason"]) for one in found} == {
        ("DIVERGED", pipeline.changes["documents"], "differs: body (placeholder)")
    }


def test_rows_that_somebody_edits_or_deletes_long_after_their_fence_are_contradicted_until_they_are_mended(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, in the sink's database; everything was delivered, fenced and closed before, and stays as it is."""
    port, sink, world = free_port(), pipeline.sink_b, pipeline.world
    monkeypatch.setenv("CDC_VERIFIER__METRICS__PORT", str(port))
    watch = Watch(pipeline, tmp_path, has_stores=True)
    orders, notes = (pipeline.tables[sink][table] for table in ("orders", "notes"))
    with watch.worker as worker:
        worker.start("tests.stack.brisk")
        pipeline.shop.work(200)
        pipeline.await_arrived()
        spoiled = pipeline.changes["documents"]  # by the other sink
        holds(watch, lambda: not watch.unjudged([spoiled]))
        holds(watch, lambda: scrubbed(port, "passes", sink) >= 2 * len(pipeline.topics(sink)))
        assert scrubbed(port, "wrong_rows", sink) == 0

        ((order, status),) = world.postgres.sql(
            sink, f"select id, status from {orders} where __deleted::text <> 'true' limit 1"
        )
        world.postgres.sql(sink, f"update {orders} set status = 'by hand' where id = {order}")
        ((note, row),) = world.postgres.sql(
            sink, f"with gone as (delete from {notes} where id = (select max(id) from {notes}) returning *) "
            "select id, row_to_json(gone)::text from gone"
        )  # fmt: skip
        wrong = {newest(world, pipeline.changes[table], key) for table, key in (("orders", order), ("notes", note))}
        holds(watch, lambda: len(contradicted(watch)) >= 2 and scrubbed(port, "wrong_rows", sink) == 2)

        world.postgres.sql(sink, f"update {orders} set status = %s where id = {order}", [status])
        mend = f"insert into {notes} select * from json_populate_record(null::{notes}, %s::json)"
        world.postgres.sql(sink, mend, [row])
        holds(watch, lambda: scrubbed(port, "wrong_rows", sink) == 0)
        worker.stop()

    assert {(one["sink"], one["topic"], one["partition"], one["offset"]) for one in contradicted(watch)} == {
        (sink, *place) for place in wrong
    }
    assert len(contradicted(watch)) == 2
    assert [one for one in watch.telling.verdicts() if one["topic"] != spoiled] == []


def contradicted(watch: Watch) -> list[Told]:
    """Every contradiction told so far, but of what a sink has spoiled itself."""
    spoiled = watch.pipeline.changes["documents"]
    return [one for one in watch.telling.findings() if one["kind"] == "CONTRADICTED" and one["topic"] != spoiled]


def scrubbed(port: int, name: str, sink: str) -> float:
    """A number of the scrub of a sink, over all its topics; -1 before there is one."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        samples = [one for family in text_string_to_metric_families(page.read().decode()) for one in family.samples]
        values = [
            one.value for one in samples if one.name == f"cdc_verifier_scrub_{name}" and one.labels["sink"] == sink
        ]
        return sum(values) if values else -1
    return -1


def newest(world: ConnectWorld, topic: str, key: int) -> tuple[str, int, int]:
    """Where the newest change of a row of a table with the key ``id`` stands."""
    found: dict[int, tuple[int, int]] = {}
    for message in read_records(world.bootstrap, topic):
        if message.value() is not None:
            number = fastavro.schemaless_reader(io.BytesIO((message.key() or b"")[5:]), {"type": "long"}, None)
            found[int(number)] = (int(message.partition() or 0), int(message.offset() or 0))
    return (topic, *found[key])


def test_a_poison_record_is_rejected_with_its_reason(pipeline: Pipeline, watch: Watch) -> None:
    world, topic = pipeline.world, pipeline.changes["notes"]
    offset = ends(world.bootstrap, [topic])[topic, 0]
    producer = Producer({"bootstrap.servers": world.bootstrap})
    producer.produce(topic, b"this is no Avro", partition=0)
    assert producer.flush(30) == 0
    pipeline.shop.work(60)
    pipeline.await_arrived(pipeline.sink_b)

    holds(watch, lambda: verdicts(watch, sink=pipeline.sink_b, state="REJECTED"))
    (told,) = verdicts(watch, sink=pipeline.sink_b)
    assert (told["topic"], told["partition"], told["offset"]) == (topic, 0, offset)
    assert told["reason"]


def test_doctor_proposes_contracts_from_what_connect_says(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told who may read the first sink's store, it also finds what the store's types do to values."""
    world, sink = pipeline.world, pipeline.sink_a
    world.postgres.sql(sink, "alter table orders alter total type double precision using total::double precision")
    known = verifier_config(world, pipeline, tmp_path, has_stores=True)
    (tmp_path / "known.toml").write_text(known)

    assert main(["doctor", "--config", str(tmp_path / "known.toml")]) == 0

    text = capsys.readouterr().out
    told = tomllib.loads(text)
    first, second = (told["sinks"][name] for name in pipeline.sinks)
    assert sorted(first["topics"]) == sorted(pipeline.topics(sink))
    assert (first["deletes"], first["truncates"], first["table_name"]) == ("apply", "apply", "${source.table}")
    assert first["tolerances"] == {"orders.total": ["double"]}
    assert first["change_log"] == [f"/{pipeline.receipts}[.].*/"]
    assert (second["deletes"], second["dead_letters"]) == ("soft", [pipeline.dead_letters])
    assert "password" not in text


def test_a_sink_that_stands_still_for_two_minutes_and_everything_that_restarts_give_no_false_alarm(
    pipeline: Pipeline, watch: Watch
) -> None:
    """A clean run: Connect is killed twice and the worker once, tasks come and go, and nothing bad is told at any moment.

    Rows of documents are left out, which a sink spoils.
    """
    worker, connect, shop = watch.worker, pipeline.world.connect, pipeline.shop
    still, busy = pipeline.sinks
    connect.halt(still)
    stopped_at = time.monotonic()
    shop.work(CHANGES // 4)
    killed(connect, lambda: shop.work(CHANGES // 4))
    worker.kill()
    worker.start()
    with connect.rebalanced(busy, tasks=TASKS + 1):
        shop.work(CHANGES // 4)
    killed(connect, lambda: shop.work(CHANGES // 4))

    looks = [look(watch, still)]
    while looks[-1].at_s < stopped_at + STOOD_STILL_S or not looks[-1].shows_lag:
        assert looks[-1].at_s < stopped_at + STOOD_STILL_S + DEADLINE_S, looks
        shop.work(20)
        looks.append(look(watch, still))
    stood_still_s = time.monotonic() - stopped_at
    connect.resume(still)
    with connect.rebalanced(still, tasks=1):
        pass  # it has everything to catch up with
    connect.restart_task(still, 0)
    pipeline.await_arrived()
    spoiled = pipeline.changes["documents"]
    until(lambda: not watch.unjudged([spoiled]), [worker], lambda: watch.unjudged([spoiled]))

    assert stood_still_s >= STOOD_STILL_S
    assert looks[-1].shows_lag
    assert [one for one in watch.telling.verdicts() if one["topic"] != spoiled] == []
    assert [one for one in watch.telling.findings() if one["topic"] != spoiled] == []  # of rows at rest, too
    levels = [one["levels"] for one in watch.telling.watermarks().values() if one["topic"] != spoiled]
    assert sum(one.get("read_back", 0) for one in levels) > 0
    assert all(one.keys() <= {"read_back", "attempted"} for one in levels), levels  # a row that moved on is not told of


CHANGES = 20_000
STOOD_STILL_S = 120.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the verifier told of one sink at a moment of the test's own clock: its connector, and how many changes wait for it."""

    at_s: float
    statuses: frozenset[str | None]
    pending: int

    @property
    def shows_lag(self) -> bool:
        """What is stopped is told to be, and what waits for it is counted."""
        return self.statuses == {"STOPPED"} and self.pending > CHANGES // 4


def look(watch: Watch, sink: str) -> Look:
    """Now; the worker must be alive."""
    assert watch.worker.is_running, watch.worker.log()
    told = [one for one in watch.telling.watermarks().values() if one["sink"] == sink]
    pending = sum(one["open_counts"].get("pending", 0) for one in told)
    return Look(time.monotonic(), frozenset(one["status"] for one in told), pending)


def killed(connect: Connect, meanwhile: Callable[[], None]) -> None:
    """Connect is killed in the middle of something, and comes again."""
    connect.kill()
    meanwhile()
    connect.begin()
    connect.await_up()
