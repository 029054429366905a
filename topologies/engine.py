"""The Faust app: one agent over every input, two timers, and how it ends.

An agent's exception would acknowledge the event and go on, so a bug in the fold ends the process: the store is
consistent by construction, and the next start goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.serializers import codecs

from app.model import RawBatch
from app.worker.ports import Input, Worker
from topologies import transport
from topologies.ending import end_process

logger = logging.getLogger(__name__)

TICK_S = 0.25
SHIP_S = 0.01
"""How soon an acknowledgement is heard, and what was made meanwhile follows."""
COMMIT_S = 1.0
METADATA_MS = 10_000
"""How soon a topic is noticed that is gone, or there again; Kafka's 300,000 would leave it unread for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What Faust needs to know.

    Attributes:
        inputs: partition count by input topic.
        session_timeout_s: after it a dead worker's partitions go to others.
        fetch_min_bytes: a fetch is answered once so much is there: larger costs less CPU, and takes longer.
        fetch_wait_ms: how long the broker waits for that at most; Faust's 1,500 is a quiet topic's latency.
        credentials: Faust's broker credentials, or None.
    """

    application_id: str
    brokers: Sequence[str]
    inputs: Mapping[str, int]
    data_dir: Path
    instance_id: str | None = None
    session_timeout_s: float = 30.0
    fetch_min_bytes: int = 1 << 18
    fetch_wait_ms: int = 50
    credentials: Any = None


def member_of(settings: EngineSettings) -> str | None:
    """The static member's id in the group: a worker that subscribes to other topics is another member.

    The group gives a static member that comes back what it had, whatever it asks for now: without a topic that is new, and
    with one that it does not know any more, over which aiokafka ends.
    """
    if settings.instance_id is None:
        return None
    asked = "\n".join(sorted(settings.inputs)).encode()
    return f"{settings.instance_id}-{hashlib.blake2b(asked, digest_size=4).hexdigest()}"


class _Pass(codecs.Codec):
    """A range is decoded by the worker, not by Faust."""

    def _loads(self, s: Any) -> Any:
        return s

    def _dumps(self, s: Any) -> Any:
        return s


def build_app(settings: EngineSettings, worker: Worker) -> Any:
    """The app that reads every input and hands the ranges to the worker."""
    transport.register()
    codecs.register("pass", _Pass())
    faust_dir = settings.data_dir / "faust"
    faust_dir.mkdir(parents=True, exist_ok=True)  # Faust makes the last directory only
    app: Any = faust.App(
        settings.application_id,
        broker=[f"ranges://{broker}" for broker in settings.brokers],
        broker_credentials=settings.credentials,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=4,
        broker_commit_interval=COMMIT_S,
        broker_commit_every=None,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 6,
        broker_request_timeout=max(90.0, settings.session_timeout_s + 5),
        consumer_group_instance_id=member_of(settings),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1 << 20,
        consumer_metadata_max_age_ms=METADATA_MS,
        datadir=str(faust_dir),
        table_standby_replicas=1,  # 0 would select an assignor that does not keep partition numbers together
        stream_wait_empty=False,  # a revocation waits for nobody: see the transport
        web_enabled=False,
    )
    app.worker = worker
    app.shipping = _Shipping(worker)
    app.input_topics = dict(settings.inputs)
    app.fetch_min_bytes = settings.fetch_min_bytes
    app.fetch_wait_ms = settings.fetch_wait_ms
    inputs = app.topic(*sorted(settings.inputs), value_serializer="pass", key_serializer="pass")

    async def judge(stream: Any) -> None:
        async for event in stream.events():
            await _take(app, worker, event.value)

    app.agent(inputs, name="judge")(judge)
    app.timer(TICK_S, name="tick")(lambda *_: _tick(app, worker))
    return app


async def _take(app: Any, worker: Worker, ranges: Sequence[RawBatch]) -> None:
    try:
        holes = await worker.take(ranges)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing may go on after it
        end_process(error)
        return
    app.consumer.taken({Input(raw.topic, raw.partition) for raw in ranges} - holes.keys())
    app.shipping.wake()
    for source, offset in holes.items():
        await app.consumer.seek_input(source, offset)


class _Shipping:
    """Sends what is made as soon as it is, so that a verdict waits for no tick; asleep while nothing is on its way."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something was taken."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._until_acknowledged()) if self._ship() else None

    async def _until_acknowledged(self) -> None:
        await asyncio.sleep(SHIP_S)
        while self._ship():  # noqa: ASYNC110 - librdkafka tells what was acknowledged when it is asked
            await asyncio.sleep(SHIP_S)

    def _ship(self) -> bool:
        try:
            return self._worker.ship()
        except Exception as error:  # noqa: BLE001 - as in _take
            end_process(error)
            return False


async def _tick(app: Any, worker: Worker) -> None:
    if app.rebalancing or not app.consumer.flow_active:
        return
    try:
        await worker.tick()
    except Exception as error:  # noqa: BLE001 - as in _take
        end_process(error)


async def until_stopped(app: Any, stopped: asyncio.Event) -> None:
    """Wait to be stopped; a service of Faust's that crashed ends the process, since the others would only stand still."""
    await app.wait(stopped)
    if app.crashed:
        end_process(app.crash_reason or RuntimeError("Faust crashed"))
