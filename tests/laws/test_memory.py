"""What is judged does not depend on how much of the state memory holds, and telling gives what counting everything anew gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.ledger import segments, watermarks
from app.ledger.rules import NOTHING, level_of
from app.ledger.sink import SinkPartition
from app.model import BAD, Level
from app.worker.partition import PartitionWorker
from tests.laws.histories import history
from tests.laws.looking import PHASES
from tests.laws.reading import How, read

seeds = st.integers(0, 2**32)


@pytest.fixture(autouse=True, scope="module")
def forgets_at_once() -> Iterator[None]:
    """Within a batch, too: each question finds nothing in memory but what was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "RECENT", 0)
        yield


ONE_SEGMENT = 300_000
"""Bytes: the changes of one segment, or the cells of one sink, and not both."""


@pytest.mark.parametrize("memory_bytes", [0, ONE_SEGMENT, 4 * ONE_SEGMENT])
@settings(max_examples=6, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=5, reading=5)
def test_a_memory_that_holds_next_to_nothing_changes_no_effect_and_no_state(
    memory_bytes: int, told: int, reading: int
) -> None:
    world = history(told)

    whole = read(world)
    spilled = read(world, How(seed=reading, memory_bytes=memory_bytes))

    assert spilled.effects == whole.effects
    assert spilled.state == whole.state


@pytest.mark.parametrize("memory_bytes", [0, ONE_SEGMENT, 4 * ONE_SEGMENT])
@settings(max_examples=6, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds, snapshot_rows=st.sampled_from([1, 7, 60, 131_072]))
def test_restarting_with_such_a_memory_equals_never_restarting(
    memory_bytes: int, told: int, reading: int, snapshot_rows: int
) -> None:
    world = history(told)

    whole = read(world)
    how = How(seed=reading, restart=0.5, snapshot_rows=snapshot_rows, memory_bytes=memory_bytes)
    restarted = read(world, how)

    assert restarted.effects == whole.effects
    assert restarted.state == whole.state


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
def test_after_every_batch_memory_is_within_its_limit(told: int, reading: int) -> None:
    def watch(worker: PartitionWorker) -> None:
        assert worker.fold.residents.bytes <= ONE_SEGMENT

    read(history(told), How(seed=reading, restart=0.1, memory_bytes=ONE_SEGMENT), watch)


@pytest.mark.parametrize("memory_bytes", [None, ONE_SEGMENT])
@settings(max_examples=15, deadline=None, phases=PHASES)
@given(told=seeds, reading=seeds)
@example(told=1, reading=1)
@example(told=6, reading=6)
def test_what_is_told_of_open_cells_is_what_counting_all_of_them_gives(
    memory_bytes: int | None, told: int, reading: int
) -> None:
    def watch(worker: PartitionWorker) -> None:
        for sink in worker.fold.sinks.values():
            assert watermarks.open_counts(sink).tolist() == open_counts(sink).tolist()
            assert watermarks.bad_levels(sink).tolist() == bad_levels(sink).tolist()
            for offset in (0, sink.beginning, sink.frontier, sink.fence, sink.changes.next - 1, sink.changes.next):
                assert watermarks.expected_from(sink, offset) == expected_from(sink, offset)

    read(history(told), How(seed=reading, restart=0.05, snapshot_rows=60, memory_bytes=memory_bytes), watch)


def open_counts(sink: SinkPartition) -> np.ndarray:
    """``int64[10]``: open cells by state, every one of them looked at."""
    counts = np.zeros(10, np.int64)
    if sink.is_ended:
        return counts
    for part in watermarks.open_slices(sink):
        counts += np.bincount(part.states[part.states != NOTHING], minlength=10)
    for straggler in sink.stragglers.by_offset.values():
        counts[straggler.state] += 1
    return counts


def bad_levels(sink: SinkPartition) -> np.ndarray:
    """``int64[4]``: open bad cells by level, every one of them looked at."""
    counts = np.zeros(len(Level), np.int64)
    for straggler in () if sink.is_ended else sink.stragglers.by_offset.values():
        level = level_of(straggler.state, sink.word(straggler.offset).bits)
        if straggler.state in BAD and level is not None:
            counts[level] += 1
    return counts


def expected_from(sink: SinkPartition, offset: int) -> int:
    """Changes at or above an offset that the contract expects, every one of them looked at."""
    found = 0
    for changes, first, last in sink.changes.slices(max(offset, sink.beginning, sink.since), sink.changes.next):
        for terms, lo, hi in sink.terms.pieces(changes.base, first, last):
            rules = terms.expectations
            found += int(np.count_nonzero(rules.expected[rules.kinds(changes, lo, hi)]))
    return found
