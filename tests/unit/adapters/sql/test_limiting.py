"""The limit of rows: a rate that holds over any stretch of time, and no credit for having been idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.sql import Limits
from app.adapters.sql.limiting import RowLimit


class HandMoved:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [0, None])
def test_without_a_limit_nothing_waits(rate):
    clock = HandMoved()
    limit = RowLimit(rate, clock, clock.sleep)

    assert [limit.take(10**9) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_first_rows_pass_at_once_and_the_next_wait_until_they_are_paid_for():
    clock = HandMoved()
    limit = RowLimit(100, clock, clock.sleep)

    assert limit.take(50) == 0.0
    assert limit.take(1) == pytest.approx(0.5)
    assert limit.take(1) == pytest.approx(0.01)


def test_a_quiet_hour_allows_no_burst():
    clock = HandMoved()
    limit = RowLimit(100, clock, clock.sleep)
    limit.take(100)
    clock.now += 3_600

    assert limit.take(100) == 0.0
    assert limit.take(100) == pytest.approx(1.0)


def test_a_sleep_that_ends_early_is_repeated():
    clock = HandMoved()
    limit = RowLimit(100, clock, lambda seconds: clock.sleep(min(seconds, 0.3)))
    limit.take(100)

    assert limit.take(1) == pytest.approx(1.0)


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), min_size=1, max_size=30),
    rate=st.integers(100, 1_000),
)
def test_in_any_stretch_of_time_at_most_its_rows_pass_and_one_statements_more(steps, rate):
    clock = HandMoved()
    limit = RowLimit(rate, clock, clock.sleep)
    passed = []
    for idle_s, rows in steps:
        clock.now += idle_s
        limit.take(rows)
        passed.append((clock.now, rows))

    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch_s = passed[last][0] - passed[first][0]
            assert sum(rows for _, rows in passed[first : last + 1]) <= stretch_s * rate + passed[last][1] + 1e-6


@pytest.mark.parametrize(
    ("chunk", "rate", "rows"), [(1_000, 0, 1_000), (1_000, None, 1_000), (1_000, 50, 50), (10, 50, 10)]
)
def test_a_statement_never_has_more_than_a_seconds_rows(chunk, rate, rows):
    assert Limits(chunk_rows=chunk, rows_per_second=rate).rows_per_statement == rows
