"""One real broker for all of these tests; every test has topics and a consumer group of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker, is_missing

pytest.register_assert_rewrite("tests.stack.deployment")


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
