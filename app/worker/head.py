"""The small state of one store, written with every batch."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


def pair_name(sink: str, topic: str) -> str:
    """A sink and one of its topics as one text; a sink's name has no such sign in it."""
    return f"{sink}|{topic}"


@dataclass(slots=True)
class Head:
    """The small state of one store.

    Attributes:
        owner: a token of the last opening; whoever opens next finds it in the group's commit metadata.
        snapshot: number of the last snapshot.
        positions: per input topic the next offset to read.
        bases: per lane topic that was made again, what is added to its offsets so that its order goes on.
        topic_ids: per input topic, the id under which it was first read.
        ends: recorded ends that the ledger topic held when the store was taken over (`app.worker.ends`).
        contracts, projections: what the state was made under, as JSON-able data.
        compacted: change topics that Kafka compacts, as the state was made under.
        origins: per (topic, partition) of an origin log, the next offset that was not routed here yet.
        suspended: `pair_name` of every sink and topic that is not judged for now, sorted.
        passed_over: those of them of which something was passed over.
        counters: evidence that reached no sink of this partition.
    """

    owner: str = ""
    snapshot: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    contracts: list[dict[str, Any]] = field(default_factory=list)
    projections: list[dict[str, Any] | list[str]] = field(default_factory=list)
    compacted: list[str] = field(default_factory=list)
    origins: dict[str, int] = field(default_factory=dict)
    suspended: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps({name: getattr(self, name) for name in Head.__slots__}).encode()

    @classmethod
    def load(cls, data: bytes | None) -> Head:
        """From JSON; a new one where there is none."""
        if data is None:
            return cls()
        head = cls(**json.loads(data))
        head.counters = Counter(head.counters)
        return head
