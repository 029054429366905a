"""What Kafka Connect's REST API says of a connector, and when it is believed: pure decisions over one look after another.

A failing sink reads RUNNING for seconds between its failures, so RUNNING is believed only when two looks in a row say it.
The same holds for not knowing: a worker of Connect that restarts does not know its connectors for a moment. All else is
believed at once. No verdict depends on any of it.

A failed task's trace may hold rows of the table, statements and addresses with credentials: of it only one line is kept,
bounded, and what looks like a credential is masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.model.words import SINK_STATES, UNKNOWN

CAUSE_CHARACTERS = 500
MASK = "***"
OTHER = "other"
"""The class of a cause that names none."""
UNSURE = frozenset({"RUNNING", UNKNOWN})
"""States that one look alone does not prove."""

_SECRET = re.compile(r"""(?ix) (\w* (?:password|passwd|pwd|secret|token|credential|api_?key) \w*) (["']?\s*[=:]\s*)
    ("[^"]*" | '[^']*' | [^\s,;&})]+)""")
_USER = re.compile(r"//[^/\s@]+@")
_CLASS = re.compile(r"(?:[\w$]+\.)+([A-Z][\w$]{0,79})(?=:|$)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task; ``cause`` only of a failed one."""

    id: int
    state: str
    worker: str = ""
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one look at a connector gave.

    Attributes:
        state: the worst of the connector and its tasks, a word of `SINK_STATES`.
        cause: why it is FAILED or UNKNOWN.
        is_idle: nothing of it can be running: it is STOPPED and has no tasks, or there is no such connector.
    """

    state: str
    tasks: tuple[Task, ...] = ()
    cause: str | None = None
    is_idle: bool = False

    def is_as(self, other: Report | None) -> bool:
        """Whether they say the same, wherever tasks run."""
        return other is not None and self.said == other.said

    @property
    def said(self) -> tuple[object, ...]:
        """What two reports are compared by."""
        return self.state, self.cause, tuple((task.id, task.state, task.cause) for task in self.tasks)


ABSENT = Report(state=UNKNOWN, cause="Connect has no connector of this name", is_idle=True)
AWAY = Report(state=UNKNOWN, cause="Connect does not answer")


def report_of(answer: Mapping[str, Any]) -> Report:
    """A report of the API's answer to ``GET /connectors/<name>/status``.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    connector = answer["connector"]
    tasks = tuple(sorted((_task(task) for task in answer["tasks"]), key=lambda task: task.id))
    own = _word(connector["state"])
    state = _worst(own, tasks)
    cause = None
    if state == "FAILED":
        failed = [task for task in tasks if task.state == "FAILED"]
        cause = f"task {failed[0].id}: {failed[0].cause}" if failed else cause_of(connector.get("trace") or "")
    return Report(state=state, tasks=tasks, cause=cause, is_idle=own == "STOPPED" and not tasks)


def _task(told: Mapping[str, Any]) -> Task:
    state = _word(told["state"])
    cause = cause_of(told.get("trace") or "") if state == "FAILED" else None
    return Task(id=int(told["id"]), state=state, worker=str(told.get("worker_id", "")), cause=cause)


def _word(state: object) -> str:
    return state if isinstance(state, str) and state in SINK_STATES else UNKNOWN


def _worst(own: str, tasks: tuple[Task, ...]) -> str:
    """FAILED before all; what an operator asked for next; then what keeps a running connector's tasks from running."""
    states = [own, *(task.state for task in tasks)]
    for word in ("FAILED", "STOPPED", "PAUSED", UNKNOWN, "RESTARTING", "UNASSIGNED"):
        if word in states:
            return word
    return "RUNNING" if tasks else "UNASSIGNED"


def cause_of(trace: str) -> str:
    r"""The line of a trace that says most: the last ``Caused by``, else the first one; bounded, credentials masked.

    >>> cause_of("org.x.ConnectException: no\n\tat a.b(C.java)\nCaused by: java.sql.SQLException: password=hush")
    'java.sql.SQLException: password=***'
    """
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    if not lines:
        return "no trace"
    causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
    said = _USER.sub(f"//{MASK}@", _SECRET.sub(rf"\1\2{MASK}", causes[-1] if causes else lines[0]))
    return said if len(said) <= CAUSE_CHARACTERS else said[: CAUSE_CHARACTERS - 1] + "…"


def class_of(cause: str) -> str:
    """The exception's class without its package, fit for a metric's label; `OTHER` where the cause names none.

    >>> class_of("task 0: org.apache.kafka.connect.errors.ConnectException: Sink connector is in an error state")
    'ConnectException'
    """
    found = _CLASS.match(re.sub(r"^task \d+: ", "", cause))
    return found[1] if found else OTHER


class Belief:
    """What is believed of one connector, look by look.

    Attributes:
        report: what is believed; None before anything is.
    """

    def __init__(self) -> None:
        self.report: Report | None = None
        self._unsure: str | None = None

    def see(self, report: Report) -> bool:
        """Take one look; whether something else is believed than before."""
        was, self._unsure = self._unsure, report.state if report.state in UNSURE else None
        if report.is_as(self.report) or (self._unsure is not None and was != self._unsure):
            return False
        self.report = report
        return True
