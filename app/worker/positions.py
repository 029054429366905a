"""Where an input goes on when its store is opened: what retention deleted is lost by number, another log begins anew."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from app.adapters.metrics import Metrics
from app.errors import InvariantBroken
from app.model import Contract
from app.worker.layout import Layout
from app.worker.partition import PartitionWorker
from app.worker.ports import Input
from app.worker.routing import Router

logger = logging.getLogger(__name__)


class Positions:
    """Compares what a store has read with what the broker still holds."""

    def __init__(self, layout: Layout, router: Router, metrics: Metrics) -> None:
        self._layout = layout
        self._router = router
        self._metrics = metrics

    def start(
        self, worker: PartitionWorker, source: Input, earliest: int, end: int, topic_ids: Mapping[str, str]
    ) -> int:
        """Where an input goes on.

        Args:
            earliest, end: where its log begins and ends now.
            topic_ids: as the cluster tells them now, as far as it does.
        """
        self._note_replaced(worker, source, end, topic_ids.get(source.topic, ""))
        position = worker.position(source.topic)
        if position is None:
            return earliest
        if position < earliest:
            self.lose(worker, source, position, earliest)
        return max(position, earliest)

    def _note_replaced(self, worker: PartitionWorker, source: Input, end: int, now: str) -> None:
        """A topic with another id, or that ends below what was read, is another log (design section 4)."""
        ids, topic = worker.head.topic_ids, source.topic
        known = ids.get(topic, "")
        ids[topic] = now or known
        position = worker.position(topic)
        is_other = bool(known and now and known != now)
        if position is None or not (is_other or position > end):
            return
        if topic in self._layout.routed:
            raise InvariantBroken(
                f"{topic}:{source.partition} was deleted and made again, and what sinks said there is gone. Write an "
                "EvidenceLoss into their lanes, then delete state.dir of every worker and the ledger topic"
            )
        logger.error("%s:%d was deleted and made again after offset %d: a new epoch begins", *source, position)
        self._metrics.log_replaced(topic)
        worker.replace_log(topic, now)

    def lose(self, worker: PartitionWorker, source: Input, start: int, end: int) -> None:
        """Retention deleted ``[start, end)`` before it was read."""
        logger.error("%s:%d lost offsets %d to %d to retention before they were read", *source, start, end)
        self._metrics.lost(source.topic, end - start)
        if source.topic in self._layout.group_of(source.topic).sources:
            worker.lose_changes(source.topic, start, end)
        else:
            worker.lose_evidence(source.topic, start, end, [*self._router.losses(*source, start, end)])


Committed = Callable[[str, Sequence[Input]], Awaitable[Mapping[tuple[str, int], int]]]
"""What a consumer group has committed, by (topic, partition)."""


async def first_offsets(
    contracts: Iterable[Contract],
    groups: Mapping[str, str | None],
    ends: Mapping[Input, int],
    committed: Committed,
) -> dict[tuple[str, Input], int]:
    """Where judging begins of a sink that is seen for the first time, of those that don't begin at the log's start.

    Args:
        contracts, ends: of one partition number.
        groups: consumer group by sink; a group that committed nothing will begin at the log's start.
    """
    found: dict[tuple[str, Input], int] = {}
    for contract in contracts:
        sources = [source for source in ends if source.topic in contract.topics]
        if contract.start == "latest":
            found |= {(contract.sink, source): ends[source] for source in sources}
        elif contract.start == "committed":
            told = await committed(groups[contract.sink] or "", sources)
            found |= {(contract.sink, source): told[source] for source in sources if source in told}
    return found


def begin(worker: PartitionWorker, first: Mapping[tuple[str, Input], int]) -> None:
    """Tell a store where judging begins, for the topics that it has not seen yet."""
    unseen = {source.topic for _, source in first} - worker.fold.changes.keys()
    for (sink, source), offset in first.items():
        if source.topic in unseen:
            worker.begin(sink, source.topic, offset)


async def nothing_committed(_: str, __: Sequence[Input]) -> dict[tuple[str, int], int]:
    """Of a cluster that tells nothing of its groups."""
    return {}
