"""What the engine's tests run on: the embedded broker, and a worker that counts instead of judging."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from app.adapters.brokers.embedded import EmbeddedBroker
from app.model import RawBatch
from app.worker.ports import Assignment, Committed, Input
from topologies.engine import EngineSettings, build_app

DEADLINE_S = 20.0
SESSION_S = 3.0
"""The embedded broker gives a group as long as this, less a second, to join again."""


class Changed:
    """Lets a test wait for a condition without looking again and again: whoever changes something says so."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def notify(self) -> None:
        for event in self._waiting:
            event.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    await event.wait()
                    event.clear()
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}") from None
        finally:
            self._waiting.discard(event)


class CountingWorker:
    """Takes ranges as a real one does, and remembers them. ``store`` is what outlives a restart: positions by input."""

    def __init__(self, store: dict[Input, int] | None = None) -> None:
        self.store = {} if store is None else store
        self.changed = Changed()
        self.owned: set[Input] = set()
        self.taken: dict[Input, list[RawBatch]] = defaultdict(list)
        self.holes: dict[Input, list[RawBatch]] = defaultdict(list)
        self.assignments: list[Assignment] = []
        self.answers: list[Mapping[Input, int]] = []
        self.closed: list[AbstractSet[Input] | None] = []
        self.held: set[Input] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.ticks = self.ships = self.waits = 0

    async def open(self, assignment: Assignment) -> Mapping[Input, int]:
        self.assignments.append(assignment)
        self.owned = set(assignment.inputs)
        self.changed.notify()
        positions = {source: self.store.get(source, assignment.earliest[source]) for source in assignment.inputs}
        self.answers.append(positions)
        return positions

    def close(self, inputs: AbstractSet[Input] | None) -> None:
        self.closed.append(inputs)
        self.owned = set() if inputs is None else self.owned - inputs
        self.changed.notify()

    async def take(self, ranges: Sequence[RawBatch]) -> Mapping[Input, int]:
        await self.gate.wait()
        found = {Input(raw.topic, raw.partition): self._take(raw) for raw in ranges}
        return {source: hole for source, hole in found.items() if hole is not None}

    def _take(self, raw: RawBatch) -> int | None:
        source = Input(raw.topic, raw.partition)
        if source not in self.owned:
            return None
        expected = self.store.get(source, 0)
        if raw.next <= expected:
            return None
        if raw.start > expected:
            self.holes[source].append(raw)
            self.changed.notify()
            return expected
        self.store[source] = raw.next
        self.taken[source].append(raw)
        self.changed.notify()
        return None

    def note_counts(self, counts: Mapping[str, int]) -> AbstractSet[str]:
        return frozenset()

    def is_held(self, source: Input) -> bool:
        return source in self.held

    def restart_positions(self) -> Mapping[Input, Committed]:
        return {source: Committed(self.store[source], "counted") for source in self.owned if source in self.store}

    def ship(self) -> bool:
        self.ships += 1
        self.changed.notify()
        return self.ships < self.waits

    async def tick(self) -> None:
        self.ticks += 1
        self.changed.notify()

    def offsets(self, source: Input) -> list[int]:
        """Every offset taken, in the order of taking; ranges are cut where they begin before what was known."""
        return [int(offset) for raw in self.taken[source] for offset in raw.offsets]

    async def until_read(self, ends: Mapping[Input, int]) -> None:
        await self.changed.until(
            lambda: all(self.store.get(source, 0) >= end for source, end in ends.items()), f"read to {ends}"
        )


def is_contiguous(ranges: Iterable[RawBatch]) -> bool:
    return all(before.next == after.start for before, after in pairwise(ranges))


def produce(broker: EmbeddedBroker, source: Input, count: int) -> None:
    """Records whose values are numbered, all acknowledged; one record batch, which is sent when it is flushed."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 10_000})
    for number in range(count):
        producer.produce(source.topic, b"value-%d" % number, b"key", partition=source.partition)
    assert producer.flush(DEADLINE_S) == 0


@asynccontextmanager
async def engine(
    broker: EmbeddedBroker, worker: Any, inputs: Mapping[str, int], data: Path, group: str, **settings: Any
) -> AsyncIterator[Any]:
    """A started app, with an assignment; stopped afterwards."""
    app = build_app(
        EngineSettings(
            application_id=group,
            brokers=[broker.bootstrap],
            inputs=inputs,
            data_dir=data,
            session_timeout_s=SESSION_S,
            **settings,
        ),
        worker,
    )
    app.finalize()
    await _in_time(app, app.start())
    try:
        await worker.changed.until(lambda: worker.ticks > 0, "the flow is active")
        yield app
    finally:
        await _in_time(app, app.stop())


async def _in_time(app: Any, work: Coroutine[Any, Any, None]) -> None:
    """Faust's services swallow a cancellation, so a deadline is no use to them."""
    task = asyncio.create_task(work)
    await asyncio.wait({task}, timeout=DEADLINE_S)
    assert task.done(), f"{app} neither started nor stopped:\n{task.get_stack()}"
    task.result()
