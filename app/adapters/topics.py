"""The topics of a cluster: which there are, and making our own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # its stubs forget it

from app.errors import ConfigError, Unavailable

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
COMPACTED = ("ledger", "watermarks")
KEPT = {"retention.ms": "-1"}


def partition_counts(admin: AdminClient) -> dict[str, int]:
    """Partition count of every topic; raises `Unavailable` where no broker answers."""
    try:
        found = admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise Unavailable(f"no broker answers: {error.args[0].str()}. Check kafka.brokers and the network") from error
    return {name: len(topic.partitions) for name, topic in found.topics.items() if topic.error is None}


def topic_ids(admin: AdminClient, topics: Iterable[str]) -> dict[str, str]:
    """The ids of topics, of those that are there and tell; a broker that is away tells of none."""
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_S)
    found = {}
    for name, answer in asked.items():
        try:
            found[name] = str(answer.result(TIMEOUT_S).topic_id)
        except Exception as error:  # noqa: BLE001 - a refusal comes as any of several kinds
            logger.warning("the id of topic %s is not known now: %s", name, error)
    return found


def own_topics(prefix: str, lanes: Mapping[str, int], widest: int) -> dict[str, tuple[int, dict[str, str]]]:
    """Our topics: partition count and settings by name.

    Args:
        lanes: partition count of every internal lane.
        widest: the largest partition count of a change topic.
    """
    compacted = {"cleanup.policy": "compact"}
    own: dict[str, tuple[int, dict[str, str]]] = {
        f"{prefix}.verdicts": (widest, {}),
        f"{prefix}.repair": (widest, {}),
        f"{prefix}.ledger": (widest, compacted),
        f"{prefix}.watermarks": (1, compacted),
        f"{prefix}.control": (1, KEPT),
        f"{prefix}.quarantine": (1, {}),
    }
    return own | {lane: (count, KEPT) for lane, count in lanes.items()}


def create_missing(
    admin: AdminClient, wanted: Mapping[str, tuple[int, dict[str, str]]], existing: Mapping[str, int]
) -> None:
    """Make those that are not there.

    Raises:
        ConfigError: the cluster refuses; the message holds the commands that somebody with the rights can type.
    """
    missing = {name: how for name, how in wanted.items() if name not in existing}
    if not missing:
        return
    asked = [NewTopic(name, count, -1, config=config) for name, (count, config) in missing.items()]
    problems = []
    for name, answer in admin.create_topics(asked, operation_timeout=TIMEOUT_S).items():
        try:
            answer.result(TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - a refusal comes as any of several kinds
            if "already exists" not in str(error):
                count, config = missing[name]
                problems.append(
                    f"topic {name} could not be created ({error}). Create it: {_command(name, count, config)}"
                )
    if problems:
        raise ConfigError(problems)


def _command(name: str, count: int, config: Mapping[str, Any]) -> str:
    settings = "".join(f" --config {key}={value}" for key, value in config.items())
    return f"kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {name} --partitions {count}{settings}"
