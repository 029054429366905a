"""What a worker may do on a cluster: asked at the start, so that a right that is missing is a message and no standstill.

Kafka answers a description with the operations that the asker is allowed (KIP-430). A broker without an authorizer allows
all; one that does not tell is believed to, since the first refusal will say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from app.errors import Unavailable

TIMEOUT_S = 20.0
PAUSE_S = 0.5

Kind = Literal["topic", "group"]
Allowed = frozenset[str] | None
"""Operations by their names in upper case, without underscores; None: the broker does not tell."""

REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One operation that the worker can't do without.

    Attributes:
        operation: as ``kafka-acls.sh`` spells it: Read, Write, Describe, DescribeConfigs.
        purpose: what it is for, after "to".
    """

    kind: Kind
    name: str
    operation: str
    purpose: str


@dataclass(slots=True)
class Rights:
    """What the cluster allows, as far as it was asked; a topic that does not exist is not here."""

    topics: dict[str, Allowed] = field(default_factory=dict)
    groups: dict[str, Allowed] = field(default_factory=dict)

    def hidden(self) -> set[str]:
        """Topics that we may not even see, whether they exist or not."""
        return {name for name, allowed in self.topics.items() if allowed is not None and not allowed}

    def has(self, need: Need) -> bool:
        """Whether a need is met, as far as anybody knows."""
        allowed = (self.topics if need.kind == "topic" else self.groups).get(need.name)
        return allowed is None or need.operation.upper() in allowed


def rights_of(
    admin: AdminClient,
    topics: Collection[str],
    groups: Collection[str] = (),
    *,
    are_new: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Rights:
    """Ask what we may do with some topics and consumer groups.

    Args:
        are_new: the topics were made just now; brokers that have not heard of them yet are asked again.

    Raises:
        Unavailable: the cluster does not answer.
    """

    def ask_topics(names: list[str]) -> Mapping[str, Any]:
        return admin.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=TIMEOUT_S
        )

    def ask_groups(names: list[str]) -> Mapping[str, Any]:
        return admin.describe_consumer_groups(names, include_authorized_operations=True, request_timeout=TIMEOUT_S)

    absent = () if are_new else ABSENT
    return Rights(_asked(ask_topics, topics, absent, sleep), _asked(ask_groups, groups, ABSENT, sleep))


def problems(needs: Iterable[Need], rights: Rights, principal: str) -> list[str]:
    """Every need that is not met, with the command that somebody with the rights can type."""
    return [
        f"{need.kind} {need.name}: {principal} lacks the right {need.operation} on it, needed to {need.purpose}. Allow it: "
        + acl_command(principal, need.kind, need.name, need.operation)
        for need in needs
        if not rights.has(need)
    ]


def said(error: Exception) -> str:
    """What a question's error says, in words; a client that waited in vain says nothing itself."""
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    return str(error) or "it did not answer in time"


def acl_command(principal: str, kind: str, name: str, operation: str) -> str:
    """The command that allows one operation."""
    return (
        f"kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal {principal!r} "
        f"--operation {operation} --{kind} {name}"
    )


def _asked(
    ask: Callable[[list[str]], Mapping[str, Any]],
    names: Collection[str],
    absent: Collection[int],
    sleep: Callable[[float], None],
) -> dict[str, Allowed]:
    """Allowed operations by name; what is loading at its coordinator is asked again for a while."""
    found: dict[str, Allowed] = {}
    left = sorted(names)
    tries = int(TIMEOUT_S / PAUSE_S)
    while left:
        again: list[str] = []
        for name, answer in ask(left).items():
            try:
                told = answer.result(TIMEOUT_S).authorized_operations
                found[name] = None if told is None else frozenset(one.name.replace("_", "") for one in told)
            except KafkaException as error:
                code = error.args[0].code()
                if code in REFUSED:
                    found[name] = frozenset()
                elif code == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001 - public; a broker before Kafka 2.3
                    found[name] = None
                elif code not in absent:
                    again.append(name)
        left = sorted(again)
        tries -= 1
        if left and not tries:
            raise Unavailable(f"the brokers do not say what we may do with {', '.join(left)}; are all of them up?")
        if left:
            sleep(PAUSE_S)
    return found
