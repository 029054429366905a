"""One server of each kind for all of these tests; every test has tables of its own. What may be killed is another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores import mariadb, postgres
from tests.stores.mariadb import MariaDb
from tests.stores.postgres import Postgres


@pytest.fixture(scope="session")
def pg() -> Iterator[Postgres]:
    if reason := postgres.is_missing():
        pytest.skip(reason)
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def maria() -> Iterator[MariaDb]:
    if reason := mariadb.is_missing():
        pytest.skip(reason)
    server = MariaDb()
    try:
        server.start()
        yield server
    finally:
        server.stop()
