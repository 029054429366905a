"""Judging one straggler: every rule of protocol section 4 for a cell below the fence that is still open."""

from __future__ import annotations

import numpy as np

from app.ledger import rules
from app.ledger.cells import Bit, Word
from app.ledger.keyed import FINE, Fact, Later
from app.ledger.sink import SinkPartition
from app.ledger.stragglers import Straggler
from app.model import SEGMENT_BITS, Flag, ReceiptStatus, State
from app.model.words import INDEX


def visible_later(sink: SinkPartition, keys: set[bytes]) -> dict[bytes, Later]:
    """Facts of some keys above the fence and below the horizon."""
    found: dict[bytes, Later] = {}
    for fact in sink.facts(keys, sink.fence, sink.horizon) if keys else ():
        found.setdefault(fact.key, Later()).add(fact)
    return found


def judge_straggler(sink: SinkPartition, straggler: Straggler, visible: dict[bytes, Later]) -> tuple[State, Flag]:
    """The state and flags of one cell below the fence that is still open, with every keyed rule."""
    later = _later(sink, straggler, visible)
    word = sink.word(straggler.offset)
    state = sink.plain_state(straggler.offset)
    flags = Flag(0)
    if state is State.DIVERGED and later.is_fine and straggler.key is not None and _is_answer(word):
        state, flags = State.SUPERSEDED, Flag.GUARDED
    is_silent = not word.bits & Bit.HAS_RECEIPT and state in (State.MISSING, State.ATTEMPTED)
    expectations = sink.terms.at(straggler.offset).expectations
    if is_silent and expectations.is_latest_state and later.is_expected and straggler.key is not None:
        state = State.SUPERSEDED
    return state, flags | _straggler_flags(sink, straggler.offset, state, later, word)


def _is_answer(word: Word) -> bool:
    return word.status == ReceiptStatus.SKIPPED and bool(word.bits & Bit.WORD_NAMES_COMMAND)


def _later(sink: SinkPartition, straggler: Straggler, visible: dict[bytes, Later]) -> Later:
    """Closed later changes, open ones below the fence, and seen ones above it.

    ``is_expected`` then means what latest-state asks: a later expected change that is below the same fence, or known.
    """
    later = straggler.later.merge(Later())
    for other in sink.stragglers.of_key(straggler.key):
        if other.offset > straggler.offset:
            later.add(straggler_fact(sink, other))
    above = visible.get(straggler.key) if straggler.key is not None else None
    if above is not None:
        merged = later.merge(above)
        merged.is_expected = later.is_expected or above.is_known
        return merged
    return later


def straggler_fact(sink: SinkPartition, straggler: Straggler) -> Fact:
    """What an open cell below the fence says about earlier changes of its key."""
    word = sink.word(straggler.offset)
    state = sink.plain_state(straggler.offset)
    return Fact(
        key=straggler.key or b"",
        offset=straggler.offset,
        is_expected=state is not State.EXEMPT,
        is_known=bool(word.bits & Bit.NOT_REJECTED),
        is_fine=state in FINE,
        rank=word.apply_rank,
        sequence=word.apply_sequence,
    )


def _straggler_flags(sink: SinkPartition, offset: int, state: State, later: Later, word: Word) -> Flag:
    segment = sink.changes.segment_of(offset)
    if segment is None:
        return Flag(0)
    index = offset & INDEX
    states = np.array([state], np.uint8)
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    plain = rules.plain_flags(sink.terms.at(offset).expectations, sink.view(), segment, cells, states, index, index + 1)
    flags = Flag(int(plain[0]))
    if state is not State.EXEMPT and later.precedes(word.apply_rank, word.apply_sequence):
        flags |= Flag.OUT_OF_ORDER
    return flags


def applied_truncate(sink: SinkPartition) -> int:
    """The highest delivered truncate below the horizon, -1 for none."""
    return max((offset for offset in sink.truncates if offset < sink.horizon), default=-1)
