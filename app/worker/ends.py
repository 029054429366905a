"""Ends of change partitions that evidence named more than (protocol section 3): on the ledger topic before judging by them.

Whoever reads a row that names more than the end it sees records (the row's coordinates, that end); every later reading,
here or elsewhere, takes that end. Keys are ``end|<partition>|<sink>|<topic>|<log topic>:<log partition>:<offset>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from app.ledger.sink import SinkPartition
from app.model import SinkTopic
from app.worker.origins import end_key
from app.worker.partition import PartitionWorker
from app.worker.uploads import Put


def read_ends(records: Mapping[str, bytes]) -> dict[str, int]:
    """The ends among records of the ledger topic, by key."""
    return {key: int(json.loads(value)["end"]) for key, value in records.items() if key.startswith("end|")}


class Ends:
    """Called from the event loop; asks again and again, since the broker's answer takes a while."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._waiting: dict[str, int] = {}
        self._recorded: dict[str, int] = {}

    def settle(self, worker: PartitionWorker, sink: SinkPartition, need: int, end: int) -> None:
        """Judge by the end that was recorded for the row that blocks a lane; record one where none was.

        Args:
            need: up to which offset the row needs changes; end: where their partition ends now, as far as was read.
        """
        key = _key(sink)
        if sink.changes.next < end or key in self._waiting:
            return
        known = self._recorded.pop(key, None)
        if known is not None:
            worker.record_end(sink.contract.sink, sink.changes.topic, known)
        elif end < need:
            self._waiting[key] = end
            value = json.dumps({"end": end}).encode()
            self._put(sink.changes.partition, [(key, value)], partial(self._answer, key))

    def _answer(self, key: str, arrived: bool) -> None:  # a callback
        end = self._waiting.pop(key)
        if arrived:
            self._recorded[key] = end


def _key(sink: SinkPartition) -> str:
    waiting = sink.blocked_by()
    if waiting is None:
        return ""
    name = SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)
    return end_key(name, waiting[0].origin(waiting[1]))
