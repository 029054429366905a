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

    Uploads(put).advance(1, worker)

    assert sent == swept
