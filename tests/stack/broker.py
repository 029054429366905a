"""A real Kafka broker in KRaft mode, without Docker: jars from Maven Central, free ports, stopped by its pid."""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from tests.stack.child import SMALL_JAVA, free_port
from tests.stack.jars import fetched

START_S = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
"""


def is_missing() -> str | None:
    """What this machine lacks for a real broker, or None."""
    lacking = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return f"no {' and no '.join(lacking)} on this machine" if lacking else None


class Broker:
    """One broker over a directory; `start` and `stop` may be called again and again.

    Args:
        properties: lines that are added to the broker's properties, or stand for earlier ones; ``{port}``,
            ``{controller}``, ``{other}`` and ``{data}`` are filled in. ``other`` is a port for a second listener.
        is_lasting: it lives long enough for Java's second compiler to pay.
    """

    def __init__(self, directory: Path, properties: str = "", *, is_lasting: bool = False) -> None:
        self.directory = directory
        self._options: tuple[str, ...] = () if is_lasting else SMALL_JAVA
        self.port, controller, other = free_port(), free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.other_bootstrap = f"127.0.0.1:{other}"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = directory / "broker.properties"
        text = PROPERTIES + properties
        self._properties.write_text(
            text.format(port=self.port, controller=controller, other=other, data=directory / "data")
        )
        self._java(
            "kafka.tools.StorageTool", "format", f"--cluster-id={_cluster_id()}", "-c", str(self._properties)
        ).wait(60)

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = self._java("kafka.Kafka", str(self._properties))
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the broker did not start: {(self.directory / 'broker.log').read_text()[-2000:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it by its pid, with a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        heap = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", *self._options]
        with (self.directory / "broker.log").open("ab") as log:
            return subprocess.Popen(
                ["java", *heap, "-cp", f"{fetched('broker')}/*", *arguments], stdout=log, stderr=log
            )


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
