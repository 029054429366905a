"""Checkpoints on their way: what another owner left is swept when our own is whole, and not before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.worker.checkpoints import Sent
from app.worker.uploads import Uploads


@pytest.mark.parametrize(("number", "swept"), [(0, []), (3, [("theirs", None)])])
def test_what_another_owner_left_is_swept_once_our_own_checkpoint_is_whole(number: int, swept: list[object]) -> None:
    sent: list[object] = []

    def put(_: int, records: Sequence[tuple[str, bytes | None]], __: Callable[[bool], None]) -> None:
        sent.extend(records)

    checkpoints = SimpleNamespace(sent=Sent(number=number, garbage={"theirs"}))
    worker: Any = SimpleNamespace(
        partition=0, head=SimpleNamespace(owner="ours"), checkpoints=checkpoints, upload=lambda _: None
    )

    Uploads(put, 60.0).advance(1, worker)

    assert sent == swept


class FakeCheckpoints:
    """A store that makes a snapshot whenever it is asked, each of one record."""

    def __init__(self) -> None:
        self.sent = Sent()
        self.is_busy = False

    def upload(self, _: str) -> SimpleNamespace:
        left = [] if self.is_busy else [("block", b"")]
        self.is_busy = True
        return SimpleNamespace(records=lambda _: left)

    def uploaded(self, _: object) -> None:
        self.is_busy = False

    def abandon(self) -> None:
        self.is_busy = False


def test_a_checkpoint_begins_at_once_and_then_one_interval_after_the_last_was_whole() -> None:
    sent, now, checkpoints, broken = [], [0.0], FakeCheckpoints(), {62.0}

    def put(_: int, records: Sequence[tuple[str, bytes | None]], answer: Callable[[bool], None]) -> None:
        sent.extend((now[0], key) for key, _ in records)
        answer(now[0] not in broken)

    worker: Any = SimpleNamespace(
        partition=0, head=SimpleNamespace(owner="ours"), checkpoints=checkpoints, upload=checkpoints.upload
    )
    uploads = Uploads(put, 60.0, lambda: now[0])

    for seconds in (1, 2, 3, 61, 62, 63, 64, 65, 124):
        now[0] = float(seconds)
        uploads.advance(1, worker)

    assert sent == [(1, "block"), (62, "block"), (64, "block")]
