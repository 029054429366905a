"""A MariaDB server for tests, from the machine's own binaries."""

from __future__ import annotations

import os
from typing import Any

import pymysql

from tests.stores.server import Server
from tests.tiers import program

OWNER, PASSWORD = "owner", "s3cret-of-the-owner"


def is_missing() -> str | None:
    """What this machine lacks, or None."""
    lacking = [name for name in ("mariadbd", "mariadb-install-db") if program(name) is None]
    return f"no {' and no '.join(lacking)} on this machine" if lacking else None


class MariaDb(Server):
    """One server with the database ``shop`` and password authentication."""

    def __init__(self) -> None:
        super().__init__(None)
        self._options = [f"--datadir={self.directory / 'data'}", *(["--user=root"] if os.geteuid() == 0 else [])]
        install = program("mariadb-install-db")
        assert install is not None
        self.run(
            install, "--no-defaults", *self._options, "--auth-root-authentication-method=normal", "--skip-test-db",
            "--skip-name-resolve",
        )  # fmt: skip
        self._is_new = True

    def start(self) -> None:
        """Start it and wait until it answers."""
        server = program("mariadbd")
        assert server is not None
        self.launch(
            server, "--no-defaults", *self._options, f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--socket={self.directory / 'socket'}", f"--pid-file={self.directory / 'pid'}", "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=2", "--innodb-fast-shutdown=2", "--default-time-zone=+05:45",
            "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH", "--character-set-server=latin1",
            is_up=self._is_up,
        )  # fmt: skip
        if self._is_new:
            with self.connect("root", "", None) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE USER {OWNER}@'%%' IDENTIFIED BY %s", (PASSWORD,))
                cursor.execute(f"GRANT ALL ON *.* TO {OWNER}@'%' WITH GRANT OPTION")
                cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
            self._is_new = False

    def connect(self, user: str = OWNER, password: str = PASSWORD, database: str | None = "shop") -> Any:
        """The owner's connection."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, charset="utf8mb4",
            autocommit=True, sql_mode="",
        )  # fmt: skip

    def execute(self, *statements: str) -> None:
        """Run statements as the owner."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, query: str) -> Any:
        """What the owner reads."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def url(self, user: str = OWNER) -> str:
        """What a store is opened with."""
        return f"mysql://{user}@127.0.0.1:{self.port}/shop"

    def _is_up(self) -> bool:
        try:
            self.connect("root", "", None).close()
        except pymysql.MySQLError:
            return False
        return True
