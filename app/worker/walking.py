"""A walk down a change log with its reading: stretch by stretch, in threads, and on to the log's end where rows are suspected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from app.decode.images import Image, ImageDecoder
from app.errors import Unavailable
from app.model import RawBatch
from app.worker.looks import ChangeLog
from app.worker.ports import Input
from app.worker.walk import Candidate, Walk

PIECE = 2_000
"""Offsets of one stretch: a few megabytes, some tens of milliseconds in a thread."""
PIECES_AT_ONCE = 50
"""Stretches that are read on in one go; a log that grows faster is not caught up with, and convicts nobody."""


class BoundedLog(ChangeLog, Protocol):
    """A change log that tells where it begins, too."""

    async def bounds(self, source: Input) -> tuple[int, int]:
        """Where a source partition begins and ends now.

        Raises:
            Unavailable: the broker does not answer now.
        """


class Walking:
    """One walk; it is a `app.worker.looks.Past` of the candidates that are pending.

    Args:
        clock: seconds that never go back; how long to rest is reckoned by it.

    Attributes:
        pending: candidates that were met and not compared yet; changes of their keys are kept as they come in above.
    """

    def __init__(
        self,
        walk: Walk,
        source: Input,
        log: BoundedLog,
        decoder: ImageDecoder,
        fetch_schemas: Callable[[set[int]], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self.walk = walk
        self.pending: dict[int, Candidate] = {}
        self._busy_s = 0.0
        self._clock = clock
        self._source = source
        self._log = log
        self._decoder = decoder
        self._fetch_schemas = fetch_schemas

    def is_cut(self) -> bool:
        """Whether what came in above concerns everything below."""
        return self.walk.is_cut

    async def bounds(self) -> tuple[int, int]:
        """Where the log begins and ends.

        Raises:
            Unavailable: it begins beyond what was read of it: what stood between is not known.
        """
        earliest, end = await self._log.bounds(self._source)
        if earliest > self.walk.high:
            self.walk.is_cut = True
            where = f"{self._source.topic}:{self._source.partition}"
            raise Unavailable(f"{where} begins at {earliest}, and was read up to {self.walk.high}")
        return earliest, end

    async def down(self, stop: int) -> list[Candidate]:
        """The next stretch below, not beyond ``stop``."""
        start = max(self.walk.low - PIECE, stop)
        if start >= self.walk.low:
            return []
        raw = await self._fetched(start, self.walk.low)
        began = self._clock()
        found = await asyncio.to_thread(self.walk.down, raw, start)
        self._busy_s += self._clock() - began
        return found

    async def up(self, end: int) -> None:
        """What came in above, as far as ``end`` or as it goes in one go."""
        end = min(end, self.walk.high + PIECES_AT_ONCE * PIECE)
        while self.walk.high < end:
            to = min(self.walk.high + PIECE, end)
            raw = await self._fetched(self.walk.high, to)
            began = self._clock()
            await asyncio.to_thread(self.walk.up, raw, to)
            self._busy_s += self._clock() - began

    def worked(self) -> float:
        """Seconds of a core that were used since this was asked last."""
        found, self._busy_s = self._busy_s, 0.0
        return found

    def ask(self, candidates: Sequence[Candidate]) -> None:
        """These are pending: what comes in above of their keys is kept from here on."""
        self.pending = {one.image.offset: one for one in candidates}
        self.walk.asked = frozenset(one.identity for one in candidates)
        self.walk.newer.clear()

    @property
    def known(self) -> int:
        """See `app.worker.looks.Past.known`."""
        return self.walk.high

    async def read_on(self) -> int:
        """See `app.worker.looks.Past.read_on`: the log is read to its end, without the fold."""
        _, end = await self.bounds()
        await self.up(end)
        return self.known

    async def images(self, asked: Sequence[int]) -> tuple[list[Image], int]:
        """See `app.worker.looks.Past.images`; nothing is gone, for the newest change of a key was met first."""
        found = {image.offset: image for offset in asked for image in self.pending[offset].images}
        found |= {image.offset: image for image in self.walk.newer}
        if self.walk.hidden is not None:
            found[self.walk.hidden.offset] = self.walk.hidden
        return [found[offset] for offset in sorted(found)], -1

    async def _fetched(self, start: int, end: int) -> RawBatch:
        raw = await self._log.fetch(self._source, range(start, end))
        await self._fetch_schemas(self._decoder.missing(raw))
        return raw
