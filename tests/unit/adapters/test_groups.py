"""What is asked of groups, and when nothing may be."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

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
            answer_of(admin, ASKED, asked.pop)  # nothing is left to be asked a second time

    first.set_result("late")
    second: Future[str] = Future()
    second.set_result("now")

    assert answer_of(admin, ASKED, lambda: second) == "now"


def test_another_group_and_another_cluster_are_asked_meanwhile() -> None:
    one, other = Admin(), Admin()
    told: Future[str] = Future()
    told.set_result("told")
    with pytest.raises(TimeoutError):
        answer_of(one, ASKED, Future)  # type: ignore[arg-type]

    assert answer_of(one, ("members", "h"), lambda: told) == "told"  # type: ignore[arg-type]
    assert answer_of(other, ASKED, lambda: told) == "told"  # type: ignore[arg-type]


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
