"""The router of a world: all evidence of some sinks in internal topics, each record with its origin, some of them twice."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from tests.simulation.lanes import LANE_PREFIX, ORIGIN, LaneName
from tests.simulation.recording import Record

Log = tuple[str, int]
"""An evidence topic and partition."""


@dataclass(slots=True, kw_only=True)
class Router:
    """Reads every evidence log in its order, at its own pace, and begins some stretches again.

    Attributes:
        sinks: those whose evidence is routed.
        counts: partitions of each source topic.
    """

    rng: random.Random
    planted: Counter[str]
    sinks: set[str]
    counts: dict[str, int]
    logs: dict[tuple[str, int], dict[Log, list[Record]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def take(self, whose: LaneName, record: Record, value: bytes | None) -> None:
        """An evidence record that was written, in the order of its log, and what is routed of it."""
        sink, topic, partition = whose
        if sink in self.sinks:
            lane = f"{LANE_PREFIX}{self.counts[topic]}", partition
            origin = (record.topic, str(record.partition), str(record.offset))
            headers = tuple(
                (ORIGIN + name, text.encode())
                for name, text in zip(("topic", "partition", "offset"), origin, strict=True)
            )
            routed = Record(
                topic=lane[0], partition=partition, offset=0, timestamp=record.timestamp, value=value, headers=headers
            )
            self.logs[lane][record.topic, record.partition].append(routed)

    def lanes(self) -> dict[str, dict[int, list[Record]]]:
        """The internal topics."""
        made: dict[str, dict[int, list[Record]]] = defaultdict(dict)
        for (topic, partition), logs in self.logs.items():
            made[topic][partition] = [replace(record, offset=at) for at, record in enumerate(self._mixed(logs))]
        return dict(made)

    def _mixed(self, logs: dict[Log, list[Record]]) -> list[Record]:
        lane: list[Record] = []
        waiting = {log: list(records) for log, records in logs.items()}
        routed: dict[Log, list[Record]] = defaultdict(list)
        while waiting:
            log = self.rng.choice(sorted(waiting))
            count = self.rng.randrange(1, 9)
            routed[log] += waiting[log][:count]
            lane += waiting[log][:count]
            waiting[log] = waiting[log][count:]
            if self.rng.random() < 0.15:
                again = routed[log][-self.rng.randrange(1, 6) :]
                self.planted["routed twice"] += len(again)
                lane += again
            if not waiting[log]:
                del waiting[log]
        return lane
