"""What the transport asks of a worker: open, take, hold, close. The worker's store is the truth about positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.model import RawBatch
from app.worker.effects import Effect
from app.worker.partition import PartitionWorker


class Input(NamedTuple):
    """One partition of one input topic."""

    topic: str
    partition: int


class Committed(NamedTuple):
    """What the group committed last for an input; ``offset`` is -1 where nothing was."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker was given, and what the broker says of it at that moment.

    Attributes:
        earliest, ends: the first offset held, and the one that will be written next (read committed).
    """

    inputs: AbstractSet[Input]
    earliest: Mapping[Input, int]
    ends: Mapping[Input, int]
    committed: Mapping[Input, Committed]


SHIP_AT_ONCE = 2_000
"""Effects of one store on their way at once: enough to fill a batch, few enough to hold in memory."""


class Shipping(Protocol):
    """Carries effects to Kafka; nothing is forgotten before the broker has acknowledged it."""

    def ship(self, worker: PartitionWorker, *, is_news: bool = False) -> None:
        """Send what one store's outbox holds, and forget there what has arrived; ``is_news``: only what is new, cheaply."""

    @property
    def is_waiting(self) -> bool:
        """Whether something of an outbox was sent and not acknowledged yet."""

    def send(self, effect: Effect) -> bool:
        """Send what can be made again at any time; False where there is no room for it now."""

    def put(self, number: int, records: Sequence[tuple[str, bytes | None]], answer: Callable[[bool], None]) -> None:
        """Write records of a partition number to the ledger topic; ``answer`` is told once whether all arrived."""

    def poll(self) -> None:
        """Let acknowledgements come in."""

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed: what its outbox holds is sent again by whoever opens it next."""


class Worker(Protocol):
    """Called in the event loop only, never from two tasks at once but for `is_held`, which other threads ask."""

    async def open(self, assignment: Assignment) -> Mapping[Input, int]:
        """Open the stores of an assignment and answer where each input goes on. The flow is stopped meanwhile."""

    def close(self, inputs: AbstractSet[Input] | None) -> None:
        """Close the stores of inputs that go to somebody else (None: all); nothing of them is taken afterwards."""

    async def take(self, ranges: Sequence[RawBatch]) -> Mapping[Input, int]:
        """Take ranges, each of another input. What is answered are holes: those inputs must go on at that offset instead."""

    def note_counts(self, counts: Mapping[str, int]) -> AbstractSet[str]:
        """Told how many partitions inputs have now (0: gone), before `open`; answers which inputs are not to be read."""

    def is_held(self, source: Input) -> bool:
        """Whether an input is not to be handed on for now; its bytes wait in the fetcher."""

    def restart_positions(self) -> Mapping[Input, Committed]:
        """What to commit: it shows lag and keeps zombies out, nothing is read from it but the metadata."""

    def ship(self) -> bool:
        """Called after what was taken, and for as long as it says that something is on its way: send what was made."""

    async def tick(self) -> None:
        """Called a few times a second while the flow is active."""
