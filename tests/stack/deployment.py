"""One verifier over a load and a simulated world, and the question whether it told the truth about both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.simulation.compare import differences
from tests.simulation.world import BEFORE
from tests.stack.broker import Broker
from tests.stack.load import SINK, Load
from tests.stack.reading import Telling, Told
from tests.stack.simulated import Simulated, faults, finding_faults, watermark_faults
from tests.stack.worker import CONFIG, Worker, until

LOAD_SINK = """
[sinks.{sink}]
topics = ["{topic}"]
receipts = ["{receipts}"]
late_after = "1h"
commands_per_minute = 1000000
"""


class Deployment:
    """Topics, writers and configuration of one test; ``name`` differs between the tests of one broker.

    Args:
        world: seed and size of a simulated world, if there is to be one: its changes are there at once, its evidence is
            written by its `speak`.
    """

    def __init__(
        self,
        broker: Broker,
        registry: EmbeddedRegistry,
        directory: Path,
        name: str,
        *,
        seed: int,
        world: tuple[int, int] | None = None,
    ) -> None:
        self.broker, self.registry, self.directory = broker, registry, directory
        self.prefix = f"verifier.{name}"
        self.world = None if world is None else Simulated(broker.bootstrap, registry, name, *world)
        self.load = Load(broker.bootstrap, registry, name, seed)
        self.load.create_topics()
        self.telling = Telling(broker.bootstrap, registry, self.prefix)

    def speak(self) -> Iterator[None]:
        """All evidence of the simulated world, piece by piece."""
        return iter(()) if self.world is None else self.world.speak()

    def worker(self, name: str, checkpoint_interval: str = "1m") -> Worker:
        """A worker that is not started yet."""
        directory = self.directory / name
        config = CONFIG.format(
            bootstrap=self.broker.bootstrap,
            registry=self.registry.url,
            state=directory / "state",
            checkpoint_interval=checkpoint_interval,
            name=name,
            prefix=self.prefix,
        )
        topics = [self.load.topic, *(self.world.topics if self.world else ())]
        config += "[source]\ntopics = [" + ", ".join(f'"{topic}"' for topic in topics) + "]\n" + BEFORE + "\n"
        config += LOAD_SINK.format(sink=SINK, topic=self.load.topic, receipts=self.load.receipts)
        return Worker(directory, config + (self.world.sinks_toml if self.world else ""))

    def is_load_judged(self) -> bool:
        """Whether every partition of the load was judged up to its end."""
        told, ends = self.load_watermarks(), self.load.truth.ends
        return told.keys() == ends.keys() and all(
            told[p]["frontier"] == end and told[p]["counts"].get("pending", 0) == 0 for p, end in ends.items()
        )

    def load_watermarks(self) -> dict[int, Told]:
        """By partition."""
        return {one[2]: told for one, told in self.telling.watermarks().items() if one[0] == SINK}

    def of_load(self, told: list[Told]) -> Iterator[Told]:
        """What is about the load."""
        return (one for one in told if one["sink"] == SINK)

    def check_load(self) -> None:
        """What was planted was told, as what it was, and nothing else at any moment; every one of it is commanded once."""
        bad = self.load.truth.bad
        ever = {
            (one["partition"], one["offset"], one["state"].lower()) for one in self.of_load(self.telling.verdicts())
        }
        assert ever == {(*place, state) for place, state in bad.items()}
        commanded = self.commanded()
        assert commanded <= bad.keys()
        assert self.load.newest_bad() <= commanded
        assert self.counted() == self.load.truth.changes

    def commanded(self) -> set[tuple[int, int]]:
        """Changes of the load that a command names, (partition, offset); each under one id."""
        ids: dict[tuple[int, int], str] = {}
        for one in self.of_load(self.telling.commands()):
            for item in one["items"]:
                assert ids.setdefault((one["partition"], item["offset"]), one["id"]) == one["id"]
        return set(ids)

    def counted(self) -> int:
        """Cells of the load, over all states and partitions."""
        return sum(sum(told["counts"].values()) for told in self.load_watermarks().values())

    def check_world(self, workers: list[Worker]) -> None:
        """Everything about the simulated world was told as the oracle says, once all was read; and offline, too."""
        world = self.world
        assert world is not None
        until(lambda: self.telling.is_all_read(world.recording.logs), workers)
        late: list[str] = []

        def is_told() -> bool:
            """What waits for changes that are read again is told after all was read, and moves no watermark."""
            made, said = world.judged(self.directory / "recording", self.prefix)
            late[:] = watermark_faults(made, said, self.telling.watermarks())
            late[:] = late or finding_faults(said, self.telling.findings())
            return not late

        until(is_told, workers, lambda: "\n".join(late))
        for worker in workers:
            if worker.is_running:
                worker.stop()
        found = faults(*world.judged(self.directory / "recording", self.prefix), self.telling)
        assert not found, "\n".join(found)
        found = differences(self.directory / "recording")
        assert not found, "\n".join(found)
