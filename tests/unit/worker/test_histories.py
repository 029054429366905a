"""Where the changes of some keys stand: found in one pass, and what comes later is found, too."""

from __future__ import annotations

import asyncio
import random

import numpy as np

from app.ledger.changes import Changes
from app.model import ChangeKind
from app.testing import Change, change_batch
from app.worker.histories import CARRIED, Histories


def changes(*given: Change) -> Changes:
    """A source partition whose changes were read."""
    found = Changes("t", 0, 1)
    found.take(change_batch(list(given), start=0))
    return found


def histories(of: Changes, *asked: int, has_truncates: bool = False) -> Histories:
    """Built for some cells."""
    halves = [of.segments[offset >> 12].key_hashes[offset & 4095, 0] for offset in asked]
    found = Histories(of, np.array(asked, np.int64), np.array(halves, np.uint64), has_truncates=has_truncates)
    asyncio.run(found.build())
    return found


def test_all_later_changes_of_a_key_are_found_and_some_earlier_ones() -> None:
    keys = "a" * (CARRIED + 2) + "bacab"
    of = changes(*(Change(offset=offset, key=key) for offset, key in enumerate(keys)))
    asked = CARRIED + 3  # the first a after a b

    assert histories(of, asked).of([asked]) == [*range(2, CARRIED + 2), asked, asked + 2]


def test_what_is_read_after_the_pass_is_found_and_of_the_keys_asked_alone() -> None:
    of = changes(Change(offset=0, key="a"), Change(offset=1, key="b"), Change(offset=2, key="c"))
    found = histories(of, 0, 1)
    assert found.of([0]) == [0]

    of.take(change_batch([Change(offset=3, key="a"), Change(offset=4, key="c")], start=3))
    assert found.of([0]) == [0, 3]
    of.take(change_batch([Change(offset=5, key="b"), Change(offset=6, key="a")], start=5))
    assert found.of([0]) == [0, 3, 6]
    assert found.of([1]) == [1, 5]


def test_what_may_be_a_change_of_any_key_is_one_of_every_key_before_it() -> None:
    of = changes(
        Change(offset=0, key=None, kind=ChangeKind.TRUNCATE),
        Change(offset=1, key="a"),
        Change(offset=2, key=None, kind=ChangeKind.UNREADABLE),
        Change(offset=3, key=None, kind=ChangeKind.TRUNCATE),
    )

    assert histories(of, 1).of([1]) == [1, 2]
    assert histories(of, 1, has_truncates=True).of([1]) == [1, 2, 3]


def test_many_keys_over_many_segments_are_found_as_one_by_one() -> None:
    chance = random.Random(5)
    keys = [str(chance.randrange(3_000)) for _ in range(20_000)]
    of = changes(*(Change(offset=offset, key=key) for offset, key in enumerate(keys)))
    asked = sorted({key: offset for offset, key in enumerate(keys)}.values())

    found = histories(of, *asked).of(asked)

    wanted = set()
    for offset in asked:
        wanted.update([other for other in range(offset + 1) if keys[other] == keys[offset]][-CARRIED - 1 :])
    assert found == sorted(wanted)
