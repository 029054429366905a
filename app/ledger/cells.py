"""What one sink has said of the changes of one segment: the last word of every cell and what the flags need.

A receipt is folded into its cell in lane order. `Word` is the scalar form (one cell; it is the rule), `CellSegment.first`
the array form for the common case of cells that hear their first receipt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.model import SEGMENT_BITS, SEGMENT_OFFSETS, ReceiptStatus
from app.model.batches import Bools, Int64s, Places, UInt8s, UInt64s

NEVER = 2**63 - 1
"""A rank or sequence that is later than all."""


class Bit:
    """Facts of a cell that a receipt or an operator made true; plain ints, since they are in every array operation."""

    HAS_RECEIPT = 1
    NOT_REJECTED = 2
    """Some receipt's status was not REJECTED (latest-state)."""
    GOOD = 4
    """The last word is of the expected kind with an equal or absent fingerprint."""
    WORD_HAS_FINGERPRINT = 8
    WORD_NAMES_COMMAND = 16
    WAS_GOOD = 32
    RECOVERED = 64
    MADE_GOOD_BY_COMMAND = 128
    REDELIVERED = 256
    REACHED = 512
    """Some receipt was APPLIED or DELETED (unexpected)."""
    HAS_SEQUENCE = 1024
    """The first apply has a sequence."""
    WAIVED = 2048
    LOST = 4096
    """Evidence that could have spoken for this cell was lost."""
    CONTRADICTED = 8192
    SEALED = 16384
    READ_BACK = 32768
    """The last word is of somebody who looked into the sink's store, with its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One receipt as the rules see it; ``rank`` is its place in the lane."""

    status: int
    fingerprint: int | None
    applied_at: int
    sequence: int | None
    names_command: bool
    rank: int
    is_read_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Everything that a cell's receipts have said so far (protocol section 4, "last word" and the flags' rules)."""

    bits: int = 0
    status: int = 0
    fingerprint: int = 0
    first_at: int = 0
    apply_rank: int = NEVER
    apply_sequence: int = NEVER
    apply_at: int = 0

    def after(self, receipt: Receipt, good: bool, is_passed: bool) -> Word:
        """The word after one more receipt.

        Args:
            good: the receipt is of the kind its change expects and its fingerprint is equal or absent.
            is_passed: a fence above the cell, or a SKIP over it, stood before the receipt in the lane.
        """
        bits = self.bits
        word = {}
        if not bits & Bit.HAS_RECEIPT:
            word["first_at"] = receipt.applied_at
        bits |= Bit.HAS_RECEIPT
        if receipt.status != ReceiptStatus.REJECTED:
            bits |= Bit.NOT_REJECTED
        if receipt.status <= ReceiptStatus.DELETED:
            bits |= Bit.REACHED
            if not receipt.names_command:
                bits, word = self._applied(receipt, bits, word)
        if self.is_replaced_by(receipt):
            bits = _spoken(bits, receipt, good, is_passed)
            word |= {"status": receipt.status, "fingerprint": receipt.fingerprint or 0}
        return replace(self, bits=bits, **word)

    def is_replaced_by(self, receipt: Receipt) -> bool:
        """Presence does not replace content, unless it answers a command."""
        return not (
            self.bits & Bit.HAS_RECEIPT
            and self.bits & Bit.WORD_HAS_FINGERPRINT
            and self.status == ReceiptStatus.APPLIED == receipt.status
            and receipt.fingerprint is None
            and not receipt.names_command
        )

    def _applied(self, receipt: Receipt, bits: int, word: dict[str, int]) -> tuple[int, dict[str, int]]:
        if self.apply_rank == NEVER:
            word |= {"apply_rank": receipt.rank, "apply_at": receipt.applied_at}
            if receipt.sequence is not None:
                word["apply_sequence"] = receipt.sequence
                bits |= Bit.HAS_SEQUENCE
        elif receipt.applied_at != self.apply_at:
            bits |= Bit.REDELIVERED
        return bits, word


def _spoken(bits: int, receipt: Receipt, good: bool, is_passed: bool) -> int:
    """Bits after ``receipt`` became the last word."""
    was_good = bits & Bit.GOOD
    bits &= ~(Bit.GOOD | Bit.WORD_HAS_FINGERPRINT | Bit.WORD_NAMES_COMMAND | Bit.READ_BACK)
    if receipt.is_read_back:
        bits |= Bit.READ_BACK
    if receipt.fingerprint is not None:
        bits |= Bit.WORD_HAS_FINGERPRINT
    if receipt.names_command:
        bits |= Bit.WORD_NAMES_COMMAND
    if not good:
        return bits & ~Bit.MADE_GOOD_BY_COMMAND
    if not was_good and receipt.names_command:
        bits |= Bit.MADE_GOOD_BY_COMMAND
    if not bits & Bit.WAS_GOOD and is_passed:
        bits |= Bit.RECOVERED
    return bits | Bit.GOOD | Bit.WAS_GOOD


class CellSegment:
    """Columns of one (sink, segment); index = offset & 4095. ``closed`` holds state + 1, 0 while the cell is open."""

    __slots__ = (
        "apply_at", "apply_rank", "apply_sequence", "base", "bits", "closed", "fingerprints", "first_at", "flags", "status",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.base = number << SEGMENT_BITS
        self.bits = np.zeros(SEGMENT_OFFSETS, np.uint16)
        self.closed: UInt8s = np.zeros(SEGMENT_OFFSETS, np.uint8)
        self.flags: UInt8s = np.zeros(SEGMENT_OFFSETS, np.uint8)
        self.status: UInt8s = np.zeros(SEGMENT_OFFSETS, np.uint8)
        self.fingerprints: UInt64s = np.zeros(SEGMENT_OFFSETS, np.uint64)
        self.first_at: Int64s = np.zeros(SEGMENT_OFFSETS, np.int64)
        self.apply_at: Int64s = np.zeros(SEGMENT_OFFSETS, np.int64)
        self.apply_rank: Int64s = np.full(SEGMENT_OFFSETS, NEVER, np.int64)
        self.apply_sequence: Int64s = np.full(SEGMENT_OFFSETS, NEVER, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(getattr(self, name).nbytes for name in COLUMNS)

    def below(self, end: int) -> CellSegment:
        """The cells of the indices below ``end``, the others as new."""
        found = CellSegment(self.base >> SEGMENT_BITS)
        for name in COLUMNS:
            getattr(found, name)[:end] = getattr(self, name)[:end]
        return found

    def word(self, index: int) -> Word:
        """The cell's word as a scalar."""
        return Word(
            bits=int(self.bits[index]),
            status=int(self.status[index]),
            fingerprint=int(self.fingerprints[index]),
            first_at=int(self.first_at[index]),
            apply_rank=int(self.apply_rank[index]),
            apply_sequence=int(self.apply_sequence[index]),
            apply_at=int(self.apply_at[index]),
        )

    def put(self, index: int, word: Word) -> None:
        """Write a cell's word back."""
        self.bits[index] = word.bits
        self.status[index] = word.status
        self.fingerprints[index] = word.fingerprint
        self.first_at[index] = word.first_at
        self.apply_rank[index] = word.apply_rank
        self.apply_sequence[index] = word.apply_sequence
        self.apply_at[index] = word.apply_at

    def first(self, index: Places, receipts: ReceiptArrays, good: Bools, is_passed: Bools) -> None:
        """Fold the first receipt of each cell of ``index`` (no cell twice, none with a receipt): `Word.after`, in arrays."""
        reached = receipts.status <= ReceiptStatus.DELETED
        applied = reached & ~receipts.names_command
        in_sequence = applied & receipts.has_sequence
        self.bits[index] |= (  # an operator's bits stay
            np.uint16(Bit.HAS_RECEIPT)
            | _marked(receipts.status != ReceiptStatus.REJECTED, Bit.NOT_REJECTED)
            | _marked(reached, Bit.REACHED)
            | _marked(receipts.has_fingerprint, Bit.WORD_HAS_FINGERPRINT)
            | _marked(receipts.names_command, Bit.WORD_NAMES_COMMAND)
            | _marked(good, Bit.GOOD | Bit.WAS_GOOD)
            | _marked(good & is_passed, Bit.RECOVERED)
            | _marked(good & receipts.names_command, Bit.MADE_GOOD_BY_COMMAND)
            | _marked(in_sequence, Bit.HAS_SEQUENCE)
            | _marked(receipts.read_back, Bit.READ_BACK)
        )
        self.status[index] = receipts.status
        self.fingerprints[index] = _where(receipts.has_fingerprint, receipts.fingerprints, 0)
        self.first_at[index] = receipts.applied_at
        self.apply_rank[index] = _where(applied, receipts.ranks, NEVER)
        self.apply_at[index] = _where(applied, receipts.applied_at, 0)
        self.apply_sequence[index] = _where(in_sequence, receipts.sequences, NEVER)


def _marked(mask: Bools, bit: int) -> Any:
    """``bit`` where the mask holds; one number where it holds everywhere or nowhere, as nearly always."""
    if mask.all():
        return np.uint16(bit)
    return mask * np.uint16(bit) if mask.any() else np.uint16(0)


def _where(mask: Bools, values: np.ndarray, other: int) -> Any:
    """`np.where`; the values themselves, or the other alone, where the mask holds everywhere or nowhere."""
    if mask.all():
        return values
    return np.where(mask, values, values.dtype.type(other)) if mask.any() else other


COLUMNS = tuple(name for name in CellSegment.__slots__ if name != "base")
"""The arrays of a segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptArrays:
    """n receipts of one segment in lane order; every column has n rows."""

    offsets: Int64s
    status: UInt8s
    fingerprints: UInt64s
    has_fingerprint: Bools
    applied_at: Int64s
    sequences: Int64s
    has_sequence: Bools
    names_command: Bools
    read_back: Bools
    ranks: Int64s

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, rows: slice | Int64s | Bools) -> ReceiptArrays:
        return ReceiptArrays(**{name: getattr(self, name)[rows] for name in _COLUMNS})

    def receipt(self, row: int) -> Receipt:
        """One row as a scalar."""
        return Receipt(
            status=int(self.status[row]),
            fingerprint=int(self.fingerprints[row]) if self.has_fingerprint[row] else None,
            applied_at=int(self.applied_at[row]),
            sequence=int(self.sequences[row]) if self.has_sequence[row] else None,
            names_command=bool(self.names_command[row]),
            rank=int(self.ranks[row]),
            is_read_back=bool(self.read_back[row]),
        )


_COLUMNS = tuple(ReceiptArrays.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """An orphan or a contradicted receipt, by the source's offset, with the evidence that said it."""

    kind: str
    offset: int
    rank: int
