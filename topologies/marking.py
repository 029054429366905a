"""What probes write into lanes: marks and statuses, in the order in which they were said."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping

from app.adapters.encode import framed
from app.evidence.connector import Task
from app.ledger.status import Status
from app.model import Origin
from app.worker.effects import Routed
from app.worker.layout import Layout
from app.worker.ports import Input, Shipping
from cdc_receipts.codec import Mark, MarkKind, Receipt, encode_mark, encode_receipt

Lane = tuple[str, Input]
"""A sink and a source partition."""


class Marks:
    """Writes into lanes. What the producer has no room for waits here, and nothing overtakes it.

    Args:
        schema_ids: by record name.
        wall_ms: stamps what is written; nothing is decided by it.
    """

    def __init__(
        self,
        layout: Layout,
        shipper: Shipping,
        schema_ids: Mapping[str, int],
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._layout = layout
        self._shipper = shipper
        self._schema_ids = schema_ids
        self._wall_ms = wall_ms
        self._waiting: dict[Lane, deque[bytes]] = {}

    def mark(self, lane: Lane, kind: MarkKind, offset: int, generation: int, to_offset: int | None = None) -> None:
        """One mark of a sink's life ``generation``."""
        name, source = lane
        mark = Mark(
            sink=name, topic=source.topic, partition=source.partition, kind=kind, offset=offset, to_offset=to_offset,
            at=self._wall_ms(), generation=generation,
        )  # fmt: skip
        self._write(lane, encode_mark(mark, self._schema_ids["SinkMark"]))

    def say(self, lane: Lane, one: Receipt | Mark) -> None:
        """A receipt or a mark that somebody else has made."""
        if isinstance(one, Receipt):
            self._write(lane, encode_receipt(one, self._schema_ids["DeliveryReceipt"]))
        else:
            self._write(lane, encode_mark(one, self._schema_ids["SinkMark"]))

    def status(self, lane: Lane, status: Status, tasks: Collection[Task]) -> None:
        """One status; its time is now."""
        name, source = lane
        record = {
            "sink": name,
            "topic": source.topic,
            "partition": source.partition,
            "state": status.state,
            "tasks": [
                {"id": task.id, "state": task.state, "worker": task.worker, "trace_cause": task.cause} for task in tasks
            ],
            "at": self._wall_ms(),
            "cause": status.cause,
            "rebuild_from": status.rebuild_from,
        }
        self._write(lane, framed("SinkStatus", record, self._schema_ids["SinkStatus"]))

    def is_through(self, lane: Lane) -> bool:
        """Whether the producer has everything that was said so far; it keeps the order."""
        waiting = self._waiting.get(lane)
        while waiting:
            name, source = lane
            topic = self._layout.group_of(source.topic).lanes[name]
            origin = Origin("", -1, -1)
            if not self._shipper.send(Routed(topic=topic, partition=source.partition, origin=origin, value=waiting[0])):
                return False
            waiting.popleft()
        return True

    def keep(self, lanes: Collection[Lane]) -> None:
        """Forget what waits for lanes that are another worker's by now."""
        for gone in self._waiting.keys() - set(lanes):
            del self._waiting[gone]

    def _write(self, lane: Lane, value: bytes) -> None:
        self._waiting.setdefault(lane, deque()).append(value)
        self.is_through(lane)
