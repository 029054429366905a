"""What is asked of groups, and when nothing may be."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaException

from app.adapters import groups
from app.adapters.groups import PATIENCE_S, Members, answer_of, commits
from tests.unit.probes.world import SOURCE, Cluster

ASKED = ("members", "g")


class Admin:
    """Anything that can be asked."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "ANSWER_S", 0.05)


def test_a_question_that_waits_is_not_asked_again_and_its_late_answer_is_thrown_away() -> None:
    """Of the moment at which it was answered nobody knows; a SKIP may depend on who was in the group just now."""
    admin: Any = Admin()
    first: Future[str] = Future()
    asked: list[Future[str]] = [first]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            answer_of(admin, ASKED, lambda _: asked.pop())  # nothing is left to be asked a second time

    first.set_result("late")
    second: Future[str] = Future()
    second.set_result("now")

    assert answer_of(admin, ASKED, lambda _: second) == "now"


def test_another_group_and_another_cluster_are_asked_meanwhile() -> None:
    one, other = Admin(), Admin()
    told: Future[str] = Future()
    told.set_result("told")
    with pytest.raises(TimeoutError):
        answer_of(one, ASKED, lambda _: Future())  # type: ignore[arg-type]

    assert answer_of(one, ("members", "h"), lambda _: told) == "told"  # type: ignore[arg-type]
    assert answer_of(other, ASKED, lambda _: told) == "told"  # type: ignore[arg-type]


class Spare(Admin):
    """Another client; ``refusal``: what the brokers say to it."""

    def __init__(self, refusal: KafkaException | None = None) -> None:
        self.refusal = refusal

    def list_topics(self, topic: str, timeout: float) -> None:
        if self.refusal is not None:
            raise self.refusal


def waiting(spare: Spare) -> tuple[Admin, Future[str]]:
    """A client that waits for an answer, and has another one to go on with."""
    admin, never = Admin(), Future[str]()
    groups.renew_by(admin, lambda: spare)  # type: ignore[arg-type, return-value]
    with pytest.raises(TimeoutError):
        answer_of(admin, ASKED, lambda _: never)  # type: ignore[arg-type]
    return admin, never


def test_another_client_is_asked_where_one_is_never_told_though_the_brokers_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spare = Spare()
    admin, never = waiting(spare)
    monkeypatch.setattr(groups, "GIVE_UP_S", 0.0)
    told: Future[str] = Future()
    told.set_result("told")
    asked: list[object] = []

    for _ in range(2):
        assert answer_of(admin, ASKED, lambda client: asked.append(client) or told) == "told"  # type: ignore[arg-type, func-returns-value]
    assert asked == [spare, spare]
    assert [waits for _, waits in groups._ASKED[admin].left] == [[never]]  # type: ignore[index]


def test_while_no_broker_answers_all_clients_wait_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    admin, _ = waiting(Spare(KafkaException("nobody")))
    monkeypatch.setattr(groups, "GIVE_UP_S", 0.0)

    with pytest.raises(TimeoutError):
        answer_of(admin, ASKED, lambda _: pytest.fail("asked again"))  # type: ignore[arg-type]


def test_each_further_client_is_given_more_time_and_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(groups.time, "monotonic", lambda: now[0])
    asked = groups._Asked()
    renewed = []
    for second in range(10_000):
        now[0] = float(second)
        if asked.before(ASKED) is None:
            asked.pending[ASKED] = (Future(), now[0])
        elif asked.is_given_up(ASKED):
            asked.go_on_with(Spare())  # type: ignore[arg-type]
            renewed.append(second)

    assert renewed[:3] == [60, 181, 362]
    assert len(renewed) == groups.MOST_LEFT


def test_no_question_about_a_group_may_time_out_in_the_client() -> None:
    """It would end the process when the brokers come back: the client's own assertion fails."""
    cluster = Cluster()
    commits(cluster, "g", [SOURCE])  # type: ignore[arg-type]
    Members(cluster).of("g")  # type: ignore[arg-type]

    assert cluster.patience == {PATIENCE_S}


def test_nothing_is_asked_about_no_partition() -> None:
    cluster = Cluster()

    assert commits(cluster, "g", []) == {}  # type: ignore[arg-type]
    assert cluster.asked == []
