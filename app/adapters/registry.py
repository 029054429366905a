"""A live schema registry: writer schemas by id, fetched ahead of use; our own schemas, registered at the start.

The decoders ask `Registry.get`, which never waits; `fetch` waits for what they will ask. A registry that is away means
waiting with growing pauses. An id that it does not know, or whose schema is no Avro, means undecodable; a 404 that says
nothing of schemas (a wrong address, a proxy) is no such answer and means waiting, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import httpx
from schema_registry.client import AsyncSchemaRegistryClient

from app.decode.schemas import Schema, UnknownSchema
from app.errors import BadInput, ConfigError, Unavailable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
TIMEOUT_S = 10.0
NOT_FOUND = 404
UNKNOWN_CODES = range(40_400, 40_500)
"""``error_code`` of a registry's own "not found": 40401 is a subject's, 40402 a version's, 40403 a schema's."""
NO_RIGHTS = (401, 403)
REFUSED = (*NO_RIGHTS, 409, 422)
"""Answers that do not change by asking again."""
SHOWN = 500
"""Characters of a registry's answer that a message shows."""


class _NoSchema(NamedTuple):
    """A final answer that is no schema: None for an unknown id, else why it can't be used."""

    reason: str | None


class Registry:
    """Caches every answer for ever, since ids are never given again.

    Args:
        url: its address; username, password: basic authentication.
        on_error: called at each failed request (a counter).
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._auth = None if username is None else httpx.BasicAuth(username, password or "")
        self._tls = httpx.create_ssl_context()  # one for all requests: making it takes some 25 ms of CPU
        self._on_error = on_error
        self._known: dict[int, Schema | _NoSchema] = {}

    def get(self, schema_id: int) -> Schema:
        """A schema that `fetch` was asked for; see `app.decode.schemas.SchemaSource`."""
        if schema_id not in self._known:
            raise Unavailable(f"schema {schema_id} was not fetched from the registry yet")
        schema = self._known[schema_id]
        if not isinstance(schema, _NoSchema):
            return schema
        if schema.reason is None:
            raise UnknownSchema(schema_id)
        raise BadInput(f"schema id {schema_id} {schema.reason}")

    async def fetch(self, schema_ids: Iterable[int]) -> None:
        """Get what is not known yet; waits as long as the registry is away, with growing pauses."""
        for schema_id in sorted(set(schema_ids) - self._known.keys()):
            self._known[schema_id] = await self._patiently(f"schema {schema_id}", partial(self._lookup, schema_id))

    async def register(self, schemas: Mapping[str, str]) -> dict[str, int]:
        """Ids of our own schemas, by name; the subject is the record's full name.

        Asks first whether each may follow what stands there, so that nothing is registered where something is wrong.

        Raises:
            ConfigError: the registry refuses some of them; every refusal with its subject, its reason and what to do.
        """
        problems: list[str] = []
        for name, schema in schemas.items():
            problems += await self._patiently(name, partial(self._refusal, name, schema))
        if problems:
            raise ConfigError(problems)
        return {name: await self._patiently(name, partial(self._register, name, schemas[name])) for name in schemas}

    async def refusals(self, schemas: Mapping[str, str]) -> list[str]:
        """Why the registry would refuse schemas of ours; asked once, and nothing is registered.

        Raises:
            Unavailable: it does not tell.
        """
        problems: list[str] = []
        try:
            for name, schema in schemas.items():
                problems += await self._refusal(name, schema)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the registry at {self._url} does not answer: {type(error).__name__}: {error}"
            ) from error
        return problems

    async def _patiently(self, what: str, ask: Callable[[], Any]) -> Any:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except (httpx.HTTPError, Unavailable) as error:
                self._on_error()
                logger.warning("the registry does not answer for %s, next try in %.1f s: %r", what, pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _lookup(self, schema_id: int) -> Schema | _NoSchema:
        """By plain request: the client's own look-up parses the schema, and some of Debezium's are illegal Avro."""
        if schema_id < 0:  # damaged framing: no registry gives such an id, and not all answer for it
            return _NoSchema(None)
        client = self._client()
        url, method = client.url_manager.url_for("get_by_id", schema_id=schema_id)
        answer = await client.request(url, method=method)
        body = _json_of(answer)
        if answer.status_code == NOT_FOUND and body.get("error_code") in UNKNOWN_CODES:
            return _NoSchema(None)
        if answer.is_error or not isinstance(body.get("schema"), str):
            raise Unavailable(f"status {answer.status_code}: {answer.text[:200]!r}")
        try:
            schema: Schema = json.loads(body["schema"])
        except (ValueError, RecursionError):
            return _NoSchema(f"is no Avro but {body.get('schemaType', 'no JSON')}")
        return schema

    async def _refusal(self, name: str, schema: str) -> list[str]:
        """Why a schema may not become its subject's next version: one problem, or none."""
        subject = subject_of(name)
        url = f"{self._url}/compatibility/subjects/{subject}/versions/latest?verbose=true"
        answer = await self._client().request(url, method="POST", body={"schema": schema})
        body = _json_of(answer)
        if answer.status_code == NOT_FOUND and body.get("error_code") in UNKNOWN_CODES:
            return []  # nothing stands there yet
        if answer.status_code in REFUSED:
            return [_refused(subject, answer)]
        if answer.is_error or not isinstance(body.get("is_compatible"), bool):
            raise Unavailable(f"status {answer.status_code}: {answer.text[:200]!r}")
        return [] if body["is_compatible"] else [_refused(subject, answer)]

    async def _register(self, name: str, schema: str) -> int:
        subject = subject_of(name)
        client = self._client()
        url, method = client.url_manager.url_for("register", subject=subject)
        answer = await client.request(url, method=method, body={"schema": schema})
        if answer.status_code in REFUSED:
            raise ConfigError([_refused(subject, answer)])
        if answer.is_error:
            raise Unavailable(f"status {answer.status_code}: {answer.text[:200]!r}")
        return int(answer.json()["id"])

    def _client(self) -> AsyncSchemaRegistryClient:
        client = AsyncSchemaRegistryClient(url=self._url, auth=self._auth, timeout=httpx.Timeout(TIMEOUT_S))
        client.client_kwargs["verify"] = self._tls
        return client


def subject_of(name: str) -> str:
    """The subject that a record of ours is registered under: its full name."""
    return f"cdc_verifier.{name}"


def _refused(subject: str, answer: httpx.Response) -> str:
    """One refusal as people read it."""
    body = _json_of(answer)
    said = (
        body.get("messages")
        or body.get("message")
        or body.get("reason")
        or answer.text[:SHOWN]
        or f"status {answer.status_code}"
    )
    why = "; ".join(map(str, said)) if isinstance(said, list) else str(said)
    if answer.status_code in NO_RIGHTS:
        return (
            f"registry: subject {subject}: the registry does not let us in (status {answer.status_code}: {why[:SHOWN]}). Set "
            "registry.username and registry.password to an account that may read and write the subjects cdc_verifier.*"
        )
    return (
        f"registry: subject {subject}: the registry refuses this version's schema: {why[:SHOWN]}. If a newer verifier has "
        "registered it, start that version; if something else writes to this subject, move it away; if the schema was "
        "changed here, schemas/README.md has the rules for that"
    )


def _json_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object that an answer holds, an empty one where it holds none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
