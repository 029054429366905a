"""The fence probe, for sinks that write no fences themselves (protocol section 3, FENCE).

It saw progress N, waits the contract's grace, makes sure that all other evidence of that sink up to that moment is in the
lane, then writes the fence. This is the only place where a clock decides anything, and all it can do is wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.adapters.groups import committed_offsets
from app.config.settings import Settings, SinkSettings
from app.model import Origin
from app.worker.effects import Routed
from app.worker.layout import Layout
from app.worker.live import LiveWorker
from app.worker.ports import Input
from cdc_receipts.codec import Mark, MarkKind, encode_mark
from topologies.shipping import Shipper

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    """What the probe knows of one sink and source partition; ``waiting`` holds (seen at in s, progress)."""

    progress: int = 0
    fenced: int = 0
    waiting: list[tuple[float, int]] = field(default_factory=list)


class FenceProbe:
    """Looks at progress now and then, for the source partitions that this worker owns.

    Args:
        clock: seconds, monotonic, for the grace; ``wall_ms`` stamps marks.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        worker: LiveWorker,
        shipper: Shipper,
        schema_ids: Mapping[str, int],
        admin: AdminClient,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._worker = worker
        self._shipper = shipper
        self._schema_ids = schema_ids
        self._admin = admin
        self._clock = clock
        self._wall_ms = wall_ms
        self._lanes: dict[tuple[str, Input], _Lane] = {}

    async def look(self) -> None:
        """Ask for the progress of every probed sink once, and write the marks that are due."""
        owned = self._worker.lanes()
        for gone in self._lanes.keys() - owned.keys():
            del self._lanes[gone]  # whoever owns it now waits the grace anew
        for name, sink in self._settings.sinks.items():
            if sink.fences == "emitter":
                continue
            mine = [source for probed, source in owned if probed == name]
            seen = await self._progress(name, sink, mine)
            for source, progress in seen.items():
                await self._note(name, sink, source, progress)

    async def _progress(self, name: str, sink: SinkSettings, mine: list[Input]) -> dict[Input, int]:
        if sink.fences == "receipts":
            return {source: self._worker.highest_receipt(name, source) for source in mine}
        group = sink.group or f"connect-{sink.connector}"
        try:
            found = await asyncio.to_thread(committed_offsets, self._admin, group, mine) if mine else {}
        except KafkaException as error:
            logger.warning("the committed offsets of group %s can't be read, no fence is written: %s", group, error)
            return {}
        return {Input(*source): offset for source, offset in found.items()}

    async def _note(self, name: str, sink: SinkSettings, source: Input, progress: int) -> None:
        lane = self._lanes.setdefault((name, source), _Lane())
        now = self._clock()
        if progress > lane.progress:
            lane.progress = progress
            lane.waiting.append((now, progress))
            self._mark(name, source, MarkKind.PROGRESS, progress)
        due = [offset for seen, offset in lane.waiting if now - seen >= sink.grace_ms / 1000]
        if not due or max(due) <= lane.fenced or not await self._worker.is_routed_up(name):
            return
        lane.fenced = max(due)
        lane.waiting = [(seen, offset) for seen, offset in lane.waiting if offset > lane.fenced]
        self._mark(name, source, MarkKind.FENCE, lane.fenced)

    def _mark(self, name: str, source: Input, kind: MarkKind, offset: int) -> None:
        mark = Mark(
            sink=name, topic=source.topic, partition=source.partition, kind=kind, offset=offset, at=self._wall_ms(),
            generation=self._worker.generation(name, source),
        )  # fmt: skip
        lane = self._layout.group_of(source.topic).lanes[name]
        value = encode_mark(mark, self._schema_ids["SinkMark"])
        self._shipper.send(Routed(topic=lane, partition=source.partition, origin=Origin("", -1, -1), value=value))
