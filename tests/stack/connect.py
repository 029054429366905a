"""Kafka Connect, distributed, with one worker: its process, and what its REST API is asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.stack.apicurio import plugin
from tests.stack.child import SMALL_JAVA, Child, free_port
from tests.stack.groups import Place, members
from tests.stack.jars import fetched
from tests.stack.worker import until

REST_S = 60.0
"""One request: the first of a connector's class loads it and asks its database."""

RETRY_S = 60.0
NOT_YET = (404, 409)
"""Answers of a worker that has just come, or is in a rebalance: it does not know a connector yet, or may not say."""

PROPERTIES = """
bootstrap.servers={bootstrap}
group.id=connect
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic=connect.configs
offset.storage.topic=connect.offsets
status.storage.topic=connect.status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
connector.client.config.override.policy=All
topic.creation.enable=true
# In a hurry: offsets are committed every half second, a killed worker is out of the group after three.
offset.flush.interval.ms=500
scheduled.rebalance.max.delay.ms=0
session.timeout.ms=3000
heartbeat.interval.ms=500
rebalance.timeout.ms=10000
task.shutdown.graceful.timeout.ms=3000
"""


class Connect:
    """One worker on a port that it keeps; `kill` and `begin` may be called again and again."""

    def __init__(self, directory: Path, bootstrap: str) -> None:
        port = free_port()
        self._bootstrap = bootstrap
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, timeout=REST_S)
        self._properties = directory / "connect.properties"
        plugins = f"{plugin()},{fetched('debezium', 'unpack')}"
        self._properties.write_text(PROPERTIES.format(bootstrap=bootstrap, port=port, plugins=plugins))
        self._child = Child("connect", directory)

    def begin(self) -> None:
        """Start it, and don't wait for it."""
        told = ["-Xms128m", "-Xmx640m", *SMALL_JAVA, "-Dorg.apache.logging.log4j.level=WARN"]
        program = "org.apache.kafka.connect.cli.ConnectDistributed"
        self._child.begin(["java", *told, "-cp", f"{fetched('connect')}/*", program, str(self._properties)])

    def await_up(self) -> None:
        """Wait until it answers as a member of its group."""
        self._child.await_up(self._is_up)

    def kill(self) -> None:
        """``kill -9``."""
        self._child.end(signal.SIGKILL)

    def restart(self) -> None:
        """``kill -9``, and a worker that answers again."""
        self.kill()
        self.begin()
        self.await_up()

    def stop(self) -> None:
        """End it at once; there is nothing to be orderly about."""
        self.kill()
        self._client.close()

    # What follows asks for one connector, by name.

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Make it, or change its configuration."""
        self.ask("PUT", f"/connectors/{name}/config", dict(config))

    def delete(self, name: str) -> None:
        """Take it away."""
        self.ask("DELETE", f"/connectors/{name}")

    def status(self, name: str) -> dict[str, Any]:
        """State and traces, as Connect tells them. For some seconds after a kill it tells what was before."""
        found: dict[str, Any] = self.ask("GET", f"/connectors/{name}/status")
        return found

    def states(self, name: str) -> list[str]:
        """The state of each of its tasks."""
        return [task["state"] for task in self.status(name)["tasks"]]

    def traces(self, name: str) -> dict[int, str]:
        """The stack trace of each task that failed."""
        return {task["id"]: task.get("trace", "") for task in self.status(name)["tasks"] if task["state"] == "FAILED"}

    def await_running(self, *names: str) -> None:
        """Wait until connectors run, and as many tasks of each as it may have, none of them failed."""

        def is_running(name: str) -> bool:
            status = self.status(name)
            wanted = int(self.ask("GET", f"/connectors/{name}/config")["tasks.max"])
            states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
            return len(states) == 1 + wanted and set(states) == {"RUNNING"}

        until(lambda: all(map(is_running, names)), (), lambda: [self.status(name) for name in names])

    def await_failed(self, name: str) -> dict[int, str]:
        """Wait until a task of it has failed; the traces, by task."""
        until(lambda: self.traces(name), (), lambda: self.status(name))
        return self.traces(name)

    @contextmanager
    def rebalanced(self, name: str, *, tasks: int) -> Iterator[None]:
        """Another number of tasks for a while: members of its group go and come twice, in the middle of their work."""
        config = self.ask("GET", f"/connectors/{name}/config")
        self.put(name, {**config, "tasks.max": str(tasks)})
        self.await_running(name)
        yield
        self.put(name, config)
        self.await_running(name)

    def offsets(self, name: str) -> dict[Place, int | None]:
        """What a sink has committed; what it never committed is not in it."""
        told = self.ask("GET", f"/connectors/{name}/offsets")["offsets"]
        return {
            (one["partition"]["kafka_topic"], one["partition"]["kafka_partition"]): (one["offset"] or {}).get(
                "kafka_offset"
            )
            for one in told
        }

    def pause(self, name: str) -> None:
        """Its tasks stay, and their places in the group."""
        self.ask("PUT", f"/connectors/{name}/pause")
        until(lambda: set(self.states(name)) == {"PAUSED"}, (), lambda: self.status(name))

    def halt(self, name: str) -> None:
        """Stop it, and wait until its tasks are really gone, which `move` needs."""
        self.ask("PUT", f"/connectors/{name}/stop")

        def is_gone() -> bool:
            status = self.status(name)
            is_told = status["connector"]["state"] == "STOPPED" and not status["tasks"]
            return is_told and members(self._bootstrap, f"connect-{name}") == 0

        until(is_gone, (), lambda: self.status(name))

    def resume(self, name: str) -> None:
        """Go on after `pause` or `halt`; does not wait."""
        self.ask("PUT", f"/connectors/{name}/resume")

    def move(self, name: str, offsets: Mapping[Place, int | None]) -> None:
        """Move what a sink that was halted has committed; None forgets it."""
        told = [
            {
                "partition": {"kafka_topic": topic, "kafka_partition": partition},
                "offset": None if offset is None else {"kafka_offset": offset},
            }
            for (topic, partition), offset in offsets.items()
        ]
        self.ask("PATCH", f"/connectors/{name}/offsets", {"offsets": told})

    def restart_task(self, name: str, task: int) -> None:
        """Start one task again."""
        self.ask("POST", f"/connectors/{name}/tasks/{task}/restart")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request, again while the worker is in a rebalance; the JSON of the answer, if it has any."""
        deadline = time.monotonic() + RETRY_S
        while True:
            answer = self._client.request(method, path, json=body)
            is_asked_again = answer.status_code in NOT_YET or "rebalance" in answer.text
            if answer.is_success or not is_asked_again or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def log(self) -> str:
        """The end of what the worker wrote."""
        return self._child.log()

    def _is_up(self) -> bool:
        with suppress(httpx.HTTPError):
            return self._client.get("/connectors", timeout=2.0).is_success
        return False
