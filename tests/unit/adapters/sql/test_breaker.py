"""The breaker: leaves a failing database alone, longer each time, and comes back by one probe."""

from __future__ import annotations

from app.adapters.sql.breaker import Breaker


class HandMoved:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(clock: HandMoved) -> Breaker:
    return Breaker(3, 1.0, 5.0, clock)


def test_it_opens_after_so_many_failures_in_a_row():
    breaker = made(HandMoved())
    states = []
    for does_fail in (True, True, False, True, True, True):
        (breaker.failed if does_fail else breaker.succeeded)()
        states.append(breaker.state)

    assert states == ["closed"] * 5 + ["open"]
    assert breaker.left_s == 1.0


def test_it_is_half_open_when_its_pause_is_over_and_a_success_closes_it():
    clock = HandMoved()
    breaker = made(clock)
    for _ in range(3):
        breaker.failed()
    clock.now = 1.0

    assert (breaker.state, breaker.left_s) == ("half-open", 0.0)
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.state == "closed"


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest():
    clock = HandMoved()
    breaker = made(clock)
    for _ in range(3):
        breaker.failed()
    pauses = []
    for _ in range(5):
        pauses.append(breaker.left_s)
        clock.now += breaker.left_s
        assert breaker.state == "half-open"
        breaker.failed()

    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_after_it_closed_the_first_pause_is_short_again():
    clock = HandMoved()
    breaker = made(clock)
    for _ in range(3):
        breaker.failed()
    clock.now += 1.0
    breaker.failed()
    clock.now += 2.0
    breaker.succeeded()
    for _ in range(3):
        breaker.failed()

    assert breaker.left_s == 1.0
