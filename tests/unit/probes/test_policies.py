"""A change topic whose cleanup.policy changes while the worker runs."""

from __future__ import annotations

from confluent_kafka import KafkaException

from app.model.effects import Orphan
from app.testing import Change, Row, change_batch, evidence_batch
from tests.unit.worker.test_live import NAME, given, worker_of
from topologies.counts import PolicyWatch

GAPPED = change_batch([Change(offset=0, content=1), Change(offset=3, content=2)], start=0, end=4)


class World:
    """A worker that has read changes 0 and 3, a topic whose policy a test sets, and receipts for what is not there."""

    def __init__(self, worker) -> None:
        self.worker = worker
        self.told: dict[str, bool] | Exception = {"t": False}
        self._watch = PolicyWatch(worker, self._ask)
        self._said = 0

    def _ask(self) -> dict[str, bool]:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    @property
    def store(self):
        return self.worker._workers[1, 0]

    async def look(self, told: dict[str, bool] | Exception) -> None:
        self.told = told
        await self._watch.look()

    def receipt(self, offset: int) -> tuple[int, int]:
        """One receipt more; how many were called orphans, and how many compacted."""
        self.store.take([evidence_batch([(NAME, Row(offset=offset))], start=self._said)])
        self._said += 1
        rows = self.store.fold.sinks["s", "t"].tally.rows
        return rows["orphans"], rows["compacted"]


async def opened(tmp_path) -> World:
    worker = worker_of(tmp_path)
    await worker.open(given(worker))
    world = World(worker)
    world.store.take([GAPPED])
    return world


async def test_what_is_read_after_the_change_is_judged_by_it_and_what_was_read_before_is_not(tmp_path, caplog):
    world = await opened(tmp_path)
    await world.look({"t": False})
    assert world.receipt(1) == (1, 0)

    await world.look({"t": True})
    assert world.receipt(2) == (1, 1)

    assert [effect.offset for _, effect in world.store.outbox(100) if isinstance(effect, Orphan)] == [1]
    assert "topic t: its cleanup.policy was changed, Kafka compacts it from now on" in caplog.text
    assert "sinks.s expects every change of it" in caplog.text


async def test_it_is_recorded_where_the_inputs_stand_and_a_restart_folds_the_same(tmp_path):
    world = await opened(tmp_path)
    world.receipt(1)
    await world.look({"t": True})
    world.receipt(2)
    world.worker.close(None)

    again = worker_of(tmp_path)
    again.compacted = frozenset({"t"})
    await again.open(given(again))
    rows = again._workers[1, 0].fold.sinks["s", "t"].tally.rows
    assert (rows["orphans"], rows["compacted"]) == (1, 1)


async def test_a_topic_that_is_compacted_no_more_gives_orphans_again(tmp_path, caplog):
    world = await opened(tmp_path)
    await world.look({"t": True})
    caplog.clear()
    await world.look({"t": False})

    assert world.receipt(1) == (1, 0)
    assert "does not compact it any more" in caplog.text
    assert "expects every change" not in caplog.text


async def test_looking_again_writes_nothing_and_warns_of_nothing_more(tmp_path, caplog):
    world = await opened(tmp_path)
    await world.look({"t": True})
    delta = world.store._delta
    caplog.clear()
    await world.look({"t": True})

    assert (world.store._delta, caplog.text) == (delta, "")


async def test_a_topic_or_a_cluster_that_does_not_tell_is_as_it_was(tmp_path):
    world = await opened(tmp_path)
    await world.look({"t": True})
    await world.look({})
    await world.look(KafkaException("away"))

    assert world.worker.compacted == {"t"}
    assert world.receipt(1) == (0, 1)


async def test_a_store_that_is_opened_later_knows_it(tmp_path):
    world = await opened(tmp_path)
    world.worker.close(None)
    await world.look({"t": True})
    await world.worker.open(given(world.worker, end=4))

    assert world.receipt(1) == (0, 1)
