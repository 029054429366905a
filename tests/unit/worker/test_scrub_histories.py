"""Random histories of some keys: a right sink's rows at rest are never told of, however the scrub and the sink interleave;
rows that somebody has spoiled are, each at its newest change, and when they are mended nothing is wrong any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from app.errors import Unavailable
from app.worker import walking
from app.worker.scrub import Pass
from app.worker.scrubbed import Scrubbed
from tests.unit.worker.scrubs import Resting
from tests.unit.worker.test_readback import upsert
from tests.unit.worker.test_readback_histories import BAD, Sink, between, stands_still, step


@pytest.fixture(autouse=True, scope="module")
def short_pieces() -> Iterator[None]:
    """Hypothesis wants no function's fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walking, "PIECE", 3)
        yield


def scrubs(data: st.DataObject, sink: Sink, held: set[int], one: Pass | None) -> Pass | None:
    """A step of a pass, while other things happen; now and then the worker is started anew."""
    world = sink.world
    assert isinstance(world, Resting)
    if data.draw(st.integers(0, 9)) == 0:
        world.scrubbed, one = Scrubbed.load(world.scrubbed.dump()), None
    one = one or world.begin()
    world.looks = [between(data, sink, held) for _ in range(5)]
    world.meanwhile = [between(data, sink, held) for _ in range(6)]
    try:
        asyncio.run(one.step())
    except Unavailable:
        event("the sink was behind its fence")
    world.looks, world.meanwhile = [], []
    return None if one.is_over else one


def rests(sink: Sink) -> Resting:
    """Everything was read, applied and fenced twice: what is right is closed."""
    stands_still(sink)
    sink.world.look(sink.committed)
    assert isinstance(sink.world, Resting)
    return sink.world


@pytest.mark.parametrize(
    ("evidence", "redelivery", "tells"), [("progress", "legal", False), ("receipts", "fault", True)]
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_of_a_right_sink_are_never_told_of(
    evidence: str, redelivery: str, tells: bool, data: st.DataObject
) -> None:
    world = Resting(evidence=evidence, redelivery=redelivery)
    sink, held, one = Sink(world, tells=tells), {1}, None
    sink.happens(upsert(1, "a"))
    world.reads_on()
    for _ in range(data.draw(st.integers(1, 8))):
        for _ in range(data.draw(st.integers(0, 6))):
            step(data, sink, held)
        if not world.sink.queued:
            world.committed = sink.committed
            try:
                world.look(min(sink.committed, world.position))
            except Unavailable:
                event("the worker lagged")
            one = scrubs(data, sink, held, one)
        assert world.said == []
    rests(sink)
    world.passes(one)

    assert world.passes() == []
    assert world.contradicted == []
    assert world.scrubbed.wrong_rows == 0
    assert not BAD & set(world.states().values())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_that_somebody_spoils_are_told_of_and_mended_ones_are_forgotten(data: st.DataObject) -> None:
    world = Resting()
    sink, held = Sink(world), {1}
    sink.happens(upsert(1, "a"))
    for _ in range(data.draw(st.integers(0, 25))):
        step(data, sink, held)
    rests(sink)
    right = dict(world.store)
    newest = {key: offset for offset, (key, *_) in enumerate(sink.changes)}
    spoiled = data.draw(st.sets(st.sampled_from(sorted(newest))))
    for key in spoiled:
        if key in right and data.draw(st.booleans()):
            del world.store[key]
        else:
            world.holds_one(key, "of nobody")
    if data.draw(st.booleans()):  # half of a pass, and a restart
        one = world.begin()
        asyncio.run(one.step())
        world.scrubbed = Scrubbed.load(world.scrubbed.dump())
    told = world.passes()

    assert sorted(told) == sorted(newest[key] for key in spoiled)
    assert sorted(world.contradicted) == sorted(told)
    assert world.scrubbed.wrong_rows == len(spoiled)
    assert world.passes() == []

    world.store = right
    assert world.passes() == []
    assert world.scrubbed.wrong_rows == 0
