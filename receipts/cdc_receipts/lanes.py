"""What an emitter knows of one source partition: what waits, what is on its way, and what may be fenced and committed.

The promise of a FENCE at N (protocol section 3) is kept by order alone: a fence is handed to the producer only after the
broker has acknowledged every receipt that was handed over before the progress that it names.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cdc_receipts.codec import Receipt


@dataclass(slots=True, eq=False)
class Sent:
    """Receipts that went out together, and whether the broker has them."""

    receipts: list[Receipt]
    is_acknowledged: bool = False
    is_failed: bool = False


@dataclass(slots=True)
class Lane:
    """One source partition of one sink.

    Attributes:
        waiting: receipts not handed to the producer yet, and since when (seconds of the emitter's clock).
        flying: handed over, in order; the head leaves when it is acknowledged.
        progress: what the sink declared, each with the number of receipts that stood before it.
        handed, landed: receipts handed over to the emitter, and acknowledged without a gap before them.
    """

    topic: str
    partition: int
    waiting: list[Receipt] = field(default_factory=list)
    waiting_since: float = 0.0
    flying: deque[Sent] = field(default_factory=deque)
    progress: deque[tuple[int, int]] = field(default_factory=deque)
    handed: int = 0
    landed: int = 0
    safe: int | None = None
    fenced: int = 0
    fenced_at: float = float("-inf")
    marks_flying: int = 0
    retry_at: float = float("-inf")

    @property
    def has_failed(self) -> bool:
        """Something failed for good: what is handed over now has to wait, or it would overtake."""
        return any(sent.is_failed for sent in self.flying)

    @property
    def is_decided(self) -> bool:
        """The broker has answered for everything that went out."""
        return all(sent.is_acknowledged or sent.is_failed for sent in self.flying)

    def hand_over(self, receipt: Receipt, now: float) -> None:
        """One more receipt."""
        if not self.waiting:
            self.waiting_since = now
        self.waiting.append(receipt)
        self.handed += 1

    def declare(self, offset: int) -> None:
        """Everything below ``offset`` is disposed of, and every receipt about it was handed over."""
        if self.progress and self.progress[-1][1] == self.handed:
            self.progress.pop()  # nothing was said between the two: the later one stands for both
        self.progress.append((offset, self.handed))
        self.settle()

    def settle(self) -> None:
        """Receipts that landed leave; progress with nothing left before it becomes safe."""
        while self.flying and self.flying[0].is_acknowledged:
            self.landed += len(self.flying.popleft().receipts)
        while self.progress and self.progress[0][1] <= self.landed:
            offset, _ = self.progress.popleft()
            self.safe = offset if self.safe is None else max(self.safe, offset)

    def take_back(self) -> None:
        """A delivery failed for good: all that did not land is handed over again, in its order."""
        again = [receipt for sent in self.flying for receipt in sent.receipts]
        self.flying.clear()
        self.waiting[:0] = again

    @property
    def pending(self) -> int:
        """Receipts that the broker does not have."""
        return self.handed - self.landed
