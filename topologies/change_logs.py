"""The change logs of sinks' own databases: read by consumers that join no group, and asked before fences."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from app.adapters.groups import SILENT, ends
from app.adapters.registry import Registry
from app.adapters.topics import topic_ids
from app.config import topics
from app.config.settings import Settings, SinkSettings
from app.errors import Unavailable
from app.ledger.sink import SinkPartition
from app.model import RawBatch, RawRecord
from app.worker.filling import Fillers
from app.worker.layout import Layout
from app.worker.log_rows import LoggedSink
from app.worker.log_walk import LogWalk
from app.worker.looks import Tally
from app.worker.ports import Input
from app.worker.readback import Changes
from app.worker.sink_log import SinkLog
from app.worker.stores import image_decoder, store_terms
from topologies.again import beside_groups, record_of
from topologies.changes import ChangeReader
from topologies.readback import ReadBackGate
from topologies.stores import committed

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
AT_ONCE, PATIENCE_S = 1_000, 0.1
READ_AT_ONCE = 10_000
DISCOVERY_S = 30.0
"""A table that the sink makes today has a topic in its change log soon after."""
MARGIN_MS = 600_000
"""The log is read from so long before the oldest open change on: further than clocks differ. What is missed all the same is
not known, and never held against the sink."""


class LogTail:
    """See `app.worker.log_rows.LogReader`.

    Args:
        client: librdkafka's connection settings; group: it wants one, nothing is committed.
        wanted: topics and patterns of the log.
        since_ms: the time of the oldest open change of the sink, ms since the epoch.
        clock: seconds, monotonic, for looking at which topics there are; wall_ms: now, ms since the epoch.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        group: str,
        admin: AdminClient,
        wanted: Sequence[str],
        since_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._settings = {**beside_groups(client, group), "fetch.queue.backoff.ms": 10}
        self._admin = admin
        self._wanted = wanted
        self._since_ms = since_ms
        self._clock = clock
        self._wall_ms = wall_ms
        self._looked_at: float | None = None
        self._consumer: Consumer | None = None
        self._next: dict[Input, int] = {}
        self._found: set[Input] = set()
        self._ids: dict[str, str] = {}
        self._unread_ms: dict[Input, int] = {}

    def ends(self, *, is_fresh: bool = False) -> Mapping[Input, int]:
        """Where every partition of the log ends now; new topics and partitions are found here."""
        try:
            if is_fresh or self._looked_at is None or self._clock() - self._looked_at >= DISCOVERY_S:
                self._discover()
                self._looked_at = self._clock()
            found = {Input(*place): end for place, end in ends(self._admin, self._found).items()}
        except SILENT as error:
            raise Unavailable(f"the change log does not tell where it ends: {error}") from error
        silent = sorted(self._found - found.keys())
        if silent:
            raise Unavailable("{}:{} of the change log does not tell where it ends".format(*silent[0]))
        self._lose(place for place, end in found.items() if end < self._next.get(place, 0))
        return found

    def read(self, ends: Mapping[Input, int]) -> Sequence[RawBatch]:
        """Some of the records below ``ends``; none where all were read."""
        try:
            fresh = [place for place in ends if place not in self._next]
            if fresh:
                return self._begin(fresh)
            if all(self._next[place] >= end for place, end in ends.items()):
                return []
            return self._read(ends)
        except KafkaException as error:
            self.close()
            raise Unavailable(f"the change log can't be read: {error}") from error
        except Exception:
            self.close()  # it may be ahead of what was handed on
            raise

    def unread_ms(self, place: Input) -> int:
        """See `LogReader.unread_ms`."""
        return self._unread_ms.get(place, -1)

    def close(self) -> None:
        """Let the consumer go; the next read makes another, and goes on where this one was."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _discover(self) -> None:
        told = self._admin.list_topics(timeout=TIMEOUT_S).topics
        named = topics.resolve(self._wanted, told, only=True)
        if not named and self._looked_at is None:
            logger.warning("no topic of the change log %s exists yet: it tells nothing", ", ".join(self._wanted))
        self._found = {Input(topic, number) for topic in named for number in told[topic].partitions}
        gone = self._next.keys() - self._found
        if gone:
            self.close()
            for place in gone:
                del self._next[place]
        ids = topic_ids(self._admin, named) if named else {}
        anew = {topic for topic, found in ids.items() if self._ids.get(topic, found) != found}
        self._ids |= ids
        self._lose(place for place in self._found if place.topic in anew)

    def _begin(self, fresh: Sequence[Input]) -> list[RawBatch]:
        """Choose where to begin in partitions that were not read before, and say so by batches without records."""
        since = max(self._since_ms() - MARGIN_MS, 0)
        consumer = Consumer(self._settings)
        try:
            asked = [TopicPartition(place.topic, place.partition, since) for place in fresh]
            for found in consumer.offsets_for_times(asked, timeout=TIMEOUT_S):
                if found.error is not None:
                    raise KafkaException(found.error)
                place, offset = Input(found.topic, found.partition), found.offset
                self._unread_ms[place] = -1
                if offset != 0:
                    first, end = consumer.get_watermark_offsets(found, timeout=TIMEOUT_S)
                    offset = end if offset < 0 else offset  # nothing is that young
                    if offset:  # of what has expired nobody knows how young it was
                        self._unread_ms[place] = self._wall_ms() if offset <= first else since
                self._next[place] = offset
        finally:
            consumer.close()
        self.close()  # it is given its partitions anew
        return [RawBatch.of(*place, [], self._next[place], self._next[place]) for place in fresh]

    def _assigned(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
        return self._consumer

    def _read(self, ends: Mapping[Input, int]) -> list[RawBatch]:
        consumer = self._assigned()
        records: dict[Input, list[RawRecord]] = {}
        nexts: dict[Input, int] = {}
        deadline = time.monotonic() + TIMEOUT_S
        count = 0
        while count < READ_AT_ONCE and any(nexts.get(place, self._next[place]) < end for place, end in ends.items()):
            messages = consumer.consume(AT_ONCE, PATIENCE_S)
            if messages:
                deadline = time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
            for message in messages:
                place = Input(message.topic() or "", message.partition() or 0)
                error = message.error()
                if error is None:
                    records.setdefault(place, []).append(record_of(message))
                    nexts[place] = int(message.offset() or 0) + 1
                    count += 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    nexts[place] = max(int(message.offset() or 0), nexts.get(place, self._next[place]))
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public name
                    self._lose([place])
                    raise KafkaException(error)
                else:
                    raise KafkaException(error)
        found = [RawBatch.of(*place, records.get(place, []), self._next[place], end) for place, end in nexts.items()]
        self._next |= nexts
        return found

    def _lose(self, places: Iterable[Input]) -> None:
        """What was to be read next has expired, or the log was made again: these partitions begin anew."""
        for place in list(places):
            if place in self._next:
                logger.warning("%s:%d of a change log does not hold offset %d any more", *place, self._next.pop(place))
                self.close()


def walks(
    settings: Settings,
    layout: Layout,
    registry: Registry,
    admin: AdminClient,
    client: Mapping[str, Any],
    group: str,
    lanes: Callable[[], Mapping[tuple[str, Input], SinkPartition]],
    fillers: Fillers,
) -> dict[str, LogWalk]:
    """What holds the change log of each sink that names one against the changes; where there is a store, that is asked.

    Args:
        client: librdkafka's connection settings; group: it wants one, nothing is committed.
        lanes: that this worker owns.
    """
    changes = ChangeReader(client, group)

    logged = {name: sink for name, sink in settings.sinks.items() if sink.change_log and sink.store is None}

    def tail(sink: SinkSettings) -> LogTail:
        return LogTail(client, group, admin, sink.change_log, partial(_time_of_oldest, lanes, sink.name))

    return {
        name: LogWalk(
            name,
            store_terms(settings, name),
            LoggedSink(tail(sink), SinkLog(image_decoder(settings, registry)), registry.fetch),
            Changes(changes, image_decoder(settings, registry), registry.fetch),
            partial(committed, admin, sink.group or ""),
            sink.change_log_wait_ms / 1000,
            sink.second_look_ms / 1000,
            lambda: int(time.time() * 1000),
            fillers=partial(fillers.of, name),
            partitions=layout.inputs.__getitem__,
        )
        for name, sink in logged.items()
    }


def _time_of_oldest(lanes: Callable[[], Mapping[tuple[str, Input], SinkPartition]], sink: str) -> int:
    """The record time of the oldest change that no fence of a sink has judged, ms since the epoch; now where there is none."""
    found = [int(time.time() * 1000)]
    for (name, _), fold in lanes().items():
        if name == sink:
            for segment, lo, hi in fold.changes.slices(max(fold.fence, fold.beginning), fold.changes.next):
                times = segment.timestamps[lo:hi][segment.kinds[lo:hi] != 0]
                if len(times):
                    found.append(int(times.min()))
                    break
    return min(found)


class ChangeLogGate(ReadBackGate):
    """Before a fence of a sink with a change log is written, what that log tells is in the lane."""

    def _is_due(self, sink: SinkPartition) -> bool:
        """Always: rows at rest are looked at, too, of which the log tells."""
        return sink.fence > 0

    def _count(self, name: str, tally: Tally) -> None:
        self._metrics.change_log(name, tally.rows, is_up=not (tally.problem or tally.doubt))
