"""What a sink says of one source partition, in the order it means: receipts, marks, and a plan of what is wrong.

An event's ``at`` is its place in the lane: about one for each change, fractions between.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.changes import Change
from tests.simulation.rules import DONE, TAIL, wanted_kind
from tests.simulation.sinks import Sink
from tests.simulation.source import DAY_MS, START_MS

STEP_MS = 250
"""Milliseconds of a healthy sink's time for each change."""


@dataclass(slots=True, kw_only=True)
class Event:
    """One receipt or mark, wherever it will be written; ``via`` is own, dead-letter or success."""

    at: float
    offset: int
    status: str = ""
    fingerprint: bytes | None = None
    applied_at: int = 0
    sequence: int | None = None
    command_id: str | None = None
    via: str = "own"
    mark: str | None = None
    to_offset: int | None = None
    generation: int = 0


@dataclass(slots=True, kw_only=True)
class Lane:
    """Events of one sink and source partition, as a list that grows; the writer of each fault is in another module."""

    sink: Sink
    changes: list[Change]
    rng: random.Random
    planted: Counter[str]
    events: list[Event] = field(default_factory=list)
    generation: int = 0
    clock_lie_ms: int = 0
    known: set[int] = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.known = {change.offset for change in self.changes}
        self.end = self.changes[-1].offset + 1

    def expects(self, change: Change) -> bool:
        """Whether the contract wants anything of it."""
        return not self.sink.contract.expects_nothing_of(change)

    def right_print(self, change: Change) -> bytes | None:
        """The fingerprint that an honest sink sends."""
        if change.kind != "upsert":
            return None
        contract = self.sink.contract
        return change.expected_fingerprint(contract.ignored(change), contract.placeholder)

    def wrong_print(self, change: Change) -> bytes:
        """Another one: a bit off, the ignored columns in it, or the placeholder stored."""
        right = self.right_print(change) or bytes(8)
        contract = self.sink.contract
        if change.kind == "upsert":
            stored = self.rng.choice(
                [
                    change.expected_fingerprint([], contract.placeholder),
                    change.expected_fingerprint(contract.ignored(change), "none"),
                ]
            )
            if stored != right:
                return stored
        return bytes([right[0] ^ 1]) + right[1:]

    def receipt(self, at: float, change: Change, status: str | None = None, **more: object) -> Event:
        """A receipt, honest unless told otherwise."""
        event = Event(
            at=at,
            offset=change.offset,
            status=status or wanted_kind(change),
            applied_at=self.applied_at(change),
        )
        if event.status in {"APPLIED", "SKIPPED"}:
            event.fingerprint = self.right_print(change)
        if self.sink.numbers and self.rng.random() < 0.9:
            event.sequence = int(at * 100)
        for name, value in more.items():
            setattr(event, name, value)
        self.events.append(event)
        return event

    def applied_at(self, change: Change, delay_ms: int | None = None) -> int:
        """A sink's clock, which may lie by days."""
        delay = self.rng.randrange(50, 3_000) if delay_ms is None else delay_ms
        return change.made_at + delay + self.clock_lie_ms

    def mark(
        self, at: float, kind: str, offset: int, to_offset: int | None = None, generation: int | None = None
    ) -> None:
        """A mark of the sink's present generation."""
        if kind == "FENCE" and not self.sink.has_fences:
            return
        self.events.append(
            Event(
                at=at,
                mark=kind,
                offset=offset,
                to_offset=to_offset,
                generation=self.generation if generation is None else generation,
            )
        )

    def dead_letter(self, at: float, change: Change) -> None:
        """A REJECTED in the dead-letter topic, or by the sink's own word where it has none."""
        via = "dead-letter" if self.sink.dead_topic else "own"
        self.events.append(
            Event(at=at, offset=change.offset, status="REJECTED", via=via, applied_at=self.applied_at(change))
        )

    def next_offset(self, index: int) -> int:
        """What a sink that disposed of the change at ``index`` reads next: the offset after it, or the next change's."""
        after = self.changes[index].offset + 1
        if index + 1 < len(self.changes) and self.rng.random() < 0.5:
            return self.changes[index + 1].offset
        return after

    def gaps_before(self, index: int) -> list[int]:
        """Offsets just below a change that hold none."""
        offset = self.changes[index].offset
        return [near for near in range(max(offset - 4, self.changes[0].offset), offset) if near not in self.known]

    def far_below(self) -> list[Change]:
        """Changes below a huge gap; the closing of most is no longer remembered once all is fenced."""
        return [change for change in self.changes if self.end - change.offset > TAIL // 4]

    def at_the_edge(self) -> list[Change]:
        """Changes as far below the end as closed cells are remembered, give or take one."""
        return [change for change in self.changes if abs(self.end - change.offset - TAIL) <= 1]

    def command(self) -> str:
        """A command's id; the sink's answer need not be to one that exists."""
        return f"{self.rng.getrandbits(64):016x}"

    def now_ms(self, at: float) -> int:
        """A record's honest timestamp."""
        return START_MS + int(at * STEP_MS)

    def lie(self) -> int:
        """Days, forward or back."""
        return self.rng.choice([-5, -1, 1, 4]) * DAY_MS

    def is_done(self, event: Event) -> bool:
        """Whether a receipt says that something was done."""
        return event.mark is None and event.status in DONE
