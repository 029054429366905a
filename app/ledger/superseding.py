"""The keyed rules that make a cell superseded: a later change of its key is known (latest-state), or is delivered (guarded)."""

from __future__ import annotations

import numpy as np

from app.ledger.cells import Bit, CellSegment
from app.ledger.changes import ChangeSegment
from app.ledger.keyed import Newest
from app.ledger.sink import SinkPartition
from app.ledger.slices import Slice
from app.model import SEGMENT_BITS, SEGMENT_OFFSETS, Flag, ReceiptStatus, State
from app.model.batches import Bools, Int64s


def supersede_passed(sink: SinkPartition, slices: list[Slice], fence: int, newest: Newest | None) -> Newest | None:
    """With latest-state: no receipt, and a later expected change of the key is known, or below the same fence."""
    masks = [silent(part) for part in slices]
    if not any(mask.any() for mask in masks):
        return newest
    if newest is None:
        start, end = slices[0].changes.base + slices[0].lo, sink.horizon
        newest = Newest(
            known_changes(sink, changes, sink.cells.get(changes.base >> SEGMENT_BITS), fence, start, end)
            for changes, _, _ in sink.changes.slices(start, end)
        )
    for part, mask in zip(slices, masks, strict=True):
        supersede(part, mask, newest)
    return newest


def known_changes(
    sink: SinkPartition, changes: ChangeSegment, cells: CellSegment | None, fence: int, start: int, end: int
) -> tuple[np.ndarray, Int64s]:
    """``S16[n]`` keys and ``int64[n]`` offsets of a segment's changes at ``[start, end)`` that supersede earlier ones."""
    hi = max(min(end - changes.base, SEGMENT_OFFSETS), 0)
    lo = min(max(start - changes.base, 0), hi)
    offsets = np.arange(changes.base + lo, changes.base + hi)
    known = offsets < fence
    if cells is not None:
        known |= (cells.bits[lo:hi] & Bit.NOT_REJECTED) != 0
    for terms, first, last in sink.terms.pieces(changes.base, lo, hi):
        rules_of = terms.expectations
        known[first - lo : last - lo] &= rules_of.expected[rules_of.kinds(changes, first, last)]
    known &= changes.has_key[lo:hi] & (offsets >= sink.beginning)
    return changes.keys[lo:hi][known], offsets[known]


def supersede(part: Slice, mask: Bools, newest: Newest) -> None:
    """Those of the masked cells whose key has a later change among some."""
    rows = np.flatnonzero(mask)
    if len(rows):
        last = newest.of(part.changes.keys[part.lo : part.hi][rows])
        part.states[rows[last > part.offsets[rows]]] = State.SUPERSEDED


def silent(part: Slice) -> Bools:
    """Cells without a receipt that `superseded` could fit: its rule stands before attempted, missing and pending."""
    open_states = (part.states == State.MISSING) | (part.states == State.ATTEMPTED) | (part.states == State.PENDING)
    mask: Bools = open_states & part.changes.has_key[part.lo : part.hi]
    return mask & part.terms.expectations.is_latest_state


def answered(part: Slice) -> Bools:
    """Cells that `guarded` could fit: their last word is a SKIPPED that names a command."""
    mask: Bools = (part.states == State.DIVERGED) & ((part.cells.bits[part.lo : part.hi] & Bit.WORD_NAMES_COMMAND) != 0)
    mask &= part.cells.status[part.lo : part.hi] == ReceiptStatus.SKIPPED
    return mask & part.changes.has_key[part.lo : part.hi]


def guard(sink: SinkPartition, slices: list[Slice]) -> None:
    """SKIPPED that names a command, and a later expected change of the key is delivered."""
    asked: list[tuple[Slice, int, bytes]] = []
    for part in slices:
        for row in np.flatnonzero(answered(part)).tolist():
            asked.append((part, row, part.changes.key_hashes[part.lo + row].tobytes()))
    if not asked:
        return
    fine: dict[bytes, int] = {}
    start = slices[0].changes.base + slices[0].lo
    for fact in sink.facts({key for _, _, key in asked}, start, sink.horizon):
        if fact.is_expected and fact.is_fine:
            fine[fact.key] = fact.offset
    for part, row, key in asked:
        if fine.get(key, -1) > part.changes.base + part.lo + row:
            part.states[row] = State.SUPERSEDED
            part.flags[row] |= np.uint8(Flag.GUARDED)
