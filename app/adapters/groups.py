"""Consumer groups of sinks: what they have committed, and who is in them; and where the logs stand that they read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
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

GIVE_UP_S = 60.0
"""So long one client is waited for: some of those that had asked while the brokers were away are never told, and others at once.

Each further client is given as much time more.
"""
MOST_LEFT = 8
"""Clients that wait and are not asked any more; each is a handful of threads."""
ATTEMPT_S = 3.0

Ask = Callable[[AdminClient], Future[Any]]
_RENEWALS: WeakKeyDictionary[AdminClient, Callable[[], AdminClient]] = WeakKeyDictionary()
_LOCK = Lock()


@dataclass(slots=True)
class _Asked:
    """What a cluster was asked.

    Attributes:
        client: who is asked now; None for the one that stands for the cluster.
        pending: what waits for an answer, or had one, and since when, s.
        left: clients that are not asked any more, and what they wait for: destroyed while they do, they end the process.
    """

    client: AdminClient | None = None
    pending: dict[Question, tuple[Future[Any], float]] = field(default_factory=dict)
    left: list[tuple[AdminClient | None, list[Future[Any]]]] = field(default_factory=list)

    def before(self, question: Question) -> Future[Any] | None:
        """The same question that waits; None where it may be asked."""
        found, _ = self.pending.get(question, (None, 0.0))
        return None if found is None or found.done() else found

    def is_given_up(self, question: Question) -> bool:
        """Whether nobody waits for its answer any more."""
        self.left = [(client, waiting) for client, waiting in self.left if not all(one.done() for one in waiting)]
        patience_s = GIVE_UP_S * (1 + len(self.left))
        return len(self.left) < MOST_LEFT and time.monotonic() - self.pending[question][1] >= patience_s

    def go_on_with(self, client: AdminClient) -> None:
        """Ask another one from now on."""
        self.left.append((self.client, [one for one, _ in self.pending.values()]))
        self.client, self.pending = client, {}


_ASKED: WeakKeyDictionary[AdminClient, _Asked] = WeakKeyDictionary()


def renew_by(admin: AdminClient, make: Callable[[], AdminClient]) -> None:
    """How another client of the same cluster is made, for questions that this one is never told the answer of."""
    _RENEWALS[admin] = make


def answer_of(admin: AdminClient, question: Question, ask: Ask) -> Any:
    """The answer to a question about a group, which a client is never asked while it waits for another answer.

    A question that waits for a coordinator which is away must not time out in the client: librdkafka asserts that its
    answer comes once, then it comes again, and the process ends. So it has the longest time there is, and we wait a shorter
    one. Whoever asks next waits for it to be over; its answer is thrown away then, for it may tell of an earlier moment.
    Where it never comes though the brokers are there, another client is asked.

    Args:
        ask: asks a client, with `PATIENCE_S`.

    Raises:
        KafkaException: the cluster refuses.
        TimeoutError: there is no answer yet.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        with _LOCK:
            asked = _ASKED.setdefault(admin, _Asked())
            before = asked.before(question)
            if before is None:
                answer = ask(asked.client or admin)
                asked.pending[question] = (answer, time.monotonic())
                break
            is_given_up = admin in _RENEWALS and asked.is_given_up(question)
        if is_given_up:
            _renew(admin, asked, before)
        if (
            not before.done()
            and asked.before(question) is before
            and not wait([before], max(deadline - time.monotonic(), 0)).done
        ):
            raise TimeoutError(f"an earlier question about group {question[1]} waits for its answer")
    return answer.result(max(deadline - time.monotonic(), 0))


def _renew(admin: AdminClient, asked: _Asked, waiting: Future[Any]) -> None:
    """Ask another client from now on, if the brokers answer it; else all of them wait for the same."""
    client = _RENEWALS[admin]()
    try:
        client.list_topics("__consumer_offsets", timeout=ATTEMPT_S)
    except KafkaException:
        return
    with _LOCK:
        if any(one is waiting for one, _ in asked.pending.values()):  # nobody else was quicker
            logger.warning(
                "questions about groups are asked anew: the brokers answer, and those that waited have no answer"
            )
            asked.go_on_with(client)


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
        lambda client: client.list_consumer_group_offsets(asked, request_timeout=PATIENCE_S)[group],
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
            found = answer_of(self._admin, ("members", group), partial(_described, group))
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


def _described(group: str, client: AdminClient) -> Future[Any]:
    return client.describe_consumer_groups([group], request_timeout=PATIENCE_S)[group]


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
