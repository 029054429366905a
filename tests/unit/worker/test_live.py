"""The worker as the transport sees it: what it opens, where it goes on, what it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.adapters.metrics import Metrics
from app.adapters.registry import Registry
from app.config import load
from app.errors import InvariantBroken
from app.model import RawBatch, RawRecord, SinkTopic
from app.testing import Change, change_batch, evidence_batch, fence
from app.worker.layout import plan
from app.worker.live import LiveWorker
from app.worker.ports import Assignment, Committed, Input
from app.worker.routing import Router

CHANGES, LANE = Input("t", 0), Input("receipts", 0)
NAME = SinkTopic("s", "t", 0)
CONFIG = """
[kafka]
brokers = ["localhost:9092"]
[registry]
url = "http://localhost:8081"
[state]
dir = "{state}"
max_disk = "64MiB"
[source]
topics = ["t"]
[sinks.s]
receipts = ["receipts"]
dead_letters = {dead_letters}
"""


async def nowhere(*_) -> None:
    """A seek that nobody looks at."""


class Ships:
    """Carries nothing."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    is_waiting = False

    def ship(self, worker: object, *, is_news: bool = False) -> None: ...
    def send(self, effect: object) -> bool:
        self.sent.append(effect)
        return True

    def put(self, number: int, records: object, answer: object) -> None: ...
    def poll(self) -> None: ...
    def forget(self, worker: object) -> None: ...


class Ids:
    """Topic ids as a cluster would tell them."""

    def __init__(self, **ids: str) -> None:
        self.ids = ids

    async def look(self) -> None: ...
    async def watch(self) -> None: ...


def worker_of(tmp_path: Path, *, read_ledger=None, dead_letters=(), more="", partitions=1) -> LiveWorker:
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(state=tmp_path / "state", dead_letters=list(dead_letters)) + more)
    settings = load(file, {})
    layout = plan(settings, dict.fromkeys(("t", "receipts", "dlq"), partitions))
    ids = dict.fromkeys(("DeliveryReceipt", "SinkMark", "EvidenceLoss"), 1)
    return LiveWorker(settings, layout, Registry("http://x"), Router(layout, ids), Ships(), Metrics(()), read_ledger)


def given(worker, earliest=0, end=0, owner="", topics=None) -> Assignment:
    counts = worker.layout.inputs
    inputs = {Input(topic, number) for topic in topics or counts for number in range(counts[topic])}
    return Assignment(
        inputs=inputs,
        earliest=dict.fromkeys(inputs, earliest),
        ends=dict.fromkeys(inputs, end),
        committed=dict.fromkeys(inputs, Committed(0, owner)) if owner else {},
    )


def empty(source: Input, start: int, end: int) -> RawBatch:
    return RawBatch.of(source.topic, source.partition, [], start, end)


def noise(source: Input, start: int, end: int) -> RawBatch:
    """Records that nobody can read."""
    records = [RawRecord(offset, 0, None, b"?", ()) for offset in range(start, end)]
    return RawBatch.of(source.topic, source.partition, records, start, end)


async def test_at_the_disks_limit_changes_wait_and_evidence_is_read(tmp_path):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))

    assert worker._disk.look((64 << 20) + 1)
    worker._hold()
    assert (worker.is_held(CHANGES), worker.is_held(LANE)) == (True, False)

    assert worker._disk.look(1 << 20)
    worker._hold()
    assert not worker.is_held(CHANGES)


async def test_what_retention_deleted_is_lost_by_number_and_reading_goes_on_after_it(tmp_path):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    await worker.take([empty(CHANGES, 0, 5)])
    positions = await worker.open(given(worker, earliest=8, end=20))

    assert positions[CHANGES] == 8
    assert worker._workers[(1, 0)].fold.changes["t"].expired == 3


async def test_a_topic_with_another_id_begins_at_its_start(tmp_path):
    worker = worker_of(tmp_path)
    worker.logs = Ids(t="old", receipts="same")
    await worker.open(given(worker))
    await worker.take([empty(CHANGES, 0, 5)])
    worker.logs.ids["t"] = "new"
    positions = await worker.open(given(worker, earliest=0, end=20))

    assert positions[CHANGES] == 0
    assert {sink.epoch for sink in worker.lanes().values()} <= {1}
    assert worker._workers[(1, 0)].head.topic_ids == {"t": "new", "receipts": "same"}


async def test_a_topic_that_ends_below_what_was_read_is_another_log(tmp_path):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    await worker.take([empty(LANE, 0, 50)])

    assert (await worker.open(given(worker, end=20)))[LANE] == 0


async def test_a_topic_that_is_gone_is_waited_for_and_the_others_go_on_where_they_were(tmp_path):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    await worker.take([empty(LANE, 0, 5)])
    worker.close(None)

    assert await worker.open(given(worker, end=20, topics=["receipts"])) == {LANE: 5}


async def test_a_routed_log_that_was_made_again_stops_the_worker_with_what_to_do(tmp_path):
    worker = worker_of(tmp_path, dead_letters=["dlq"])
    await worker.open(given(worker))
    await worker.take([empty(Input("dlq", 0), 0, 50)])

    with pytest.raises(InvariantBroken, match="dlq:0 was deleted and made again"):
        await worker.open(given(worker, end=20))


async def test_an_empty_disk_asks_the_ledger_first_and_reads_nothing_until_it_knows(tmp_path):
    asked = []
    worker = worker_of(tmp_path, read_ledger=lambda number, prefix: asked.append((number, prefix)) or {})
    sought = {}

    async def bounds(sources):
        return dict.fromkeys(sources, (3, 9))

    async def seek(source, offset):
        sought[source] = offset

    worker.bounds, worker.seek = bounds, seek
    await worker.open(given(worker))

    assert worker.is_held(CHANGES)
    assert await worker.take([empty(CHANGES, 0, 5)]) == {}
    async with asyncio.timeout(10):
        while worker.is_held(CHANGES):
            await worker.tick()
    assert asked == [(0, ("checkpoint|1|0|", "end|0|"))]
    assert sought == {CHANGES: 3, LANE: 3}
    await worker.take([empty(CHANGES, 3, 5)])
    assert worker.restart_positions()[CHANGES].offset == 5


async def test_a_store_that_the_last_owner_wrote_is_the_truth_and_one_that_was_outrun_asks(tmp_path):
    asked = []

    def reopened() -> LiveWorker:
        return worker_of(tmp_path, read_ledger=lambda number, _: asked.append(number) or {})

    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    await worker.take([empty(CHANGES, 0, 5)])
    owner = worker.restart_positions()[CHANGES].metadata
    worker.close(None)

    mine = reopened()
    positions = await mine.open(given(mine, end=9, owner=owner))
    assert (positions[CHANGES], asked) == (5, [])
    mine.close(None)

    outrun = reopened()
    await outrun.open(given(outrun, end=9, owner="somebody else"))
    assert outrun.is_held(CHANGES)
    assert asked == [0]
    outrun.close(None)


@pytest.mark.parametrize(("start", "beginning"), [("earliest", 0), ("latest", 9), ("committed", 4)])
async def test_a_sink_that_is_seen_first_is_judged_from_where_its_contract_says(tmp_path, start, beginning):
    worker = worker_of(tmp_path, read_ledger=lambda *_: {}, more=f'start = "{start}"\nconnector = "c"\n')

    async def bounds(sources):
        return dict.fromkeys(sources, (0, 9))

    async def committed(group, sources):
        return {source: 4 for source in sources if group == "connect-c"}

    worker.bounds, worker.seek, worker.committed = bounds, nowhere, committed
    await worker.open(given(worker))
    async with asyncio.timeout(10):
        while worker.is_held(CHANGES):
            await worker.tick()
    worker.close(None)

    again = worker_of(tmp_path, more=f'start = "{start}"\nconnector = "c"\n')
    await again.open(given(again))
    assert [sink.beginning for sink in again.lanes().values()] == ([] if start == "earliest" else [beginning])


async def test_what_a_fetch_brings_of_one_partition_number_is_one_write_of_its_store(tmp_path, monkeypatch):
    inputs = (CHANGES, LANE, Input("t", 1))
    worker = worker_of(tmp_path, partitions=2)
    await worker.open(given(worker))
    writes = []
    for place, opened in worker._workers.items():
        write = opened.store.write
        monkeypatch.setattr(
            opened.store,
            "write",
            lambda puts, deletes=(), place=place, write=write: (writes.append(place), write(puts, deletes)),
        )

    assert await worker.take([noise(source, 0, 3) for source in inputs]) == {}
    assert writes == [(2, 0), (2, 1)]
    assert {source: worker.restart_positions()[source].offset for source in inputs} == dict.fromkeys(inputs, 3)


async def test_every_store_makes_a_snapshot_an_interval_after_its_last_and_one_of_them_at_a_time(tmp_path):
    worker = worker_of(tmp_path, partitions=3)
    await worker.open(given(worker))
    await worker.take([noise(Input("t", number), 0, 3) for number in range(3)])

    def with_news() -> list[int]:
        return [place.partition for place, opened in worker._workers.items() if opened.has_news()]

    left = []
    for now in (0.0, 59.0, 60.0, 60.0, 60.0, 60.0):
        worker._snapshot_one(now)
        left.append(with_news())
    assert left == [[0, 1, 2], [0, 1, 2], [1, 2], [2], [], []]

    await worker.take([noise(Input("t", 1), 3, 5)])
    worker._snapshot_one(119.0)
    assert with_news() == [1]


async def test_a_hole_in_one_input_is_answered_and_the_others_are_taken(tmp_path):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    await worker.take([noise(CHANGES, 0, 3), noise(LANE, 0, 3)])

    assert await worker.take([noise(CHANGES, 5, 9), noise(LANE, 3, 4)]) == {CHANGES: 3}
    assert {source: worker.restart_positions()[source].offset for source in (CHANGES, LANE)} == {CHANGES: 3, LANE: 4}


async def test_what_went_to_another_worker_while_the_registry_answered_is_not_taken(tmp_path, monkeypatch):
    worker = worker_of(tmp_path)
    await worker.open(given(worker))

    async def answer_late(_: RawBatch) -> None:
        worker.close({CHANGES, LANE})

    monkeypatch.setattr(worker.decoding, "fetch_schemas", answer_late)
    assert await worker.take([noise(CHANGES, 0, 3), noise(LANE, 0, 3)]) == {}
    assert worker.restart_positions() == {}


async def test_an_end_is_judged_by_when_the_ledger_topic_holds_it_and_every_later_reading_takes_it(tmp_path):
    worker = worker_of(tmp_path)
    put = {}
    answers = []
    worker._recorded_ends._put = lambda _, records, answer: (put.update(records), answers.append(answer))

    async def bounds(sources):
        return dict.fromkeys(sources, (0, 2))

    worker.bounds = bounds
    await worker.open(given(worker))
    store = worker._workers[(1, 0)]
    store.take([change_batch([Change(offset=0), Change(offset=1)])])
    store.take([evidence_batch([(NAME, fence(50))])])
    for _ in range(2):
        await worker._look_for_ends()
    sink = store.fold.sinks["s", "t"]

    assert put == {"end|0|s|t|receipts:0:0": b'{"end": 2}'}
    assert (len(answers), sink.fence) == (1, 0)

    answers[0](True)
    await worker._look_for_ends()
    assert (sink.fence, sink.tally.rows["beyond_end"]) == (2, 1)

    elsewhere = worker_of(tmp_path / "elsewhere", read_ledger=lambda *_: put)
    elsewhere.bounds, elsewhere.seek = bounds, nowhere
    await elsewhere.open(given(elsewhere))
    async with asyncio.timeout(10):
        while elsewhere.is_held(CHANGES):
            await elsewhere.tick()
    again = elsewhere._workers[(1, 0)]
    again.take([change_batch([Change(offset=offset) for offset in range(60)])])  # the log has grown since
    again.take([evidence_batch([(NAME, fence(50))])])

    assert again.fold.sinks["s", "t"].fence == 2
