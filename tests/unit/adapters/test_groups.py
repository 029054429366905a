"""What is asked of groups, and when nothing may be."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.adapters.groups import Members, commits
from tests.unit.probes.world import SOURCE, Cluster, refusal


def test_no_group_is_asked_about_while_no_broker_answers() -> None:
    """A question that is under way when the brokers come back ends the process: the client's own assertion fails."""
    cluster = Cluster(away=refusal(KafkaError._TRANSPORT))

    with pytest.raises(KafkaException):
        commits(cluster, "g", [SOURCE])  # type: ignore[arg-type]
    assert Members(cluster).of("g", SOURCE.topic) is None  # type: ignore[arg-type]
    assert cluster.asked == []


def test_nothing_is_asked_about_no_partition() -> None:
    cluster = Cluster()

    assert commits(cluster, "g", []) == {}  # type: ignore[arg-type]
    assert cluster.asked == []
