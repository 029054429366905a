"""One real broker for all of these tests; every test has topics and a consumer group of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker, is_missing
from tests.stack.dealing import Dealing

pytest.register_assert_rewrite("tests.stack.deployment")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Dealing:
    """Whatever ``--dist`` says: the connected world is started once."""
    return Dealing(config, log)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if reason := is_missing():
        pytest.skip(reason)
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as found:
        yield found
