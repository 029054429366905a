"""Random histories of some keys: a right sink is never convicted, however far ahead it is of its commits and of this worker;
a sink that loses or spoils the newest change of a key is found out once everything stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from app.errors import Unavailable
from app.testing import Row
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.worker.test_readback import World, applied, delete, upsert

BAD = {"missing", "diverged", "rejected", "duplicated"}
KEYS = st.integers(1, 3)
NAMES = st.sampled_from([None, "a", "b", "c"])
Told = tuple[int, str, dict[str, Any] | None]


@dataclass(slots=True)
class Sink:
    """Applies the changes of its partition in order.

    Attributes:
        world: whose store it writes; at: the next change; committed: what it has told.
        loses: a change that it does not apply; spoils: one that it writes wrong.
        tells: whether it reports each write itself, in the order of its lane, when it commits.
    """

    world: World
    changes: list[Told] = field(default_factory=list)
    rows: dict[int, tuple[str | None, str | None]] = field(default_factory=dict)
    at: int = 0
    committed: int = 0
    loses: int = -1
    spoils: int = -1
    tells: bool = False

    def happens(self, told: Told) -> None:
        """A change at the source; of an update, the long column is left out where the row has one."""
        self.changes.append(told)
        self.world.happens_unread(told)

    def applies(self) -> None:
        """The next change."""
        if self.at == len(self.changes):
            return
        offset, (key, _, after) = self.at, self.changes[self.at]
        self.at += 1
        if offset == self.loses:
            return
        if after is None:
            self.rows.pop(key, None)
        else:
            body = self.rows.get(key, (None, None))[1] if after["body"] == UNAVAILABLE_VALUE else after["body"]
            self.rows[key] = ("spoiled" if offset == self.spoils else after["name"], body)
        self.world.holds(*((key, *values) for key, values in self.rows.items()))

    def commits(self) -> None:
        """As far as it has come."""
        if self.tells and self.committed < self.at:
            self.world.hears(*(self._written(offset) for offset in range(self.committed, self.at)))
        self.committed = self.at

    def begins_again(self) -> None:
        """From what it has committed, as after a crash; its rows are what they are."""
        self.at = self.committed

    def _written(self, offset: int) -> Row:
        row = applied(offset, 1_000 + offset)
        is_delete = self.changes[offset][1] == "d"
        return Row(offset=offset, content=None, at=row.at, status=1) if is_delete else row


@st.composite
def changes(draw: Any, held: set[int]) -> Told:
    """One change that a table allows."""
    key = draw(KEYS)
    if key in held and draw(st.integers(0, 3)) == 0:
        held.discard(key)
        return delete(key)
    is_left_out = key in held and draw(st.booleans())
    held.add(key)
    return upsert(key, draw(NAMES), UNAVAILABLE_VALUE if is_left_out else draw(st.sampled_from(["long", "longer"])))


def step(data: st.DataObject, sink: Sink, held: set[int]) -> None:
    """One thing happens."""
    what = data.draw(st.sampled_from(["change"] * 4 + ["apply"] * 4 + ["read", "read", "commit", "again"]))
    match what:
        case "change":
            sink.happens(data.draw(changes(held)))
        case "apply":
            sink.applies()
        case "read":
            sink.world.reads_on()
        case "commit":
            sink.commits()
        case "again" if not sink.tells:
            sink.begins_again()


def between(data: st.DataObject, sink: Sink, held: set[int]) -> Callable[[], None]:
    """What happens between two looks."""

    def things() -> None:
        for _ in range(data.draw(st.integers(0, 4))):
            step(data, sink, held)

    return things


def lives(data: st.DataObject, sink: Sink) -> None:
    """Things happen, and now and then rows are read back before a fence."""
    world, held = sink.world, set[int]()
    for _ in range(data.draw(st.integers(1, 6))):
        between(data, sink, held)()
        world.looks = [between(data, sink, held) for _ in range(5)]
        if world.sink.queued:
            continue  # the gate waits until what was said of changes that were not read is heard
        below = min(sink.committed, world.position)
        try:
            world.look(below, has_bad=data.draw(st.booleans()))
        except Unavailable:
            event("the worker lagged")
    world.looks = []


def stands_still(sink: Sink) -> None:
    """Everything was read and applied, and rows are read back once more."""
    sink.world.reads_on()
    while sink.at < len(sink.changes):
        sink.applies()
    sink.commits()
    sink.world.look(sink.committed)


WORLDS = [("progress", "legal", False), ("progress", "fault", True), ("receipts", "fault", True)]


@pytest.mark.parametrize(("evidence", "redelivery", "tells"), WORLDS)
@settings(max_examples=30)
@given(data=st.data())
def test_a_right_sink_is_never_convicted_and_its_newest_rows_are_seen(
    evidence: str, redelivery: str, tells: bool, data: st.DataObject
) -> None:
    world = World(evidence=evidence, redelivery=redelivery)
    sink = Sink(world, tells=tells)
    sink.happens(upsert(1, "a"))
    world.reads_on()

    lives(data, sink)
    assert not BAD & set(world.states().values())

    stands_still(sink)
    newest = {key: offset for offset, (key, *_) in enumerate(sink.changes)}
    told = world.states()
    assert set(told.values()) <= {"delivered", "superseded", "attempted"}
    assert {told[offset] for offset in newest.values()} == {"delivered"}
    assert world.flags() <= {"late"}
    assert world.sink.remarks == []


@pytest.mark.parametrize("evidence", ["progress", "receipts"])
@pytest.mark.parametrize("fault", ["loses", "spoils"])
@settings(max_examples=30)
@given(data=st.data())
def test_a_newest_change_that_is_lost_or_spoiled_is_found_out(fault: str, evidence: str, data: st.DataObject) -> None:
    world = World(evidence=evidence)
    sink = Sink(world)
    sink.happens(upsert(1, "a"))
    world.reads_on()
    lives(data, sink)
    last = upsert(data.draw(KEYS), "another", "value")
    setattr(sink, fault, len(sink.changes))
    sink.happens(last)

    stands_still(sink)

    assert world.states()[len(sink.changes) - 1] == ("missing" if fault == "loses" else "diverged")
