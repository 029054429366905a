"""A real world of Connect: what comes to its sinks, what does not, and what Connect says of it.

Each test has a pipeline of its own, which it may leave broken.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from confluent_kafka import Producer

from tests.stack.connectors import PARTITIONS, TASKS
from tests.stack.groups import committed
from tests.stack.reading import ends, read_records
from tests.stack.watching import Watch
from tests.stack.worker import until
from tests.stack.world import Pipeline

POISON = b"this is no Avro"
TOO_MUCH = Decimal(950)


def test_what_the_shop_does_comes_to_both_sinks_over_several_partitions_and_tasks(pipeline: Pipeline) -> None:
    connect = pipeline.world.connect
    pipeline.shop.work(200)
    pipeline.await_arrived()

    ended = ends(pipeline.world.bootstrap, pipeline.changes.values())
    assert all((topic, number) in ended for topic in pipeline.changes.values() for number in range(PARTITIONS))
    assert len([place for place, end in ended.items() if end]) > len(pipeline.changes)
    assert [len(connect.states(sink)) for sink in pipeline.sinks] == [TASKS, TASKS]
    assert connect.offsets(pipeline.sink_a) == committed(pipeline.world.bootstrap, f"connect-{pipeline.sink_a}")


def test_the_first_sinks_own_change_log_tells_what_was_written_there(pipeline: Pipeline) -> None:
    pipeline.shop.work(50)
    pipeline.await_arrived(pipeline.sink_a)
    topic = f"{pipeline.receipts}.public.customers"

    def told() -> set[int]:
        return {record.key()[-1] // 2 for record in read_records(pipeline.world.bootstrap, topic)}  # a zigzag long

    until(lambda: told() == {key for (key,) in pipeline.rows(pipeline.sink_a, "customers")}, ())


def test_what_was_done_while_connect_was_dead_comes_when_it_is_back(pipeline: Pipeline) -> None:
    """Killed in the middle of the work."""
    connect, shop = pipeline.world.connect, pipeline.shop
    shop.work(150)
    connect.kill()
    shop.work(150)
    connect.begin()
    connect.await_up()

    pipeline.await_arrived()


def test_a_sink_that_is_paused_stands_still_and_goes_on(pipeline: Pipeline) -> None:
    connect = pipeline.world.connect
    connect.pause(pipeline.sink_a)
    pipeline.shop.work(50)
    pipeline.await_arrived(pipeline.sink_b)

    assert pipeline.behind(pipeline.sink_a)

    connect.resume(pipeline.sink_a)
    pipeline.await_arrived(pipeline.sink_a)


def test_a_record_that_is_no_avro_goes_to_the_dead_letters_with_its_coordinates(pipeline: Pipeline) -> None:
    world, topic = pipeline.world, pipeline.changes["notes"]
    offset = ends(world.bootstrap, [topic])[topic, 0]
    _produce(world.bootstrap, topic, POISON)
    pipeline.shop.work(50)
    pipeline.await_arrived()

    letters = list(read_records(world.bootstrap, pipeline.dead_letters))
    assert [letter.value() for letter in letters] == [POISON]
    headers = {name.removeprefix("__connect.errors."): value.decode() for name, value in letters[0].headers()}
    assert (headers["topic"], headers["partition"], headers["offset"]) == (topic, "0", str(offset))
    assert headers["connector.name"] == pipeline.sink_b


def test_a_row_that_the_database_refuses_fails_the_task_and_skipping_it_leaves_a_hole_behind_a_sink_that_runs(
    pipeline: Pipeline,
) -> None:
    """No dead letter, everything committed, RUNNING: and yet a row is lost."""
    world, connect, sink = pipeline.world, pipeline.world.connect, pipeline.sink_b
    kept_as = pipeline.tables[sink]["notes"]
    world.postgres.sql(sink, f"alter table {kept_as} add constraint not_too_much check (amount < 900)")

    lost = pipeline.shop.note(TOO_MUCH)
    traces = connect.await_failed(sink)
    assert len(traces) == 1
    assert 'violates check constraint "not_too_much"' in next(iter(traces.values()))

    (task,) = traces
    connect.restart_task(sink, task)
    until(lambda: connect.traces(sink), (), lambda: connect.status(sink))  # the same again

    ((place, count),) = pipeline.behind(sink).items()
    assert (place[0], count) == (pipeline.changes["notes"], 1)
    connect.halt(sink)
    connect.move(sink, {place: ends(world.bootstrap, [place[0]])[place]})
    connect.resume(sink)
    pipeline.shop.note()
    pipeline.await_committed(sink)
    connect.await_running(sink)

    until(lambda: list(pipeline.differences(sink)) == ["notes"], ())
    assert list(pipeline.differences(sink)["notes"]) == [(lost,)]
    assert not list(read_records(world.bootstrap, pipeline.dead_letters))


def test_a_verifier_that_watches_finds_nothing_wrong_though_connect_is_killed_twice(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """All it has is what the sinks committed: everything was attempted, and nothing more is said."""
    watch = Watch(pipeline, tmp_path)
    with watch.worker as worker:
        worker.start()
        for _ in range(2):
            pipeline.shop.work(120)
            pipeline.world.connect.kill()
            pipeline.shop.work(60)
            pipeline.world.connect.begin()
            pipeline.world.connect.await_up()
        pipeline.shop.work(140)
        pipeline.await_arrived()
        until(lambda: not watch.unjudged(), [worker], watch.unjudged)
        worker.stop()

    assert watch.telling.verdicts() == []
    assert watch.telling.commands() == []
    assert {one["kind"] for one in watch.telling.findings()} <= {"SOURCE_DUPLICATE"}
    for told in watch.telling.watermarks().values():
        assert told["counts"].keys() <= {"attempted", "exempt"}


def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
