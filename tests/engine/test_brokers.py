"""The embedded broker and registry, as clients see them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.errors import Unavailable

SCHEMA, OTHER, REFUSED = '"string"', '"bytes"', '"long"'
"""Avro reads texts as bytes and the other way round, and neither as a number."""


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as registry:
        yield registry


def ask(registry: EmbeddedRegistry, method: str, path: str, body: object = None) -> tuple[int, Any]:
    request = urllib.request.Request(registry.url + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_topic_has_the_partitions_it_was_given() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("changes", 3)
        topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics

        assert len(topics["changes"].partitions) == 3
        with pytest.raises(Unavailable, match="changes"):
            broker.create_topic("changes", 4)


def test_a_broker_may_be_closed_twice() -> None:
    broker = EmbeddedBroker()
    broker.close()
    broker.close()


def test_a_schema_keeps_its_id(registry: EmbeddedRegistry) -> None:
    first = ask(registry, "POST", "/subjects/a-value/versions", {"schema": SCHEMA})
    again = ask(registry, "POST", "/subjects/b-value/versions", {"schema": SCHEMA})
    other = ask(registry, "POST", "/subjects/a-value/versions", {"schema": OTHER})

    assert first == again == (200, {"id": 1})
    assert other == (200, {"id": 2})
    assert ask(registry, "GET", "/schemas/ids/2") == (200, {"schema": OTHER})
    assert ask(registry, "GET", "/subjects/a-value/versions") == (200, [1, 2])
    assert ask(registry, "GET", "/subjects") == (200, ["a-value", "b-value"])


def test_an_import_keeps_the_id_it_had_elsewhere(registry: EmbeddedRegistry) -> None:
    assert registry.register("a-value", SCHEMA, 40) == 40
    assert registry.register("a-value", OTHER) == 41
    assert registry.register("b-value", SCHEMA) == 40


def test_what_is_unknown_is_answered_as_by_the_real_one(registry: EmbeddedRegistry) -> None:
    status, body = ask(registry, "GET", "/schemas/ids/7")

    assert (status, body["error_code"]) == (404, 40403)
    assert ask(registry, "GET", "/nonsense")[0] == 404
    assert ask(registry, "POST", "/nonsense", {})[0] == 404
    assert ask(registry, "PUT", "/nonsense", {})[0] == 404


def test_what_is_not_compatible_is_said_and_refused(registry: EmbeddedRegistry) -> None:
    path = "/compatibility/subjects/a-value/versions/latest"

    assert ask(registry, "POST", path, {"schema": SCHEMA})[1]["error_code"] == 40401
    ask(registry, "POST", "/subjects/a-value/versions", {"schema": SCHEMA})
    assert ask(registry, "POST", path, {"schema": OTHER}) == (200, {"is_compatible": True, "messages": []})
    status, body = ask(registry, "POST", path, {"schema": REFUSED})
    assert (status, body["is_compatible"], len(body["messages"])) == (200, False, 1)
    status, body = ask(registry, "POST", "/subjects/a-value/versions", {"schema": REFUSED})
    assert (status, body["error_code"]) == (409, 409)
    assert ask(registry, "GET", "/subjects/a-value/versions") == (200, [1])


def test_the_level_of_compatibility_is_what_was_put(registry: EmbeddedRegistry) -> None:
    assert ask(registry, "GET", "/config") == (200, {"compatibilityLevel": "BACKWARD"})
    assert ask(registry, "PUT", "/config", {"compatibility": "FULL"}) == (200, {"compatibility": "FULL"})
    assert ask(registry, "GET", "/config") == (200, {"compatibilityLevel": "FULL"})
