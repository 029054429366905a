"""The main job on a real broker, under load: killed, joined, left, and right all the same."""

from __future__ import annotations

import random
import shutil
import threading
from itertools import zip_longest
from pathlib import Path

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.worker import until

STEPS = 32
KILLS = 20


def test_what_the_oracle_says_and_what_was_planted_is_told_and_nothing_else_after_twenty_kills(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """SIGKILLs at random moments under load; a second worker joins, leaves, joins with an empty disk and dies."""
    rng, pause = random.Random(5), threading.Event()
    deployment = Deployment(broker, registry, tmp_path, "live", seed=5, world=(5, 40))
    with deployment.worker("first", "2s") as first, deployment.worker("second", "2s") as second:
        first.start()
        kills = seen = 0
        for number, _ in enumerate(zip_longest(deployment.load.steps(STEPS), deployment.speak())):
            if kills < KILLS and number % 3:
                if number % 3 == 1:  # every other time it has come as far as to read; else it may still be starting
                    until(lambda seen=seen: first.opened() > seen, [first])
                pause.wait(rng.random())
                first.kill()
                seen = first.opened()
                first.start()
                kills += 1
            if number == 8:
                second.start()
            if number == 16:
                second.stop()
            if number == 20:
                shutil.rmtree(second.state)
                second.start()
            if number == 26:
                second.kill()
        deployment.load.fence_all()
        until(deployment.is_load_judged, [first])
        deployment.check_world([first])

        assert kills == KILLS
        deployment.check_load()


def test_two_hours_that_wait_are_judged_as_the_oracle_says_though_all_lanes_are_read_first(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "hours", seed=6, world=(170, 40))
    for _ in deployment.speak():
        pass
    deployment.load.write_hours(2, steps=12)
    deployment.load.fence_all()
    with deployment.worker("only") as worker:
        worker.start("tests.stack.lanes_first")
        until(deployment.is_load_judged, [worker])
        deployment.check_world([worker])

        deployment.check_load()
