"""A schema registry inside this process: as much of Confluent's REST API as clients need to register and to look up.

Compatibility is really checked (`compatibility`: Avro's rules of schema resolution, without aliases), at one level for all
subjects, which ``PUT /config`` sets. What is imported by `EmbeddedRegistry.register` is not asked: it stands already. A
``POST`` may name the id under which a schema is to stand, as in Confluent's mode IMPORT.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from app.adapters.brokers.compatibility import refusals


class EmbeddedRegistry:
    """Ids are given by schema text, from 1 on. A context manager.

    Args:
        host: address to listen on; port: 0 for a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._subjects: dict[str, list[int]] = {}
        self.compatibility = "BACKWARD"
        handler = type("Handler", (_Handler,), {"registry": self})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry", daemon=True)
        self._thread.start()
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def register(self, subject: str, schema: str, schema_id: int | None = None) -> int:
        """The id of a schema, a new one where it is not known; ``schema_id`` imports one under its own id."""
        with self._lock:
            number = self._ids.get(schema)
            if number is None:
                number = schema_id or max(self._ids.values(), default=0) + 1
                self._ids[schema] = number
            versions = self._subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
            return number

    def schema(self, number: int) -> str | None:
        """The schema of an id."""
        with self._lock:
            return next((text for text, known in self._ids.items() if known == number), None)

    def versions(self, subject: str) -> list[int]:
        """Schema ids of a subject, oldest first."""
        with self._lock:
            return list(self._subjects.get(subject, ()))

    def subjects(self) -> list[str]:
        """Every subject, by name."""
        with self._lock:
            return sorted(self._subjects)

    def refusals(self, subject: str, schema: str) -> list[str]:
        """Why a schema may not become the subject's next version; empty where it may, or stands there already."""
        texts = [self.schema(number) or "" for number in self.versions(subject)]
        return [] if schema in texts else refusals(self.compatibility, schema, texts)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    registry: EmbeddedRegistry

    def do_GET(self) -> None:
        match self._parts():
            case ["schemas", "ids", number] if number.isdigit():
                schema = self.registry.schema(int(number))
                if schema is None:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})
                else:
                    self._answer(200, {"schema": schema})
            case ["subjects", subject, "versions"]:
                self._answer(200, list(range(1, len(self.registry.versions(subject)) + 1)))
            case ["subjects", subject, "versions", "latest"] if numbers := self.registry.versions(subject):
                latest = {"version": len(numbers), "id": numbers[-1], "schema": self.registry.schema(numbers[-1])}
                self._answer(200, {"subject": subject, **latest})
            case ["subjects"]:
                self._answer(200, self.registry.subjects())
            case ["config", *_]:
                self._answer(200, {"compatibilityLevel": self.registry.compatibility})
            case _:
                self._answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def do_POST(self) -> None:
        body = self._body()
        match self._parts():
            case ["subjects", subject, "versions"]:
                self._register(subject, body["schema"], body.get("id"))
            case ["compatibility", "subjects", subject, "versions", "latest"]:
                self._check(subject, body["schema"])
            case _:
                self._answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def do_PUT(self) -> None:
        body = self._body()
        match self._parts():
            case ["config", *_]:  # one level for all: nothing is refused for it
                self.registry.compatibility = body["compatibility"]
                self._answer(200, {"compatibility": body["compatibility"]})
            case _:
                self._answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def log_message(self, *_: object) -> None:
        """Requests are nobody's news."""

    def _register(self, subject: str, schema: str, schema_id: int | None) -> None:
        refused = self.registry.refusals(subject, schema)
        if refused:
            self._answer(409, {"error_code": 409, "message": f"Schema is incompatible: {'; '.join(refused)}"})
        else:
            self._answer(200, {"id": self.registry.register(subject, schema, schema_id)})

    def _check(self, subject: str, schema: str) -> None:
        if not self.registry.versions(subject):
            self._answer(404, {"error_code": 40401, "message": f"Subject '{subject}' not found."})
            return
        refused = self.registry.refusals(subject, schema)
        self._answer(200, {"is_compatible": not refused, "messages": refused})

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        return body

    def _parts(self) -> list[str]:
        return [part for part in self.path.partition("?")[0].split("/") if part]

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
