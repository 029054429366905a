"""A topic whose partition count is not the one that its state was made under is suspended; the others go on.

With another count a key's changes stand on other partitions and topics no longer go together by number, so whatever was
concluded about one of them could be wrong. So the topic is not read, and no sink is judged that it tells of: by its changes,
by its lane, or by a log that is routed. Nothing of that is called missing, closed or sealed: the watermarks stand still.
What sinks say meanwhile in a lane that they share with others is passed over and counted, and their open cells become
unverifiable at the first fence after the suspension, should it ever end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from app.worker.head import pair_name
from app.worker.layout import Layout

logger = logging.getLogger(__name__)

REASON = "partition_count"


class Suspension:
    """What is suspended of one deployment; it only grows while the worker runs.

    Args:
        layout: with the counts that state was made under.
        on_new: called with each topic that is suspended (a metric).

    Attributes:
        topics: inputs that are not read; other threads may look at it.
    """

    def __init__(self, layout: Layout, on_new: Callable[[str], None] = lambda _: None) -> None:
        self.topics: frozenset[str] = frozenset()
        self._layout = layout
        self._on_new = on_new
        self._names: dict[int, frozenset[str]] = {}

    def note(self, counts: Mapping[str, int]) -> bool:
        """Compare with the counts that the cluster has now; whether something new is suspended.

        Args:
            counts: by topic; 0, or no topic, where it is gone for the moment, which is another matter.
        """
        inputs = self._layout.inputs
        changed = {topic for topic, count in counts.items() if count and count != inputs.get(topic, count)}
        fresh = sorted(changed - self.topics)
        if not fresh:
            return False
        self.topics |= changed
        self._names = {width: frozenset(self._suspended(width)) for width in self._layout.groups}
        for topic in fresh:
            logger.critical("%s", self._told(topic, counts[topic]))
            self._on_new(topic)
        return True

    def names(self, width: int) -> frozenset[str]:
        """`pair_name` of every sink and topic of a group that is not judged."""
        return self._names.get(width, frozenset())

    def has(self, sink: str, topic: str) -> bool:
        """Whether a sink is not judged about a topic."""
        return pair_name(sink, topic) in self.names(self._layout.inputs[topic])

    def _suspended(self, width: int) -> Iterator[str]:
        group = self._layout.groups[width]
        for contract in group.contracts:
            lane = group.lanes[contract.sink]
            is_whole = lane in self.topics or any(contract.sink in self._layout.routed.get(t, ()) for t in self.topics)
            for topic in contract.topics:
                if is_whole or topic in self.topics:
                    yield pair_name(contract.sink, topic)

    def _told(self, topic: str, count: int) -> str:
        names = sorted(name for names in self._names.values() for name in names)
        return (
            f"topic {topic} has {count} partitions, and its state was made under {self._layout.inputs[topic]}: it is suspended "
            f"({REASON}). Not judged any more (sink|topic): {', '.join(names)}. Everything else goes on. Nothing is called "
            'missing meanwhile. What to do: README.md, "When a topic\'s partition count changes"'
        )
