"""Responses are received whole, whatever chunks they come in."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from topologies.receiving import WholeReader

LIMIT = 1_000


class FakeTransport(asyncio.Transport):
    """Tells whether reading is paused."""

    is_paused = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def reader() -> tuple[WholeReader, FakeTransport]:
    made, transport = asyncio.StreamReader(limit=LIMIT), FakeTransport()
    WholeReader.made_of(made)
    made.set_transport(transport)
    assert isinstance(made, WholeReader)
    return made, transport


@pytest.mark.parametrize("seed", range(20))
async def test_what_is_read_is_what_came(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sent, (made, _), read = chance.bytes(20_000), reader(), []
    cuts = np.sort(chance.integers(0, len(sent), 30)).tolist()
    sizes = chance.integers(0, 900, 60).tolist()

    async def write() -> None:
        for lo, hi in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            made.feed_data(sent[lo:hi])
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for size in sizes:
            if size <= len(sent) - sum(map(len, read)):
                read.append(await made.readexactly(size))

    assert b"".join(read) == sent[: sum(map(len, read))]
    assert all(type(one) is bytes for one in read)


async def test_nobody_wakes_before_all_of_it_is_there() -> None:
    made, _ = reader()
    task = asyncio.ensure_future(made.readexactly(10))
    await asyncio.sleep(0)
    waiter = made._waiter  # type: ignore[attr-defined]
    made.feed_data(b"123456789")
    assert not waiter.done()
    made.feed_data(b"0ab")
    assert waiter.done()
    assert await task == b"1234567890"
    assert await made.readexactly(2) == b"ab"


async def test_an_end_in_between_is_told_with_what_came() -> None:
    made, _ = reader()
    made.feed_data(b"123")
    made.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError) as told:
        await made.readexactly(4)
    assert told.value.partial == b"123"


async def test_an_error_of_the_connection_is_raised() -> None:
    made, _ = reader()
    made.feed_data(b"1234")
    made.set_exception(ConnectionResetError("away"))
    with pytest.raises(ConnectionResetError):
        await made.readexactly(4)


async def test_what_nobody_waits_for_stops_the_reading_until_it_was_read() -> None:
    made, transport = reader()
    made.feed_data(bytes(LIMIT))
    assert not transport.is_paused
    made.feed_data(bytes(2 * LIMIT))
    assert transport.is_paused
    assert len(await made.readexactly(1_500)) == 1_500
    assert transport.is_paused
    assert len(await made.readexactly(1_000)) == 1_000
    assert not transport.is_paused


async def test_a_response_larger_than_the_limit_is_waited_for_without_a_pause() -> None:
    made, transport = reader()
    task = asyncio.ensure_future(made.readexactly(10 * LIMIT))
    await asyncio.sleep(0)
    for _ in range(10):
        assert not transport.is_paused
        made.feed_data(bytes(LIMIT))
    assert len(await task) == 10 * LIMIT


async def test_who_waits_for_more_than_made_it_pause_has_it_go_on() -> None:
    made, transport = reader()
    made.feed_data(bytes(3 * LIMIT))
    task = asyncio.ensure_future(made.readexactly(5 * LIMIT))
    await asyncio.sleep(0)
    assert not transport.is_paused
    made.feed_data(bytes(2 * LIMIT))
    assert len(await task) == 5 * LIMIT
