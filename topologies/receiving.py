"""Responses received whole: what aiokafka awaits is put together once, when all of it is there.

asyncio's reader appends every chunk to one buffer, which moves what it holds as it grows, wakes whoever waits for each, and
copies the result; of a fetch of megabytes that is a third of what receiving it costs. Here chunks are kept as they came, and
nobody wakes before the last one. `Protocol` makes a reader of aiokafka's this one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiokafka import conn

_stock: Any = conn.AIOKafkaProtocol


class WholeReader(asyncio.StreamReader):
    """Chunks in their order; only `readexactly` reads them."""

    _chunks: deque[memoryview]
    _size: int
    _wanted: int
    # of asyncio's:
    _eof: bool
    _exception: BaseException | None
    _limit: int
    _paused: bool
    _transport: Any

    @classmethod
    def made_of(cls, reader: asyncio.StreamReader) -> None:
        """Change a reader that has received nothing yet."""
        reader.__class__ = cls
        vars(reader).update(_chunks=deque(), _size=0, _wanted=0)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # no other iterable comes from a transport
        """A chunk came. Reading pauses where much more is there than anybody waits for."""
        if not data:
            return
        self._chunks.append(memoryview(data))
        self._size += len(data)
        if self._size < self._wanted:
            return
        self._wakeup_waiter()  # type: ignore[attr-defined]  # asyncio's own
        if not self._paused and self._size > self._wanted + 2 * self._limit and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    async def readexactly(self, n: int) -> bytes:
        """The next ``n`` bytes.

        Raises:
            asyncio.IncompleteReadError: the connection ended before them.
        """
        if self._exception is not None:
            raise self._exception
        self._wanted = n
        while self._size < n:
            if self._eof:
                raise asyncio.IncompleteReadError(self._taken(self._size), n)
            await self._wait_for_data("readexactly")  # type: ignore[attr-defined]
        self._wanted = 0
        found = self._taken(n)
        if self._paused and self._size <= self._limit:
            self._paused = False
            self._transport.resume_reading()
        return found

    def _taken(self, count: int) -> bytes:
        parts: list[memoryview] = []
        self._size -= count
        while count:
            chunk = self._chunks.popleft()
            if len(chunk) > count:
                self._chunks.appendleft(chunk[count:])
                chunk = chunk[:count]
            parts.append(chunk)
            count -= len(chunk)
        return b"".join(parts)


class Protocol(_stock):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's, over such a reader."""

    def __init__(self, closed: Any, reader: asyncio.StreamReader, *, loop: Any, **more: Any) -> None:
        WholeReader.made_of(reader)
        super().__init__(closed, reader, loop=loop, **more)
