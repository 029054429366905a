"""Faults of single changes: each function writes what a sink says that does one change wrong, and counts it."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.changes import Change
from tests.simulation.lane_events import Lane

Fault = Callable[[Lane, Change, float], None]


def healthy(lane: Lane, change: Change, at: float) -> None:
    """Exactly what the contract wants, by one of the ways that say it."""
    if lane.sink.success_topic and lane.rng.random() < 0.4:
        lane.receipt(at, change, via="success", fingerprint=None, sequence=None, status="EXPECTED")
        return
    if lane.sink.contract.evidence == "progress" and lane.rng.random() < 0.7:
        return
    event = lane.receipt(at, change)
    if lane.rng.random() < 0.1:
        event.fingerprint = None


def lost(lane: Lane, change: Change, at: float) -> None:
    """Nothing is said."""


def diverged(lane: Lane, change: Change, at: float) -> None:
    """Other content."""
    lane.receipt(at, change, fingerprint=lane.wrong_print(change))


def wrong_kind(lane: Lane, change: Change, at: float) -> None:
    """A delete applied, or an upsert deleted."""
    lane.receipt(at, change, "APPLIED" if change.kind == "delete" else "DELETED")


def rejected(lane: Lane, change: Change, at: float) -> None:
    """The sink's own refusal."""
    lane.receipt(at, change, "REJECTED", fingerprint=None)


def dead_letter(lane: Lane, change: Change, at: float) -> None:
    """Connect's refusal, sometimes twice."""
    lane.dead_letter(at, change)
    if lane.rng.random() < 0.2:
        lane.dead_letter(at + 1.5, change)


def late(lane: Lane, change: Change, at: float) -> None:
    """Applied long after, or at the last moment that is in time."""
    limit = lane.sink.contract.late_after_ms
    delay = lane.rng.choice([limit, limit + 1, lane.rng.randrange(5_000, 90_000)])
    lane.receipt(at, change, applied_at=lane.applied_at(change, delay))


def redelivered(lane: Lane, change: Change, at: float) -> None:
    """Done twice, at different times."""
    lane.receipt(at, change)
    lane.receipt(at + lane.rng.choice([0.1, 2, 8]), change, applied_at=lane.applied_at(change, 4_321))


def said_twice(lane: Lane, change: Change, at: float) -> None:
    """The same receipt again: nothing is wrong."""
    first = lane.receipt(at, change)
    lane.receipt(at + lane.rng.choice([0.1, 2, 8]), change, applied_at=first.applied_at)


def delayed(lane: Lane, change: Change, at: float) -> None:
    """Right, but said after later changes and maybe after a fence."""
    later = at + lane.rng.choice([2, 5, 12, 30])
    event = lane.receipt(later, change)
    if event.sequence is not None and lane.rng.random() < 0.5:
        event.sequence = int(at * 100)


def wrong_sequence(lane: Lane, change: Change, at: float) -> None:
    """The lane's order is right, the sink's own is not."""
    lane.receipt(at, change, sequence=int((at + 20) * 100) if lane.sink.numbers else None)


def skipped(lane: Lane, change: Change, at: float) -> None:
    """SKIPPED without a command."""
    lane.receipt(at, change, "SKIPPED", fingerprint=None)


def diverged_then_rejected(lane: Lane, change: Change, at: float) -> None:
    """Other content, and then a refusal."""
    diverged(lane, change, at)
    rejected(lane, change, at + 0.1)


def bad_at_first(lane: Lane, change: Change, at: float) -> None:
    """One of the ways to fail, or silence."""
    lane.rng.choice([lost, diverged, wrong_kind, rejected, dead_letter])(lane, change, at)


def guarded(lane: Lane, change: Change, at: float) -> None:
    """A command's answer: the sink holds something newer."""
    bad_at_first(lane, change, at)
    lane.receipt(at + lane.rng.choice([4, 12, 25]), change, "SKIPPED", command_id=lane.command())


def repaired(lane: Lane, change: Change, at: float) -> None:
    """A command's answer: done; sometimes badly, sometimes without content."""
    bad_at_first(lane, change, at)
    event = lane.receipt(at + lane.rng.choice([4, 12, 25]), change, command_id=lane.command())
    dice = lane.rng.random()
    if dice < 0.15:
        event.fingerprint = lane.wrong_print(change) if change.kind == "upsert" else None
    elif dice < 0.3:
        event.fingerprint = None


def contradicted(lane: Lane, change: Change, at: float) -> None:
    """Right, and long after, when it may have closed, another word."""
    healthy(lane, change, at)
    again = at + lane.rng.choice([15, 25, 40])
    lane.rng.choice([diverged, wrong_kind, rejected, skipped, dead_letter])(lane, change, again)


def presence_after_content(lane: Lane, change: Change, at: float) -> None:
    """A presence record that says nothing new of content, right or wrong."""
    lane.rng.choice([diverged, healthy])(lane, change, at)
    lane.receipt(at + lane.rng.choice([0.2, 3, 9]), change, fingerprint=None)


def wavering(lane: Lane, change: Change, at: float) -> None:
    """Many words, one after another."""
    for step in range(lane.rng.randrange(2, 6)):
        word = lane.rng.choice([healthy, diverged, rejected, skipped, wrong_kind, redelivered, repaired])
        word(lane, change, at + step * lane.rng.choice([0.3, 2, 6]))


WEIGHTS: dict[str, tuple[float, Fault]] = {
    "lost": (6, lost),
    "diverged": (4, diverged),
    "wrong kind": (4, wrong_kind),
    "rejected by receipt": (3.5, rejected),
    "dead letter": (3.5, dead_letter),
    "late": (4, late),
    "redelivered": (4, redelivered),
    "said twice": (2.5, said_twice),
    "delayed": (4, delayed),
    "wrong sequence": (3.5, wrong_sequence),
    "skipped": (3, skipped),
    "guarded answer": (5, guarded),
    "repaired answer": (4, repaired),
    "evidence after closing": (4, contradicted),
    "presence after content": (3.5, presence_after_content),
    "wavering": (2.5, wavering),
}
"""Percent of the changes that a sink does wrong in each way; the rest is healthy."""


def plant(lane: Lane, change: Change, at: float) -> None:
    """An expected change, by a random fault or none."""
    dice = lane.rng.random() * 100
    for name, (weight, fault) in WEIGHTS.items():
        if dice < weight:
            lane.planted[name] += 1
            fault(lane, change, at)
            return
        dice -= weight
    healthy(lane, change, at)


def plant_exempt(lane: Lane, change: Change, at: float) -> None:
    """A change of which nothing is wanted, and yet the sink may say something."""
    if lane.rng.random() < 0.3:
        lane.planted["done though exempt"] += 1
        lane.receipt(at, change, lane.rng.choice(["APPLIED", "DELETED"]))
        if lane.rng.random() < 0.3:
            lane.receipt(at + 6, change, lane.rng.choice(["APPLIED", "REJECTED"]))
    elif lane.rng.random() < 0.2:
        lane.receipt(at + lane.rng.choice([0, 20]), change, lane.rng.choice(["SKIPPED", "REJECTED", "APPLIED"]))


def plant_undecodable(lane: Lane, change: Change, at: float) -> None:
    """A change that can't be read; the sink may have managed, or not."""
    lane.planted["undecodable at a sink"] += 1
    says = lane.rng.choice([lost, lost, diverged, healthy, rejected, dead_letter, guarded, contradicted])
    says(lane, change, at)
