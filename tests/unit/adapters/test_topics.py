"""What the cluster refuses of our own topics, in words; and what it does not."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigEntry

from app.adapters.topics import compacted_topics, configs_of, create_missing
from app.errors import Unavailable

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


class Configured:
    """Answers with each topic's cleanup.policy; a topic without one is refused."""

    def __init__(self, **policies: str) -> None:
        self.policies = policies

    def describe_configs(self, asked, request_timeout):
        answers = {}
        for resource in asked:
            answers[resource] = Future()
            if resource.name in self.policies:
                answers[resource].set_result({"cleanup.policy": ConfigEntry("x", self.policies[resource.name])})
            else:
                answers[resource].set_exception(KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT, "late")))
        return answers


def test_a_topic_is_compacted_whatever_else_its_policy_says():
    admin = Configured(a="compact", b="delete", c="compact,delete", d="delete,compact")

    assert compacted_topics(admin, "abcd") == {"a", "c", "d"}
    assert compacted_topics(admin, "") == frozenset()


def test_settings_are_told_by_topic_and_of_those_that_do_not_tell_why_not():
    assert configs_of(Configured(a="delete"), "ab") == ({"a": {"cleanup.policy": "delete"}}, {"b": "late"})


def test_a_policy_that_the_cluster_does_not_tell_is_not_guessed():
    with pytest.raises(Unavailable, match="the configuration of topic z is not known"):
        compacted_topics(Configured(), "z")
