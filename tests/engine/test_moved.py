"""Positions that somebody else moved: the log was cut or replaced under us, and the worker must hear of its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from faust.types import TP

from app.adapters.brokers.embedded import EmbeddedBroker
from app.model import RawBatch, RawRecord
from app.worker.ports import Input
from tests.engine.engines import CountingWorker, engine, produce
from topologies.fetching import packed
from topologies.transport import ConsumerThread

INPUTS = {"moved": 1}
SOURCE = Input("moved", 0)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        broker.create_topic("moved", 1)
        yield broker


async def test_a_position_past_the_end_is_found_out(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The broker answers "out of range", and aiokafka begins again at the earliest offset."""
    worker = CountingWorker()
    produce(broker, SOURCE, 500)
    async with engine(broker, worker, INPUTS, tmp_path, "past") as app:
        await worker.until_read({SOURCE: 500})
        await app.consumer._thread.call_thread(app.consumer._thread.seek_many, {TP(*SOURCE): 10_000})
        await worker.changed.until(lambda: len(worker.assignments) == 2, "opened again")
        produce(broker, SOURCE, 100)
        await worker.until_read({SOURCE: 600})

    assert worker.offsets(SOURCE) == list(range(600))


async def test_a_position_that_somebody_else_moved_opens_the_worker_again(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    worker = CountingWorker()
    produce(broker, SOURCE, 500)
    async with engine(broker, worker, INPUTS, tmp_path, "moved") as app:
        await worker.until_read({SOURCE: 500})
        await app.consumer._thread.call_thread(_seek, app, 0)
        await worker.changed.until(lambda: len(worker.assignments) == 2, "opened again")
        produce(broker, SOURCE, 100)
        await worker.until_read({SOURCE: 600})

    assert worker.offsets(SOURCE) == list(range(600))
    assert worker.assignments[1].ends == {SOURCE: 500}


async def test_nothing_is_taken_between_the_question_for_bounds_and_the_opening(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a position beyond the end that was told would look like a log that was made again."""
    worker, fetched = CountingWorker(), []
    fetch, committed = ConsumerThread._fetch_records, ConsumerThread.committed_with_metadata

    async def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = await fetch(self, *args, **kwargs)
        fetched.extend(one.batch.next for one in found.values())
        self.app.loop.call_soon_threadsafe(worker.changed.notify)
        return found

    async def slow(self: Any, tps: set[TP]) -> Any:
        if worker.taken:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(more(), self.app.loop))
        return await committed(self, tps)

    async def more() -> None:
        produce(broker, SOURCE, 100)
        await worker.changed.until(lambda: fetched[-1] == 600, "fetched")
        for _ in range(50):
            await asyncio.sleep(0)

    monkeypatch.setattr(ConsumerThread, "_fetch_records", spy)
    monkeypatch.setattr(ConsumerThread, "committed_with_metadata", slow)
    produce(broker, SOURCE, 500)
    async with engine(broker, worker, INPUTS, tmp_path, "between") as app:
        await worker.until_read({SOURCE: 500})
        await app.consumer.reopen()
        assert worker.assignments[1].ends == {SOURCE: 500}
        assert worker.answers[1] == {SOURCE: 500}
        await worker.until_read({SOURCE: 600})

    assert worker.offsets(SOURCE) == list(range(600))


async def _seek(app: Any, offset: int) -> None:
    """As aiokafka's own reset: nobody is told."""
    app.consumer._thread._ensure_consumer().seek(TopicPartition(*SOURCE), offset)


def test_columns_are_those_of_the_records() -> None:
    records = [
        RawRecord(3, 30, b"key", b"value"),
        RawRecord(5, 20, None, b"", [("h", b"1")]),
        RawRecord(6, 40, b"", None),
    ]
    of = RawBatch.of("t", 0, records, 2, 9)
    got = packed("t", 0, records, 2, 9)

    rows = range(3)
    assert [(got.key(row), got.value(row)) for row in rows] == [(of.key(row), of.value(row)) for row in rows]
    assert (got.offsets.tolist(), got.timestamps.tolist(), got.start, got.next) == ([3, 5, 6], [30, 20, 40], 2, 9)
    assert {row: list(headers) for row, headers in got.headers.items()} == {1: [("h", b"1")]}
    assert len(packed("t", 0, [], 4, 5)) == 0
