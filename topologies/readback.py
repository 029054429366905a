"""Read-back live: the gate before a fence, the changes fetched again, and what is said on its way into the lanes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from app.adapters.groups import SILENT, committed_offsets
from app.adapters.metrics import Metrics
from app.adapters.registry import Registry
from app.adapters.sql import Limits, open_store
from app.config.settings import Settings, SinkSettings
from app.errors import Unavailable
from app.ledger.sink import SinkPartition
from app.model import RawBatch, RawRecord
from app.worker.layout import Layout
from app.worker.live import LiveWorker
from app.worker.ports import Input
from app.worker.readback import Contract, ReadBack
from app.worker.store_rows import StoreRows
from app.worker.stores import image_decoder, store_terms
from cdc_receipts.codec import MarkKind
from topologies.again import record_of
from topologies.marking import Marks

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
AT_ONCE, PATIENCE_S = 1_000, 0.1
"""`Consumer.consume` waits for all that it is asked for, so it is asked for no more than there can be, and not long."""
GAP = 2_000
"""Offsets nearer than this are read in one go: reading is cheaper than seeking."""
RECHECK_S = 60.0


class ChangeReader:
    """Fetches changes by their offsets, in a thread, with a consumer of its own that joins no group."""

    def __init__(self, client: Mapping[str, Any], group: str) -> None:
        self._settings = {
            **client,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 10,
        }
        self._lock = asyncio.Lock()
        self._consumer: Consumer | None = None

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        """The records at some ascending offsets; those that are gone are absent.

        Raises:
            Unavailable: the broker does not answer now.
        """
        async with self._lock:
            return await asyncio.to_thread(self._fetch, source, offsets)

    async def end(self, source: Input, start: int) -> int:
        """Where a source partition ends now; ``start`` where no record stands from there on, be it that markers do.

        Raises:
            Unavailable: the broker does not answer now.
        """
        async with self._lock:
            return await asyncio.to_thread(self._end, source, start)

    def _fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        records: list[RawRecord] = []
        with self._asked(source) as consumer:
            earliest, end = _bounds(consumer, source)
            there = [offset for offset in offsets if earliest <= offset < end]
            for run in _runs(there):
                records += _read(consumer, source, run)
        last = records[-1].offset + 1 if records else 0
        return RawBatch.of(source.topic, source.partition, records, records[0].offset if records else 0, last)

    def _end(self, source: Input, start: int) -> int:
        with self._asked(source) as consumer:
            earliest, end = _bounds(consumer, source)
            start_there = max(start, earliest)
            if start_there >= end or not _holds_records(consumer, source, start_there):
                return start
        return end

    @contextmanager
    def _asked(self, source: Input) -> Iterator[Consumer]:
        try:
            if self._consumer is None:
                self._consumer = Consumer(self._settings)
            yield self._consumer
        except KafkaException as error:
            self.close()
            raise Unavailable(f"{source.topic}:{source.partition} can't be read again: {error}") from error

    def close(self) -> None:
        """Let the consumer go; the next fetch makes another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _bounds(consumer: Consumer, source: Input) -> tuple[int, int]:
    """Where a log begins and ends; what an open transaction holds is beyond its end."""
    bounds: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(*source), timeout=TIMEOUT_S)
    return bounds


def _read(consumer: Consumer, source: Input, run: Sequence[int]) -> list[RawRecord]:
    found: list[RawRecord] = []
    wanted = set(run)
    for message in _messages(consumer, source, run[0], run[-1]):
        offset = int(message.offset() or 0)
        if offset in wanted:
            found.append(record_of(message))
        if offset >= run[-1]:
            break
    return found


def _holds_records(consumer: Consumer, source: Input, start: int) -> bool:
    return next(_messages(consumer, source, start, start), None) is not None


def _messages(consumer: Consumer, source: Input, start: int, last: int) -> Iterator[Message]:
    """The records from an offset on, up to the log's end; the caller stops at ``last`` or beyond."""
    consumer.assign([TopicPartition(source.topic, source.partition, start)])
    deadline = time.monotonic() + TIMEOUT_S
    place = start
    while True:
        messages = consumer.consume(min(AT_ONCE, max(last - place, 0) + 1), PATIENCE_S)
        if messages:
            deadline = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                return
            if error is not None:
                raise KafkaException(error)
            place = int(message.offset() or 0) + 1
            yield message


def _runs(offsets: Sequence[int]) -> list[list[int]]:
    """Offsets in stretches that are read in one go."""
    found: list[list[int]] = []
    for offset in offsets:
        if found and offset - found[-1][-1] <= GAP:
            found[-1].append(offset)
        else:
            found.append([offset])
    return found


def readers(
    settings: Settings, registry: Registry, admin: AdminClient, client: Mapping[str, Any], group: str
) -> dict[str, ReadBack]:
    """What reads back the rows of each sink that names its store.

    Args:
        admin: asks what sinks have committed.
        client: librdkafka's connection settings; group: it wants one, nothing is committed.
    """
    changes = ChangeReader(client, group)
    return {
        name: _reader(settings, sink, changes, registry, partial(_committed, admin, sink.group or ""))
        for name, sink in settings.sinks.items()
        if sink.store is not None
    }


async def _committed(admin: AdminClient, group: str, source: Input) -> int:
    """The offset that a group will read next; 0 where nobody knows."""
    try:
        found = await asyncio.to_thread(committed_offsets, admin, group, [source])
    except SILENT as error:
        raise Unavailable(f"the committed offsets of {group} can't be read: {error}") from error
    return found.get(source, 0)


def _reader(
    settings: Settings,
    sink: SinkSettings,
    changes: ChangeReader,
    registry: Registry,
    progress: Callable[[Input], Awaitable[int]],
) -> ReadBack:
    limits = Limits(rows_per_second=sink.read_back_rate or None, statement_timeout_ms=sink.read_back_timeout_ms)
    url = sink.store or ""
    return ReadBack(
        Contract(
            sink=sink.name,
            terms=store_terms(settings, sink.name),
            share=sink.read_back_share,
            second_look_s=sink.second_look_ms / 1000,
        ),
        StoreRows(open_store(url, sink.store_password, limits), url.partition(":")[0]),
        changes,
        image_decoder(settings, registry),
        registry.fetch,
        progress,
        lambda: int(time.time() * 1000),
    )


class ReadBackGate:
    """Before a fence of a sink with a store is written, its rows are read back (`app.worker.readback`).

    Args:
        sinks: by name, what reads its rows back.
        clock: seconds, monotonic; it delays looks at bad cells and decides nothing.
    """

    def __init__(
        self,
        sinks: Mapping[str, ReadBack],
        worker: LiveWorker,
        layout: Layout,
        marks: Marks,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = sinks
        self._worker = worker
        self._layout = layout
        self._marks = marks
        self._metrics = metrics
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._read_up: dict[tuple[str, Input], tuple[SinkPartition, int, int]] = {}
        """By lane: whose rows were read back, in which life, up to where; of a lane that was opened anew nothing is known."""
        self._next_recheck: dict[tuple[str, Input], float] = {}

    async def __call__(self, name: str, source: Input, offset: int) -> bool:
        """See `topologies.gates.Gate`: whether the rows below ``offset`` have been read back and what they say was said."""
        reader = self._sinks.get(name)
        if reader is None:
            return True
        sink = self._worker.lanes().get((name, source))
        if sink is None:
            return False
        whose, life, up_to = self._read_up.get((name, source), (None, 0, 0))
        if whose is sink and life == sink.generation and up_to >= offset:
            return True
        if sink.changes.next < offset or sink.queued:
            return False  # the fold does not know yet what a fence would judge
        self._start(name, source, lambda: self._before(reader, name, source, offset))
        return False

    async def recheck(self) -> None:
        """Read bad cells back now and then: a repair that nobody reports is found, also where nothing moves."""
        now = self._clock()
        for name, one in self._sinks.items():
            self._metrics.read_back(name, one.tally.rows, is_up=not one.tally.problem)
        for gone in self._read_up.keys() - self._worker.lanes().keys():
            del self._read_up[gone]
        for (name, source), sink in self._worker.lanes(is_caught_up=True).items():
            reader = self._sinks.get(name)
            if reader is None or not len(sink.stragglers) or sink.queued:
                continue
            if now >= self._next_recheck.setdefault((name, source), now + RECHECK_S):
                self._next_recheck[name, source] = now + RECHECK_S
                self._start(name, source, lambda r=reader, n=name, s=source: self._again(r, n, s))  # type: ignore[misc]

    def _start(self, name: str, source: Input, work: Callable[[], Any]) -> None:
        """One look at a store at a time; whoever comes while one goes on asks again."""
        task = self._running.get(name)
        if task is None or task.done():
            self._running[name] = asyncio.create_task(self._guarded(name, source, work))

    async def _guarded(self, name: str, source: Input, work: Callable[[], Any]) -> None:
        tally = self._sinks[name].tally
        try:
            await work()
            tally.problem = ""
        except Unavailable as error:
            if tally.problem != str(error):
                logger.warning("%s can't be read back, no fence is written for %s:%d: %s", name, *source, error)
            tally.problem = str(error)
        except Exception as error:
            if tally.problem != repr(error):  # one sink's trouble is not the others': its fences wait, and it shows
                logger.exception("%s can't be read back, no fence is written for %s:%d", name, *source)
            tally.problem = repr(error)

    async def _before(self, reader: ReadBack, name: str, source: Input, offset: int) -> None:
        sink = self._worker.lanes().get((name, source))
        if sink is None:
            return
        life = sink.generation
        said = await reader.look(sink, source, offset, may_be_gone=self._may_be_gone(name, source, sink))
        if self._is_still(name, source, sink, life):
            for one in said:
                self._marks.say((name, source), one)
            if self._marks.is_through((name, source)):  # what waits here may be forgotten: then it is looked at again
                self._read_up[name, source] = (sink, life, offset)

    async def _again(self, reader: ReadBack, name: str, source: Input) -> None:
        sink = self._worker.lanes().get((name, source))
        if sink is None:
            return
        life = sink.generation
        may_be_gone = self._may_be_gone(name, source, sink)
        said = await reader.look(sink, source, sink.fence, has_bad=True, may_be_gone=may_be_gone)
        is_news = said or sink.stragglers.dirty  # said of late, and the fence behind it stood below another
        if is_news and self._is_still(name, source, sink, life):
            for one in said:
                self._marks.say((name, source), one)
            self._marks.mark((name, source), MarkKind.FENCE, sink.fence, life)

    def _may_be_gone(self, name: str, source: Input, sink: SinkPartition) -> bool:
        """Whether a truncate may have taken rows that its own source partition says nothing of.

        It has no key, so that one partition tells of it, and it empties the whole table: with truncates of a partition that
        another worker reads, or that is held here, a row that is not there proves nothing.
        """
        if sink.contract.truncates != "apply":
            return False
        others = [Input(source.topic, n) for n in range(self._layout.inputs[source.topic]) if n != source.partition]
        lanes = self._worker.lanes()
        return any((name, other) not in lanes or lanes[name, other].changes.holds_truncates() for other in others)

    def _is_still(self, name: str, source: Input, sink: SinkPartition, life: int) -> bool:
        """Whether the lane is ours yet and the sink's life the same; else what was seen is of something else."""
        return self._worker.lanes().get((name, source)) is sink and sink.generation == life
