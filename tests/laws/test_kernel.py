"""The fold with the kernel is the fold without: the same effects, and the same state to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.ledger import columns, fence, hearing, ordering, repeats, rules
from app.native import kernel, missing
from tests.laws import reading, test_left_out
from tests.laws.histories import History, history
from tests.laws.looking import PHASES
from tests.laws.reading import How, Read

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

USERS = (columns, fence, hearing, ordering, repeats, rules)
READS: dict[str, Callable[[History, How], Read]] = {"plain": reading.read, "with rows left out": test_left_out.read}


@contextmanager
def without_the_kernel() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for user in USERS:
            patch.setattr(user, "kernel", None)
        yield


@pytest.mark.parametrize("how", READS)
@settings(max_examples=40, deadline=None, phases=PHASES)
@given(told=st.integers(0, 2**32), seed=st.integers(0, 2**32))
@example(told=1, seed=1)
def test_the_kernel_changes_no_effect_and_no_state(how: str, told: int, seed: int) -> None:
    found = READS[how](history(told), How(seed=seed))
    with without_the_kernel():
        wanted = READS[how](history(told), How(seed=seed))

    assert found.effects == wanted.effects
    assert found.state == wanted.state
