"""Registers the connectors of the JSON files beside it and waits until they run; needs nothing but Python.

    python3 register.py CONNECT_URL REGISTRY_URL

The source comes first: a sink that listens to a regular expression finds its topics by itself, but a verifier that starts
wants to see the source's. Every connector reads and writes Avro with Confluent's framing. Exit status 1: it took too long.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 240
PAUSE_S = 1

NOT_YET = (404, 409, 503)
"""What Connect answers while it starts, knows nothing of a connector, or deals tasks out anew."""

SOURCE = "shop-source"
SINKS = ("sink-a", "sink-b")
TOPICS = {f"shop.public.{table}" for table in ("customers", "orders", "order_items", "notes")}


def main(connect: str, registry: str) -> None:
    """Bring it all up, step by step; every step may be repeated."""
    _until("the registry answers", lambda: _ask("GET", f"{registry}/subjects") is not None)
    _until("Connect answers", lambda: _ask("GET", f"{connect}/connectors") is not None)
    _register(connect, registry, SOURCE)
    _until("the source has written all topics", lambda: _topics(connect, SOURCE) >= TOPICS)
    for sink in SINKS:
        _register(connect, registry, sink)
    print("all connectors run", flush=True)


def _register(connect: str, registry: str, name: str) -> None:
    config = json.loads((Path(__file__).parent / f"{name}.json").read_text()) | _converters(registry)
    _until(f"{name} is taken", lambda: _ask("PUT", f"{connect}/connectors/{name}/config", config) is not None)
    _until(f"{name} runs", lambda: _is_running(connect, name))


def _converters(registry: str) -> dict[str, str]:
    """Avro for keys and values; Apicurio's converter, told to frame as Confluent's does and to number by content."""
    own_api = registry.replace("/apis/ccompat/v7", "/apis/registry/v2")
    config = {}
    for part in ("key", "value"):
        converter = f"{part}.converter"
        config[converter] = "io.apicurio.registry.utils.converter.AvroConverter"
        settings = {
            "url": own_api,
            "auto-register": "true",
            "if-exists": "RETURN_OR_UPDATE",
            "as-confluent": "true",
            "use-id": "contentId",
            "headers.enabled": "false",
            "dereference-schema": "true",
            "artifact-resolver-strategy": "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        }
        config |= {f"{converter}.apicurio.registry.{key}": value for key, value in settings.items()}
    return config


def _is_running(connect: str, name: str) -> bool:
    status = _ask("GET", f"{connect}/connectors/{name}/status") or {}
    tasks = status.get("tasks", [])
    for task in tasks:
        if task["state"] == "FAILED":
            print(f"{name} failed: {task['trace'][:2000]}", flush=True)
    return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)


def _topics(connect: str, name: str) -> set[str]:
    told = _ask("GET", f"{connect}/connectors/{name}/topics") or {}
    return set(told.get(name, {}).get("topics", []))


def _ask(method: str, url: str, body: object = None) -> dict | list | None:
    """The answer, or None where there is none yet; a refusal is printed, unless it only means not yet."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the URLs are ours
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        if error.code not in NOT_YET:
            print(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:2000]}", flush=True)
    except (OSError, ValueError):
        pass
    return None


def _until(what: str, is_so: Callable[[], bool]) -> None:
    print(f"waiting until {what}", flush=True)
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"not within {DEADLINE_S} s: {what}")
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
