"""The partition counts that state was made under: remembered on the ledger topic, compared with the cluster's now and then.

So is whether Kafka compacts the change topics, which says what a receipt for an offset without a change means.

A record a topic, in the ledger topic's partition 0, written before the topic is first read: key ``count|<topic>``, value
JSON ``{"partitions": n}``. So a worker with an empty disk knows, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # its stubs forget it

from app.adapters.topics import configs_of, counts_of, is_compacted
from app.errors import Unavailable
from app.worker.agreements import lagging
from app.worker.live import LiveWorker
from app.worker.ports import Input
from topologies.shipping import Shipper

logger = logging.getLogger(__name__)

PREFIX = "count|"
PLACE = 0
END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
LOOK_S = 10.0
TIMEOUT_S = 10.0
POLL_S = 0.02


def remembered(records: Mapping[str, bytes]) -> dict[str, int]:
    """Partition counts by topic, from the records under `PREFIX`.

    >>> remembered({"count|shop.orders": b'{"partitions": 4}'})
    {'shop.orders': 4}
    """
    return {key.removeprefix(PREFIX): int(json.loads(value)["partitions"]) for key, value in records.items()}


async def remember(shipper: Shipper, counts: Mapping[str, int]) -> None:
    """Write counts of topics that are about to be read for the first time; returns when the broker has them.

    Raises:
        Unavailable: the broker refuses them.
    """
    if not counts:
        return
    records = [(f"{PREFIX}{topic}", json.dumps({"partitions": n}).encode()) for topic, n in sorted(counts.items())]
    answers: list[bool] = []
    shipper.put(PLACE, records, answers.append)
    while not answers:
        shipper.poll()
        await asyncio.sleep(POLL_S)
    if not answers[0]:
        raise Unavailable(
            "the broker did not take the topics' partition counts on the ledger topic; see its answer above"
        )


class CountWatch:
    """Looks at the cluster's partition counts beside the transport, which hears of topics that it subscribes to only.

    Args:
        reopen: makes the transport open the worker again, which tells its stores what is suspended.
    """

    def __init__(self, worker: LiveWorker, admin: AdminClient, reopen: Callable[[], Awaitable[None]]) -> None:
        self._worker = worker
        self._admin = admin
        self._reopen = reopen

    async def look(self) -> None:
        """Called every `LOOK_S`; a broker that is away is asked the next time."""
        before = self._worker.suspension.topics
        sources = [Input(topic, n) for topic in before for n in range(self._worker.layout.inputs[topic])]
        try:
            counts, ends = await asyncio.to_thread(self._ask, sources)
        except (KafkaException, TimeoutError) as error:
            logger.warning("the partition counts of the inputs are not known now: %s", error)
            return
        self._worker.note_ends(ends)
        if self._worker.note_counts(counts) != before:
            await self._reopen()

    def _ask(self, sources: Iterable[Input]) -> tuple[dict[str, int], dict[Input, int]]:
        """Partition counts of all topics, and the ends of some inputs."""
        counts = counts_of(self._admin.list_topics(timeout=TIMEOUT_S))
        asked = {TopicPartition(*source): END for source in sources if source.partition < counts.get(source.topic, 0)}
        if not asked:
            return counts, {}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
        )
        return counts, {Input(p.topic, p.partition): int(told.result(TIMEOUT_S).offset) for p, told in answers.items()}


class PolicyWatch:
    """Looks for change topics that Kafka compacts from now on, or no more; a start asks for the same before it reads.

    Args:
        ask: whether each of the change topics is compacted, of those that tell; blocks.
    """

    def __init__(self, worker: LiveWorker, ask: Callable[[], Mapping[str, bool]]) -> None:
        self._worker = worker
        self._ask = ask

    async def look(self) -> None:
        """Called every `LOOK_S`; a topic that does not tell is as it was."""
        try:
            told = await asyncio.to_thread(self._ask)
        except (KafkaException, TimeoutError) as error:
            logger.warning("the cleanup.policy of the change topics is not known now: %s", error)
            return
        before = self._worker.compacted
        changed = {topic for topic, is_now in told.items() if is_now != (topic in before)}
        if not changed:
            return
        self._worker.note_compacted(before ^ changed)
        for topic in sorted(changed):
            what = "compacts it from now on" if told[topic] else "does not compact it any more"
            logger.warning(
                "topic %s: its cleanup.policy was changed, Kafka %s; it holds for what is read next", topic, what
            )
        settings, inputs = self._worker.settings, self._worker.layout.inputs
        for problem in lagging(settings.contracts(inputs), changed - before):
            logger.warning("%s", problem)


def policies_of(admin: AdminClient, topics: Iterable[str]) -> dict[str, bool]:
    """Whether Kafka compacts topics, of those that tell."""
    found, silent = configs_of(admin, topics)
    for topic, why in silent.items():
        logger.warning("the cleanup.policy of topic %s is not known now: %s", topic, why)
    return {topic: is_compacted(config) for topic, config in found.items()}
