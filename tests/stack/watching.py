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


STORE = """store = "postgresql://{role}@127.0.0.1:{port}/{sink}"
expect = "latest-state"
sets = "every-column"
second_look = "1s"
"""
"""What a sink's contract says besides, where its rows are read back."""

LOG = """change_log = ["/{prefix}[.]public[.].*/"]
change_log_wait = "40s"
expect = "latest-state"
sets = "every-column"
second_look = "1s"
"""
"""What the first sink's contract says besides, where its own change log is evidence."""

ROLE = "reader"
"""May SELECT in the sinks' databases, and nothing else."""


def verifier_config(
    world: ConnectWorld,
    pipeline: Pipeline,
    directory: Path,
    name: str = "verifier",
    *,
    has_stores: bool = False,
    has_log: bool = False,
) -> str:
    """TOML for `tests.stack.worker.Worker` that watches both sinks of a pipeline; their progress is all they tell.

    Args:
        directory: the worker's own.
        name: of the worker; its own topics begin with ``<pipeline>.<name>``.
        has_stores: the sinks' rows are read back.
        has_log: the first sink's change log is evidence.
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
        if has_stores:
            _allow(world, sink)
            text += STORE.format(role=ROLE, port=world.postgres.port, sink=sink)
        elif has_log and sink == pipeline.sink_a:
            text += LOG.format(prefix=pipeline.receipts)
        if sink == pipeline.sink_a:
            text += 'table_name = "${source.table}"\ntruncates = "apply"\n'
        elif has_stores:
            text += 'deletes = "soft"\n'
    return text


def _allow(world: ConnectWorld, database: str) -> None:
    roles = [name for (name,) in world.postgres.sql("postgres", "select rolname from pg_roles")]
    if ROLE not in roles:
        world.postgres.sql("postgres", f"create role {ROLE} login")
    world.postgres.sql(database, f"grant select on all tables in schema public to {ROLE}")


def keep_what_is_deleted(pipeline: Pipeline) -> None:
    """Deletes hold the row as it was (REPLICA IDENTITY FULL), so that what is marked as deleted keeps its columns."""
    for table in pipeline.changes:
        if table != "documents":
            pipeline.world.postgres.sql(pipeline.source, f"alter table {table} replica identity full")


class Watch:
    """A worker over a pipeline, and what it tells."""

    def __init__(
        self,
        pipeline: Pipeline,
        directory: Path,
        name: str = "verifier",
        *,
        has_stores: bool = False,
        has_log: bool = False,
        program: str = "app.cli.main",
    ) -> None:
        self.pipeline = pipeline
        world = pipeline.world
        config = verifier_config(world, pipeline, directory / name, name, has_stores=has_stores, has_log=has_log)
        self.worker = Worker(directory / name, config, program)
        self.telling = Telling(world.bootstrap, world.registry, f"{pipeline.name}.{name}")

    def unjudged(self, but: Iterable[str] = ()) -> list[Told]:
        """Watermarks that are not where their sink is, or not there at all; of all topics but some."""
        told = self.telling.watermarks()
        found = []
        for sink in self.pipeline.sinks:
            committed = positions(self.pipeline.world.bootstrap, f"connect-{sink}", self.pipeline.topics(sink))
            for (topic, partition), offset in committed.items():
                one = told.get((sink, topic, partition))
                if topic in but:
                    continue
                if offset and (one is None or one["frontier"] != offset or one["settled_watermark"] != offset):
                    found.append(
                        {"sink": sink, "topic": topic, "partition": partition, "committed": offset, "told": one}
                    )
        return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
