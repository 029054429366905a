"""How far logs that are routed are in their lanes: read, written to the lanes, and acknowledged by the broker.

It is what a worker commits of such a log, so that every other worker can ask the group: whoever writes a fence must know
that all other evidence of the sink stands before it, also what another worker routes (protocol section 3, FENCE). An offset
once reached stays true, whoever owns the log later.
"""

from __future__ import annotations

from collections.abc import Collection

from app.worker.partition import PartitionWorker


class Acknowledged:
    """Positions of the routed logs of every open store.

    Args:
        routed: topics of logs that are routed.
    """

    def __init__(self, routed: Collection[str]) -> None:
        self._routed = frozenset(routed)
        self._known: dict[int, dict[str, int]] = {}
        self._waiting: dict[int, tuple[int, dict[str, int]]] = {}

    def look(self, worker: PartitionWorker) -> None:
        """What was in the outbox at the last look that is out of it by now has arrived, and all that was read before it."""
        number, positions = self._waiting.get(id(worker), (0, {}))
        if worker.effects.is_through(number):
            known = self._known.setdefault(id(worker), {})
            known |= {topic: max(position, known.get(topic, 0)) for topic, position in positions.items()}
            self._waiting[id(worker)] = (worker.effects.next, self._positions(worker))

    def position(self, worker: PartitionWorker, topic: str) -> int:
        """The offset below which everything of a routed log is in its lanes."""
        return self._known.get(id(worker), {}).get(topic, 0)

    def committable(self, worker: PartitionWorker, topic: str, position: int) -> int:
        """What to commit of an input that was read up to ``position``."""
        return self.position(worker, topic) if topic in self._routed else position

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed."""
        self._known.pop(id(worker), None)
        self._waiting.pop(id(worker), None)

    def _positions(self, worker: PartitionWorker) -> dict[str, int]:
        return {topic: at for topic, at in worker.head.positions.items() if topic in self._routed}
