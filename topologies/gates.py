"""What a fence waits for after its grace: gates, each of which says when one kind of evidence is in the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from confluent_kafka.admin import AdminClient

from app.adapters.groups import SILENT, committed_offsets, ends
from app.errors import Unavailable
from app.worker.live import LiveWorker
from app.worker.ports import Input

Gate = Callable[[str, Input, int], Awaitable[bool]]
"""Asked (sink, source partition, offset): is all that this kind of evidence has to say of offsets below ``offset`` in the lane,
up to a moment after the grace?

It is asked again at every look with the same offset until it says yes, and never after that, so it may keep what it waits for
by (sink, source partition, offset): another offset begins anew. `Unavailable` is a no that is logged.
"""


class RoutedLogs:
    """Asks the cluster about the logs that are routed; within one round each thing once.

    Args:
        group: of all workers, which commits of a routed log how far it is in its lanes (`app.worker.acknowledged`).
    """

    def __init__(self, admin: AdminClient, group: str) -> None:
        self._admin = admin
        self._group = group
        self._ends: dict[Input, int] = {}
        self._committed: dict[Input, int] = {}

    def begin_round(self) -> None:
        """What was asked before is too old for fences whose grace ends now."""
        self._ends.clear()
        self._committed.clear()

    async def ends(self, logs: Collection[Input]) -> dict[Input, int]:
        """Where logs end, open transactions included; raises `Unavailable` where one does not tell."""
        unknown = [log for log in logs if log not in self._ends]
        if unknown:
            self._note(self._ends, await asyncio.to_thread(self._asked, ends, unknown))
        silent = [log for log in logs if log not in self._ends]
        if silent:
            raise Unavailable("{}:{} does not tell where it ends".format(*silent[0]))
        return {log: self._ends[log] for log in logs}

    async def committed(self, logs: Collection[Input]) -> dict[Input, int]:
        """How far other workers say that logs are in their lanes; 0 where nobody said anything."""
        unknown = [log for log in logs if log not in self._committed]
        if unknown:
            self._committed |= dict.fromkeys(unknown, 0)
            self._note(self._committed, await asyncio.to_thread(self._asked, self._group_commits, unknown))
        return {log: self._committed[log] for log in logs}

    def _group_commits(self, admin: AdminClient, logs: Collection[Input]) -> Mapping[tuple[str, int], int]:
        return committed_offsets(admin, self._group, logs)

    def _asked(
        self,
        ask: Callable[[AdminClient, Collection[Input]], Mapping[tuple[str, int], int]],
        logs: Collection[Input],
    ) -> Mapping[tuple[str, int], int]:
        try:
            return ask(self._admin, logs)
        except SILENT as error:
            raise Unavailable(f"the cluster does not tell how far evidence was routed: {error}") from error

    @staticmethod
    def _note(known: dict[Input, int], found: Mapping[tuple[str, int], int]) -> None:
        known |= {Input(*place): offset for place, offset in found.items()}


class RoutedGate:
    """Every log that is routed for a sink was read, routed and acknowledged up to the end it had after the grace.

    All partitions of it: those that other workers read, too, as the group's commits tell.
    """

    def __init__(self, worker: LiveWorker, logs: RoutedLogs) -> None:
        self._worker = worker
        self._logs = logs
        self._targets: dict[tuple[str, Input], tuple[int, dict[Input, int]]] = {}

    async def __call__(self, sink: str, source: Input, offset: int) -> bool:
        """See `Gate`."""
        logs = [Input(*log) for log in self._worker.layout.routed_logs(sink)]
        if not logs:
            return True
        lane = (sink, source)
        wanted, target = self._targets.get(lane, (-1, {}))
        if wanted != offset:
            target = await self._logs.ends(logs)
            self._targets[lane] = (offset, target)
        others = [log for log in logs if self._worker.routed_position(log) is None]
        committed = await self._logs.committed(others)
        for log, end in target.items():
            mine = self._worker.routed_position(log)
            if (committed.get(log, 0) if mine is None else mine) < end:
                return False
        del self._targets[lane]
        return True
