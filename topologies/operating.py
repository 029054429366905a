"""A cluster as an operator's command sees it: asked once, written to once, no worker needed.

Places of marks come from the layout that workers use, with the partition counts that their state was made under.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from confluent_kafka import IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # its stubs forget it

from app.adapters.connection import Connection
from app.adapters.groups import committed_offsets
from app.adapters.kafka_config import client_config
from app.adapters.registry import Registry
from app.adapters.rights import Need, problems, rights_of
from app.adapters.told import Told, ToldReader
from app.config import Settings, live_problems
from app.decode.framing import unframed
from app.errors import BadInput, ConfigError, Unavailable
from app.model.effects import SinkWatermark
from app.worker.layout import Layout, absent, missing_topics, plan
from app.worker.marking import Standing
from app.worker.needs import principal_of
from app.worker.ports import Input
from app.worker.readiness import Seen
from topologies.reading import NewestOf, read_topic
from topologies.starting import as_known, ledger_topic, recalled

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
REGISTRY_S = 30.0
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAt:
    """What a record of ours told, and when it was written, ms since the epoch."""

    told: Told
    at_ms: int


class Operator:
    """One command's look at a cluster; every method blocks until it knows.

    Raises:
        ConfigError: the settings can't reach a cluster, or the brokers let nobody in.
        Unavailable: no broker answers.
    """

    def __init__(self, settings: Settings) -> None:
        faults = live_problems(settings)
        if faults:
            raise ConfigError(faults)
        self.settings = settings
        self._client = client_config(settings)
        self._connection = Connection(self._client, settings.kafka.start_wait_ms / 1000)
        self.counts = self._connection.partition_counts()
        self._group = (
            settings.verifier.application_id
        )  # never joined: a right on a second group would be one to ask for

    # ---------------------------------------------------------------- asking

    def require(self, needs: Iterable[Need]) -> None:
        """Raise `ConfigError` with the command to type for every right that is missing."""
        wanted = list(dict.fromkeys(needs))
        topics = {need.name for need in wanted if need.kind == "topic"}
        groups = {need.name for need in wanted if need.kind == "group"}
        found = problems(wanted, rights_of(self._connection.admin, topics, groups), principal_of(self.settings))
        if found:
            raise ConfigError(found)

    def layout(self) -> Layout:
        """Where every sink's lane is, as workers see it.

        Raises:
            ConfigError: topics that are configured don't exist, or the ledger topic may not be read.
        """
        missing = missing_topics(self.settings, self.counts)
        if missing:
            raise ConfigError([absent(topic) for topic in missing])
        return plan(self.settings, as_known(self.counts, self.known()))

    def known(self) -> dict[str, int]:
        """The partition counts that state was made under, of topics that were read before."""
        ledger = ledger_topic(self.settings)
        if ledger not in self.counts:
            return {}
        self.require(self.may_read("ledger"))
        return recalled(self.settings, self.counts)

    def sources(self, layout: Layout, sink: str, topic: str | None = None) -> list[Input]:
        """The source partitions of a sink, or of one of its topics.

        Raises:
            BadInput: there is no such sink, or the topic is not the sink's.
        """
        if sink not in self.settings.sinks:
            raise BadInput(f"{sink}: no such sink is configured; there are: {', '.join(self.settings.sinks) or 'none'}")
        topics = self.settings.sink_topics(sink, layout.inputs)
        if topic is not None and topic not in topics:
            raise BadInput(f"{topic}: is no change topic of {sink}; there are: {', '.join(topics)}")
        wanted = topics if topic is None else [topic]
        return [Input(one, number) for one in wanted for number in range(layout.inputs[one])]

    def lane(self, layout: Layout, sink: str, topic: str) -> str:
        """The topic of a sink's lane about one change topic.

        Raises:
            ConfigError: it is suspended, or its lane was not made yet.
        """
        lane = layout.group_of(topic).lanes[sink]
        for one in (topic, lane):
            if self._is_suspended(layout, one):
                raise BadInput(
                    f"topic {one} has {self.counts[one]} partitions, and its state was made under {layout.inputs[one]}: it is "
                    'suspended, and a mark would be passed over. See README.md, "When a topic\'s partition count changes"'
                )
        if lane not in self.counts:
            raise ConfigError([f"topic {lane} does not exist yet; start cdc-verifier run once, which makes it"])
        return lane

    def bounds(self, sources: Collection[Input]) -> dict[Input, tuple[int, int]]:
        """(earliest, end) of change partitions."""
        asked = [TopicPartition(*source) for source in sources]
        found: dict[Input, list[int]] = {source: [] for source in sources}
        for spec in (EARLIEST, LATEST):
            answers = self._connection.admin.list_offsets(
                dict.fromkeys(asked, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
            )
            for place, answer in answers.items():
                offset = _answered(answer.result, f"{place.topic}:{place.partition}: where it begins and ends").offset
                found[Input(place.topic, place.partition)].append(int(offset))
        return {source: (earliest, end) for source, (earliest, end) in found.items()}

    def committed(self, sink: str, sources: Sequence[Input]) -> dict[tuple[str, int], int]:
        """What the sink's group has committed.

        Raises:
            ConfigError: it has no group.
        """
        group = self._group_of(sink)
        return _answered(lambda _: committed_offsets(self._connection.admin, group, sources), f"group {group}")

    def _group_of(self, sink: str) -> str:
        group = self.settings.sinks[sink].group
        if group is None:
            raise ConfigError([f"sinks.{sink}: has neither connector nor group, whose committed offsets are asked for"])
        return group

    def may_read(self, *names: str) -> list[Need]:
        """The rights to read topics of ours, of those that are there."""
        purpose = "see what the verifier has told"
        topics = [topic for topic in map(self.own, names) if topic in self.counts]
        needs = [Need(kind="topic", name=topic, operation="Read", purpose=purpose) for topic in topics]
        if topics:
            needs.append(Need(kind="group", name=self._group, operation="Read", purpose="be a reader of its topics"))
        return needs

    def watermarks(self) -> dict[tuple[str, Input], ToldAt]:
        """The newest watermark of every sink and source partition; none where no worker has made the topic."""
        topic = self.own("watermarks")
        if topic not in self.counts:
            return {}
        newest = NewestOf()
        for message in read_topic(self._client, topic, self._group):
            newest.note(message)
        found = {}
        for one in self.decoded(newest.messages()):
            if isinstance(one.told, SinkWatermark):
                found[one.told.sink, Input(one.told.topic, one.told.partition)] = one
        return found

    def told(self, name: str) -> Iterable[ToldAt]:
        """Everything that one of our topics holds, oldest first within a partition."""
        topic = self.own(name)
        if topic not in self.counts:
            return
        yield from self.decoded(read_topic(self._client, topic, self._group))

    def decoded(self, messages: Iterable[Message]) -> Iterable[ToldAt]:
        """What records tell; one that is none of ours is said on the log, and passed over."""
        registry = registry_of(self.settings)
        reader = ToldReader(registry)
        seen: set[int] = set()
        for message in messages:
            value = message.value()
            try:
                number = unframed(value or b"")[0]
                if number not in seen:
                    patiently(partial(registry.fetch, [number]))
                    seen.add(number)
                yield ToldAt(told=reader.told(value), at_ms=message.timestamp()[1])
            except BadInput as error:
                place = f"{message.topic()}:{message.partition()}:{message.offset()}"
                logger.warning("%s is none of our records, it is passed over: %s", place, error)

    def own(self, name: str) -> str:
        """A topic of ours by the end of its name."""
        return f"{self._prefix}.{name}"

    @property
    def _prefix(self) -> str:
        return self.settings.verifier.prefix

    def standings(self, sink: str, topic: str | None = None, *, is_committed: bool = False) -> list[Standing]:
        """What is known of a sink's source partitions, for a command that writes to their lanes."""
        layout = self.layout()
        sources = self.sources(layout, sink, topic)
        lanes = {one: self.lane(layout, sink, one) for one in {source.topic for source in sources}}
        needs = [*(_may_write(lane, sink) for lane in lanes.values()), *self.may_read("watermarks")]
        if is_committed:
            purpose = f"see how far {sink} has come"
            needs.append(Need(kind="group", name=self._group_of(sink), operation="Describe", purpose=purpose))
        self.require(needs)
        committed = self.committed(sink, sources) if is_committed else {}
        told, bounds = self.watermarks(), self.bounds(sources)
        return [
            Standing(
                sink=sink,
                source=source,
                lane=lanes[source.topic],
                earliest=bounds[source][0],
                end=bounds[source][1],
                committed=committed.get(source),
                told=_watermark(told.get((sink, source))),
            )
            for source in sources
        ]

    def configured(self) -> set[tuple[str, Input]]:
        """Every sink and source partition that is configured and that the cluster shows us."""
        return {
            (sink, Input(topic, number))
            for sink in self.settings.sinks
            for topic in self.settings.sink_topics(sink, self.counts)
            for number in range(self.counts.get(topic, 0))
        }

    def seen(self, layout: Layout, told: Mapping[tuple[str, Input], ToldAt]) -> dict[str, list[Seen]]:
        """By sink, every source partition: where its log is, and what was told of it."""
        by_sink = {sink: self.sources(layout, sink) for sink in self.settings.sinks}
        there = {one for sources in by_sink.values() for one in sources if one.partition < self.counts[one.topic]}
        bounds = self.bounds(there)
        return {sink: [self._seen(layout, sink, one, bounds, told) for one in by_sink[sink]] for sink in by_sink}

    def _seen(
        self,
        layout: Layout,
        sink: str,
        source: Input,
        bounds: Mapping[Input, tuple[int, int]],
        told: Mapping[tuple[str, Input], ToldAt],
    ) -> Seen:
        earliest, end = bounds.get(source, (0, 0))
        one = told.get((sink, source))
        lane = layout.group_of(source.topic).lanes[sink]
        return Seen(
            source=source,
            earliest=earliest,
            end=end,
            told=_watermark(one),
            told_at_ms=0 if one is None else one.at_ms,
            is_suspended=any(self._is_suspended(layout, topic) for topic in (source.topic, lane)),
        )

    def _is_suspended(self, layout: Layout, topic: str) -> bool:
        return self.counts.get(topic, layout.inputs[topic]) != layout.inputs[topic]

    def listeners(self, layout: Layout) -> dict[str, frozenset[str]]:
        """By evidence topic, the sinks that it may speak for."""
        found: dict[str, set[str]] = {}
        for name, sink in self.settings.sinks.items():
            lanes = [group.lanes[name] for group in layout.groups.values() if name in group.lanes]
            for topic in (*sink.receipts, *sink.dead_letters, *sink.success_topics, *lanes):
                found.setdefault(topic, set()).add(name)
        return {topic: frozenset(sinks) for topic, sinks in found.items()}


def _watermark(told: ToldAt | None) -> SinkWatermark | None:
    return told.told if told is not None and isinstance(told.told, SinkWatermark) else None


def registry_of(settings: Settings) -> Registry:
    """The schema registry that settings name."""
    password = settings.registry.password
    return Registry(
        settings.registry.url or "",
        username=settings.registry.username,
        password=None if password is None else password.reveal(),
    )


def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask the registry, which waits as long as it is away; a command does not."""

    async def asked() -> Answer:
        async with asyncio.timeout(REGISTRY_S):
            return await ask()

    try:
        return asyncio.run(asked())
    except TimeoutError:
        raise Unavailable(
            f"the schema registry did not answer within {REGISTRY_S:.0f} s; check registry.url and that it runs"
        ) from None


def _answered(ask: Callable[[float], Answer], what: str) -> Answer:
    try:
        return ask(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise Unavailable(f"{what}: the cluster does not tell: {error}; try again") from error


def _may_write(lane: str, sink: str) -> Need:
    return Need(kind="topic", name=lane, operation="Write", purpose=f"write marks of {sink}, whose lane it is")


def now_ms() -> int:
    """Wall clock, ms since the epoch; it stamps marks and tells ages."""
    return int(time.time() * 1000)
