"""This verifier: the real ``cdc-verifier run``, as a user starts it, every rule on and the store's write-ahead log, too."""

from __future__ import annotations

import sys
from pathlib import Path

from app.adapters.topics import own_topics
from benchmarks.cluster import APPENDED, Cluster
from benchmarks.judging import registered_decoder
from benchmarks.load import Load, Shape
from benchmarks.machine import product_version
from benchmarks.measuring import Launch
from benchmarks.peers.peer import Peer

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = {port}
[verifier]
application_id = "{name}"
prefix = "{name}"
instance_id = "bench"
[source]
topics = {topics}
"""
SINK = """
[sinks.{sink}]
receipts = ["{receipts}"]
"""


class Ours(Peer):
    """The product, with nothing configured that is not needed."""

    label = "this verifier"

    def versions(self) -> dict[str, str]:
        return {"cdc-verifier": product_version()}

    def launch(self, cluster: Cluster, load: Load, name: str, directory: Path) -> Launch:
        return launch(cluster, load.shape, name, directory)


def launch(cluster: Cluster, shape: Shape, name: str, directory: Path, metrics_port: int = 0) -> Launch:
    """A worker over a load of some shape.

    Its topic of verdicts is made before it starts, as it would make it itself, but for the time on its records, which is the
    broker's.

    Args:
        metrics_port: 0 for no page.
    """
    verdicts = f"{name}.verdicts"
    partitions, config = own_topics(name, {}, shape.partitions)[verdicts]
    cluster.create([verdicts], partitions, config | APPENDED)
    directory.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(
        bootstrap=cluster.bootstrap, registry=cluster.registry.url, state=directory / "state", name=name,
        topics=list(shape.topics), port=metrics_port,
    )  # fmt: skip
    text += "".join(SINK.format(sink=sink, receipts=shape.receipts(sink)) for sink in shape.sinks)
    (directory / "config.toml").write_text(text, encoding="utf-8")
    return Launch(
        command=[sys.executable, "-m", "app.cli.main", "run", "--config", str(directory / "config.toml")],
        directory=directory,
        marker=b"stores open",
        verdicts=verdicts,
        decode=registered_decoder(cluster.registry.schema),
    )
