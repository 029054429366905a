"""The main job: settings to a running worker (design section 5)."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from app.adapters.connection import Connection
from app.adapters.encode import Encoder
from app.adapters.groups import SILENT, committed_offsets
from app.adapters.kafka_config import client_config, credentials
from app.adapters.metrics import Metrics, Served, serve
from app.adapters.registry import Registry
from app.adapters.topics import topic_ids
from app.config import Settings, live_problems, load
from app.decode import decoders
from app.errors import ConfigError
from app.model.effects import Command, Contradicted, Orphan, UnknownSink, Unreadable
from app.native import kernel
from app.worker.agreements import lagging
from app.worker.effects import Effect
from app.worker.layout import Layout
from app.worker.live import LiveWorker
from app.worker.logs import Logs
from app.worker.ports import Input
from app.worker.rereading import Rereader
from app.worker.routing import Router
from topologies import fetching
from topologies.again import StretchReader
from topologies.counts import LOOK_S, CountWatch, PolicyWatch, policies_of, remember
from topologies.ending import end_process
from topologies.engine import EngineSettings, build_app, until_stopped
from topologies.ledger import LedgerReader
from topologies.looking import looks
from topologies.marking import Marks
from topologies.shipping import Shipper
from topologies.starting import ledger_topic, our_schemas, prepare

logger = logging.getLogger(__name__)

FLUSH_S = 10.0
STOP_S = 30.0
"""A broker that is away keeps Faust from stopping; what stands in the stores needs no goodbye."""
ASK_PAUSE_S = 2.0

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
GC_THRESHOLDS = (20_000, 20, 20)
"""A batch makes thousands of objects and no cycle; Python's own 700 would look for some ten times a batch."""


@dataclass(slots=True)
class Running:
    """A worker that was started; `stop` ends it."""

    app: Any
    worker: LiveWorker
    metrics: Metrics
    served: Served | None
    shipper: Shipper

    async def stop(self) -> None:
        """Leave the group, close the stores, flush what is on its way."""
        await self.app.stop()
        self.shipper.close(FLUSH_S)
        if self.served is not None:
            self.served.close()


def run(config: Path) -> int:
    """``cdc-verifier run``: until SIGINT or SIGTERM; returns 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("faust").setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _share_one_arena()
    settings = load(config, os.environ)
    problems = live_problems(settings)
    if problems:
        raise ConfigError(problems)
    return asyncio.run(_run(settings))


def _share_one_arena() -> None:
    """Have glibc keep one heap for all threads: arrays that one makes and another frees leave holes in each other's. Others have none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


async def _run(settings: Settings) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    running = await _started(settings, stopped)
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what a start makes lives as long as the process, and is not to be walked again and again
    await until_stopped(running.app, stopped)
    try:
        async with asyncio.timeout(STOP_S):
            await running.stop()
    except TimeoutError:
        logger.warning(
            "the worker did not leave its group within %.0f s; it ends as it is, and nothing is lost", STOP_S
        )
        os._exit(0)
    return 0


async def _started(settings: Settings, stopped: asyncio.Event) -> Running:
    """A start may wait long, for brokers or for a registry: who is told to stop meanwhile ends as it is."""
    starting, waiting = asyncio.ensure_future(start(settings)), asyncio.ensure_future(stopped.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        logger.warning("the worker was told to stop before it had started; it ends as it is, and nothing is lost")
        os._exit(0)  # a thread that waits for an answer can't be told
    waiting.cancel()
    return starting.result()


async def start(settings: Settings, counts: Mapping[str, int] | None = None) -> Running:
    """Start a worker in this event loop.

    Args:
        counts: partition counts of all topics where the cluster can't create any (the embedded broker); None asks it
            and creates our own.
    """
    connection = Connection(client_config(settings), settings.kafka.start_wait_ms / 1000)
    metrics = Metrics(settings.metrics.per_partition)
    prepared = await asyncio.to_thread(prepare, settings, connection, counts)
    layout, partitions = prepared.layout, prepared.ledger_partitions
    _show_owners(settings, layout, metrics)
    _show_decoders(metrics)
    registry = _registry(settings, metrics)
    ids = await registry.register(our_schemas())
    shipper = _shipper(settings, metrics, ids, partitions)
    group = settings.verifier.application_id  # never joined: a right on a second group would be one to ask for
    reader = LedgerReader(client_config(settings), ledger_topic(settings), partitions, group)
    worker = LiveWorker(settings, layout, registry, Router(layout, ids), shipper, metrics, reader.read)
    await remember(shipper, prepared.fresh)
    worker.note_counts(prepared.counts)
    worker.compacted = prepared.compacted
    for problem in lagging(settings.contracts(layout.inputs), prepared.compacted):
        logger.warning("%s", problem)
    app = build_app(_engine(settings, layout), worker)
    metrics.fetch(is_raw=fetching.slow_because() is None)
    marks = Marks(layout, shipper, ids)
    for name, look in looks(settings, layout, registry, connection.admin, worker, marks, metrics).items():
        app.timer(settings.verifier.probe_interval_ms / 1000, name=name)(_on_timer(look))
    reading = StretchReader(client_config(settings), group)
    worker.rereader = Rereader(reading.read, worker.decoding.changes)
    worker.committed = partial(_committed, connection.admin)
    watch = CountWatch(worker, connection.admin, partial(_reopen, app))
    app.timer(LOOK_S, name="counts")(lambda *_: _guarded(watch.look()))
    if counts is None:
        worker.logs = Logs(partial(topic_ids, connection.admin, sorted(layout.inputs)), partial(_reopen, app))
        policies = PolicyWatch(worker, partial(policies_of, connection.admin, settings.source_topics(layout.inputs)))
        app.timer(LOOK_S, name="policies")(lambda *_: _guarded(policies.look()))
    app.finalize()
    served = _served(settings, metrics)
    await app.start()
    worker.bounds = app.consumer.bounds_of
    worker.seek = app.consumer.seek_input
    return Running(app, worker, metrics, served, shipper)


def _show_decoders(metrics: Metrics) -> None:
    """A worker without a kernel works, at a fraction of the speed: the log says it, and why."""
    is_used = kernel is not None
    metrics.kernel(is_used=is_used)
    logger.log(logging.INFO if is_used else logging.WARNING, "%s", decoders.described())


def _show_owners(settings: Settings, layout: Layout, metrics: Metrics) -> None:
    for sink in settings.sinks.values():
        for topic in settings.sink_topics(sink.name, layout.inputs):
            metrics.contract(sink.name, topic, sink.ownership(topic))


def _served(settings: Settings, metrics: Metrics) -> Served | None:
    host, port = settings.metrics.host, settings.metrics.port
    try:
        return serve(metrics, host, port)
    except OSError as error:
        raise ConfigError(
            [f"metrics.port: {host}:{port} can't be served ({error.strerror}); choose another port"]
        ) from None


async def _committed(admin: AdminClient, group: str, sources: Sequence[Input]) -> dict[tuple[str, int], int]:
    """Waits as long as the cluster does not tell: to begin elsewhere would judge what the contract leaves out."""
    while True:
        try:
            return await asyncio.to_thread(committed_offsets, admin, group, sources)
        except SILENT as error:
            logger.warning("the committed offsets of group %s can't be read: %s", group, error)
        await asyncio.sleep(ASK_PAUSE_S)


def _engine(settings: Settings, layout: Layout) -> EngineSettings:
    """Every input is subscribed to, what is suspended, too.

    A static member that comes back is given the assignment it had, and aiokafka ends over a topic that it did not ask for.
    """
    return EngineSettings(
        application_id=settings.verifier.application_id,
        brokers=settings.kafka.brokers,
        inputs=layout.inputs,
        data_dir=Path(settings.state.dir),
        instance_id=settings.verifier.instance_id,
        credentials=credentials(settings),
        fetch_min_bytes=settings.kafka.fetch_min_bytes,
        fetch_wait_ms=settings.kafka.fetch_wait_ms,
    )


async def _reopen(app: Any) -> None:
    await app.consumer.reopen()


def _on_timer(look: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    return lambda *_: _guarded(look())


async def _guarded(work: Any) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a timer's exception would leave a worker that looks alive
        end_process(error)


def _registry(settings: Settings, metrics: Metrics) -> Registry:
    password = settings.registry.password
    return Registry(
        settings.registry.url or "",
        username=settings.registry.username,
        password=None if password is None else password.reveal(),
        on_error=metrics.registry_error,
    )


def _shipper(settings: Settings, metrics: Metrics, ids: Mapping[str, int], ledger_partitions: int) -> Shipper:
    producer = Producer(
        client_config(settings)
        | {"enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4", "message.timeout.ms": 0}
    )
    limits = {name: sink.commands_per_minute for name, sink in settings.sinks.items()}
    return Shipper(
        producer,
        Encoder(ids, settings.ownership),
        settings.verifier.prefix,
        limits,
        time.monotonic,
        ledger_partitions,
        on_sent=lambda effect: _count(metrics, effect),
        on_error=metrics.broker_error,
    )


def _count(metrics: Metrics, effect: Effect) -> None:
    """What the broker has acknowledged is counted; what was only tried is not."""
    if isinstance(effect, Command):
        metrics.command_acknowledged(effect.sink, effect.topic)
    elif isinstance(effect, Orphan | Contradicted | Unreadable | UnknownSink):
        metrics.found(effect)
