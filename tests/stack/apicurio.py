"""Apicurio as the schema registry: Confluent's REST API for readers, and Apicurio's converter for Connect."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import httpx

from tests.stack.child import SMALL_JAVA, Child, free_port
from tests.stack.jars import fetched

JAR = "apicurio-registry-app-2.6.13.Final-runner.jar"
CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"
MANIFEST = "META-INF/services/org.apache.kafka.connect.storage.Converter"


class Apicurio:
    """One registry that keeps everything in memory.

    Attributes:
        url: of its Confluent API, as readers are given it.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._root = f"http://127.0.0.1:{self.port}/apis"
        self.url = f"{self._root}/ccompat/v7"
        self._known: dict[int, str] = {}
        self._child = Child("registry", directory, cwd=directory)

    def begin(self) -> None:
        """Start it, and don't wait for it."""
        where = [
            "-Dquarkus.http.host=127.0.0.1",
            f"-Dquarkus.http.port={self.port}",
            f"-Dregistry.datasource.url=jdbc:h2:mem:registry-{self.port}",
        ]
        small = ["-Dquarkus.datasource.jdbc.min-size=2", "-Dquarkus.datasource.jdbc.max-size=8"]
        self._child.begin(
            ["java", "-Xmx256m", *SMALL_JAVA, *where, *small, "-jar", str(fetched("registry", "unpack") / JAR)]
        )

    def await_up(self) -> None:
        """Wait until it answers."""
        self._child.await_up(self._is_up)

    def stop(self) -> None:
        self._child.end()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._child.pid

    def schema(self, number: int) -> str | None:
        """The schema of an id; asked for once, for ids are never given again."""
        if number not in self._known:
            answer = httpx.get(f"{self.url}/schemas/ids/{number}")
            if answer.is_error:
                return None
            self._known[number] = str(answer.json()["schema"])
        return self._known[number]

    def converters(self) -> dict[str, str]:
        """A connector's settings for keys and values in Avro, framed as Confluent does, with ids that this API knows."""
        told = {
            "": CONVERTER,
            ".apicurio.registry.url": f"{self._root}/registry/v2",
            ".apicurio.registry.auto-register": "true",
            ".apicurio.registry.if-exists": "RETURN_OR_UPDATE",
            ".apicurio.registry.as-confluent": "true",
            ".apicurio.registry.use-id": "contentId",
            ".apicurio.registry.headers.enabled": "false",
            ".apicurio.registry.dereference-schema": "true",
            ".apicurio.registry.artifact-resolver-strategy": "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        }
        return {f"{part}.converter{key}": value for part in ("key", "value") for key, value in told.items()}

    def _is_up(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/subjects").is_success
        return False


def plugin() -> Path:
    """The converter as a directory of Connect's plugin path.

    Its jar says nowhere that it is a plugin, which ``plugin.discovery=service_load`` needs; a jar beside it says so.
    """
    path = fetched("converter", within="apicurio-converter")
    said = path / "apicurio-converter" / "service.jar"
    if not said.exists():
        with zipfile.ZipFile(said, "w") as jar:
            jar.writestr(MANIFEST, f"{CONVERTER}\n")
    return path
