"""The topics of a cluster: which there are, and making our own."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]  # its stubs forget it

from app.adapters.rights import acl_command, said
from app.errors import Unavailable

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
NO_RIGHTS = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
COMPACTED = ("ledger", "watermarks")
KEPT = {"retention.ms": "-1"}
BRIEF = {"segment.bytes": str(16 << 20)}
"""Only closed segments are compacted: with Kafka's own gigabyte a status page would read days of every second's records."""


def counts_of(listed: Any) -> dict[str, int]:
    """Partition count of every topic of a cluster's metadata."""
    return {name: len(topic.partitions) for name, topic in listed.topics.items() if topic.error is None}


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


def configs_of(admin: AdminClient, topics: Iterable[str]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The settings of topics, defaults included; of those that don't tell, why not."""
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    found: dict[str, dict[str, str]] = {}
    silent: dict[str, str] = {}
    for resource, answer in (admin.describe_configs(asked, request_timeout=TIMEOUT_S) if asked else {}).items():
        try:
            found[str(resource.name)] = {name: entry.value or "" for name, entry in answer.result(TIMEOUT_S).items()}
        except (KafkaException, TimeoutError) as error:
            silent[str(resource.name)] = said(error)
    return found, silent


def is_compacted(config: Mapping[str, str]) -> bool:
    """Whether Kafka compacts a topic of these settings.

    >>> is_compacted({"cleanup.policy": "compact,delete"}), is_compacted({"cleanup.policy": "delete"})
    (True, False)
    """
    return "compact" in [policy.strip() for policy in config.get("cleanup.policy", "").split(",")]


def compacted_topics(admin: AdminClient, topics: Iterable[str]) -> frozenset[str]:
    """Of some topics those that Kafka compacts.

    Raises:
        Unavailable: the cluster does not tell.
    """
    found, silent = configs_of(admin, topics)
    for topic, why in silent.items():
        raise Unavailable(f"the configuration of topic {topic} is not known: {why}; try again")
    return frozenset(topic for topic, config in found.items() if is_compacted(config))


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
        f"{prefix}.watermarks": (1, compacted | BRIEF),
        f"{prefix}.control": (1, KEPT),
        f"{prefix}.quarantine": (1, {}),
    }
    return own | {lane: (count, KEPT) for lane, count in lanes.items()}


def create_missing(
    admin: AdminClient,
    wanted: Mapping[str, tuple[int, dict[str, str]]],
    existing: Container[str],
    principal: str,
    *,
    is_rehearsal: bool = False,
) -> list[str]:
    """Make those that are not there; what the cluster refuses is told with the commands to type, a line each.

    Args:
        principal: who we are to the authorizer.
        is_rehearsal: only ask whether they could be made.
    """
    missing = {name: how for name, how in wanted.items() if name not in existing}
    return list(refusals(admin, missing, principal, is_rehearsal=is_rehearsal).values())


def refusals(
    admin: AdminClient, missing: Mapping[str, tuple[int, dict[str, str]]], principal: str, *, is_rehearsal: bool = True
) -> dict[str, str]:
    """Make topics, or ask only whether they could be made: by name why not, with the commands to type."""
    if not missing:
        return {}
    asked = [NewTopic(name, count, -1, config=config) for name, (count, config) in missing.items()]
    found = {}
    answers = admin.create_topics(asked, operation_timeout=TIMEOUT_S, validate_only=is_rehearsal)
    for name, answer in answers.items():
        try:
            answer.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                found[name] = _refused(name, *missing[name], error.args[0], principal)
    return found


def _refused(name: str, count: int, config: Mapping[str, str], error: KafkaError, principal: str) -> str:
    """Why a topic of ours was not made, and what to do."""
    create = _command(name, count, config)
    if error.code() in NO_RIGHTS:
        allow = acl_command(principal, "topic", name, "Create")
        return f"topic {name} does not exist, and {principal} may not create it. Create it: {create} - or allow it: {allow}"
    if error.code() == KafkaError.POLICY_VIOLATION:
        return (
            f"topic {name} does not exist, and the cluster's policy refuses it ({error.str()}). Create it as the policy "
            f"wants it, with as many partitions and the same settings: {create}"
        )
    return f"topic {name} could not be created ({error.str()}). Create it: {create}"


def _command(name: str, count: int, config: Mapping[str, Any]) -> str:
    settings = "".join(f" --config {key}={value}" for key, value in config.items())
    return f"kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {name} --partitions {count}{settings}"
