"""The embedded registry in a container, seen from a test: what `EmbeddedRegistry` offers in a process, over HTTP."""

from __future__ import annotations

import httpx

PORT = 8081

COMMAND = f"""
import threading
from app.adapters.brokers.registry import EmbeddedRegistry
with EmbeddedRegistry("0.0.0.0", {PORT}):
    threading.Event().wait()
"""


class RemoteRegistry:
    """Registers and looks up schemas like `EmbeddedRegistry`; ``url`` is the one that the test reaches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._schemas: dict[int, str] = {}

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/subjects").is_success
        except httpx.TransportError:
            return False

    def register(self, subject: str, schema: str, schema_id: int | None = None) -> int:
        asked = {"schema": schema} if schema_id is None else {"schema": schema, "id": schema_id}
        answer = httpx.post(f"{self.url}/subjects/{subject}/versions", json=asked).raise_for_status()
        number: int = answer.json()["id"]
        return number

    def schema(self, number: int) -> str:
        if number not in self._schemas:
            answer = httpx.get(f"{self.url}/schemas/ids/{number}").raise_for_status()
            self._schemas[number] = answer.json()["schema"]
        return self._schemas[number]
