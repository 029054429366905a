"""A circuit breaker: a database that fails again and again is left alone for a while.

closed ──n failures in a row──► open ──pause is over──► half-open ──one probe succeeds──► closed
                                 ▲                          │
                                 └──the probe fails: twice the pause, up to the longest──┘
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "half-open", "open"]


class Breaker:
    """Counts failures in a row and says whether to try; one caller at a time.

    Args:
        failures_to_open: failures in a row that open it.
        first_pause_s, longest_pause_s: how long it stays open.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        failures_to_open: int,
        first_pause_s: float,
        longest_pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._failures = 0
        self._pause_s = 0.0
        self._open_until = 0.0

    @property
    def state(self) -> State:
        """For a metric; half-open: the next call is the probe."""
        if not self._pause_s:
            return "closed"
        return "open" if self.left_s > 0 else "half-open"

    @property
    def left_s(self) -> float:
        """Seconds until the next probe is due; 0 unless it is open."""
        return max(0.0, self._open_until - self._clock()) if self._pause_s else 0.0

    def succeeded(self) -> None:
        """The database answered."""
        self._failures = 0
        self._pause_s = 0.0

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        if self._pause_s:
            self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
        elif self._failures >= self._failures_to_open:
            self._pause_s = min(self._first_pause_s, self._longest_pause_s)
        self._open_until = self._clock() + self._pause_s
