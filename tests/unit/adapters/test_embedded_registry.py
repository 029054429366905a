"""The embedded registry over HTTP, as another process sees it."""

from __future__ import annotations

import httpx

from app.adapters.brokers.registry import EmbeddedRegistry

SCHEMA = '{"type": "string"}'


def test_a_schema_that_is_posted_with_an_id_stands_under_it() -> None:
    with EmbeddedRegistry() as registry:
        answer = httpx.post(f"{registry.url}/subjects/a/versions", json={"schema": SCHEMA, "id": 77})

        assert answer.json() == {"id": 77}
        assert httpx.get(f"{registry.url}/schemas/ids/77").json() == {"schema": SCHEMA}
        assert registry.register("b", SCHEMA) == 77


def test_it_listens_where_it_is_told_to() -> None:
    with EmbeddedRegistry("127.0.0.2") as registry:
        assert registry.url.startswith("http://127.0.0.2:")
        assert httpx.get(f"{registry.url}/subjects").json() == []
