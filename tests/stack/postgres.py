"""A PostgreSQL server of the tests' own: Debian's programs, a new cluster in a directory, a free port, logical decoding."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.stack.child import Child, free_port
from tests.stack.process import wait_until

PROGRAMS = "/usr/lib/postgresql"
USER = "postgres"
INITDB_S = 60.0

SETTINGS = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_wal_senders = 32
max_replication_slots = 32
max_connections = 150
shared_buffers = 32MB
fsync = off
timezone = 'UTC'
"""
"""What is lost with the machine is lost: no fsync."""


def is_missing() -> str | None:
    """What this machine lacks for a PostgreSQL server, or None."""
    return None if _programs() else "no PostgreSQL server on this machine (Debian's package postgresql)"


class Postgres:
    """One server over a new directory of its own; it refuses to be root, so root becomes the user postgres."""

    def __init__(self, log_directory: Path) -> None:
        self.port = free_port()
        self._identity: dict[str, Any] = {"cwd": "/"}
        self._data = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own directories are closed to other users
        if os.geteuid() == 0:
            self._identity |= {"user": USER, "group": USER, "extra_groups": []}
            shutil.chown(self._data, USER, USER)
        self._child = Child("postgres", log_directory, **self._identity)

    def begin(self) -> None:
        """Make the cluster and start the server, and don't wait for it."""
        programs = _programs()
        assert programs is not None
        told = ["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D", str(self._data)]
        subprocess.run(
            [programs / "initdb", *told], check=True, stdout=subprocess.DEVNULL, timeout=INITDB_S, **self._identity
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(port=self.port))
        self._child.begin([str(programs / "postgres"), "-D", str(self._data)])

    def await_up(self) -> None:
        """Wait until it answers."""
        self._child.await_up(self._is_up)

    def stop(self) -> None:
        """Stop it at once: nobody will read its data again."""
        self._child.end(signal.SIGQUIT)
        shutil.rmtree(self._data, ignore_errors=True)

    def connect(self, database: str = USER, *, is_autocommit: bool = True) -> psycopg.Connection[Any]:
        """A connection to one database."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=database, autocommit=is_autocommit, connect_timeout=5
        )

    def sql(self, database: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement (or several without values); the rows of a query, else none."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> None:
        """An empty one."""
        self.sql(USER, f'create database "{name}"')

    def drop_database(self, name: str) -> None:
        """With its replication slots, and whoever is connected to it is cut off; a connector that ends may come once more."""
        active = "select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active"

        def is_dropped() -> bool:
            self.sql(USER, active, [name])
            with suppress(psycopg.errors.ObjectInUse):
                self.sql(USER, f'drop database if exists "{name}" with (force)')
                return True
            return False

        wait_until(is_dropped, f"database {name} is dropped")

    def _is_up(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.sql(USER, "select 1")
            return True
        return False


def _programs() -> Path | None:
    """The newest server's programs."""
    found = [path.parent for path in Path(PROGRAMS).glob("*/bin/postgres") if path.parts[-3].isdigit()]
    return max(found, key=lambda path: int(path.parts[-2]), default=None)
