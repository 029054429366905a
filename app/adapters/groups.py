"""Consumer groups of sinks: what they have committed, and who is in them; and where the logs stand that they read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import NamedTuple

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # its stubs forget it

logger = logging.getLogger(__name__)

START: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
TIMEOUT_S = 10.0
ANSWER_S = TIMEOUT_S + 5.0
"""The client itself tells of a request that took too long; this is for one that never tells."""
SILENT = (KafkaException, TimeoutError)
"""What a question raises that the cluster does not answer."""

Place = tuple[str, int]
"""A topic and its partition number."""


class Commit(NamedTuple):
    """One committed offset; ``has_epoch``: with a leader epoch, as consumers write it and tools that alter offsets don't."""

    offset: int
    has_epoch: bool


def require_answer(admin: AdminClient, topic: str) -> None:
    """Ask for one topic's metadata, which no broker that is away tells; called before each question about a group.

    A question about a group that waits for its coordinator until it times out ends the process when the broker is there again
    (librdkafka asserts that nobody answers twice, and the coordinator does): where nobody answers, none may be under way.

    Raises:
        KafkaException: no broker answers.
    """
    admin.list_topics(topic, timeout=TIMEOUT_S)


def commits(admin: AdminClient, group: str, sources: Iterable[Place]) -> dict[Place, Commit]:
    """What a group has committed, by (topic, partition); one without a commit is not there, which is "nothing known".

    Raises:
        KafkaException, TimeoutError: the cluster does not tell, see `SILENT`.
    """
    places = [TopicPartition(*source) for source in sources]
    if not places:
        return {}
    require_answer(admin, places[0].topic)
    asked = [ConsumerGroupTopicPartitions(group, places)]
    answer = admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT_S)[group].result(ANSWER_S)
    return {
        (p.topic, p.partition): Commit(p.offset, p.leader_epoch is not None and p.leader_epoch >= 0)
        for p in answer.topic_partitions
        if p.offset >= 0
    }


def committed_offsets(admin: AdminClient, group: str, sources: Iterable[Place]) -> dict[Place, int]:
    """The offsets alone; see `commits`."""
    return {place: commit.offset for place, commit in commits(admin, group, sources).items()}


class Members:
    """Asks who is in groups, and says once of each group why that can't be known."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._silent: set[str] = set()

    def of(self, group: str, topic: str) -> frozenset[str] | None:
        """Ids of a group's members; None where nobody tells. ``topic`` is one that it reads.

        A group without a protocol has no members though its consumers are there: they assign partitions to themselves.
        """
        try:
            require_answer(self._admin, topic)
            found = self._admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(ANSWER_S)
        except SILENT as error:
            self._warn(group, str(error))
            return None
        members = frozenset(str(member.member_id) for member in found.members)
        if members:
            return members
        if found.is_simple_consumer_group or found.state is not ConsumerGroupState.EMPTY:
            self._warn(group, f"it is {found.state.name}, or its consumers assign partitions to themselves")
            return None
        return members

    def _warn(self, group: str, why: str) -> None:
        if group not in self._silent:
            self._silent.add(group)
            logger.warning("the members of group %s are not known, so no SKIP can be proved: %s", group, why)


def starts(admin: AdminClient, sources: Collection[Place]) -> dict[Place, int]:
    """The first offset that each log holds; one that does not tell is not there."""
    return _offsets(admin, sources, START)


def ends(admin: AdminClient, sources: Collection[Place]) -> dict[Place, int]:
    """The offset that each log's next record gets, open transactions included; one that does not tell is not there.

    A record in a transaction that is open holds those behind it back from readers, and is not nothing.
    """
    return _offsets(admin, sources, END)


def _offsets(admin: AdminClient, sources: Collection[Place], spec: OffsetSpec) -> dict[Place, int]:
    if not sources:
        return {}
    asked = {TopicPartition(*source): spec for source in sources}
    answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=TIMEOUT_S)
    found = {}
    for place, answer in answers.items():
        try:
            found[place.topic, place.partition] = int(answer.result(ANSWER_S).offset)
        except SILENT as error:
            logger.warning("%s:%d does not tell where it begins or ends: %s", place.topic, place.partition, error)
    return found
