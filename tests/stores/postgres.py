"""A PostgreSQL server for tests, from the machine's own binaries."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psycopg

from tests.stores.server import Server
from tests.tiers import program

OWNER, PASSWORD = "postgres", "s3cret-of-the-owner"


def is_missing() -> str | None:
    """What this machine lacks, or None."""
    return None if program("postgres") else "no postgres on this machine"


class Postgres(Server):
    """One server with an owner ``postgres`` and password authentication."""

    def __init__(self) -> None:
        super().__init__("postgres")
        found = program("postgres")
        assert found is not None
        self._binaries = Path(found).resolve().parent
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        self.run(
            self._binaries / "initdb", "-D", self.directory / "data", "-U", OWNER, "-A", "scram-sha-256",
            f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.launch(
            self._binaries / "postgres", "-D", self.directory / "data", "-p", str(self.port), "-c",
            "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.directory}", "-c", "fsync=off", "-c",
            "timezone=Asia/Kathmandu", "-c", "datestyle=German", "-c", "intervalstyle=iso_8601",
            "-c", "bytea_output=escape", "-c", "extra_float_digits=-5",
            is_up=self._is_up,
        )  # fmt: skip

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """The owner's connection."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=OWNER, password=PASSWORD, dbname=database, autocommit=True
        )

    def execute(self, *statements: str) -> None:
        """Run statements as the owner."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the owner reads."""
        with self.connect() as connection:
            return connection.execute(query).fetchall()

    def url(self, user: str = OWNER) -> str:
        """What a store is opened with."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres"

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it at once, in order: SIGINT is its fast shutdown."""
        super().stop(number)

    def _is_up(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
