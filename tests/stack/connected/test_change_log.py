"""A sink that nobody changed, and whose database nobody may read: its own change log, told by a second Debezium, is the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.groups import committed
from tests.stack.reading import Told, ends
from tests.stack.watching import Watch
from tests.stack.worker import until
from tests.stack.world import Pipeline


@pytest.fixture
def watch(pipeline: Pipeline, tmp_path: Path) -> Iterator[Watch]:
    """A verifier that reads the first sink's change log."""
    found = Watch(pipeline, tmp_path, has_log=True)
    with found.worker as worker:
        worker.start()
        yield found
        worker.stop()


def test_what_a_sink_did_is_told_by_its_own_change_log(pipeline: Pipeline, watch: Watch) -> None:
    """Rows are known by their content, a placeholder over a true value by its column, a lost row by the log's going on."""
    world, connect, sink = pipeline.world, pipeline.world.connect, pipeline.sink_a
    spoiled = pipeline.changes["documents"]
    pipeline.shop.work(300)
    pipeline.shop.document()
    pipeline.shop.touch()
    pipeline.await_arrived()

    def verdicts() -> list[Told]:
        return [one for one in watch.telling.verdicts() if one["sink"] == sink]

    until(lambda: not watch.unjudged([spoiled]), [watch.worker], lambda: (verdicts(), watch.unjudged([spoiled])))
    until(verdicts, [watch.worker], watch.unjudged)
    assert {(one["state"], one["topic"], one["reason"]) for one in verdicts()} == {
        ("DIVERGED", spoiled, "differs: body (placeholder)")
    }
    levels = [one["levels"] for one in watch.telling.watermarks().values() if one["sink"] == sink]
    counts = {level: sum(one.get(level, 0) for one in levels) for one in levels for level in one}
    assert counts["read_back"] > 10 * counts.get("attempted", 0), counts

    topic = pipeline.changes["orders"]
    world.postgres.sql(sink, "alter table orders add check (status <> 'TOO MUCH')")
    world.postgres.sql(pipeline.source, "insert into orders values (1, 1, 'TOO MUCH', 1, now())")
    connect.await_failed(sink)
    ((place, _),) = ((place, gap) for place, gap in pipeline.behind(sink).items() if place[0] == topic)
    lost = committed(world.bootstrap, f"connect-{sink}").get(place, 0)
    connect.halt(sink)
    connect.move(sink, {place: ends(world.bootstrap, [topic])[place]})
    connect.resume(sink)
    for _ in range(5):  # what the sink writes later, in transactions of its own, shows how far its log has come
        for _ in range(15):
            pipeline.shop.order()
        pipeline.await_committed(sink)

    def missing() -> list[Told]:
        return [one for one in verdicts() if one["topic"] != spoiled]

    until(missing, [watch.worker], lambda: (verdicts(), watch.unjudged([spoiled])))
    until(lambda: not watch.unjudged([spoiled, topic]), [watch.worker], lambda: (verdicts(), watch.unjudged([spoiled])))
    assert [(one["state"], one["topic"], one["partition"], one["offset"]) for one in missing()] == [
        ("MISSING", *place, lost)
    ]
