"""The rules of protocol section 4 that need nothing but the cell itself, in arrays and as scalars.

A *plain* state is the state without the keyed rules (superseded, out of order): those are in `keyed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.ledger.cells import Bit, CellSegment, Receipt, ReceiptArrays, Word
from app.ledger.changes import ChangeSegment
from app.model import NO_TIME, ChangeKind, Contract, Flag, LeftOut, Level, ReceiptStatus, State
from app.model.batches import Bools, Int64s, UInt8s, UInt64s
from app.model.words import ANY_KIND
from app.native import kernel

NOTHING = 255
"""In arrays of states: no cell here."""
LEFT_OUT = 254
"""In arrays of kinds as a contract sees them: a change that it leaves out."""
UNCHOSEN = 253
"""The same: a change of which nobody knows whether the contract leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where a sink stands when a rule is asked.

    Attributes:
        beginning: the START; cells below it are exempt.
        fence: the highest fence; cells below it were passed.
        skips: ``(from, to)`` of the SKIPs read.
        lost_below: cells below it whose evidence may have been lost are unverifiable; 0 for none.
    """

    beginning: int
    fence: int
    skips: Sequence[tuple[int, int]]

    def is_skipped(self, offset: int) -> bool:
        """Whether a SKIP stands over an offset."""
        return any(lo <= offset < hi for lo, hi in self.skips)

    def skipped(self, base: int, lo: int, hi: int) -> Bools:
        """``bool[hi - lo]``: SKIPs over the offsets ``base + lo`` to ``base + hi``."""
        mask = np.zeros(hi - lo, np.bool_)
        for start, end in self.skips:
            mask[max(start - base - lo, 0) : max(end - base - lo, 0)] = True
        return mask


class Expectations:
    """What a contract expects of each kind of change, as lookup tables by `ChangeKind`; of `LEFT_OUT` nothing.

    Args:
        projection: the column of ``ChangeSegment.fingerprints`` and ``left_out`` that is the contract's.
    """

    def __init__(self, contract: Contract, projection: int = 0) -> None:
        self.projection = projection
        expected: Bools = np.zeros(256, np.bool_)
        expected[[ChangeKind.UPSERT, ChangeKind.UNREADABLE, ChangeKind.LOST, UNCHOSEN]] = True
        expected[ChangeKind.DELETE] = contract.deletes != "ignore"
        expected[ChangeKind.TRUNCATE] = contract.truncates == "apply"
        self.expected: Bools = expected
        self.is_progress = contract.evidence == "progress"
        self.is_fault = contract.redelivery == "fault"
        self.is_latest_state = contract.expect == "latest-state"
        self.late_after_ms = contract.late_after_ms

    def kinds(self, changes: ChangeSegment, lo: int, hi: int) -> UInt8s:
        """``uint8[hi - lo]``: kinds as the contract sees them; see `seen`."""
        return self.seen(changes.kinds[lo:hi], changes.left_out[lo:hi, self.projection])

    def seen(self, kinds: UInt8s, left_out: UInt8s) -> UInt8s:
        """Kinds as the contract sees them, of kinds and what its projection says of each change.

        A change that it leaves out is `LEFT_OUT`. One that it expects, and of which nobody knows whether it is left out, is
        `UNCHOSEN`, and judged as one that can't be read: it is neither called delivered nor asked for, in a SKIP neither.
        """
        if not left_out.any():
            return kinds
        is_row = (kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE)
        unknown = (left_out == LeftOut.UNKNOWN) & is_row & self.expected[kinds]
        return np.where(left_out == LeftOut.YES, LEFT_OUT, np.where(unknown, UNCHOSEN, kinds)).astype(np.uint8)

    def kind(self, changes: ChangeSegment, index: int) -> int:
        """`kinds` of one change."""
        return int(self.kinds(changes, index, index + 1)[0])


def is_good(kinds: UInt8s, fingerprints: UInt64s, receipts: ReceiptArrays) -> Bools:
    """``bool[n]``: the receipt is of the kind its change expects, and for an upsert its fingerprint equal or absent."""
    applied = receipts.status == ReceiptStatus.APPLIED
    equal = ~receipts.has_fingerprint | (receipts.fingerprints == fingerprints)
    upsert = (kinds == ChangeKind.UPSERT) & applied & equal
    truncate = (kinds == ChangeKind.TRUNCATE) & applied
    good: Bools = upsert | truncate | ((kinds == ChangeKind.DELETE) & (receipts.status == ReceiptStatus.DELETED))
    return good


def is_good_receipt(kind: int, fingerprint: int, receipt: Receipt) -> bool:
    """`is_good` for one receipt."""
    if kind == ChangeKind.UPSERT:
        return receipt.status == ReceiptStatus.APPLIED and receipt.fingerprint in (None, fingerprint)
    if kind == ChangeKind.TRUNCATE:
        return receipt.status == ReceiptStatus.APPLIED
    return kind == ChangeKind.DELETE and receipt.status == ReceiptStatus.DELETED


def name_kinds(kinds: UInt8s, status: UInt8s) -> UInt8s:
    """A presence receipt "of the kind its change expects" gets that kind: DELETED for deletes, else APPLIED."""
    wanted = np.where(kinds == ChangeKind.DELETE, ReceiptStatus.DELETED, ReceiptStatus.APPLIED)
    return np.where(status == ANY_KIND, wanted, status).astype(np.uint8)


def plain(
    rules: Expectations, view: View, changes: ChangeSegment, cells: CellSegment | None, lo: int, hi: int
) -> tuple[UInt8s, UInt8s]:
    """`plain_states` and `plain_flags` of a segment's slice."""
    if kernel is None or cells is None:
        states = plain_states(rules, view, changes, cells, lo, hi)
        return states, plain_flags(rules, view, changes, cells, states, lo, hi)
    rule = (
        changes.base, lo, hi, rules.projection, changes.left_out.shape[1], view.beginning, view.fence, rules.is_progress,
        rules.is_fault, rules.late_after_ms,
    )  # fmt: skip
    skipped = view.skipped(changes.base, lo, hi) if view.skips else np.zeros(0, np.bool_)
    states, flags = np.empty(hi - lo, np.uint8), np.empty(hi - lo, np.uint8)
    kernel.judge_cells(
        np.array(rule, np.int64), rules.expected, skipped, changes.kinds, changes.left_out, changes.source_ts_ms,
        changes.timestamps, changes.duplicates, cells.bits, cells.status, cells.first_at, states, flags,
    )  # fmt: skip
    return states, flags


def plain_states(
    rules: Expectations, view: View, changes: ChangeSegment, cells: CellSegment | None, lo: int, hi: int
) -> UInt8s:
    """``uint8[hi - lo]``: the plain state of each offset of a segment's slice, `NOTHING` where there is no cell."""
    kinds = rules.kinds(changes, lo, hi)
    offsets = np.arange(changes.base + lo, changes.base + hi)
    passed = offsets < view.fence
    skipped = view.skipped(changes.base, lo, hi) if view.skips else None
    silent = passed if skipped is None else passed | skipped
    states = np.where(silent, State.MISSING, State.PENDING).astype(np.uint8)
    if rules.is_progress:
        states[passed if skipped is None else passed & ~skipped] = State.ATTEMPTED
    unchosen = kinds == UNCHOSEN
    states[unchosen & ~passed] = State.PENDING
    unreadable = unchosen | (kinds == ChangeKind.UNREADABLE)
    if cells is not None:
        bits = cells.bits[lo:hi]
        heard = (bits & Bit.HAS_RECEIPT) != 0
        good = (bits & Bit.GOOD) != 0
        states[heard] = State.DIVERGED
        states[good] = State.DELIVERED
        if rules.is_fault:
            states[good & ((bits & Bit.REDELIVERED) != 0)] = State.DUPLICATED
        states[(unreadable & (heard | passed)) | ((bits & Bit.LOST) != 0)] = State.UNVERIFIABLE
        states[kinds == ChangeKind.LOST] = State.UNVERIFIABLE
        states[heard & (cells.status[lo:hi] == ReceiptStatus.REJECTED)] = State.REJECTED
    else:
        states[(unreadable & passed) | (kinds == ChangeKind.LOST)] = State.UNVERIFIABLE
    states[~rules.expected[kinds] | (offsets < view.beginning)] = State.EXEMPT
    states[kinds == ChangeKind.ABSENT] = NOTHING
    return states


def plain_state(rules: Expectations, view: View, kind: int, offset: int, word: Word) -> State:
    """`plain_states` for one cell."""
    heard = bool(word.bits & Bit.HAS_RECEIPT)
    passed = offset < view.fence
    if not rules.expected[kind] or offset < view.beginning:
        return State.EXEMPT
    if heard and word.status == ReceiptStatus.REJECTED:
        return State.REJECTED
    is_unreadable = kind in (ChangeKind.UNREADABLE, UNCHOSEN)
    if kind == ChangeKind.LOST or word.bits & Bit.LOST or (is_unreadable and (heard or passed)):
        return State.UNVERIFIABLE
    if word.bits & Bit.GOOD:
        return State.DUPLICATED if rules.is_fault and word.bits & Bit.REDELIVERED else State.DELIVERED
    if heard:
        return State.DIVERGED
    skipped = view.is_skipped(offset) and kind != UNCHOSEN
    if rules.is_progress and passed and not skipped:
        return State.ATTEMPTED
    return State.MISSING if passed or skipped else State.PENDING


def plain_flags(
    rules: Expectations, view: View, changes: ChangeSegment, cells: CellSegment | None, states: UInt8s, lo: int, hi: int
) -> UInt8s:
    """``uint8[hi - lo]`` of `Flag`, all but out_of_order and guarded."""
    flags = changes.duplicates[lo:hi] * np.uint8(Flag.SOURCE_DUPLICATE)
    if cells is None:
        return flags
    bits = cells.bits[lo:hi]
    somewhere = int(np.bitwise_or.reduce(bits)) if len(bits) else 0
    if not somewhere:
        return flags
    exempt = states == State.EXEMPT
    if exempt.any():
        offsets = np.arange(changes.base + lo, changes.base + hi)
        reached = exempt & ((bits & Bit.REACHED) != 0) & (offsets >= view.beginning)
        flags[reached & (changes.kinds[lo:hi] != ChangeKind.TOMBSTONE)] |= np.uint8(Flag.UNEXPECTED)
    heard = ((bits & Bit.HAS_RECEIPT) != 0) & ~exempt
    late = heard & _is_late(rules, changes, cells, lo, hi)
    if late.any():
        flags[late] |= np.uint8(Flag.LATE)
    if somewhere & Bit.REDELIVERED:
        flags[heard & ((bits & Bit.REDELIVERED) != 0)] |= np.uint8(Flag.REDELIVERED)
    if somewhere & Bit.RECOVERED:
        flags[heard & ((bits & Bit.RECOVERED) != 0)] |= np.uint8(Flag.RECOVERED)
    if somewhere & Bit.MADE_GOOD_BY_COMMAND:
        fine = (states == State.DELIVERED) | (states == State.DUPLICATED)
        flags[fine & ((bits & Bit.MADE_GOOD_BY_COMMAND) != 0)] |= np.uint8(Flag.REPAIRED)
    return flags


_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1
"""``int64[256, 8]``: which flags a byte stands for."""


def flag_counts(flags: UInt8s) -> Int64s:
    """``int64[8]``: how many of some cells have each `Flag`."""
    if not flags.any():
        return np.zeros(8, np.int64)
    counts: Int64s = np.bincount(flags, minlength=256) @ _BITS
    return counts


def level_counts(states: UInt8s, bits: np.ndarray) -> Int64s:
    """``int64[4]``: how many of some closed cells rest on evidence of each `Level`; of those delivered or attempted."""
    delivered = states == State.DELIVERED
    read_back = np.count_nonzero(delivered & ((bits & Bit.READ_BACK) != 0))
    content = np.count_nonzero(delivered & ((bits & (Bit.READ_BACK | Bit.WORD_HAS_FINGERPRINT)) != 0))
    counts: Int64s = np.zeros(len(Level), np.int64)
    counts[Level.READ_BACK] = read_back
    counts[Level.FINGERPRINT] = content - read_back
    counts[Level.PRESENT] = np.count_nonzero(delivered) - content
    counts[Level.ATTEMPTED] = np.count_nonzero(states == State.ATTEMPTED)
    return counts


def level_of(state: State, bits: int) -> Level | None:
    """`level_counts` for one cell, in whatever state: how strong its last word is; None where that decides nothing, or is none."""
    if state in (State.UNVERIFIABLE, State.EXEMPT):
        return None
    if bits & Bit.READ_BACK:
        return Level.READ_BACK
    if bits & Bit.WORD_HAS_FINGERPRINT:
        return Level.FINGERPRINT
    if bits & Bit.HAS_RECEIPT:
        return Level.PRESENT
    return Level.ATTEMPTED if state is State.ATTEMPTED else None


def _is_late(rules: Expectations, changes: ChangeSegment, cells: CellSegment, lo: int, hi: int) -> Bools:
    since = changes.source_ts_ms[lo:hi]
    unknown = since == NO_TIME
    if unknown.any():
        since = np.where(unknown, changes.timestamps[lo:hi], since)
    late: Bools = cells.first_at[lo:hi] - since > rules.late_after_ms
    return late


def would_disagree(
    rules: Expectations, view: View, changes: ChangeSegment, index: int, word: Word, receipt: Receipt
) -> State | None:
    """The bad state (EXEMPT for a new `unexpected`) that a receipt would give a closed cell, or None where it agrees.

    The keyed rule is the caller's: a DIVERGED by a SKIPPED that names a command may still be superseded.
    """
    kind, offset = rules.kind(changes, index), changes.base + index
    good = is_good_receipt(kind, int(changes.fingerprints[index, rules.projection]), receipt)
    after = word.after(receipt, good, is_passed=True)
    state = plain_state(rules, view, kind, offset, after)
    if state is State.EXEMPT:
        newly = bool(after.bits & Bit.REACHED) and not word.bits & Bit.REACHED
        is_unexpected = newly and kind != ChangeKind.TOMBSTONE and offset >= view.beginning
        return State.EXEMPT if is_unexpected else None
    return state if state in (State.REJECTED, State.DIVERGED, State.DUPLICATED, State.MISSING) else None
