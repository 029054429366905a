"""The evaluation of one fence: the only moment at which cells close and anything is called missing.

Its cost is in what is new since the last fence: the cells between the last fence and this one, and the stragglers that
something was said about. The order of work (`evaluate` keeps it):

1. The plain state of every newly passed cell, in arrays.
2. The keyed rules for those that need them: superseded, guarded, out of order.
3. Settled cells close; the others become stragglers.
4. Facts of the newly passed cells reach earlier stragglers of the same keys.
5. Stragglers about which something was said are judged anew; settled ones close.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.ledger import rules
from app.ledger.cells import Bit
from app.ledger.changes import runs
from app.ledger.judging import judge_straggler, straggler_fact, visible_later
from app.ledger.keyed import Fact, Newest
from app.ledger.ordering import mark_out_of_order
from app.ledger.rules import NOTHING
from app.ledger.sink import SinkPartition
from app.ledger.slices import Slice, passed_slices, stretches
from app.ledger.stragglers import Straggler
from app.ledger.superseding import guard, supersede_passed
from app.model import (
    BAD,
    SEGMENT_BITS,
    SETTLED,
    Flag,
    Level,
    Origin,
    State,
)
from app.model.batches import Int64s, UInt8s
from app.model.words import INDEX
from app.native import kernel

IS_SETTLED = np.isin(np.arange(256), list(SETTLED))
"""``bool[256]`` by state."""
STATES, FLAGS = len(State), len(Flag)
COUNTS = STATES + FLAGS + len(Level)
"""What the kernel counts of closed cells: by state, by flag, by level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a fence found about one cell that is not plainly fine, or that closes after having been bad."""

    offset: int
    state: State
    flags: Flag
    is_closed: bool


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything one fence decided.

    Attributes:
        fence, origin: the fence's offset and its coordinates in its evidence log.
        findings: by offset, in the order found.
        candidates: open bad cells that a command might now name.
        reason: why its cells are unverifiable, where it is one reason for all.
    """

    fence: int
    origin: Origin
    findings: list[Finding] = field(default_factory=list)
    candidates: list[Straggler] = field(default_factory=list)
    reason: str | None = None


def evaluate(sink: SinkPartition, fence: int, origin: Origin) -> Outcome:
    """Judge every cell below a fence that is new or was spoken of; see the module's text for the order."""
    before = sink.fence
    sink.fence = fence
    outcome = Outcome(fence=fence, origin=origin)
    if sink.is_evidence_lost:
        _lose_evidence(sink, fence)
    fresh: list[Straggler] = []
    newest: Newest | None = None
    for start, end in stretches(sink, before, fence):
        slices = passed_slices(sink, start, end)  # 1
        newest = apply_keyed_rules(sink, slices, fence, newest)  # 2
        fresh += _close_passed(sink, slices, outcome)  # 3
        _inform_stragglers(sink, slices)  # 4
    _wake_by_touched(sink, fence)
    _judge_stragglers(sink, fresh, outcome)  # 5
    sink.is_evidence_lost = False
    return outcome


def apply_keyed_rules(
    sink: SinkPartition, slices: list[Slice], fence: int, newest: Newest | None = None
) -> Newest | None:
    """Step 2: superseded (latest-state), guarded, out of order, written into the slices' states and flags.

    Args:
        newest: what this gave for lower slices at the same fence.
    """
    if not slices:
        return newest
    if any(part.terms.expectations.is_latest_state for part in slices):
        newest = supersede_passed(sink, slices, fence, newest)
    guard(sink, slices)
    mark_out_of_order(sink, slices)
    return newest


def _lose_evidence(sink: SinkPartition, fence: int) -> None:
    """Evidence was lost: every open cell below this fence may have been spoken of, and nobody knows what was said."""
    for offset in sink.stragglers.by_offset:
        sink.cells_at(offset >> SEGMENT_BITS).bits[offset & INDEX] |= Bit.LOST
        sink.stragglers.dirty.add(offset)
    for changes, lo, hi in sink.changes.slices(0, fence):
        cells = sink.cells_at(changes.base >> SEGMENT_BITS)
        cells.bits[lo:hi][cells.closed[lo:hi] == 0] |= Bit.LOST
    sink.truncates -= {offset for offset in sink.truncates if sink.word(offset).bits & Bit.LOST}


def _close_passed(sink: SinkPartition, slices: list[Slice], outcome: Outcome) -> list[Straggler]:
    """Step 3. Returns the new stragglers."""
    fresh: list[Straggler] = []
    for part in slices:
        sink.unsealed.add(part.changes.base >> SEGMENT_BITS)
        odd = (_close_by_arrays if kernel is None else _close_by_kernel)(sink, part)
        for row in odd.tolist():
            _note_odd(sink, part, row, outcome, fresh)
        _forget_errors(sink, part)
    return fresh


def _close_by_kernel(sink: SinkPartition, part: Slice) -> Int64s:
    """Close what is settled or waived, and count it; rows of what is no plainly settled cell."""
    rows, is_odd, counts = slice(part.lo, part.hi), np.zeros(part.hi - part.lo, np.bool_), np.zeros(COUNTS, np.int64)
    cells = part.cells
    odd = kernel.close_cells(
        part.states, part.flags, cells.bits[rows], cells.closed[rows], cells.flags[rows], is_odd, counts
    )
    sink.tally.closed += counts[:STATES]
    sink.tally.flags += counts[STATES : STATES + FLAGS]
    sink.tally.levels += counts[STATES + FLAGS :]
    return np.flatnonzero(is_odd) if odd else np.zeros(0, np.int64)


def _close_by_arrays(sink: SinkPartition, part: Slice) -> Int64s:
    rows = slice(part.lo, part.hi)
    is_cell = part.states != NOTHING
    waived = is_cell & ((part.cells.bits[rows] & Bit.WAIVED) != 0)
    settled = IS_SETTLED[part.states] | waived
    part.cells.closed[rows][settled] = part.states[settled] + 1
    part.cells.flags[rows][settled] = part.flags[settled]
    _count(sink, part.states[settled], part.flags[settled], part.cells.bits[rows][settled])
    return np.flatnonzero((part.states == State.UNVERIFIABLE) | (~settled & is_cell) | waived)


def _note_odd(sink: SinkPartition, part: Slice, row: int, outcome: Outcome, fresh: list[Straggler]) -> None:
    """A cell that is unverifiable, bad, still open, or closed because somebody waived it."""
    index, state, flags = part.lo + row, State(int(part.states[row])), int(part.flags[row])
    offset, is_closed = part.changes.base + index, bool(part.cells.closed[index])
    if state is State.UNVERIFIABLE and not part.cells.bits[index] & Bit.WAIVED:
        sink.verified_stop.add(offset)
    if state is State.UNVERIFIABLE or state in BAD:
        outcome.findings.append(Finding(offset=offset, state=state, flags=Flag(flags), is_closed=is_closed))
    if not is_closed:
        straggler = Straggler(offset, part.changes.key(index), int(part.changes.kinds[index]), state, flags)
        sink.stragglers.add(straggler)
        fresh.append(straggler)


def _forget_errors(sink: SinkPartition, part: Slice) -> None:
    """What was wrong with a cell is told while it is open."""
    start = part.changes.base + part.lo
    for offset in [offset for offset in sink.errors if 0 <= offset - start < part.hi - part.lo]:
        if part.cells.closed[offset & INDEX]:
            del sink.errors[offset]


def _count(sink: SinkPartition, states: UInt8s, flags: UInt8s, bits: np.ndarray) -> None:
    sink.tally.levels += rules.level_counts(states, bits)
    sink.tally.closed += np.bincount(states, minlength=STATES)
    sink.tally.flags += rules.flag_counts(flags)


def _inform_stragglers(sink: SinkPartition, slices: list[Slice]) -> None:
    """Step 4: closed cells of the stragglers' keys are remembered."""
    if not sink.stragglers.by_key:
        return
    for part in slices:
        halves = part.changes.key_hashes[part.lo : part.hi, 0]
        match = part.changes.has_key[part.lo : part.hi] & sink.stragglers.may_have(halves)
        rows = (np.flatnonzero(match) + part.lo).tolist()
        for fact in sink.facts_at(part.changes, sink.stragglers.by_key, rows):
            if fact.offset not in sink.stragglers:
                sink.stragglers.absorb(fact)
            else:
                sink.stragglers.dirty.add(fact.offset)
                _wake_earlier(sink, fact)


def _wake_earlier(sink: SinkPartition, fact: Fact) -> None:
    for other in sink.stragglers.of_key(fact.key):
        if other.offset < fact.offset:
            sink.stragglers.dirty.add(other.offset)


def _wake_by_touched(sink: SinkPartition, fence: int) -> None:
    """Receipts above the fence and below the horizon may have settled an earlier change of their key."""
    if not sink.stragglers.by_key:
        sink.touched.clear()
    if not sink.touched:
        return
    touched = np.concatenate(sink.touched)
    sink.touched = [touched[touched >= sink.horizon]]
    for number, lo, hi in runs(seen := np.unique(touched[(touched >= fence) & (touched < sink.horizon)])):
        segment = sink.changes.segments.get(number)
        if segment is None:
            continue
        rows = seen[lo:hi] & INDEX
        rows = rows[segment.has_key[rows] & sink.stragglers.may_have(segment.key_hashes[rows, 0])]
        for key in {segment.key_hashes[row].tobytes() for row in rows.tolist()}:
            sink.stragglers.dirty.update(straggler.offset for straggler in sink.stragglers.of_key(key))


def _judge_stragglers(sink: SinkPartition, fresh: list[Straggler], outcome: Outcome) -> None:
    """Step 5. Stragglers that settle close; what is still bad and new, or newly the newest, may be commanded."""
    known = {straggler.offset for straggler in fresh}
    dirty = sorted(offset for offset in sink.stragglers.dirty if offset in sink.stragglers)
    sink.stragglers.dirty.clear()
    judged = [sink.stragglers.by_offset[offset] for offset in dirty]
    visible = visible_later(sink, {s.key for s in judged if s.key is not None})
    closing: list[tuple[Straggler, State, Flag]] = []
    for straggler in judged:
        state, flags = judge_straggler(sink, straggler, visible)
        waived = bool(sink.word(straggler.offset).bits & Bit.WAIVED)
        if state in SETTLED or waived:
            closing.append((straggler, state, flags))
        elif straggler.offset not in known and (state is not straggler.state or flags != straggler.flags):
            outcome.findings.append(Finding(offset=straggler.offset, state=state, flags=flags, is_closed=False))
        sink.stragglers.judged(straggler, state, int(flags))
    released = [straggler.key for straggler, _, _ in closing]
    for straggler, state, flags in closing:
        _close_straggler(sink, straggler, state, flags)
        outcome.findings.append(Finding(offset=straggler.offset, state=state, flags=flags, is_closed=True))
    outcome.candidates = _candidates(sink, fresh, judged, released)


def _candidates(
    sink: SinkPartition, fresh: list[Straggler], judged: list[Straggler], released: list[bytes | None]
) -> list[Straggler]:
    found = {s.offset: s for s in (*fresh, *judged) if s.offset in sink.stragglers}
    for key in released:
        found |= {straggler.offset: straggler for straggler in sink.stragglers.of_key(key)}
    return [found[offset] for offset in sorted(found)]


def _close_straggler(sink: SinkPartition, straggler: Straggler, state: State, flags: Flag) -> None:
    offset = straggler.offset
    fact = straggler_fact(sink, straggler)
    sink.stragglers.remove(offset)
    sink.errors.pop(offset, None)
    number = offset >> SEGMENT_BITS
    cells = sink.cells_at(number)
    cells.closed[offset & INDEX] = state + 1
    cells.flags[offset & INDEX] = int(flags)
    at = slice(offset & INDEX, (offset & INDEX) + 1)
    _count(sink, np.array([state], np.uint8), np.array([int(flags)], np.uint8), cells.bits[at])
    sink.unsealed.add(number)
    if state is State.UNVERIFIABLE and not cells.bits[offset & INDEX] & Bit.WAIVED:
        sink.verified_stop.add(offset)
    if straggler.key is not None:
        for other in sink.stragglers.of_key(straggler.key):
            if other.offset < offset:
                other.later.add(fact)
