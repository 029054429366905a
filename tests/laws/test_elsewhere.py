"""Law 3 with an empty disk: a worker that goes on from a checkpoint of the ledger topic is as one that never stopped."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.store import MemoryStore
from app.testing import change_batch, evidence_batch
from app.worker import checkpoints, restoring
from app.worker.partition import PartitionWorker
from tests.laws import histories
from tests.laws.histories import LANE, TOPIC, History


class Elsewhere:
    """Machines without number, each with an empty disk, and one compacted topic between them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.topic: dict[str, bytes] = {}
        self.machines = 0
        self.restored = 0
        self.worker = self._opened(MemoryStore())

    def _opened(self, store: MemoryStore) -> PartitionWorker:
        worker = histories.open_worker(store, snapshot_rows=60)
        worker.head.owner = worker.head.owner or f"machine {self.machines}"
        return worker

    def send(self) -> None:
        """Some of a checkpoint reaches the topic: all of it, or as much as there was before the worker died."""
        upload = self.worker.upload(checkpoints.prefix_of(1, 0, self.worker.head.owner))
        if upload is None:
            return
        while records := upload.records(limit=self.rng.choice([1, 5_000, 1 << 20])):
            if self.rng.random() < 0.05:
                self.topic.update(records[: self.rng.randrange(len(records))])
                return
            self.topic.update(records)
        if self.rng.random() < 0.9:
            self.worker.checkpoints.uploaded(upload)
            for key in self.worker.checkpoints.sent.garbage:
                self.topic.pop(key, None)
            self.worker.checkpoints.swept(set(self.worker.checkpoints.sent.garbage))

    def move(self) -> None:
        """Its disk is gone: another one takes over with what the topic holds."""
        self.machines += 1
        found = checkpoints.newest(self.topic)
        store = MemoryStore()
        if found is not None:
            restoring.fill(store, found, f"machine {self.machines}", self.topic, {})
            self.restored += 1
        self.worker = self._opened(store)

    def restart(self) -> None:
        """It goes on with its own disk."""
        self.worker = self._opened(self.worker.store)


def read(told: History, seed: int) -> tuple[histories.Read, Elsewhere]:
    """Read a history while workers die and others take over."""
    rng = random.Random(seed)
    found = Elsewhere(seed)
    while True:
        left, done = histories._where_it_stands(told, found.worker)
        if not any(left.values()):
            break
        log = rng.choice([log for log, rows in left.items() if rows])
        rows = left[log][: rng.choice([1, 5, 30, 200])]
        if log == "changes":
            found.worker.take_changes(change_batch(rows, TOPIC, start=done[log]))
        else:
            found.worker.take_evidence(evidence_batch(rows, LANE, start=done[log]))
        if rng.random() < 0.2:
            found.worker.snapshot()
        if rng.random() < 0.5:
            found.send()
        if rng.random() < 0.3 and found.machines < 8:
            rng.choice([found.move, found.restart])()
    while blocked := next(found.worker.blocked(), None):
        found.worker.record_end(blocked[0].contract.sink, TOPIC, told.end)
    return histories._collect(found.worker), found


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32))
def test_a_worker_that_goes_on_from_a_checkpoint_is_as_one_that_never_stopped(seed: int) -> None:
    told = histories.history(seed)
    there, _ = read(told, seed + 1)
    here = histories.read(told, seed=seed)

    assert there.state == here.state
    for kind in here.effects.keys() | there.effects.keys():
        assert set(there.effects.get(kind, ())) == set(here.effects.get(kind, ())), kind


def test_such_runs_do_go_on_from_checkpoints() -> None:
    assert sum(read(histories.history(seed), seed)[1].restored for seed in range(12)) > 5
