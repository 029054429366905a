"""The verifier beside a pipeline: its configuration, and what it must have told in the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.stack.groups import positions
from tests.stack.reading import Telling, Told
from tests.stack.worker import CONFIG, Worker
from tests.stack.world import ConnectWorld, Pipeline

CONNECT = """probe_interval = "500ms"
[connect]
url = "{url}"
[source]
topics = [{topics}]
"""

SINK = """
[sinks.{sink}]
topics = [{topics}]
connector = "{sink}"
dead_letters = [{letters}]
grace = "1s"
"""


def verifier_config(world: ConnectWorld, pipeline: Pipeline, directory: Path, name: str = "verifier") -> str:
    """TOML for `tests.stack.worker.Worker` that watches both sinks of a pipeline; their progress is all they tell.

    Args:
        directory: the worker's own.
        name: of the worker; its own topics begin with ``<pipeline>.<name>``.
    """
    text = CONFIG.format(
        bootstrap=world.bootstrap,
        registry=world.registry.url,
        state=directory / "state",
        checkpoint_interval="2s",
        name=name,
        prefix=f"{pipeline.name}.{name}",
    )
    text += CONNECT.format(url=world.connect.url, topics=_listed(pipeline.changes.values()))
    for sink in pipeline.sinks:
        letters = [pipeline.dead_letters] if sink == pipeline.sink_b else []
        text += SINK.format(sink=sink, topics=_listed(pipeline.topics(sink)), letters=_listed(letters))
    return text


class Watch:
    """A worker over a pipeline, and what it tells."""

    def __init__(self, pipeline: Pipeline, directory: Path, name: str = "verifier") -> None:
        self.pipeline = pipeline
        world = pipeline.world
        self.worker = Worker(directory / name, verifier_config(world, pipeline, directory / name, name))
        self.telling = Telling(world.bootstrap, world.registry, f"{pipeline.name}.{name}")

    def unjudged(self) -> list[Told]:
        """Watermarks that are not where their sink is, or not there at all."""
        told = self.telling.watermarks()
        found = []
        for sink in self.pipeline.sinks:
            committed = positions(self.pipeline.world.bootstrap, f"connect-{sink}", self.pipeline.topics(sink))
            for (topic, partition), offset in committed.items():
                one = told.get((sink, topic, partition))
                if offset and (one is None or one["frontier"] != offset or one["settled_watermark"] != offset):
                    found.append(
                        {"sink": sink, "topic": topic, "partition": partition, "committed": offset, "told": one}
                    )
        return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
