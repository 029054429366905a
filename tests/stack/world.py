"""A real world to watch: PostgreSQL, a registry and Connect beside the broker, and pipelines of Debezium's connectors in it.

The world is started once; each test has a `Pipeline` of its own in it: databases, connectors and topics that it may break.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.stack import connectors
from tests.stack.apicurio import Apicurio
from tests.stack.broker import Broker
from tests.stack.connect import Connect
from tests.stack.groups import behind
from tests.stack.postgres import Postgres
from tests.stack.shop import KEYS, TABLES, Shop, definition
from tests.stack.worker import until

UNAVAILABLE = "__debezium_unavailable_value"

SHOWN = 5
"""Rows of a table that a failure shows."""

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
"""A table's rows by key."""


class ConnectWorld:
    """Everything but the broker; a context manager that leaves no process behind.

    Attributes:
        seconds: what each step of the start took; they overlap.
    """

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.bootstrap = broker.bootstrap
        self.postgres = Postgres(directory)
        self.registry = Apicurio(directory)
        self.connect = Connect(directory, broker.bootstrap)
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        parts = {"connect": self.connect, "registry": self.registry, "postgres": self.postgres}
        began = time.monotonic()
        try:
            for part in parts.values():  # side by side, the slowest first
                part.begin()
            for name, part in reversed(parts.items()):
                part.await_up()
                self.seconds[name] = time.monotonic() - began
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in (self.connect, self.registry, self.postgres):
            part.stop()

    @contextmanager
    def pipeline(self, name: str, seed: int = 1) -> Iterator[Pipeline]:
        """A pipeline that runs, and is gone afterwards; ``name`` is of small letters, digits and ``_``."""
        found = Pipeline(self, name, seed)
        try:
            found.lay()
            yield found
        finally:
            found.remove()


class Pipeline:
    """One shop's database, its source, two sinks with a database each, and a source on the first sink's database.

    Attributes:
        changes: its change topics by table.
        sink_a: keeps every table but notes, with deletes.
        sink_b: keeps every table but documents, behind a transform; deletes are marks; has a dead letter topic.
        receipts: the prefix of the topics that tell what happened in the first sink's database.
    """

    def __init__(self, world: ConnectWorld, name: str, seed: int) -> None:
        self.world = world
        self.name = name
        self.source, self.sink_a, self.sink_b = f"{name}_shop", f"{name}_sink_a", f"{name}_sink_b"
        self.dead_letters = f"{name}.dead_letters"
        self.receipts = f"{name}_receipts"
        self.changes = {table: f"{self.source}.public.{table}" for table in TABLES}
        self.tables = {
            self.sink_a: {table: table for table in TABLES if table != "notes"},
            self.sink_b: {table: self.changes[table].replace(".", "_") for table in TABLES if table != "documents"},
        }
        self._seed = seed
        self._connection: Any = None
        self.shop: Shop

    @property
    def sinks(self) -> tuple[str, str]:
        """The names of both, of their connectors and of their databases."""
        return self.sink_a, self.sink_b

    def topics(self, sink: str) -> list[str]:
        """What a sink consumes."""
        return [self.changes[table] for table in self.tables[sink]]

    def lay(self) -> None:
        """Make databases and tables, begin the shop, start the connectors and wait until its first rows have arrived.

        A source that is killed in its snapshot begins it again, and tells nobody of what was deleted in between: only from
        here on do sinks hold what the source holds, whatever is killed.
        """
        postgres, registry, connect = self.world.postgres, self.world.registry, self.world.connect
        for database in (self.source, *self.sinks):
            postgres.create_database(database)
        for sink, tables in self.tables.items():
            more = connectors.MARKS if sink == self.sink_b else ""
            for table, kept_as in tables.items():
                postgres.sql(sink, definition(table, kept_as, more))
        self._connection = postgres.connect(self.source, is_autocommit=False)
        self.shop = Shop(self._connection, self._seed)
        self.shop.open()
        topics_a, topics_b = self.topics(self.sink_a), self.topics(self.sink_b)
        configs = {
            self.source: connectors.source(postgres, registry, self.source, self.source),
            self.sink_a: connectors.upserting(postgres, registry, self.sink_a, topics_a),
            self.sink_b: connectors.marking(postgres, registry, self.sink_b, topics_b, self.dead_letters),
            self.receipts: connectors.source(postgres, registry, self.sink_a, self.receipts),
        }
        for name, config in configs.items():
            connect.put(name, config)
        connect.await_running(*configs)
        self.await_arrived()
        until(lambda: all(map(self._has_snapshot, (self.source, self.receipts))), (), lambda: self._why(self.sink_a))

    def remove(self) -> None:
        """Take connectors and databases away; the topics stay, for nobody reads them again."""
        if self._connection is not None:
            self._connection.close()
        for name in (self.source, *self.sinks, self.receipts):
            self.world.connect.delete(name)
        for database in (self.source, *self.sinks):
            self.world.postgres.drop_database(database)

    def differences(self, sink: str) -> dict[str, Mapping[tuple[Any, ...], object]]:
        """Rows of a sink that are not as the source has them, (source's, sink's) by key, by table; None for no row.

        A document whose last change left its body as it was is there with a placeholder: that is what its event had.
        """
        found = {}
        for table in self.tables[sink]:
            wanted, has = self._expected(table), self.rows(sink, table)
            wrong = {key: (wanted.get(key), has.get(key)) for key in wanted.keys() | has.keys()}
            found[table] = {key: pair for key, pair in wrong.items() if pair[0] != pair[1]}
        return {table: wrong for table, wrong in found.items() if wrong}

    def rows(self, database: str, table: str) -> Rows:
        """The rows of a table of the source or of a sink (by the source's name); what is marked as deleted is not there."""
        kept_as, only = table, ""
        if database in self.tables:
            kept_as = self.tables[database][table]
            only = " where __deleted is distinct from 'true'" if database == self.sink_b else ""
        found = self.world.postgres.sql(database, f"select {', '.join(TABLES[table])} from {kept_as}{only}")
        return {row[: len(KEYS[table])]: row for row in found}

    def await_arrived(self, *sinks: str) -> None:
        """Wait until sinks (both, unless they are named) hold what the source holds, and have committed all they read."""
        for sink in sinks or self.sinks:
            until(lambda sink=sink: not self.differences(sink), (), lambda sink=sink: self._why(sink))
            self.await_committed(sink)

    def await_committed(self, sink: str) -> None:
        """Wait until a sink has committed everything there is for it, whatever became of it."""
        until(lambda: not self.behind(sink), (), lambda: self._why(sink))

    def behind(self, sink: str) -> dict[tuple[str, int], int]:
        """What a sink has not committed; see `tests.stack.groups.behind`."""
        return behind(self.world.bootstrap, f"connect-{sink}", self.topics(sink))

    def _has_snapshot(self, source: str) -> bool:
        """Whether a source's committed position says that its snapshot is complete."""
        told = self.world.connect.ask("GET", f"/connectors/{source}/offsets")["offsets"]
        return bool(told) and all(one["offset"].get("snapshot_completed", True) for one in told)

    def _expected(self, table: str) -> Rows:
        rows = self.rows(self.source, table)
        if table != "documents":
            return rows
        return {key: self._as_told(row) for key, row in rows.items()}

    def _as_told(self, document: tuple[Any, ...]) -> tuple[Any, ...]:
        number, title, body, version = document
        is_told = uuid.UUID(str(number)) not in self.shop.untouched
        return number, title, body if is_told else UNAVAILABLE, version

    def _why(self, sink: str) -> object:
        """What to look at where something did not arrive."""
        status = {name: self.world.connect.status(name) for name in (self.source, sink)}
        wrong = {table: list(rows)[:SHOWN] for table, rows in self.differences(sink).items()}
        return {"status": status, "differences": wrong, "behind": self.behind(sink)}


logging.getLogger("httpx").setLevel(logging.WARNING)
