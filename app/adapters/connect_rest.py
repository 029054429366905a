"""A small client of Kafka Connect's REST API: what connectors there are, how they are, where they stand.

It only looks. Every question is bounded: so many tries, each with a time limit. What does not answer in time, or not with
what the API says, is `Unavailable`, with the address and without credentials; a connector that is not there is None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from app.errors import Unavailable
from app.evidence.connector import Report, report_of

TRIES = 2
PAUSE_S = 0.2
TIMEOUT_S = 3.0
"""A worker of Connect that is well answers in milliseconds, and a look must not hold up the next one."""
SHOWN = 200
"""Characters of an answer that a message shows."""
NOT_FOUND = 404
NO_SUCH_PATH = "HTTP 404 Not Found"
"""What Connect says of a path that its version does not have; of a connector that it does not have it says more."""
NO_RIGHTS = (401, 403)


class ConnectClient:
    """Asks one address; Connect's workers forward among themselves.

    Args:
        url: its address; username, password: basic authentication.
        on_answer: told after each question whether it was answered (a gauge and a counter).
        transport: what carries requests; tests give their own.
        sleep: between tries.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        on_answer: Callable[[bool], None] = lambda _: None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._auth = None if username is None else httpx.BasicAuth(username, password or "")
        self._tls = httpx.create_ssl_context()  # one for all requests: making it takes some 25 ms of CPU
        self._on_answer = on_answer
        self._transport = transport
        self._sleep = sleep
        self.date: str | None = None
        """What its clock said with the last answer, as HTTP writes times."""

    async def status(self, connector: str) -> Report | None:
        """How a connector and its tasks are; None where there is no such connector.

        Raises:
            Unavailable: Connect does not tell.
        """
        path = f"/connectors/{quote(connector, safe='')}/status"
        answer = await self._ask(path)
        if answer is None:
            return None
        try:
            return report_of(answer)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"Connect at {self._url}{path} answered what is no status: {error!r}") from error

    async def offsets(self, connector: str) -> dict[tuple[str, int], int] | None:
        """Committed offsets of a sink connector by (topic, partition); None where there is no such connector.

        A partition without a commit is not there, which is "nothing known", and so is every partition of a connector that
        failed before its first commit.

        Raises:
            Unavailable: Connect does not tell; versions before 3.5 have no such question.
        """
        path = f"/connectors/{quote(connector, safe='')}/offsets"
        answer = await self._ask(path)
        if answer is None:
            return None
        try:
            return {
                (str(entry["partition"]["kafka_topic"]), int(entry["partition"]["kafka_partition"])): int(
                    entry["offset"]["kafka_offset"]
                )
                for entry in answer["offsets"]
                if entry["offset"] is not None
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"Connect at {self._url}{path} answered what are no sink's offsets: {error!r}") from error

    async def config(self, connector: str) -> dict[str, str] | None:
        """A connector's configuration, which may hold secrets; None where there is no such connector.

        Raises:
            Unavailable: Connect does not tell.
        """
        path = f"/connectors/{quote(connector, safe='')}/config"
        answer = await self._ask(path)
        if answer is not None and not isinstance(answer, Mapping):
            raise Unavailable(f"Connect at {self._url}{path} answered what is no configuration")
        return None if answer is None else {str(key): str(value) for key, value in answer.items()}

    async def connectors(self) -> list[str]:
        """The names of all connectors, sorted.

        Raises:
            Unavailable: Connect does not tell.
        """
        answer = await self._ask("/connectors")
        if not isinstance(answer, list):
            raise Unavailable(f"Connect at {self._url}/connectors answered what is no list; is it Connect's address?")
        return sorted(str(name) for name in answer)

    async def _ask(self, path: str) -> Any:
        """The JSON that a path gives, None where Connect says that there is no such thing."""
        for left in reversed(range(TRIES)):
            try:
                found = await self._once(path)
            except Unavailable:
                if not left:
                    self._on_answer(False)
                    raise
                await self._sleep(PAUSE_S)
            else:
                self._on_answer(True)
                return found
        raise AssertionError  # TRIES is at least 1

    async def _once(self, path: str) -> Any:
        where = f"Connect at {self._url}{path}"
        try:
            async with httpx.AsyncClient(
                auth=self._auth, timeout=TIMEOUT_S, verify=self._tls, transport=self._transport
            ) as client:
                answer = await client.get(self._url + path, headers={"accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{where} does not answer: {type(error).__name__}: {error}") from error
        self.date = answer.headers.get("date")
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code == NOT_FOUND and _is_connects(body):
            return None
        if answer.status_code in NO_RIGHTS:
            raise Unavailable(
                f"{where} does not let us in (status {answer.status_code}): set connect.username and connect.password"
            )
        if answer.is_error or body is None:
            raise Unavailable(f"{where} answered with status {answer.status_code}: {answer.text[:SHOWN]!r}")
        return body


def _is_connects(body: Any) -> bool:
    """Whether a 404 is Connect's word about a connector, and not a proxy's, nor about a path of another version."""
    return isinstance(body, dict) and body.get("error_code") == NOT_FOUND and body.get("message") != NO_SUCH_PATH
