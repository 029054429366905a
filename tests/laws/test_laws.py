"""Laws 1 and 4 to 7 of the design, and the law of catching up, over random histories that are read at random.

Each `@example` is a history that catches a mistake which tests/mutants makes, or one that was made; the others are drawn by
Hypothesis.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.laws import laws
from tests.laws.histories import history
from tests.laws.looking import PHASES

seeds = st.integers(0, 2**32)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=1, reading=1)
def test_every_change_is_one_cell_and_every_row_of_evidence_is_counted_once(told: int, reading: int) -> None:
    laws.conservation(history(told), reading)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=6, reading=6)
def test_nothing_is_missing_without_a_fence_or_a_skip_that_stood_before(told: int, reading: int) -> None:
    laws.proof(history(told), reading)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=3, reading=3)
def test_what_could_not_be_read_is_never_delivered_and_what_was_lost_is_never_missing(told: int, reading: int) -> None:
    laws.ignorance(history(told), reading)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=1, reading=1)
def test_watermarks_closings_and_seals_never_move_back(told: int, reading: int) -> None:
    laws.monotony(history(told), reading)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=5, reading=5)
def test_an_id_never_has_two_meanings_and_sending_twice_is_sending_once(told: int, reading: int) -> None:
    laws.idempotence(history(told), reading)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=1, reading=1)
@example(told=1_296_695_246, reading=2_174_616_455)
def test_catching_up_shows_a_part_of_what_was_found_and_ends_in_the_same_open_set(told: int, reading: int) -> None:
    laws.catching_up(history(told), reading)
