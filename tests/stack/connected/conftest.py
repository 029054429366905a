"""What needs PostgreSQL, a registry and Connect beside the broker: one world for all, in one process (`tests.stack.dealing`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.stack import postgres
from tests.stack.broker import Broker
from tests.stack.world import ConnectWorld, Pipeline


@pytest.fixture(scope="session")
def world(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectWorld]:
    if reason := postgres.is_missing():
        (pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip)(reason)
    with ConnectWorld(broker, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture
def pipeline(world: ConnectWorld, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """One that the test may leave broken; named for the test's place in the run, from which its seed comes, too."""
    number = request.session.items.index(request.node)
    with world.pipeline(f"p{number}", seed=number) as found:
        yield found
