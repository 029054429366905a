"""What the cluster refuses of our own topics, in words; and what it does not."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.adapters.topics import create_missing

WANTED = {"v.ledger": (4, {"cleanup.policy": "compact"}), "v.control": (1, {})}
CREATE = "kafka-topics.sh --bootstrap-server HOST:PORT --create --topic v.ledger --partitions 4 --config cleanup.policy=compact"


class Admin:
    """Answers every creation with one error, or none."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        self.asked: list[str] = []
        self.rehearsals: list[bool] = []

    def create_topics(self, asked, operation_timeout, validate_only):
        self.rehearsals.append(validate_only)
        answers = {}
        for topic in asked:
            self.asked.append(topic.topic)
            answers[topic.topic] = Future()
            if self.code is None:
                answers[topic.topic].set_result(None)
            else:
                answers[topic.topic].set_exception(KafkaException(KafkaError(self.code, "the broker's reason")))
        return answers


def test_only_what_is_missing_is_made():
    admin = Admin(None)

    assert create_missing(admin, WANTED, {"v.control"}, "User:v") == []
    assert create_missing(admin, WANTED, WANTED, "User:v") == []
    assert (admin.asked, admin.rehearsals) == (["v.ledger"], [False])


def test_another_worker_may_have_made_it_meanwhile():
    assert create_missing(Admin(KafkaError.TOPIC_ALREADY_EXISTS), WANTED, {}, "User:v") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "User:v may not create it"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "--operation Create --topic v.ledger"),
        (KafkaError.POLICY_VIOLATION, "the cluster's policy refuses it (the broker's reason)"),
        (KafkaError.INVALID_REPLICATION_FACTOR, "could not be created (the broker's reason)"),
    ],
)
def test_every_refusal_is_told_with_the_command_to_type(code, words):
    problems = create_missing(Admin(code), WANTED, {}, "User:v", is_rehearsal=True)

    assert len(problems) == 2
    assert words in problems[0]
    assert CREATE in problems[0]
