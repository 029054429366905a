"""Laws 2 and 3 of the design: what is judged does not depend on how it is read, nor on how often reading begins anew."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.laws.histories import history
from tests.laws.looking import PHASES
from tests.laws.reading import How, read

seeds = st.integers(0, 2**32)


@settings(max_examples=50, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=5, reading=5)
def test_batches_and_interleaving_change_no_effect_and_no_state(told: int, reading: int) -> None:
    """Any cut of the logs into batches, read in any interleaving, gives the same verdicts, commands and seals."""
    world = history(told)

    whole = read(world)
    pieces = read(world, How(seed=reading))

    assert pieces.effects == whole.effects
    assert pieces.state == whole.state


@pytest.mark.parametrize("first", ["changes", "evidence"])
@settings(max_examples=14, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
def test_reading_one_log_to_its_end_first_changes_nothing(first: str, told: int, reading: int) -> None:
    """A verifier that was down for hours may find one log long before the other."""
    world = history(told)

    assert read(world, How(seed=reading, first=first)).effects == read(world).effects


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds, snapshot_rows=st.sampled_from([1, 7, 60, 131_072]))
@example(told=7, reading=7, snapshot_rows=7)
def test_restarting_after_any_batch_equals_never_restarting(told: int, reading: int, snapshot_rows: int) -> None:
    """State, effects and ids are the same, whether the restart finds deltas, a snapshot or both."""
    world = history(told)

    whole = read(world)
    restarted = read(world, How(seed=reading, restart=0.5, snapshot_rows=snapshot_rows))

    assert restarted.effects == whole.effects
    assert restarted.state == whole.state
