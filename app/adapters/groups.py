"""Consumer groups of sinks: what they have committed, and who is in them; and where the logs stand that they read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

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
PATIENCE_S = 3_600.0
"""The longest that the client allows."""
SILENT = (KafkaException, TimeoutError)
"""What a question raises that the cluster does not answer."""

Place = tuple[str, int]
"""A topic and its partition number."""


class Commit(NamedTuple):
    """One committed offset; ``has_epoch``: with a leader epoch, as consumers write it and tools that alter offsets don't."""

    offset: int
    has_epoch: bool


Question = tuple[str, str]
"""What is asked, and about which group."""

_PENDING: WeakKeyDictionary[AdminClient, dict[Question, Future[Any]]] = WeakKeyDictionary()
_LOCK = Lock()


def answer_of(admin: AdminClient, question: Question, ask: Callable[[], Future[Any]]) -> Any:
    """The answer to a question about a group, which is never asked while it waits for another answer.

    A question that waits for a coordinator which is away must not time out in the client: librdkafka asserts that its
    answer comes once, then it comes again, and the process ends. So it has the longest time there is, and we wait a shorter
    one. Whoever asks next waits for it to be over; its answer is thrown away then, for it may tell of an earlier moment.

    Args:
        ask: asks, with `PATIENCE_S`.

    Raises:
        KafkaException: the cluster refuses.
        TimeoutError: there is no answer yet.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        with _LOCK:
            pending = _PENDING.setdefault(admin, {})
            before = pending.get(question)
            if before is None or before.done():
                answer = pending[question] = ask()
                break
        if not wait([before], max(deadline - time.monotonic(), 0)).done:
            raise TimeoutError(f"an earlier question about group {question[1]} waits for its answer")
    return answer.result(max(deadline - time.monotonic(), 0))


def commits(admin: AdminClient, group: str, sources: Iterable[Place]) -> dict[Place, Commit]:
    """What a group has committed, by (topic, partition); one without a commit is not there, which is "nothing known".

    Raises:
        KafkaException, TimeoutError: the cluster does not tell, see `SILENT`.
    """
    places = [TopicPartition(*source) for source in sources]
    if not places:
        return {}
    asked = [ConsumerGroupTopicPartitions(group, places)]
    answer = answer_of(
        admin,
        ("offsets", group),
        lambda: admin.list_consumer_group_offsets(asked, request_timeout=PATIENCE_S)[group],
    )
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

    def of(self, group: str) -> frozenset[str] | None:
        """Ids of a group's members; None where nobody tells.

        A group without a protocol has no members though its consumers are there: they assign partitions to themselves.
        """
        try:
            found = answer_of(self._admin, ("members", group), lambda: self._described(group))
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

    def _described(self, group: str) -> Future[Any]:
        return self._admin.describe_consumer_groups([group], request_timeout=PATIENCE_S)[group]

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
