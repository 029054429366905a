"""The rules of protocol section 4, one after another as they are written there, for one cell at a time.

Nothing is kept between two questions: every answer is worked out anew from the cell's change, the contract, its receipts and
the other cells of its source partition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.simulation.changes import Change
from tests.simulation.contract import Contract
from tests.simulation.lanes import EXPECTED, Receipt

BAD = {"missing", "diverged", "rejected", "duplicated"}
SETTLED = {"exempt", "delivered", "attempted", "superseded", "unverifiable"}
DONE = {"APPLIED", "DELETED"}
TAIL = 65_536
"""Offsets: how far source duplicates are seen, and how far below the highest fence closed cells are remembered."""


@dataclass(slots=True, kw_only=True)
class Cell:
    """One change as seen by one sink; ``receipts`` are those that count, in lane order, each with its place in it."""

    change: Change
    receipts: list[tuple[int, Receipt]] = field(default_factory=list)
    closed: tuple[str, list[str]] | None = None
    """State and flags, once nothing changes them any more."""
    is_lost: bool = False
    """Whether evidence that may have spoken of it was lost."""
    is_waived: bool = False


@dataclass(slots=True, kw_only=True)
class Life:
    """What a sink's lane about one source partition has said so far."""

    contract: Contract
    cells: dict[int, Cell]
    end: int
    begin: int = 0
    generation: int = 0
    is_ended: bool = False
    fence: int = 0
    frontier: int = 0
    is_lossy: bool = False
    """Whether evidence was lost since the last fence that was evaluated."""
    skips: list[tuple[int, int]] = field(default_factory=list)

    def is_below_fence(self, offset: int) -> bool:
        """Whether a fence that was read stands above."""
        return offset < self.fence

    def is_skipped(self, offset: int) -> bool:
        """Whether a SKIP that was read goes over it."""
        return any(start <= offset < end for start, end in self.skips)

    def is_before_start(self, cell: Cell) -> bool:
        """Whether judging begins above."""
        return cell.change.offset < self.begin

    def is_expected(self, cell: Cell) -> bool:
        """Whether anything is wanted of the sink."""
        return not self.is_before_start(cell) and not self.contract.expects_nothing_of(cell.change)

    def later_of_key(self, cell: Cell) -> Iterator[Cell]:
        """Changes of the same key at higher offsets; a null key equals none."""
        key = cell.change.key_hash
        if key is not None:
            for offset, other in self.cells.items():
                if offset > cell.change.offset and other.change.key_hash == key:
                    yield other


def wanted_kind(change: Change) -> str:
    """The status that says a change arrived."""
    return "DELETED" if change.kind == "delete" else "APPLIED"


def resolved(receipt: Receipt, change: Change) -> Receipt:
    """A success record as the receipt of the kind that its change expects."""
    return replace(receipt, status=wanted_kind(change)) if receipt.status == EXPECTED else receipt


def last_words(cell: Cell) -> list[Receipt]:
    """Each receipt that was the last word when it was read, in order."""
    words: list[Receipt] = []
    for _, receipt in cell.receipts:
        is_presence = receipt.status == "APPLIED" and receipt.fingerprint is None and receipt.command_id is None
        if is_presence and words and words[-1].status == "APPLIED" and words[-1].fingerprint is not None:
            continue
        words.append(receipt)
    return words


def is_good(word: Receipt, cell: Cell, life: Life) -> bool:
    """Whether a last word delivers the change."""
    if life.contract.is_unreadable(cell.change) or word.is_vain or word.status != wanted_kind(cell.change):
        return False
    if cell.change.kind != "upsert" or word.fingerprint is None:
        return True
    contract = life.contract
    return word.fingerprint == cell.change.expected_fingerprint(contract.ignored(cell.change), contract.placeholder)


def is_delivered(cell: Cell, life: Life) -> bool:
    """Whether the rule for delivered fits an expected change."""
    words = last_words(cell)
    return bool(words) and not cell.is_lost and life.is_expected(cell) and is_good(words[-1], cell, life)


def is_guarded(cell: Cell, life: Life) -> bool:
    """The sink answered a command that it holds something newer, and it does."""
    words = last_words(cell)
    if cell.change.key_hash is None or not words or words[-1].status != "SKIPPED" or words[-1].command_id is None:
        return False
    return any(is_delivered(later, life) for later in life.later_of_key(cell))


def is_outdated(cell: Cell, life: Life) -> bool:
    """Latest state only: nothing was said of the change, and a later one of its key stands for it."""
    if life.contract.expect != "latest-state" or cell.receipts:
        return False
    for later in life.later_of_key(cell):
        if not life.is_expected(later):
            continue
        if any(receipt.status != "REJECTED" for _, receipt in later.receipts):
            return True
        if life.is_below_fence(later.change.offset):
            return True
    return False


def is_redelivered(cell: Cell) -> bool:
    """Two receipts of things done, answering nothing, at different times."""
    times = {
        receipt.applied_at for _, receipt in cell.receipts if receipt.status in DONE and receipt.command_id is None
    }
    return len(times) > 1


def state_of(cell: Cell, life: Life) -> str:
    """The first rule that fits."""
    offset = cell.change.offset
    words = last_words(cell)
    below_fence, skipped = life.is_below_fence(offset), life.is_skipped(offset)
    if not life.is_expected(cell):
        return "exempt"
    if words and words[-1].status == "REJECTED":
        return "rejected"
    if cell.is_lost or (life.contract.is_unreadable(cell.change) and (words or below_fence)):
        return "unverifiable"
    if is_delivered(cell, life):
        is_fault = life.contract.redelivery == "fault" and is_redelivered(cell)
        return "duplicated" if is_fault else "delivered"
    if is_guarded(cell, life) or is_outdated(cell, life):
        return "superseded"
    if words:
        return "diverged"
    if life.contract.evidence == "progress" and below_fence and not skipped:
        return "attempted"
    if below_fence or (skipped and life.contract.takes(cell.change)):
        return "missing"
    return "pending"


def flags_of(cell: Cell, life: Life) -> list[str]:
    """Every flag whose rule fits, sorted."""
    flags = set()
    if is_source_duplicate(cell, life):
        flags.add("source_duplicate")
    if not life.is_expected(cell):
        if is_unexpected(cell, life):
            flags.add("unexpected")
        return sorted(flags)
    if cell.receipts and cell.receipts[0][1].applied_at - cell.change.made_at > life.contract.late_after_ms:
        flags.add("late")
    if is_redelivered(cell):
        flags.add("redelivered")
    if is_out_of_order(cell, life):
        flags.add("out_of_order")
    if is_guarded(cell, life) and state_of(cell, life) == "superseded":
        flags.add("guarded")
    goods = [(word, is_good(word, cell, life)) for word in last_words(cell)]
    first_good = next((word for word, good in goods if good), None)
    if first_good is not None and first_good.passed:
        flags.add("recovered")
    if state_of(cell, life) in {"delivered", "duplicated"} and made_good_by(goods).command_id is not None:
        flags.add("repaired")
    return sorted(flags)


def made_good_by(goods: list[tuple[Receipt, bool]]) -> Receipt:
    """The first good word after the last that was not."""
    chosen = goods[-1][0]
    for word, good in reversed(goods):
        if not good:
            break
        chosen = word
    return chosen


def is_unexpected(cell: Cell, life: Life) -> bool:
    """Something was done about a change of which nothing was wanted."""
    return (
        not life.is_before_start(cell)
        and life.contract.expects_nothing_of(cell.change)
        and cell.change.kind != "tombstone"
        and any(receipt.status in DONE for _, receipt in cell.receipts)
    )


def first_done(cell: Cell) -> tuple[int, Receipt] | None:
    """The first receipt of something done that answers no command, with its place in the lane."""
    done = (entry for entry in cell.receipts if entry[1].status in DONE and entry[1].command_id is None)
    return next(done, None)


def is_out_of_order(cell: Cell, life: Life) -> bool:
    """A later change of the key was done first."""
    mine = first_done(cell)
    return mine is not None and any(
        comes_after(mine, theirs) for later in life.later_of_key(cell) if (theirs := first_done(later)) is not None
    )


def comes_after(one: tuple[int, Receipt], other: tuple[int, Receipt]) -> bool:
    """By the sink's own sequence where both have it, else by the lane."""
    (place, receipt), (other_place, other_receipt) = one, other
    if receipt.sequence is not None and other_receipt.sequence is not None:
        return receipt.sequence > other_receipt.sequence
    return place > other_place


def is_source_duplicate(cell: Cell, life: Life) -> bool:
    """The source said the same thing not long before."""
    change = cell.change
    if change.position is None or change.key_hash is None:
        return False
    mine = (change.position, change.key_hash, change.op)
    return any(
        (other.change.position, other.change.key_hash, other.change.op) == mine
        for offset, other in life.cells.items()
        if change.offset - TAIL <= offset < change.offset
    )
