"""How fast rows may be read: a bucket that holds one statement's rows."""

from __future__ import annotations

import time
from collections.abc import Callable


class RowLimit:
    """Lets rows pass at a rate; what was not used is not saved up, so that a quiet hour allows no burst.

    In any stretch of time, at most its seconds times the rate pass, and one statement's rows more.

    Args:
        rows_per_second: 0 or None: no limit.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        rows_per_second: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rows_per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def take(self, rows: int) -> float:
        """Wait until what passed before is paid for, then let ``rows`` pass; the seconds waited."""
        if not self._rate:
            return 0.0
        began = self._clock()
        while (wait_s := self._free_at - self._clock()) > 0:
            self._sleep(wait_s)
        now = self._clock()
        self._free_at = now + rows / self._rate
        return now - began
