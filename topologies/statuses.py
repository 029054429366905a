"""The probe of Connect: how the sinks' connectors are, written into their lanes when something else is believed.

Connect being away delays nothing for long and changes no verdict: it is a metric, and after two looks the status UNKNOWN.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from app.adapters.connect_rest import ConnectClient
from app.adapters.metrics import Metrics
from app.config.settings import SinkSettings
from app.errors import Unavailable
from app.evidence.connector import ABSENT, AWAY, Belief, Report
from app.ledger.sink import SinkPartition
from app.ledger.status import Status
from app.model.words import UNKNOWN
from topologies.marking import Lane, Marks

logger = logging.getLogger(__name__)

NOTHING = Status(state=UNKNOWN, at=0)
"""What a lane says that was told nothing."""


class StatusProbe:
    """Asks for the connectors of sinks that are judged here.

    Args:
        client: None where no Connect is configured: then nothing is known, and only rebuilds are told.
    """

    def __init__(
        self, sinks: Mapping[str, SinkSettings], client: ConnectClient | None, marks: Marks, metrics: Metrics
    ) -> None:
        self._connectors = {name: sink.connector for name, sink in sinks.items() if sink.connector and client}
        self._client = client
        self._marks = marks
        self._metrics = metrics
        self._beliefs: dict[str, Belief] = {}
        self._written: dict[Lane, Status] = {}
        self._is_away = False

    async def look(self, lanes: Mapping[Lane, SinkPartition]) -> None:
        """Ask for every connector that has a lane here, all at once."""
        for gone in self._written.keys() - lanes.keys():
            del self._written[gone]
        here = [name for name in self._connectors if any(sink == name for sink, _ in lanes)]
        for name in self._beliefs.keys() - set(here):
            del self._beliefs[name]
            self._metrics.sink_status(name, None)
        for name, report in zip(here, await asyncio.gather(*map(self._report, here)), strict=True):
            belief = self._beliefs.setdefault(name, Belief())
            if belief.see(report):
                logger.info(
                    "the connector of %s is %s%s", name, report.state, f": {report.cause}" if report.cause else ""
                )
                self._metrics.sink_status(name, belief.report)

    async def is_idle(self, name: str) -> bool | None:
        """Whether nothing of a sink's connector can be running, asked now; None where Connect is not asked.

        Where it did not answer the last time it is not waited for again: it says no.
        """
        if name not in self._connectors:
            return None
        return not self._is_away and (await self._report(name)).is_idle

    def write(self, lanes: Mapping[Lane, SinkPartition], rebuild_from: Callable[[Lane], int | None]) -> None:
        """Tell every lane what is believed by now, where the lane does not know it."""
        for lane, fold in lanes.items():
            known = self._written.get(lane) or fold.status or NOTHING
            report = self._believed(lane[0])
            if report is not None:
                state, cause = report.state, report.cause
            elif lane[0] in self._connectors:  # nothing is believed yet
                state, cause = known.state, known.cause
            else:
                state, cause = NOTHING.state, NOTHING.cause
            status = Status(state=state, at=0, cause=cause, rebuild_from=rebuild_from(lane))
            if said(status) != said(known):
                self._marks.status(lane, status, report.tasks if report else ())
            self._written[lane] = status

    def _believed(self, name: str) -> Report | None:
        belief = self._beliefs.get(name)
        return None if belief is None else belief.report

    async def _report(self, name: str) -> Report:
        connector = self._connectors[name]
        if self._client is None or connector is None:
            return AWAY
        try:
            report = await self._client.status(connector)
        except Unavailable as error:
            if not self._is_away:
                logger.warning("%s; connectors' statuses are not known until it does", error)
            self._is_away = True
            return AWAY
        self._is_away = False
        return ABSENT if report is None else report


def said(status: Status) -> tuple[str, str | None, int | None]:
    """What two statuses are compared by: all but their times."""
    return status.state, status.cause, status.rebuild_from
