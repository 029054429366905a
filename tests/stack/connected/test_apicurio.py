"""Schemas of ours and of the source's in Apicurio, through the part of its API that is Confluent's."""

from __future__ import annotations

import json

import httpx
import pytest

from app.adapters.registry import Registry, subject_of
from app.decode.schemas import UnknownSchema
from app.errors import ConfigError
from cdc_receipts.codec import SCHEMAS
from tests.stack.world import ConnectWorld

UNKNOWN = 1 << 30


async def test_what_is_registered_is_there_by_id_and_registering_it_again_gives_the_same_id(
    world: ConnectWorld,
) -> None:
    registry = Registry(world.registry.url)

    ids = await registry.register(SCHEMAS)
    await registry.fetch(ids.values())

    assert {name: registry.get(number) for name, number in ids.items()} == {
        name: json.loads(schema) for name, schema in SCHEMAS.items()
    }
    assert await Registry(world.registry.url).register(SCHEMAS) == ids


async def test_an_id_that_it_does_not_know_is_unknown(world: ConnectWorld) -> None:
    registry = Registry(world.registry.url)

    await registry.fetch([UNKNOWN])

    with pytest.raises(UnknownSchema):
        registry.get(UNKNOWN)


async def test_a_refusal_says_why_in_words(world: ConnectWorld) -> None:
    """Where another registry tells a list of messages, this one tells a reason."""
    first, other = (_record(kind) for kind in ("int", "string"))
    registry = Registry(world.registry.url)
    await registry.register({"refused": first})
    config = f"{world.registry.url}/config/{subject_of('refused')}"
    async with httpx.AsyncClient() as client:
        assert (await client.put(config, json={"compatibility": "BACKWARD"})).is_success

    with pytest.raises(ConfigError, match="refuses this version's schema: Incompatible artifact"):
        await registry.register({"refused": other})


def _record(kind: str) -> str:
    return json.dumps({"type": "record", "name": "refused", "namespace": "x", "fields": [{"name": "a", "type": kind}]})
