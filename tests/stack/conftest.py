"""One real broker for all of these tests; every test has topics and a consumer group of its own.

What needs Connect and PostgreSQL, too, asks for `world`: those tests are one group, which one process runs
(``--dist loadgroup``), so that the world is started once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack import postgres
from tests.stack.broker import Broker, is_missing
from tests.stack.world import ConnectWorld

pytest.register_assert_rewrite("tests.stack.deployment")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the world's tests in one process; before xdist looks at the groups."""
    for item in items:
        if "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("world"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if reason := is_missing():
        pytest.skip(reason)
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def world(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectWorld]:
    if reason := postgres.is_missing():
        (pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip)(reason)
    with ConnectWorld(broker, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as found:
        yield found
