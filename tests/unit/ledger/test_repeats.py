"""The window of source positions: the kernel's table says what the dict says."""

from __future__ import annotations

import numpy as np
import pytest

from app.ledger.repeats import DictRepeats, Repeats, TableRepeats
from app.model import TAIL_OFFSETS
from app.native import kernel, missing

FORMS = [
    DictRepeats,
    pytest.param(TableRepeats, marks=pytest.mark.skipif(kernel is None, reason=missing() or "")),
]


def note(window: Repeats, position: int, offset: int) -> bool:
    pair = np.array([[position, position ^ 7]], np.uint64)
    return bool(window.note(pair, np.array([offset], np.int64))[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_position_is_repeated_up_to_65_536_offsets_later(form: type[Repeats]) -> None:
    window = form()
    assert [note(window, 1, 0), note(window, 1, TAIL_OFFSETS), note(window, 1, 2 * TAIL_OFFSETS + 1)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("form", FORMS)
def test_another_position_with_the_same_first_hash_is_no_repetition(form: type[Repeats]) -> None:
    window = form()
    first, second = np.array([[5, 1]], np.uint64), np.array([[5, 2]], np.uint64)
    assert not window.note(first, np.array([0]))[0]
    assert not window.note(second, np.array([1]))[0]
    assert not window.note(first, np.array([2]))[0]


@pytest.mark.parametrize("form", FORMS)
def test_of_rows_noted_at_once_later_ones_repeat_earlier_ones(form: type[Repeats]) -> None:
    pairs = np.array([[1, 1], [2, 2], [1, 1]], np.uint64)
    assert form().note(pairs, np.array([3, 4, 9])).tolist() == [False, False, True]


@pytest.mark.skipif(kernel is None, reason=missing() or "")
@pytest.mark.parametrize("seed", range(6))
def test_the_table_says_what_the_dict_says_over_a_long_log_with_gaps(seed: int) -> None:
    chance = np.random.default_rng(seed)
    table, known = TableRepeats(), DictRepeats()
    at = 0
    for _ in range(40):
        count = int(chance.integers(0, 6_000))
        offsets = at + np.cumsum(chance.integers(1, 4 if seed % 2 else 200, count))
        at = int(offsets[-1]) + int(chance.integers(0, 3_000)) if count else at
        low = chance.integers(0, 1 << (18 if seed < 3 else 63), count).astype(np.uint64)
        pairs = np.stack([low, low ^ chance.integers(0, 2, count).astype(np.uint64)], axis=1)
        assert table.note(pairs, offsets).tolist() == known.note(pairs, offsets).tolist()
