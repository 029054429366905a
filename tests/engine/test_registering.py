"""Our schemas at the start: asked for first, registered then, and refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

import schemas
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.registry import Registry, subject_of
from app.errors import ConfigError, Unavailable

OURS = {name: schemas.text(name) for name in ("Verdict", "Seal")}


@pytest.fixture
def embedded() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as registry:
        yield registry


def with_one_more_field(text: str) -> str:
    """As a later version would have it that breaks the rules: no default."""
    schema = json.loads(text)
    schema["fields"].append({"name": "added", "type": "string"})
    return json.dumps(schema)


async def test_an_empty_registry_takes_every_schema(embedded: EmbeddedRegistry) -> None:
    ids = await Registry(embedded.url).register(OURS)

    assert ids.keys() == OURS.keys()
    assert embedded.subjects() == sorted(map(subject_of, OURS))


async def test_what_stands_there_already_is_taken_again(embedded: EmbeddedRegistry) -> None:
    ids = await Registry(embedded.url).register(OURS)

    assert await Registry(embedded.url).register(OURS) == ids
    assert [len(embedded.versions(subject)) for subject in embedded.subjects()] == [1, 1]


async def test_schemas_that_are_not_compatible_are_named_all_at_once_with_what_to_do(
    embedded: EmbeddedRegistry,
) -> None:
    embedded.compatibility = "FULL"
    for name, text in OURS.items():
        embedded.register(subject_of(name), with_one_more_field(text))

    with pytest.raises(ConfigError) as raised:
        await Registry(embedded.url).register(OURS)

    assert [problem.split(": the ")[0] for problem in raised.value.problems] == [
        "registry: subject cdc_verifier.Verdict",
        "registry: subject cdc_verifier.Seal",
    ]
    assert all("/added" in problem and "schemas/README.md" in problem for problem in raised.value.problems)


async def test_nothing_is_registered_where_one_is_refused(embedded: EmbeddedRegistry) -> None:
    embedded.compatibility = "FULL"
    embedded.register(subject_of("Seal"), with_one_more_field(OURS["Seal"]))

    with pytest.raises(ConfigError):
        await Registry(embedded.url).register(OURS)

    assert embedded.subjects() == [subject_of("Seal")]


async def test_asking_alone_names_what_would_be_refused_and_registers_nothing(embedded: EmbeddedRegistry) -> None:
    embedded.compatibility = "FULL"
    assert await Registry(embedded.url).refusals(OURS) == []
    embedded.register(subject_of("Seal"), with_one_more_field(OURS["Seal"]))

    (told,) = await Registry(embedded.url).refusals(OURS)

    assert told.startswith("registry: subject cdc_verifier.Seal: the registry refuses this version's schema")
    assert embedded.subjects() == [subject_of("Seal")]


async def test_asking_alone_does_not_wait_for_a_registry_that_is_away(embedded: EmbeddedRegistry) -> None:
    embedded.close()

    with pytest.raises(Unavailable, match="does not answer"):
        await Registry(embedded.url).refusals(OURS)


async def test_a_refusal_of_registering_is_told_too(
    embedded: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question and the registering somebody else may have registered."""
    embedded.compatibility = "FULL"
    embedded.register(subject_of("Seal"), with_one_more_field(OURS["Seal"]))
    registry = Registry(embedded.url)

    async def asks_nothing(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(registry, "_refusal", asks_nothing)
    with pytest.raises(ConfigError, match=r"subject cdc_verifier\.Seal: .*incompatible"):
        await registry.register(OURS)


def answering(monkeypatch: pytest.MonkeyPatch, status: int, body: object) -> Registry:
    """A registry whose every answer is the same."""
    registry = Registry("http://registry", username="verifier", password="hidden")

    class Client:
        async def request(self, *_: object, **__: object) -> httpx.Response:
            return httpx.Response(status, json=body)

    monkeypatch.setattr(registry, "_client", Client)
    return registry


async def test_a_registry_that_does_not_let_us_in_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = answering(monkeypatch, 403, {"error_code": 40301, "message": "User verifier is denied"})

    with pytest.raises(ConfigError, match=r"User verifier is denied.*registry\.username") as raised:
        await registry.register(OURS)

    assert len(raised.value.problems) == len(OURS)
    assert "hidden" not in str(raised.value)


async def test_an_answer_that_says_nothing_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = answering(monkeypatch, 200, {"something": "else"})

    with pytest.raises(Unavailable):
        await registry._refusal("Seal", OURS["Seal"])
