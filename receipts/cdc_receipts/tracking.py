"""What one source partition has said and what the broker has acknowledged of it; no client, no clock, no lock.

Receipts leave in parcels (one message each), in the order handed over. A parcel counts as acknowledged when it and
all before it are. After a failure everything from the failed parcel on leaves again, what was acknowledged behind it too:
the last receipt of a change is the one that counts, so none may be overtaken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from cdc_receipts.codec import MAX_DELTA, Receipt


class Fate(Enum):
    """What is known of a parcel."""

    FLYING = "flying"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Parcel:
    """Receipts that travel in one message."""

    receipts: tuple[Receipt, ...]
    fate: Fate = Fate.FLYING


@dataclass(slots=True, eq=False)
class Lane:
    """The receipts and the progress of one source partition. Times are seconds of one monotonic clock.

    ``progress`` is the highest offset named, ``safe`` the highest of them whose receipts are all acknowledged;
    ``told`` and ``fenced`` are the highest offsets that a PROGRESS mark and an acknowledged FENCE have named.
    """

    topic: str
    partition: int
    progress: int = 0
    safe: int | None = None
    told: int = 0
    fenced: int = 0
    fence_flying: int | None = None
    waiting_since: float | None = None
    retry_at: float = 0.0
    marks_at: float = 0.0
    _waiting: deque[Receipt] = field(default_factory=deque)
    _sent: deque[Parcel] = field(default_factory=deque)
    _checkpoints: deque[tuple[int, int]] = field(default_factory=deque)
    _handed: int = 0
    _acknowledged: int = 0
    _healthy_from: int = 0
    _undecided: int = 0
    _failed: int = 0

    @property
    def pending(self) -> int:
        """Receipts handed over and not acknowledged."""
        return self._handed - self._acknowledged

    @property
    def waiting(self) -> int:
        """Receipts not sent, or to be sent again."""
        return len(self._waiting)

    @property
    def poisoned(self) -> bool:
        """Whether a parcel failed and not all that has to leave again is acknowledged."""
        return self._acknowledged < self._healthy_from

    @property
    def failing(self) -> bool:
        """Whether a failed parcel waits for those behind it to be decided, so that nothing may leave."""
        return self._failed > 0

    def hand_over(self, receipt: Receipt, now: float) -> None:
        """Take one receipt, behind all others."""
        self._waiting.append(receipt)
        self._handed += 1
        if self.waiting_since is None:
            self.waiting_since = now

    def advance(self, offset: int) -> None:
        """Everything below the offset is disposed of, and its receipts were handed over before this call."""
        self.progress = max(self.progress, offset)
        if self._checkpoints and self._checkpoints[-1][0] == self._handed:
            offset = max(offset, self._checkpoints.pop()[1])
        self._checkpoints.append((self._handed, offset))
        self._pass_checkpoints()

    def forget(self) -> None:
        """Drop all progress; receipts still leave."""
        self._checkpoints.clear()
        self.progress = self.told = self.fenced = 0
        self.safe = self.fence_flying = None

    def depart(self, most: int) -> Parcel | None:
        """The next parcel, now counted as sent; None if nothing waits.

        It holds at most so many plain receipts, all or none with a fingerprint, or one receipt that isn't plain.
        """
        if not self._waiting:
            return None
        parcel = Parcel(tuple(self._waiting.popleft() for _ in range(self._run(most))))
        self._sent.append(parcel)
        self._undecided += 1
        if not self._waiting:
            self.waiting_since = None
        return parcel

    def take_back(self, parcel: Parcel, now: float) -> None:
        """The newest parcel could not be handed to the client: its receipts wait again, in front."""
        self._sent.pop()
        self._undecided -= 1
        self._waiting.extendleft(reversed(parcel.receipts))
        self.waiting_since = now

    def decide(self, parcel: Parcel, fate: Fate) -> None:
        """The broker acknowledged a parcel, or will never."""
        parcel.fate = fate
        self._undecided -= 1
        while self._sent and self._sent[0].fate is Fate.ACKNOWLEDGED:
            self._acknowledged += len(self._sent.popleft().receipts)
        if fate is Fate.FAILED:
            self._failed += 1
            self._healthy_from = max(self._healthy_from, self._handed - len(self._waiting))
        self._pass_checkpoints()

    def requeue(self, now: float, pause: float) -> bool:
        """Once everything sent is decided, put it back from the first failed parcel on; whether that happened.

        Nothing leaves for ``pause`` seconds then.
        """
        if not self._failed or self._undecided:
            return False
        for parcel in reversed(self._sent):
            self._waiting.extendleft(reversed(parcel.receipts))
        self._sent.clear()
        self._failed = 0
        self.waiting_since = now
        self.retry_at = now + pause
        return True

    def fence_due(self) -> int | None:
        """The offset that a fence may name now; None if it was named, or its mark is under way."""
        if self.fence_flying is not None or self.safe is None or self.safe <= self.fenced:
            return None
        return self.safe

    def decide_fence(self, offset: int, fate: Fate) -> None:
        """A fence was acknowledged, or is due again."""
        if self.fence_flying == offset:
            self.fence_flying = None
            if fate is Fate.ACKNOWLEDGED:
                self.fenced = max(self.fenced, offset)

    def _run(self, most: int) -> int:
        """How many of the waiting receipts fit the next parcel; at least one."""
        first = self._waiting[0]
        low = high = first.offset
        early = late = first.applied_at
        count = 0
        for receipt in islice(self._waiting, most):
            low, high = min(low, receipt.offset), max(high, receipt.offset)
            early, late = min(early, receipt.applied_at), max(late, receipt.applied_at)
            alike = receipt.is_plain and (receipt.fingerprint is None) == (first.fingerprint is None)
            if not alike or max(high - low, late - early) > MAX_DELTA:
                break
            count += 1
        return max(count, 1)

    def _pass_checkpoints(self) -> None:
        while self._checkpoints and self._checkpoints[0][0] <= self._acknowledged:
            offset = self._checkpoints.popleft()[1]
            self.safe = offset if self.safe is None else max(self.safe, offset)
