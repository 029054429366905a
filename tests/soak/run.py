"""One long run: a real stack that works and breaks at random, everything random from one seed.

Two runs of one seed take the same steps, break the same parts for as long: each step has random numbers of its own, and the
load, of which there is as much as there is time for, has others. What the machine makes of the moments differs.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.soak.faults import FAULTS, Fault, broker_away
from tests.soak.planted import Planter
from tests.soak.truth import Truth, changes_of
from tests.stack.groups import committed
from tests.stack.reading import Told, ends
from tests.stack.watching import Watch, keep_what_is_deleted, verifier_config
from tests.stack.worker import Worker, until
from tests.stack.world import Pipeline

BRISK = "tests.stack.brisk"
"""The main job with a session of six seconds, so that workers take over from each other often."""

TICK_S = 0.25
CHANGES_A_TICK = 30
"""At most: two cores keep up with about 100 changes a second through two sinks while things break."""

LONGEST_S = 40
LAST_LOOK_S = 60
"""What is still untold so long after everything was judged is untold."""

BLIND = 0.3
"""How often a hand at the offsets is not seen, because no worker is there."""


class Soak:
    """What faults and acts need; `run` is all of it.

    Attributes:
        worker: the first; second: one that comes and goes, of the same group.
        faults: how often each was there.
        ended: what is to be said of each worker that ended by itself.
    """

    def __init__(self, pipeline: Pipeline, broker: Any, directory: Path, seed: int) -> None:
        self.rng = self._load = random.Random(seed)
        self._seed, self._steps = seed, 0
        self.pipeline, self.broker = pipeline, broker
        self.connect = pipeline.world.connect
        keep_what_is_deleted(pipeline)
        watch = Watch(pipeline, directory, has_stores=True, program=BRISK)
        self.worker, self.telling, self.watch = watch.worker, watch.telling, watch
        config = verifier_config(pipeline.world, pipeline, directory / "second", has_stores=True)
        config = config.replace('instance_id = "verifier"', 'instance_id = "second"')
        self.second = Worker(directory / "second", config, BRISK)
        self.planter = Planter(pipeline, self.rng)
        self.truth = Truth(pipeline, self.planter, watch.telling, partial(changes_of, pipeline, watch.telling))
        self.faults: Counter[str] = Counter()
        self.false: list[Told] = []
        self._log = directory / "planted.jsonl"
        self._began = time.monotonic()
        self._pause = threading.Event()
        self._is_broker_up = True
        self.ended: list[str] = []
        self._up: dict[Path, int] = {}

    def any_sink(self) -> str:
        """One of both."""
        return self.rng.choice(self.pipeline.sinks)

    def run(self, minutes: float) -> list[str]:
        """Break and work for so long, mend everything, and say what is not as it should be; nothing if all is well."""
        self.planter.prepare()
        with self.worker, self.second:
            self.start(self.worker)
            while time.monotonic() - self._began < minutes * 60:
                self._step()
                self._look()
            self.note("mending")
            self._heal()
            self._await_judged()
            wrong = list(self._wrong())
            self.stop(self.worker)
        return wrong

    def start(self, worker: Worker) -> None:
        """Start one of both."""
        worker.start()
        self._up[worker.directory] = worker.opened()

    def stop(self, worker: Worker) -> None:
        """End one of both in order, which it hears as soon as it has opened its stores."""
        self.until(lambda: worker.opened() > self._up[worker.directory])
        del self._up[worker.directory]
        worker.stop()

    def kill(self, worker: Worker) -> None:
        """``kill -9``."""
        self.supervise()
        del self._up[worker.directory]
        worker.kill()

    def supervise(self) -> None:
        """What ended by itself is started again, as a supervisor does, and told of at the end: it should not have."""
        for worker in (self.worker, self.second):
            status = None if worker.process is None else worker.process.poll()
            if worker.directory in self._up and status is not None:
                last = worker.log().splitlines()[-1:]
                self.ended.append(f"{worker.directory.name} ended by itself with status {status}: {last}")
                self.note(self.ended[-1])
                self.start(worker)

    def until(self, holds: Callable[[], object], what: Callable[[], object] = str) -> None:
        """Wait for a condition, supervising."""

        def looked() -> object:
            self.supervise()
            return holds()

        until(looked, (), what)

    def note(self, what: str) -> None:
        """Written down and shown, with its time."""
        at = time.monotonic() - self._began
        print(f"{at:7.1f} s  {what}", flush=True)  # noqa: T201
        with self._log.open("a") as file:
            file.write(json.dumps({"at_s": round(at, 1), "what": what}) + "\n")

    def numbers(self) -> dict[str, Any]:
        """What the run came to."""
        told = self.telling.watermarks().values()
        levels: Counter[str] = Counter()
        for one in told:
            levels.update(one["levels"])
        return {
            "seconds": round(time.monotonic() - self._began),
            "steps": self._steps,
            "changes": self.pipeline.shop.changes,
            "cells": sum(sum(one["counts"].values()) for one in told),
            "faults": dict(sorted(self.faults.items())),
            "planted": dict(sorted(self.planter.counts.items())),
            "due": self.truth.due(),
            "false": len(self.false),
            "ended": len(self.ended),
            "levels": dict(levels),
        }

    # ---------------------------------------------------------------- steps

    def _step(self) -> None:
        self._steps += 1
        self.rng, self._load = (
            random.Random(f"{self._seed}.{self._steps}"),
            random.Random(f"{self._seed}.{self._steps}.load"),
        )
        self.planter.rng = self._load
        act = self.rng.choices((self._break, self._lose, self._set_back), (8, 2, 1))[0]
        act()
        self._work(self.rng.uniform(1, 5))

    def _break(self) -> None:
        """One fault, or several of different parts, for a while."""
        chosen = [self.rng.choice(group) for group in FAULTS if self.rng.random() < 0.5]
        with ExitStack() as stack:
            for fault in chosen:
                self._enter(stack, fault)
            self._work(self.rng.uniform(1, LONGEST_S if chosen else 5))
        self._is_broker_up = True
        if chosen:
            self.note("mended")
        self._heal()

    def _enter(self, stack: ExitStack, fault: Fault) -> None:
        what = stack.enter_context(fault(self))
        self._is_broker_up &= fault is not broker_away
        self.faults[fault.__name__] += 1
        self.note(what)

    def _lose(self) -> None:
        """A hand moves a stopped sink's offsets over changes that it has not read."""
        sink = self.any_sink()
        bootstrap, topic = self.pipeline.world.bootstrap, self.pipeline.changes[self.planter.where[sink]]
        with self._unseen():
            self.pipeline.await_committed(sink)
            self.connect.halt(sink)
            before = ends(bootstrap, [topic])
            count = self.planter.lose(sink)
            self.until(lambda: sum(ends(bootstrap, [topic]).values()) >= sum(before.values()) + count)
            after = ends(bootstrap, [topic])
            moved = {place: end for place, end in after.items() if end > before[place]}
            self.connect.move(sink, dict(moved))
            self.connect.resume(sink)
            self.note(f"{sink} was moved past {count} records: {moved} from {[before[place] for place in moved]}")
        self.faults["offsets moved"] += 1

    def _set_back(self) -> None:
        """A hand moves a stopped sink's offsets back: it does again what it did, and shows older rows meanwhile."""
        sink = self.any_sink()
        with self._unseen():
            self.connect.halt(sink)
            done = committed(self.pipeline.world.bootstrap, f"connect-{sink}")
            back = self.rng.randrange(1, 200)
            place = self.rng.choice(sorted(place for place, offset in done.items() if offset))
            to = max(done[place] - back, 0)
            self.connect.move(sink, {place: to})
            self.connect.resume(sink)
            self.note(f"{sink} was set back at {place} from {done[place]} to {to}")
        self.faults["set back"] += 1

    def _unseen(self) -> ExitStack:
        """Sometimes no worker is there meanwhile."""
        stack = ExitStack()
        if self.rng.random() < BLIND:
            self.note("worker killed")
            self.kill(self.worker)
            stack.callback(self.start, self.worker)
        return stack

    def _work(self, seconds: float) -> None:
        """The shop works, and things are planted."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.pipeline.shop.work(self._load.randrange(1, CHANGES_A_TICK))
            if self._load.random() < 0.1:
                self.note(self.planter.anything())
            if self._is_broker_up and self._load.random() < 0.01:
                self.note(self.planter.poison())
            self.supervise()
            self._pause.wait(TICK_S)

    def _look(self) -> None:
        """What is told now and should not be: shown while it is new."""
        found = self.truth.false_alarms()
        for one in found[len(self.false) :]:
            self.note(f"FALSE: {shown(one)}")
        self.false = found

    # ---------------------------------------------------------------- ends

    def _heal(self) -> None:
        """An operator starts again what has failed."""
        names = (self.pipeline.source, *self.pipeline.sinks)

        def is_well() -> bool:
            wanted = [int(self.connect.ask("GET", f"/connectors/{name}/config")["tasks.max"]) for name in names]
            told = [self.connect.status(name) for name in names]
            for name, one in zip(names, told, strict=True):
                if "FAILED" in {one["connector"]["state"], *(task["state"] for task in one["tasks"])}:
                    self.connect.ask("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
            states = [[one["connector"]["state"], *(task["state"] for task in one["tasks"])] for one in told]
            return all(found == ["RUNNING"] * (1 + count) for found, count in zip(states, wanted, strict=True))

        self.until(is_well, lambda: [self.connect.status(name) for name in names])

    def _await_judged(self) -> None:
        """Sinks have done all they will do, and the verifier has judged as far as they have come."""
        self.until(lambda: not self.truth.strangers(), self.truth.strangers)
        for sink in self.pipeline.sinks:
            self.pipeline.await_committed(sink)
        self.until(lambda: not self._unjudged(), self._unjudged)
        deadline = time.monotonic() + LAST_LOOK_S
        while list(self.truth.untold()) and time.monotonic() < deadline:
            self._pause.wait(1)

    def _unjudged(self) -> list[Told]:
        """Where the newest fence is not yet where the sink is."""
        found = self.watch.unjudged()
        return [one for one in found if one["told"] is None or one["told"]["fence"] != one["committed"]]

    def _wrong(self) -> Iterator[str]:
        self._look()
        yield from self.ended
        yield from (f"false alarm: {shown(one)}" for one in self.false)
        yield from (f"not told: {one}" for one in self.truth.untold())
        yield from (f"miscounted: {one}" for one in self.truth.miscounted())
        yield from (f"found beside cells: {one}" for one in self.telling.findings())


def shown(told: Told) -> str:
    """A verdict in a line."""
    names = ("sink", "topic", "partition", "offset", "state", "flags", "closed", "reason", "fence", "fence_origin")
    return ", ".join(f"{name} {told[name]}" for name in names)
