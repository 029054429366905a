"""Which log a topic's name stands for: a topic that is deleted and made again has another id, and is another log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger(__name__)

LOOK_S = 10.0


class Logs:
    """The topic ids of all inputs, looked at now and then.

    Args:
        ask: the ids that the cluster has now, of the topics it has; blocks.
        reopen: makes the transport open the worker again, which looks at every log.
        clock: seconds, monotonic; it delays looking and decides nothing.
    """

    def __init__(
        self,
        ask: Callable[[], Mapping[str, str]],
        reopen: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ids: dict[str, str] = {}
        self._ask = ask
        self._reopen = reopen
        self._clock = clock
        self._next = clock() + LOOK_S
        self._asked: asyncio.Future[Mapping[str, str]] | None = None

    async def look(self) -> None:
        """Ask now; a topic that is gone for the moment keeps its id."""
        self.ids.update(await asyncio.to_thread(self._ask))

    async def watch(self) -> None:
        """Called often: asks in the background, and opens the worker again where a topic has another id."""
        if self._asked is None:
            if self._clock() >= self._next:
                self._asked = asyncio.get_running_loop().run_in_executor(None, self._ask)
            return
        if not self._asked.done():
            return
        found, self._asked, self._next = self._asked.result(), None, self._clock() + LOOK_S
        replaced = sorted(topic for topic, one in found.items() if self.ids.get(topic, one) != one)
        if replaced:
            logger.error("topics were deleted and made again: %s", ", ".join(replaced))
            await self._reopen()
