"""The client of Connect's REST API, against answers as Connect gives them."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from app.adapters.connect_rest import TRIES, ConnectClient
from app.errors import Unavailable
from app.evidence.connector import Task

URL = "http://connect:8083"
Answer = Callable[[httpx.Request], httpx.Response]


class Connect:
    """Answers paths, and remembers what it was asked."""

    def __init__(self, *answers: Answer | httpx.Response, **more: str) -> None:
        self.asked: list[httpx.Request] = []
        self.told: list[bool] = []
        self._answers = list(answers)
        self.client = ConnectClient(
            f"{URL}/",
            transport=httpx.MockTransport(self._answer),
            on_answer=self.told.append,
            sleep=self._pause,
            **more,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, httpx.Response) else answer(request)

    async def _pause(self, _: float) -> None:
        """No waiting in tests."""


def gone(message: str = "Connector c not found") -> httpx.Response:
    return httpx.Response(404, json={"error_code": 404, "message": message})


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


async def test_a_status_names_the_connector_and_its_tasks() -> None:
    connect = Connect(
        httpx.Response(
            200,
            json={
                "name": "a/b",
                "connector": {"state": "RUNNING", "worker_id": "w:8083"},
                "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w:8083", "trace": "x.Bad: no\n\tat y"}],
                "type": "sink",
            },
        )
    )
    found = await connect.client.status("a/b")

    assert found is not None
    assert (found.state, found.cause) == ("FAILED", "task 0: x.Bad: no")
    assert found.tasks == (Task(id=0, state="FAILED", worker="w:8083", cause="x.Bad: no"),)
    assert [str(request.url) for request in connect.asked] == [f"{URL}/connectors/a%2Fb/status"]
    assert connect.told == [True]


async def test_a_connector_that_is_not_there_is_no_error() -> None:
    connect = Connect(gone())

    assert await connect.client.status("c") is None
    assert await connect.client.offsets("c") is None
    assert await connect.client.config("c") is None
    assert connect.told == [True, True, True]


@pytest.mark.parametrize("answer", [gone("HTTP 404 Not Found"), httpx.Response(404, text="<html>nginx</html>")])
async def test_a_path_that_is_not_there_says_nothing_of_connectors(answer: httpx.Response) -> None:
    """An older Connect, or another program at this address."""
    with pytest.raises(Unavailable, match=f"Connect at {URL}/connectors/c/offsets answered with status 404"):
        await Connect(answer).client.offsets("c")


async def test_offsets_are_by_partition_and_one_without_a_commit_is_not_there() -> None:
    entries = [
        {"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 12}},
        {"partition": {"kafka_topic": "t", "kafka_partition": 1}, "offset": None},
    ]

    assert await Connect(httpx.Response(200, json={"offsets": entries})).client.offsets("c") == {("t", 0): 12}
    assert await Connect(httpx.Response(200, json={"offsets": []})).client.offsets("c") == {}


async def test_connectors_and_their_configurations() -> None:
    assert await Connect(httpx.Response(200, json=["b", "a"])).client.connectors() == ["a", "b"]
    assert await Connect(httpx.Response(200, json={"tasks.max": "1"})).client.config("a") == {"tasks.max": "1"}


async def test_what_is_away_is_asked_again_so_many_times_and_told_with_its_address() -> None:
    connect = Connect(refused)
    with pytest.raises(Unavailable, match=f"Connect at {URL}/connectors does not answer: ConnectError"):
        await connect.client.connectors()

    assert (len(connect.asked), connect.told) == (TRIES, [False])


async def test_a_rebalance_that_is_over_at_the_next_try_is_no_error() -> None:
    busy = httpx.Response(409, json={"error_code": 409, "message": "rebalance in process"})
    connect = Connect(busy, httpx.Response(200, json=[]))

    assert await connect.client.connectors() == []
    assert connect.told == [True]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"connector": "RUNNING"}),
        httpx.Response(200, json=["RUNNING"]),
        httpx.Response(500, json={"error_code": 500, "message": "no"}),
    ],
)
async def test_an_answer_that_is_no_status_is_no_status(answer: httpx.Response) -> None:
    with pytest.raises(Unavailable, match=f"Connect at {URL}/connectors/c/status answered"):
        await Connect(answer).client.status("c")


async def test_credentials_are_sent_and_never_shown() -> None:
    connect = Connect(httpx.Response(401, text="no"), username="ann", password="hush")
    with pytest.raises(Unavailable, match=r"set connect\.username and connect\.password") as raised:
        await connect.client.connectors()

    assert connect.asked[0].headers["authorization"].startswith("Basic ")
    assert "hush" not in f"{raised.value!r} {connect.client!r}"


async def test_what_its_clock_said_with_the_last_answer_is_kept() -> None:
    connect = Connect(httpx.Response(200, json=[], headers={"date": "Sat, 21 Nov 2026 17:14:34 GMT"}))
    assert connect.client.date is None

    await connect.client.connectors()

    assert connect.client.date == "Sat, 21 Nov 2026 17:14:34 GMT"
