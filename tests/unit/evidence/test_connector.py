"""A connector's reports: the worst of its parts, the cause that is fit to be shown, and when they are believed."""

from __future__ import annotations

import pytest

from app.evidence.connector import ABSENT, AWAY, CAUSE_CHARACTERS, Belief, Report, Task, cause_of, class_of, report_of

RUNNING = Report(state="RUNNING", tasks=(Task(id=0, state="RUNNING", worker="a"),))
FAILED = Report(state="FAILED", tasks=(Task(id=0, state="FAILED", cause="x.No: no"),), cause="task 0: x.No: no")


def answer(connector: str, *tasks: str, trace: str | None = None) -> dict[str, object]:
    told = [{"id": n, "state": state, "worker_id": "w", "trace": f"x.Bad: {n}"} for n, state in enumerate(tasks)]
    return {"connector": {"state": connector, "worker_id": "w", "trace": trace}, "tasks": told}


@pytest.mark.parametrize(
    ("connector", "tasks", "state"),
    [
        ("RUNNING", ["RUNNING", "RUNNING"], "RUNNING"),
        ("RUNNING", ["RUNNING", "FAILED"], "FAILED"),
        ("PAUSED", ["PAUSED", "FAILED"], "FAILED"),
        ("PAUSED", ["PAUSED"], "PAUSED"),
        ("STOPPED", [], "STOPPED"),
        ("RUNNING", [], "UNASSIGNED"),
        ("RUNNING", ["UNASSIGNED"], "UNASSIGNED"),
        ("RUNNING", ["RESTARTING", "RUNNING"], "RESTARTING"),
        ("RUNNING", ["DESTROYED"], "UNKNOWN"),
        ("UNASSIGNED", ["RUNNING"], "UNASSIGNED"),
    ],
)
def test_a_connector_is_as_the_worst_of_its_parts(connector: str, tasks: list[str], state: str) -> None:
    assert report_of(answer(connector, *tasks)).state == state


def test_the_cause_is_the_first_failed_tasks_with_its_number() -> None:
    assert report_of(answer("RUNNING", "RUNNING", "FAILED", "FAILED")).cause == "task 1: x.Bad: 1"
    assert report_of(answer("FAILED", trace="x.Config: no url")).cause == "x.Config: no url"
    assert report_of(answer("RUNNING", "RUNNING")).cause is None


def test_nothing_runs_of_a_connector_that_is_stopped_or_not_there() -> None:
    """STOPPED with tasks is one that is still stopping, and PAUSED keeps its consumers."""
    assert report_of(answer("STOPPED")).is_idle
    assert ABSENT.is_idle
    assert not report_of(answer("STOPPED", "RUNNING")).is_idle
    assert not report_of(answer("PAUSED", "PAUSED")).is_idle
    assert not report_of(answer("FAILED", "FAILED")).is_idle
    assert not AWAY.is_idle


TRACE = """org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.
\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:630)
Caused by: org.apache.kafka.connect.errors.ConnectException: JDBC sink connector failure
\tat io.debezium.connector.jdbc.JdbcSinkConnectorTask.put(JdbcSinkConnectorTask.java:130)
Caused by: org.postgresql.util.PSQLException: ERROR: integer out of range
\tat org.postgresql.core.v3.QueryExecutorImpl.receiveErrorResponse(QueryExecutorImpl.java:2725)
\t... 12 more
"""


def test_the_cause_of_a_trace_is_its_last_one() -> None:
    assert cause_of(TRACE) == "org.postgresql.util.PSQLException: ERROR: integer out of range"
    assert class_of(f"task 0: {cause_of(TRACE)}") == "PSQLException"
    assert cause_of("x.Bad: first\n\tat y") == "x.Bad: first"
    assert cause_of(" \n") == "no trace"


def test_a_cause_is_bounded() -> None:
    assert len(cause_of("x.Bad: " + "row " * 1_000)) == CAUSE_CHARACTERS


@pytest.mark.parametrize(
    "said",
    [
        "can't connect with user=ann&password=hush&ssl=true",
        "properties {user=ann, connection.password=hush}",
        "jdbc:postgresql://ann:hush@db:5432/shop is away",
        'config {"api_key": "hush", "url": "x"}',
        "sasl.jaas.config: PlainLoginModule required username='ann' password='hush';",
        "ssl.key.password: hush",
    ],
)
def test_credentials_in_a_trace_are_masked(said: str) -> None:
    found = cause_of(f"x.Bad: {said}")

    assert "hush" not in found
    assert "***" in found


@pytest.mark.parametrize("cause", ["", "no trace", "row 17: Alice", "lower.case: x", "A" * 200 + ": x", "Köln: x"])
def test_a_cause_that_names_no_class_is_other(cause: str) -> None:
    assert class_of(cause) == "other"


def believed(*reports: Report) -> list[str]:
    """What a belief changed to, look by look."""
    belief = Belief()
    return [belief.report.state for report in reports if belief.see(report) and belief.report is not None]


@pytest.mark.parametrize(
    ("reports", "states"),
    [
        ([RUNNING], []),
        ([RUNNING, RUNNING, RUNNING], ["RUNNING"]),
        ([FAILED], ["FAILED"]),
        ([FAILED, RUNNING, FAILED, RUNNING, FAILED], ["FAILED"]),
        ([FAILED, RUNNING, RUNNING], ["FAILED", "RUNNING"]),
        ([RUNNING, RUNNING, FAILED, RUNNING], ["RUNNING", "FAILED"]),
        ([RUNNING, RUNNING, AWAY, RUNNING], ["RUNNING"]),
        ([RUNNING, RUNNING, AWAY, AWAY, RUNNING], ["RUNNING", "UNKNOWN"]),
        ([RUNNING, RUNNING, ABSENT, AWAY, AWAY], ["RUNNING", "UNKNOWN"]),
        ([RUNNING, AWAY, RUNNING], []),
    ],
)
def test_a_state_that_may_pass_is_believed_at_the_second_look(reports: list[Report], states: list[str]) -> None:
    assert believed(*reports) == states


def test_a_task_that_moves_is_no_other_state_and_another_cause_is() -> None:
    moved = Report(state="RUNNING", tasks=(Task(id=0, state="RUNNING", worker="b"),))
    other = Report(state="FAILED", tasks=(Task(id=0, state="FAILED", cause="x.Yes: y"),), cause="task 0: x.Yes: y")

    assert believed(RUNNING, RUNNING, moved, moved) == ["RUNNING"]
    assert believed(FAILED, other, other) == ["FAILED", "FAILED"]
