"""The Faust transport ``ranges://``: batches instead of events, and a store that is the truth about positions.

Faust 0.15.3 gives membership, assignment, agents and timers. What is overridden, and why:

- `seek_to_committed` opens stores and seeks: the flow is stopped there, and partitions are paused.
- `on_partitions_revoked` commits and closes stores after ``super()``: JoinGroup is not sent before it returns.
- `force_commit` commits our own positions, and clears the ledger of acks that the Cython stream keeps.
- `getmany` hands on what was fetched, small ranges together; the stock one drops records of a partition that was paused in flight.
- `_read_offset` is a mapping that forgets: Faust's dedupe livelocks after a seek back.
- the consumer's thread (`topologies.consuming`) seeks: Faust's own seek calls from the wrong thread.
- a position that aiokafka moved by itself opens the worker again: there it is told of the bounds.
- what has another partition count than it had is assigned and not read: the worker says so before it is opened.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from app.worker.ports import Assignment, Input, Worker
from topologies import fetching
from topologies.assigning import apart
from topologies.consuming import ConsumerThread
from topologies.ending import NOT_COPARTITIONED, end_process

logger = logging.getLogger(__name__)

OPEN_S = 60.0
"""Faust gives up on opening after `broker_request_timeout`, without a word; that must be longer than this."""
ASK_PAUSE_S = 0.5
APART_S, APART_PAUSE_S = 15.0, 1.0
"""How long inputs that go together may be assigned apart: longer than a leader takes to hear of a topic; and asking again."""
SOUGHT_S = 2.0
"""How long a hole may be answered by a seek that was made before it was seen."""


MESSAGE_BYTES = 1 << 20
"""A message takes ranges until they hold so much: small ones of a tail go together, since each message costs Faust 0.3 ms."""


def grouped(ranges: Mapping[Any, Any]) -> Iterator[list[Any]]:
    """The ranges of one fetch in their order, some at a time."""
    group: list[Any] = []
    size = 0
    for one in ranges.values():
        group.append(one)
        size += len(one.batch.buffer)
        if size >= MESSAGE_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Forgets(dict[TP, int | None]):
    """Remembers nothing: our stores know what was read."""

    def __getitem__(self, _: TP) -> None:
        return None

    def __setitem__(self, _: TP, __: int | None) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        pass


class Consumer(driver.Consumer):
    """Faust's side, in the app's event loop."""

    app: Any  # Faust's, with our worker and its inputs
    _thread: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgets()
        self.worker: Worker = self.app.worker
        self._sought: dict[Input, tuple[int, float]] = {}
        self._opening = asyncio.Lock()
        self._apart_since: float | None = None

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, found: Any) -> ConsumerMessage:
        batches: Any = [one.batch for one in found]  # Faust expects bytes; the value is handed on as it is
        last = batches[-1]
        time_s = float(last.timestamps[-1]) / 1000.0 if len(last) else 0.0
        return ConsumerMessage(
            tp.topic, tp.partition, last.next - 1, time_s, 0, [], None, batches, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - its signature
        """Ranges of whatever is ready, some to a message; called by Faust's fetcher again and again."""
        try:
            records, _ = await self._wait_next_records(timeout)
        except (asyncio.CancelledError, ConsumerStoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - Faust would log it and leave a worker that reads nothing
            end_process(error)
            return
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        ranges: Mapping[TP, Any] = records
        for found in grouped(ranges):
            if not self.flow_active or self.app.consumer_generation_id != generation or self._opening.locked():
                return
            for one in found:
                if one.has_jumped:
                    logger.error(
                        "%s:%d went on at %d, which is not where it was",
                        one.batch.topic, one.batch.partition, one.batch.start,
                    )  # fmt: skip
                    await self.reopen()
                    return
            tp = TP(found[-1].batch.topic, found[-1].batch.partition)
            yield tp, self._to_message(tp, found)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called while the flow is stopped: opens the stores and seeks where they say."""
        try:
            async with asyncio.timeout(OPEN_S), self._opening:  # `reopen` may be at it, too
                return await self._open_and_seek()
        except IllegalStateError:
            raise  # the group was rebalanced again meanwhile; Faust's recovery begins anew
        except Exception as error:  # noqa: BLE001 - Faust would leave a worker that looks alive
            end_process(error)
            return {}

    async def reopen(self) -> None:
        """Tell the worker the bounds anew and go where it says.

        The flow is not stopped, but nothing is handed on meanwhile, so that no position is beyond an end that was told;
        the seek fetches it again.
        """
        try:
            await self.seek_to_committed()
        except IllegalStateError:
            logger.info("the group was rebalanced again meanwhile; the worker is told then")

    async def _open_and_seek(self) -> Mapping[TP, int]:
        generation = self.app.consumer_generation_id
        tps = await self._readable({TP(*tp) for tp in self.assignment() if tp.topic in self.app.input_topics})
        earliest, ends = await self._ask(self._thread.bounds, tps) if tps else ({}, {})
        committed = await self._ask(self._thread.committed_with_metadata, tps) if tps else {}
        if generation != self.app.consumer_generation_id:
            raise IllegalStateError("the group was rebalanced again meanwhile")
        positions = await self.worker.open(
            Assignment(
                inputs={Input(*tp) for tp in tps},
                earliest={Input(*tp): offset for tp, offset in earliest.items()},
                ends={Input(*tp): offset for tp, offset in ends.items()},
                committed={Input(*tp): told for tp, told in committed.items()},
            )
        )
        self._sought.clear()
        found = {TP(*source): offset for source, offset in positions.items()}
        if found:
            await self._thread.call_thread(self._thread.seek_many, found)
        return found

    async def _readable(self, assigned: set[TP]) -> set[TP]:
        """What of an assignment is to be read: all of it, but for topics whose partition count has changed.

        The group's leader has made the assignment, and it may have heard of a new count before us: where inputs came
        apart, the cluster is asked, and then the group to assign anew, before that ends the process.

        Raises:
            IllegalStateError: the group will assign anew.
        """
        tps, absent, suspended = await self._without_changed(assigned, is_fresh=False)
        if apart(tps, self.app.input_topics, absent | suspended):
            tps, absent, suspended = await self._without_changed(assigned, is_fresh=True)
        if absent:
            logger.critical("topics are gone, and wait until they are there again: %s", ", ".join(sorted(absent)))
        await self._check_copartitioned(tps, absent | suspended)
        return tps

    async def _without_changed(
        self, assigned: set[TP], *, is_fresh: bool
    ) -> tuple[set[TP], set[str], AbstractSet[str]]:
        """Of an assignment: what is to be read, the inputs that are gone, and those that are not to be read."""
        ask = functools.partial(self._thread.counts, set(self.app.input_topics), is_fresh=is_fresh)
        counts: dict[str, int] = await self._thread.call_thread(ask)
        for tp in assigned:
            counts[tp.topic] = max(counts[tp.topic], tp.partition + 1)
        suspended = self.worker.note_counts(counts)
        absent = {topic for topic, count in counts.items() if not count}
        return {tp for tp in assigned if tp.topic not in suspended}, absent, suspended

    async def _ask(self, ask: Callable[[set[TP]], Awaitable[Any]], tps: set[TP]) -> Any:
        """Ask the broker again and again while it is away; `OPEN_S` is the end of it."""
        generation = self.app.consumer_generation_id
        while True:
            try:
                return await self._thread.call_thread(ask, tps)
            except IllegalStateError:
                raise
            except KafkaError as error:
                logger.warning("the broker does not tell about its logs, next try in %.1f s: %r", ASK_PAUSE_S, error)
            await asyncio.sleep(ASK_PAUSE_S)
            if self.should_stop or generation != self.app.consumer_generation_id:
                raise IllegalStateError("rebalanced or stopped while the broker was asked")

    async def seek_input(self, source: Input, offset: int) -> None:
        """Answer a hole, once: what was fetched before the seek is a hole too, and was answered by it.

        A partition that is not ours any more needs no answer.
        """
        sought, until = self._sought.get(source, (-1, 0.0))
        if sought == offset and time.monotonic() < until:
            return
        self._sought[source] = (offset, time.monotonic() + SOUGHT_S)
        try:
            await self._thread.call_thread(self._thread.seek_many, {TP(*source): offset})
        except IllegalStateError:
            logger.info("%s:%d went to another worker before it was sought", *source)

    def taken(self, sources: Collection[Input]) -> None:
        """Ranges were no holes: the seek is over, the next hole needs another one, and what was held may be released."""
        for source in sources:
            self._sought.pop(source, None)
        self._thread.wake()

    async def bounds_of(self, sources: Collection[Input]) -> dict[Input, tuple[int, int]]:
        """The earliest offsets and the ends of inputs now; asked at once, because each question waits for a fetch."""
        if not sources:
            return {}
        earliest, ends = await self._thread.call_thread(self._thread.bounds, {TP(*source) for source in sources})
        return {source: (int(earliest[TP(*source)]), int(ends[TP(*source)])) for source in sources}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow (in ``super``), commit, then close the stores.

        A batch that is being taken is not waited for: it asks after every await whether its store is still open.
        """
        await super().on_partitions_revoked(revoked)
        await self.force_commit()
        self.worker.close({Input(*tp) for tp in revoked if tp.topic in self.app.input_topics})

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Commit the worker's positions and forget Faust's acks, which would grow for ever."""
        for ledger in (self._acked, self._acked_index, self._gap):
            ledger.clear()
        told = {TP(*source): committed for source, committed in self.worker.restart_positions().items()}
        return bool(told) and bool(await self._thread.call_thread(self._thread.commit_with_metadata, told))

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust would mark offsets between two events as done; a range says itself what it covers."""

    async def on_stop(self) -> None:
        """The last act: close every store."""
        await super().on_stop()
        self.worker.close(None)

    async def _check_copartitioned(self, tps: set[TP], absent: AbstractSet[str]) -> None:
        """Inputs of one partition count go together by number, else receipts would be judged by half of the world.

        A leader that did not know of a topic for a moment assigns them apart, too; it is asked again for `APART_S`.
        """
        found = apart(tps, self.app.input_topics, absent)
        if not found:
            self._apart_since = None
            return
        number, wanted, here = found[0]
        now = time.monotonic()
        self._apart_since = now if self._apart_since is None else self._apart_since
        if now - self._apart_since < APART_S:
            logger.warning("partition %d of %s was not assigned with %s", number, sorted(wanted - here), sorted(here))
            await asyncio.sleep(APART_PAUSE_S)
            await self._thread.call_thread(self._thread.rejoin)
            raise IllegalStateError("inputs were assigned apart; the group assigns anew")
        logger.critical(
            "partition %d of %s was assigned to another worker than that of %s: their subscribers differ; stop all "
            "workers, compare their configurations, and start them with one",
            number, sorted(wanted - here), sorted(here),
        )  # fmt: skip
        os._exit(NOT_COPARTITIONED)


class Transport(driver.Transport):
    """``ranges://host:port``."""

    Consumer = Consumer


def register() -> None:
    """Make Faust know ``ranges://``, and aiokafka ranges."""
    fetching.install()
    TRANSPORTS.aliases["ranges"] = f"{__name__}:Transport"
