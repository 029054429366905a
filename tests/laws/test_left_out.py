"""Laws 1 to 3 and 5 where contracts leave changes out: some by their row, some without anybody knowing which."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger import watermarks
from app.ledger.partition import projections_of
from app.model import ChangeBatch, ChangeKind, LeftOut, State
from app.testing import Change, change_batch
from tests.laws.histories import CONTRACTS, History, Item, history
from tests.laws.looking import PHASES
from tests.laws.reading import How, Read, Reader
from tests.laws.test_elsewhere import Elsewhere

seeds = st.integers(0, 2**32)
CHOSEN = (("t.region", ("EU",)),)
CHOOSING = tuple(
    replace(contract, rows=CHOSEN, before="key") if contract.sink in {"every", "passed"} else contract
    for contract in CONTRACTS
)
PLACE = [bool(projection.rows) for projection in projections_of(CHOOSING)].index(True)


def left_out(change: Change, topic: str) -> LeftOut:
    """Whether the contracts that choose rows leave a change out: as the change itself is, however it is read."""
    if change.kind not in (ChangeKind.UPSERT, ChangeKind.DELETE):
        return LeftOut.NO
    return random.Random(f"{topic} {change.offset}").choice([LeftOut.NO, LeftOut.NO, LeftOut.YES, LeftOut.UNKNOWN])


class Choosing(Reader):
    """A reading whose contracts choose rows."""

    contracts = CHOOSING

    def _batch(self, changes: list[Item], topic: str, start: int, end: int | None = None) -> ChangeBatch:
        return change_batch([marked(change, topic) for change in changes], topic, start=start, end=end)


class ChoosingElsewhere(Choosing, Elsewhere):
    """The same from machine to machine."""


def marked(change: Change, topic: str) -> Change:
    places = [LeftOut.NO, LeftOut.NO]
    places[PLACE] = left_out(change, topic)
    return replace(change, left_out=tuple(places))


def read(told: History, how: How) -> Read:
    reader = Choosing(told, how)
    reader.run()
    return reader.result()


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds, snapshot_rows=st.sampled_from([1, 7, 60, 131_072]))
def test_restarting_after_any_batch_equals_never_restarting(told: int, reading: int, snapshot_rows: int) -> None:
    world = history(told)
    whole = read(world, How())
    restarted = read(world, How(seed=reading, restart=0.5, snapshot_rows=snapshot_rows))

    assert restarted.effects == whole.effects
    assert restarted.state == whole.state


@settings(max_examples=15, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
def test_going_on_from_a_checkpoint_elsewhere_equals_never_stopping(told: int, reading: int) -> None:
    world = history(told)
    whole = read(world, How())
    moved = ChoosingElsewhere(world, reading)
    moved.run()

    assert moved.result().state == whole.state


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
def test_what_is_left_out_is_exempt_and_what_nobody_knows_is_never_delivered_nor_missing(
    told: int, reading: int
) -> None:
    """Every change is one cell; those of the sinks that choose no rows are as they are without."""
    world = history(told)
    found = read(world, How(seed=reading))
    fair = {
        LeftOut.YES: {State.EXEMPT},
        LeftOut.UNKNOWN: {State.EXEMPT, State.PENDING, State.UNVERIFIABLE, State.REJECTED},
    }
    for (name, topic), sink in found.worker.fold.sinks.items():
        if not sink.is_ended:
            assert watermarks.difference(sink) == 0
        kinds = {change.offset: left_out(change, topic) for change in world.changes(topic)}
        for offset, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink)):
            said = kinds.get(offset, LeftOut.NO)
            if name in {"every", "passed"} and said is not LeftOut.NO:
                assert state in fair[said], (name, topic, offset, state)


def test_there_are_histories_with_all_of_it() -> None:
    """Else the laws above would be of nothing."""
    states: set[tuple[LeftOut, State]] = set()
    flags: set[str] = set()
    for seed in range(12):
        world = history(seed)
        for (name, topic), sink in read(world, How(seed=seed)).worker.fold.sinks.items():
            kinds = {change.offset: left_out(change, topic) for change in world.changes(topic)}
            if name == "every":
                for offset, state, flag in watermarks.closed_cells(sink):
                    states.add((kinds.get(offset, LeftOut.NO), state))
                    flags |= set(flag.words())

    assert {(LeftOut.YES, State.EXEMPT), (LeftOut.UNKNOWN, State.UNVERIFIABLE), (LeftOut.NO, State.DELIVERED)} <= states
    assert "unexpected" in flags
