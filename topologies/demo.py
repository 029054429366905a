"""``cdc-verifier demo``: a whole run in one process, with real change records and planted faults.

An embedded broker and registry, Debezium's records played through them, three simulated sinks of different contracts, the
verifier on Faust, and a small repair consumer that answers the replay commands. It ends with planted, found, false and
repaired, and exits with 0 only where everything planted was found and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.recording import Recording
from app.adapters.topics import own_topics
from app.config import Settings, load
from app.decode.changes import ReferenceChangeDecoder
from app.model import BAD, ChangeBatch, RawBatch, RawRecord
from app.model.effects import Command, Contradicted, Orphan, UnknownSink, Unreadable, Verdict
from app.worker.effects import Effect
from cdc_receipts.codec import SCHEMAS, Receipt, Status, encode_receipt
from topologies.demo_markers import Markers
from topologies.demo_score import Cell, Seen, report, score_of, show
from topologies.demo_sinks import SimulatedSink, Spoken
from topologies.verifier import Running, start

PARTITIONS = 2
EACH = 3
"""Planted faults of each kind in each sink."""
MARKED = (120, 240)
"""Rows of every change partition before which a transaction ends: its marker takes an offset that holds no change."""
CHANGES_PER_STEP, STEP_S = 30, 0.25
OUTAGE_STEPS = 8
HEARTBEAT_S = 1.0
DEADLINE_S = 50.0
TOPICS = ("shop.public.orders", "shop.public.customers")

CONFIG = """
[kafka]
brokers = ["{bootstrap}"]
[registry]
url = "{registry}"
[state]
dir = "{state}"
[metrics]
port = {port}
[verifier]
probe_interval = "300ms"
[source]
topics = ["shop.public.orders", "shop.public.customers"]

[sinks.warehouse]
receipts = ["receipts.warehouse"]
late_after = "10m"
mode = "apply"
commands_per_minute = 6000

[sinks.search]
topics = ["shop.public.orders"]
receipts = ["receipts.search"]
fences = "progress"
group = "search-indexer"
grace = "400ms"
expect = "latest-state"
deletes = "ignore"
late_after = "10m"
mode = "apply"
commands_per_minute = 6000

[sinks.lake]
topics = ["shop.public.customers"]
receipts = ["receipts.lake"]
writes = "append"
redelivery = "fault"
late_after = "10m"
mode = "apply"
commands_per_minute = 6000
"""


def demo(*, is_kept: bool) -> int:
    """Run it; returns the exit status."""
    logging.basicConfig(level=logging.ERROR)
    return asyncio.run(_demo(is_kept=is_kept))


@dataclass(slots=True)
class Stage:
    """Everything that the demo plays with."""

    producer: Producer
    broker: EmbeddedBroker
    ids: dict[str, int]
    changes: list[ChangeBatch]
    raw: list[RawBatch]
    sinks: list[SimulatedSink]
    running: Running
    group: Consumer
    markers: Markers
    alarms: dict[Cell, str] = field(default_factory=dict)
    """What was first said against each cell or record, read from the outbox as the broker acknowledged it."""
    commands: asyncio.Queue[Command] = field(default_factory=asyncio.Queue)
    is_spoken: bool = False

    @property
    def seen(self) -> Seen:
        """What the score is made of."""
        return Seen(self.sinks, self.alarms, self.running.worker)


async def _demo(*, is_kept: bool) -> int:
    began = time.monotonic()
    async with _stage(port=9108 if is_kept else 0) as stage:
        tasks = [asyncio.create_task(work) for work in (_play(stage), _repair(stage), show(stage.seen, began))]
        await _until_done(stage, began, tasks)
        for task in tasks:
            task.cancel()
        status = report(stage.seen, time.monotonic() - began)
        if is_kept:
            print("staying up; metrics on http://127.0.0.1:9108/metrics, stop with Ctrl-C")
            await asyncio.Event().wait()
    return status


@asynccontextmanager
async def _stage(port: int) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        broker, registry, state = stack.enter_context(_parts())
        recording = Recording(Path(__file__).parent / "demo_data")
        for number, text in recording.schemas().items():
            registry.register(f"recorded-{number}", text, number)
        ids = {name: registry.register(f"cdc_verifier.{name}", text) for name, text in SCHEMAS.items()}
        raw = list(_played(recording))
        decoder = ReferenceChangeDecoder(recording.schemas(), [frozenset()], "__debezium_unavailable_value")
        changes = [decoder.decode(batch) for batch in raw]
        sinks = _sinks(changes)
        settings = _settings(broker, registry, state, port)
        counts = _create_topics(broker, settings, sinks)
        running = await start(settings, counts)
        markers = await stack.enter_async_context(Markers.to(broker.bootstrap, TOPICS))
        stage = Stage(
            Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5}),
            broker, ids, changes, raw, sinks, running,
            Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "search-indexer"}), markers,
        )  # fmt: skip
        count = running.shipper.on_sent

        def sent(effect: Effect) -> None:
            count(effect)
            _on_sent(stage, effect)

        running.shipper.on_sent = sent
        try:
            yield stage
        finally:
            await running.stop()
            stage.producer.flush(5)


@contextmanager
def _parts() -> Iterator[tuple[EmbeddedBroker, EmbeddedRegistry, str]]:
    """The broker goes with the process: clients that outlive it would print that it is gone."""
    broker = EmbeddedBroker()
    with tempfile.TemporaryDirectory(prefix="cdc-verifier-demo-") as state, EmbeddedRegistry() as registry:
        yield broker, registry, state


def _settings(broker: EmbeddedBroker, registry: EmbeddedRegistry, state: str, port: int) -> Settings:
    text = CONFIG.format(bootstrap=broker.bootstrap, registry=registry.url, state=state, port=port)
    file = Path(state) / "config.toml"
    file.write_text(text)
    return load(file, {})


def _create_topics(broker: EmbeddedBroker, settings: Settings, sinks: list[SimulatedSink]) -> dict[str, int]:
    counts = dict.fromkeys((*TOPICS, *(sink.receipts for sink in sinks)), PARTITIONS)
    own = own_topics(settings.verifier.prefix, {}, PARTITIONS)
    counts |= {name: count for name, (count, _) in own.items()}
    for name, count in counts.items():
        broker.create_topic(name, count)
    return counts


def _played(recording: Recording) -> Iterator[RawBatch]:
    """The recorded records, dealt to partitions by their keys, with the offsets that the broker will give them."""
    for topic in TOPICS:
        dealt: dict[int, list[RawRecord]] = {number: [] for number in range(PARTITIONS)}
        for batch in recording.partitions(topic):
            for row in range(len(batch)):
                key = batch.key(row)
                records = dealt[zlib.crc32(key or b"") % PARTITIONS]
                offset = len(records) + sum(len(records) >= marked for marked in MARKED)
                records.append(RawRecord(offset, int(batch.timestamps[row]), key, batch.value(row)))
        for number, records in dealt.items():
            yield RawBatch.of(topic, number, records, 0, records[-1].offset + 1)


def _sinks(changes: list[ChangeBatch]) -> list[SimulatedSink]:
    sinks = [
        SimulatedSink("warehouse", TOPICS, "receipts.warehouse", emits_fences=True),
        SimulatedSink(
            "search",
            (TOPICS[0],),
            "receipts.search",
            emits_fences=False,
            is_latest_state=True,
            deletes=False,
            has_outage=True,
        ),
        SimulatedSink("lake", (TOPICS[1],), "receipts.lake", emits_fences=True),
    ]
    rng = random.Random(11)  # noqa: S311 - a demo is the same every time
    for sink in sinks:
        sink.plant(changes, rng, EACH)
    return sinks


# -------------------------------------------------------------------- the world


@dataclass(slots=True)
class Lane:
    """What one sink still has to say of one source partition."""

    sink: SimulatedSink
    topic: str
    partition: int
    left: deque[Spoken]


async def _play(stage: Stage) -> None:
    """Changes first, each sink a little behind them; a sink in an outage says nothing for a while, then catches up."""
    lanes = [
        Lane(sink, batch.topic, batch.partition, deque(sink.speak(batch, stage.ids)))
        for sink in stage.sinks
        for batch in stage.changes
        if batch.topic in sink.topics
    ]
    at, longest = 0, max(len(batch) for batch in stage.raw)
    while any(lane.left for lane in lanes):
        for batch in stage.raw:
            for row in range(at, min(at + CHANGES_PER_STEP, len(batch))):
                if row in MARKED:
                    stage.producer.flush(10)
                    await stage.markers.append(batch.topic, batch.partition)
                stage.producer.produce(batch.topic, batch.value(row), batch.key(row), partition=batch.partition)
        is_outage = at < longest + OUTAGE_STEPS * CHANGES_PER_STEP
        for lane in lanes:
            while lane.left and lane.left[0].row <= at and not (is_outage and lane.left[0].is_in_outage):
                _say(stage, lane, lane.left.popleft())
        at += CHANGES_PER_STEP
        stage.producer.poll(0)
        await asyncio.sleep(STEP_S)
    stage.producer.flush(10)
    stage.is_spoken = True
    await _go_on(stage, lanes)


def _say(stage: Stage, lane: Lane, spoken: Spoken) -> None:
    if spoken.value is not None:
        stage.producer.produce(lane.sink.receipts, spoken.value, partition=lane.partition)
    elif spoken.progress is not None:
        stage.producer.flush(10)  # receipts first, then the commit: that is what a commit promises
        offsets = [TopicPartition(lane.topic, lane.partition, spoken.progress)]
        stage.group.commit(offsets=offsets, asynchronous=False)


async def _go_on(stage: Stage, lanes: list[Lane]) -> None:
    """A source is never still: a heartbeat a second, so that fences go on and the answers to commands are judged."""
    ends = {(batch.topic, batch.partition): batch.next for batch in stage.raw}
    while True:
        for topic, partition in ends:
            stage.producer.produce(topic, None, b"\x00\x00\x00\x00\x00heartbeat", partition=partition)
            ends[topic, partition] += 1
        stage.producer.flush(10)
        for lane in lanes:
            end = ends[lane.topic, lane.partition]
            _say(stage, lane, lane.sink.pass_by(lane.topic, lane.partition, end, stage.ids, 0))
        stage.producer.flush(10)
        await asyncio.sleep(HEARTBEAT_S)


async def _repair(stage: Stage) -> None:
    """Answers commands: applies what is asked, but refuses what is planted as unrepairable."""
    fingerprints = {
        (batch.topic, batch.partition, int(offset)): int(batch.fingerprints[row, 0]).to_bytes(8, "little")
        for batch in stage.changes
        for row, offset in enumerate(batch.offsets)
    }
    while True:
        command = await stage.commands.get()
        sink = next(s for s in stage.sinks if s.name == command.sink)
        for item in command.items:
            place = (command.topic, command.partition, item.offset)
            is_refused = place in sink.unrepairable
            receipt = Receipt(
                sink=sink.name, topic=place[0], partition=place[1], offset=place[2],
                status=Status.REJECTED if is_refused else Status.APPLIED,
                fingerprint=None if is_refused else fingerprints[place],
                applied_at=1, command_id=command.id,
            )  # fmt: skip
            value = encode_receipt(receipt, stage.ids["DeliveryReceipt"])
            stage.producer.produce(sink.receipts, value, partition=command.partition)
        stage.producer.poll(0)


def _on_sent(stage: Stage, effect: Effect) -> None:
    """What the broker acknowledged: the demo's view of the verdicts and repair topics."""
    if isinstance(effect, Verdict) and effect.state in BAD:
        stage.alarms.setdefault((effect.sink, effect.topic, effect.partition, effect.offset), effect.state.word)
    elif isinstance(effect, Orphan | Contradicted | UnknownSink | Unreadable):
        sink = "" if isinstance(effect, Unreadable) else effect.sink
        stage.alarms.setdefault((sink, effect.topic, effect.partition, effect.offset), type(effect).__name__.lower())
    elif isinstance(effect, Command):
        stage.commands.put_nowait(effect)


# -------------------------------------------------------------------- the end


async def _until_done(stage: Stage, began: float, tasks: list[asyncio.Task[None]]) -> None:
    """Until all that was planted is found and settled but the unrepairable, or the deadline."""
    refused = {(sink.name, *place) for sink in stage.sinks for place in sink.unrepairable}
    while time.monotonic() - began < DEADLINE_S:
        for task in tasks:
            if task.done():
                task.result()  # none of them ends by itself; this raises what ended it
        if stage.is_spoken:
            score = score_of(stage.seen)
            if score.found == score.planted and score.open <= refused:
                return
        await asyncio.sleep(0.2)
