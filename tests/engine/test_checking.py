"""``doctor --check`` where parts don't answer: each is unknown with its reason, the others are asked, and nothing hangs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.adapters import rights, topics
from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.groups import Commit
from app.cli.main import main
from topologies import checking_cluster

CONFIG = """
[kafka]
brokers = ["{brokers}"]
start_wait = "1s"
[registry]
url = "{registry}"
[connect]
url = "http://127.0.0.1:{nobody}"
[source]
topics = ["t"]
[sinks.s]
connector = "c"
store = "postgresql://reader@127.0.0.1:{nobody}/dw"
expect = "latest-state"
"""
FINE_WITHOUT_OTHERS = {"clocks"}


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else is given."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], **given: object) -> tuple[int, dict[str, set[str]]]:
    """The exit status, and by check the levels of what was found."""
    (tmp_path / "config.toml").write_text(CONFIG.format(**given))
    status = main(["doctor", "--check", "--json", "--config", str(tmp_path / "config.toml")])
    found: dict[str, set[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        one = json.loads(line)
        found.setdefault(one["about"], set()).add(one["level"])
    return status, found


def test_where_nobody_answers_everything_is_unknown_and_no_topic_is_called_missing(tmp_path, capsys, nobody):
    given = {"brokers": f"127.0.0.1:{nobody}", "registry": f"http://127.0.0.1:{nobody}", "nobody": nobody}
    status, found = checked(tmp_path, capsys, **given)

    assert status == 1
    assert {about for about, levels in found.items() if levels == {"unknown"}} == found.keys() - FINE_WITHOUT_OTHERS


def test_brokers_and_a_registry_that_answer_are_asked_though_connect_and_the_store_are_away(
    tmp_path, capsys, nobody, monkeypatch
):
    """The embedded broker tells neither settings nor rights of its topics, and can't say whether ours could be made."""
    monkeypatch.setattr(topics, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(rights, "TIMEOUT_S", 1.0)
    with EmbeddedBroker() as broker, EmbeddedRegistry() as registry:
        broker.create_topic("t", 2)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("t", b"this is no change", b"k", partition=0)
        assert producer.flush(30) == 0
        status, found = checked(tmp_path, capsys, brokers=broker.bootstrap, registry=registry.url, nobody=nobody)

    assert status == 1
    assert found == {
        "brokers": {"fine"}, "topics": {"unknown"}, "partitions": {"fine"}, "compaction": {"unknown"}, "retention": {"unknown"},
        "progress": {"warning"}, "timestamps": {"unknown"}, "clocks": {"fine"}, "keys": {"fine"}, "decoding": {"error"},
        "isolation": {"fine"}, "rights": {"unknown"}, "registry": {"fine"}, "sources": {"unknown"}, "connectors": {"unknown"},
        "contracts": {"unknown"}, "stores": {"unknown"},
    }  # fmt: skip


def test_nobody_stands_beyond_the_end_of_a_log_that_grows_while_others_are_asked(tmp_path, capsys, nobody, monkeypatch):
    monkeypatch.setattr(topics, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(rights, "TIMEOUT_S", 1.0)
    with EmbeddedBroker() as broker, EmbeddedRegistry() as registry:
        broker.create_topic("t", 1)
        producer, written = Producer({"bootstrap.servers": broker.bootstrap}), list[str]()

        def write(group: str) -> None:
            producer.produce("t", b"this is no change", b"k", partition=0)
            assert producer.flush(30) == 0
            written.append(group)

        def commits(_: object, group: str, __: object) -> dict[tuple[str, int], Commit]:
            write(group)
            return {("t", 0): Commit(len(written), has_epoch=True)} if group == "connect-c" else {}

        write("nobody")

        monkeypatch.setattr(checking_cluster, "commits", commits)
        _, found = checked(tmp_path, capsys, brokers=broker.bootstrap, registry=registry.url, nobody=nobody)

    assert "error" not in found["progress"]
    assert found["isolation"] == {"fine"}  # what came after the newest records were read is no hole behind them


def test_a_configuration_with_faults_ends_with_status_2_and_a_recording_is_no_installation(tmp_path, capsys):
    (tmp_path / "config.toml").write_text("[source]\ntopics = []\n")

    told = []
    for words in (
        ["--check", "--config", str(tmp_path / "config.toml")],
        ["--check", "--recording", "x"],
        ["--json", "--recording", "x"],
    ):
        assert main(["doctor", *words]) == 2
        told.append(capsys.readouterr().err)

    assert "source.topics" in told[0]
    assert "name its configuration with --config FILE" in told[1]
    assert "--json: goes with --check" in told[2]
