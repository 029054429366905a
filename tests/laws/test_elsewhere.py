"""Law 3 with an empty disk: a worker that goes on from a checkpoint of the ledger topic is as one that never stopped."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.store import MemoryStore, Store
from app.worker import checkpoints, restoring
from app.worker.partition import PartitionWorker
from tests.laws.histories import History, history
from tests.laws.looking import PHASES
from tests.laws.reading import How, Read, Reader, read


class Elsewhere(Reader):
    """Machines without number, each with an empty disk, and one compacted topic between them."""

    def __init__(self, told: History, seed: int) -> None:
        self.topic: dict[str, bytes] = {}
        self.machines = 0
        self.restored = 0
        super().__init__(told, How(seed=seed, snapshot_rows=60))

    def _opened(self, store: Store) -> PartitionWorker:
        worker = super()._opened(store)
        worker.head.owner = worker.head.owner or f"machine {self.machines}"
        return worker

    def _after_batch(self) -> None:
        super()._after_batch()
        if self.rng.random() < 0.2:
            self.worker.snapshot()
        if self.rng.random() < 0.5:
            self.send()
        if self.rng.random() < 0.3 and self.machines < 8:
            self.rng.choice([self.move, self.restart])()

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


def read_elsewhere(told: History, seed: int) -> tuple[Read, Elsewhere]:
    """Read a history while workers die and others take over."""
    reader = Elsewhere(told, seed)
    reader.run()
    return reader.result(), reader


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 1 << 32))
def test_a_worker_that_goes_on_from_a_checkpoint_is_as_one_that_never_stopped(seed: int) -> None:
    told = history(seed)
    there, _ = read_elsewhere(told, seed + 1)
    here = read(told, How(seed=seed))

    assert there.state == here.state
    for kind in here.effects.keys() | there.effects.keys():
        assert set(there.effects.get(kind, ())) == set(here.effects.get(kind, ())), kind


def test_such_runs_do_go_on_from_checkpoints() -> None:
    assert sum(read_elsewhere(history(seed), seed)[1].restored for seed in range(12)) > 5
