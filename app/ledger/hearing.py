"""What a receipt does to a cell: folded in lane order, counted where it is about nothing open, found out where it disagrees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.ledger import rules
from app.ledger.cells import Bit, CellSegment, Receipt, ReceiptArrays, Remark, Word
from app.ledger.changes import ChangeSegment, runs, segment_numbers
from app.ledger.lane import LaneRows
from app.ledger.rules import View
from app.model import SEGMENT_BITS, SEGMENT_OFFSETS, TAIL_OFFSETS, ChangeKind, EvidenceKind, ReceiptStatus, State
from app.model.batches import Int64s, Places, UInt8s, numbers_of, side_by_side
from app.model.words import ANY_KIND, INDEX
from app.native import kernel

SAID = tuple(ReceiptArrays.__dataclass_fields__)
WRITTEN = ("bits", "closed", "status", "fingerprints", "first_at", "apply_at", "apply_rank", "apply_sequence")
"""Columns of receipts and of cells, in the order in which the kernel takes them."""
MOST_ERRORS, MOST_CHARACTERS = 10_000, 500
"""Errors that are kept of one lane's open cells, and how much of each; they decide nothing."""

if TYPE_CHECKING:
    from app.ledger.sink import SinkPartition


def hear(sink: SinkPartition, receipts: ReceiptArrays) -> None:
    """Fold receipts into their cells, in lane order within a cell."""
    beyond = receipts.offsets >= sink.changes.next
    if beyond.any():
        for row in np.flatnonzero(beyond).tolist():
            sink.parked.append((receipts.receipt(row), int(receipts.offsets[row])))
        receipts = receipts[~beyond]
    if kernel is not None and len(receipts):
        receipts = _hear_first(sink, receipts)
    numbers = receipts.offsets >> SEGMENT_BITS
    if (np.diff(numbers) < 0).any():
        receipts = receipts[np.argsort(numbers, kind="stable")]
    for number, lo, hi in runs(receipts.offsets):
        _hear_segment(sink, number, receipts[lo:hi])


def _hear_first(sink: SinkPartition, receipts: ReceiptArrays) -> ReceiptArrays:
    """Fold with the kernel what are the first receipts of open cells; the others, which need more than columns, are given back."""
    lowest, highest = int(receipts.offsets.min()), int(receipts.offsets.max())
    if any(start <= highest and lowest < end for start, end in sink.skips):
        return receipts
    is_left = np.ones(len(receipts), np.bool_)
    said = [np.ascontiguousarray(getattr(receipts, name)) for name in SAID]
    for number in segment_numbers(receipts.offsets):
        changes = sink.changes.segments.get(number)
        if changes is None:
            continue
        cells = sink.cells_at(number)
        written = [getattr(cells, name) for name in WRITTEN]
        for terms, lo, hi in sink.terms.pieces(changes.base, 0, SEGMENT_OFFSETS):
            rule = np.array(
                [changes.base, lo, hi, terms.projection, changes.fingerprints.shape[1], sink.fence], np.int64
            )
            kernel.hear_first(rule, *said, is_left, changes.kinds, changes.left_out, changes.fingerprints, *written)
    heard = receipts.offsets[~is_left]
    sink.tally.rows["cells"] += len(heard)
    _note_touched(sink, heard)
    return receipts[is_left]


def _note_touched(sink: SinkPartition, offsets: Int64s) -> None:
    """Open cells were spoken of: stragglers among them, and stragglers of the same keys, may be judged otherwise now."""
    if not len(sink.stragglers) or not len(offsets):
        return
    for offset in sink.stragglers.among(offsets):
        straggler_spoke(sink, offset)
    sink.touched.append(offsets)


def _hear_segment(sink: SinkPartition, number: int, receipts: ReceiptArrays) -> None:
    changes = sink.changes.segments.get(number)
    if changes is None:
        for row in range(len(receipts)):
            _no_change(sink, receipts.receipt(row), int(receipts.offsets[row]), is_held=False)
        return
    cells = sink.cells_at(number)
    index = side_by_side(receipts.offsets & INDEX)
    kinds = changes.kinds[index]
    if np.any(receipts.status == ANY_KIND):
        receipts = _with_status(receipts, rules.name_kinds(kinds, receipts.status))
    absent = kinds == ChangeKind.ABSENT
    closed = cells.closed[index] > 0
    if absent.any() or closed.any():
        places = numbers_of(index)
        _hear_odd(sink, changes, cells, receipts, places, absent, closed)
        keep = ~(absent | closed)
        receipts, index, kinds = receipts[keep], side_by_side(places[keep]), kinds[keep]
    if len(receipts):
        _hear_open(sink, changes, cells, receipts, index, kinds)


def _hear_odd(
    sink: SinkPartition,
    changes: ChangeSegment,
    cells: CellSegment,
    receipts: ReceiptArrays,
    index: Int64s,
    absent: np.ndarray,
    closed: np.ndarray,
) -> None:
    for row in np.flatnonzero(absent | closed).tolist():
        receipt, place = receipts.receipt(row), int(index[row])
        if absent[row]:
            _no_change(sink, receipt, changes.base + place, is_held=True)
        else:
            _hear_closed(sink, changes, cells, receipt, place)


def _hear_open(
    sink: SinkPartition,
    changes: ChangeSegment,
    cells: CellSegment,
    receipts: ReceiptArrays,
    index: Places,
    kinds: UInt8s,
) -> None:
    sink.tally.rows["cells"] += len(receipts)
    expected = sink.terms.expected_fingerprints(changes, index)
    good = rules.is_good(sink.terms.kinds(changes, index), expected, receipts) & ((cells.bits[index] & Bit.LOST) == 0)
    passed = receipts.offsets < sink.fence
    for lo, hi in sink.skips:
        passed |= (receipts.offsets >= lo) & (receipts.offsets < hi)
    first = (cells.bits[index] & Bit.HAS_RECEIPT) == 0
    if not isinstance(index, slice) and not bool((index[1:] > index[:-1]).all()):
        times = np.bincount(index, minlength=SEGMENT_OFFSETS)
        first &= times[index] == 1
    if first.all():
        cells.first(index, receipts, good, passed)
    else:
        places = numbers_of(index)
        cells.first(places[first], receipts[first], good[first], passed[first])
        for row in np.flatnonzero(~first).tolist():
            place = int(places[row])
            word = cells.word(place).after(receipts.receipt(row), bool(good[row]), bool(passed[row]))
            cells.put(place, word)
    if (kinds == ChangeKind.TRUNCATE).any():
        _note_truncates(sink, changes, cells, numbers_of(index)[kinds == ChangeKind.TRUNCATE])
    _note_touched(sink, receipts.offsets)


def _note_truncates(sink: SinkPartition, changes: ChangeSegment, cells: CellSegment, index: Int64s) -> None:
    for place in index.tolist():
        expectations = sink.terms.at(changes.base + place).expectations
        if not expectations.expected[expectations.kind(changes, place)]:
            continue
        is_applied = bool(cells.bits[place] & Bit.GOOD)
        (sink.truncates.add if is_applied else sink.truncates.discard)(changes.base + place)


def straggler_spoke(sink: SinkPartition, offset: int) -> None:
    """Something was said of a cell; if it is a straggler, it and the others of its key are judged anew."""
    straggler = sink.stragglers.by_offset.get(offset)
    if straggler is not None:
        sink.stragglers.dirty.add(offset)
        for other in sink.stragglers.of_key(straggler.key):
            sink.stragglers.dirty.add(other.offset)


def _no_change(sink: SinkPartition, receipt: Receipt, offset: int, *, is_held: bool) -> None:
    """A receipt whose offset holds no change: orphan, or the change is gone."""
    if offset < sink.changes.first:
        sink.tally.rows["too_late"] += 1
    elif not is_held and offset < max(sink.fence - TAIL_OFFSETS, sink.changes.forgotten):
        sink.far.append((receipt, offset))
    elif sink.is_compacted:
        sink.tally.rows["compacted"] += 1
    else:
        sink.tally.rows["orphans"] += 1
        if offset not in sink.orphans:
            sink.orphans.add(offset)
            sink.remarks.append(Remark(kind="orphan", offset=offset, rank=receipt.rank))


def _hear_closed(sink: SinkPartition, changes: ChangeSegment, cells: CellSegment, receipt: Receipt, index: int) -> None:
    """Evidence about a closed cell is counted; where it disagrees, it is a fault of its own."""
    sink.tally.rows["after_closing"] += 1
    offset = changes.base + index
    is_far = sink.fence - offset > TAIL_OFFSETS
    word = Word() if is_far else cells.word(index)
    if not is_far and word.bits & Bit.CONTRADICTED:
        return
    view = View(beginning=sink.beginning, fence=sink.fence, skips=())
    terms = sink.terms.at(offset)
    bad = rules.would_disagree(terms.expectations, view, changes, index, word, receipt)
    if bad is None or (not is_far and bad is State.DIVERGED and _is_guarded(sink, changes, index, receipt)):
        return
    cells.bits[index] |= Bit.CONTRADICTED
    sink.remarks.append(Remark(kind="contradicted", offset=offset, rank=receipt.rank))


def _is_guarded(sink: SinkPartition, changes: ChangeSegment, index: int, receipt: Receipt) -> bool:
    """A SKIPPED that names a command, of a key with a later change that is delivered."""
    key = changes.key(index)
    if receipt.status != ReceiptStatus.SKIPPED or not receipt.names_command or key is None:
        return False
    later = sink.facts({key}, changes.base + index + 1, sink.horizon)
    return any(fact.is_expected and fact.is_fine for fact in later)


def note_errors(errors: dict[int, str], rows: LaneRows, lo: int, hi: int) -> None:
    """Keep what the receipts among rows ``[lo, hi)`` say was wrong, by the change's offset; only so many, and only so long."""
    for row, texts in rows.texts.items():
        if lo <= row < hi and rows.kinds[row] == EvidenceKind.RECEIPT and texts[1]:
            errors[int(rows.offsets[row])] = texts[1][:MOST_CHARACTERS]
            if len(errors) > MOST_ERRORS:
                del errors[next(iter(errors))]


def one(receipt: Receipt, offset: int) -> ReceiptArrays:
    """A single receipt as arrays."""
    return ReceiptArrays(
        offsets=np.array([offset], np.int64),
        status=np.array([receipt.status], np.uint8),
        fingerprints=np.array([receipt.fingerprint or 0], np.uint64),
        has_fingerprint=np.array([receipt.fingerprint is not None]),
        applied_at=np.array([receipt.applied_at], np.int64),
        sequences=np.array([receipt.sequence or 0], np.int64),
        has_sequence=np.array([receipt.sequence is not None]),
        names_command=np.array([receipt.names_command]),
        read_back=np.array([receipt.is_read_back]),
        ranks=np.array([receipt.rank], np.int64),
    )


def _with_status(receipts: ReceiptArrays, status: UInt8s) -> ReceiptArrays:
    return replace(receipts, status=status)
