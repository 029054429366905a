"""The kernel's forms of the fold's arrays say what numpy's say, on cells and receipts that hold anything at all."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from app.ledger import fence, hearing, ordering, rules
from app.ledger.cells import COLUMNS, NEVER, Bit, CellSegment, ReceiptArrays
from app.ledger.changes import Changes, ChangeSegment
from app.ledger.rules import Expectations, View
from app.ledger.sink import SinkPartition
from app.ledger.slices import passed_slices
from app.model import NO_TIME, SEGMENT_OFFSETS, Contract, Flag, Origin, ReceiptStatus, State
from app.model.words import ANY_KIND
from app.native import kernel, missing

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

SEEDS = range(12)
WITHOUT_RECEIPT = Bit.WAIVED | Bit.LOST | Bit.CONTRADICTED | Bit.SEALED
"""What may be true of a cell that heard nothing."""
CONTRACTS = (
    Contract(sink="s", topics=("t",)),
    Contract(sink="s", topics=("t",), evidence="progress", redelivery="fault", deletes="ignore"),
    Contract(sink="s", topics=("t",), expect="latest-state", truncates="apply"),
)


def changes_of(chance: np.random.Generator, number: int) -> ChangeSegment:
    """A segment of two projections; few keys, so that they come again."""
    count, segment = SEGMENT_OFFSETS, ChangeSegment(number, 2)
    segment.kinds[:] = chance.choice([0, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7], count)
    segment.has_key[:] = chance.random(count) < 0.9
    segment.duplicates[:] = chance.random(count) < 0.1
    segment.key_hashes[:] = chance.integers(0, 60, (count, 2))
    segment.fingerprints[:] = chance.integers(0, 3, (count, 2))
    segment.left_out[:] = chance.choice([0, 0, 0, 0, 1, 2], (count, 2))
    segment.source_ts_ms[:] = chance.choice([NO_TIME, 1_000, 2_000_000], count)
    segment.timestamps[:] = chance.integers(0, 4_000_000, count)
    return segment


def cells_of(chance: np.random.Generator, number: int) -> CellSegment:
    count, cells = SEGMENT_OFFSETS, CellSegment(number)
    cells.bits[:] = np.where(chance.random(count) < 0.5, 0, chance.integers(0, 1 << 16, count))
    cells.bits[(cells.bits & Bit.HAS_RECEIPT) == 0] &= WITHOUT_RECEIPT
    cells.status[:] = chance.integers(0, 4, count)
    cells.first_at[:] = chance.integers(0, 4_000_000, count)
    cells.apply_rank[:] = np.where(chance.random(count) < 0.3, NEVER, chance.permutation(count))
    cells.apply_sequence[:] = np.where(chance.random(count) < 0.5, NEVER, chance.integers(0, count, count))
    silent = (cells.bits & Bit.HAS_RECEIPT) == 0
    for name in ("status", "first_at"):
        getattr(cells, name)[silent] = 0
    for name in ("apply_rank", "apply_sequence"):
        getattr(cells, name)[silent] = NEVER
    return cells


def sink_of(seed: int) -> tuple[np.random.Generator, SinkPartition]:
    """Two segments that were read, and whatever one sink may have said of them."""
    chance = np.random.default_rng(seed)
    changes = Changes("t", 0, 2)
    changes.first, changes.next = 0, 2 * SEGMENT_OFFSETS
    sink = SinkPartition(CONTRACTS[seed % len(CONTRACTS)], changes, seed % 2)
    for number in (0, 1):
        changes.segments[number] = changes_of(chance, number)
        sink.cells[number] = cells_of(chance, number)
    sink.beginning, sink.fence, sink.horizon = 100, 5_000, int(chance.choice([5_000, 7_000, 9_000]))
    sink.skips = [(4_500, 6_000)] if seed % 2 else []
    return chance, sink


def both(sink: SinkPartition, monkeypatch: pytest.MonkeyPatch, work) -> tuple:
    """What some work makes of two copies of a sink, with the kernel and without."""
    found = []
    for one in (kernel, None):
        copy = deepcopy(sink)
        for user in (fence, hearing, ordering, rules):
            monkeypatch.setattr(user, "kernel", one)
        found.append(work(copy))
    return tuple(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_states_flags_and_what_closes_are_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sink = sink_of(seed)

    def evaluated(copy: SinkPartition) -> list:
        told = []
        for part in passed_slices(copy, 0, 2 * SEGMENT_OFFSETS):
            outcome = fence.Outcome(fence=5_000, origin=Origin("l", 0, 0))
            told += [part.states.tolist(), part.flags.tolist()]
            fresh = fence._close_passed(copy, [part], outcome)
            told += [outcome.findings, [straggler.offset for straggler in fresh], sorted(copy.verified_stop)]
            told += [part.cells.closed.tolist(), part.cells.flags.tolist()]
        tally = copy.tally
        return [*told, tally.closed.tolist(), tally.flags.tolist(), tally.levels.tolist()]

    found, wanted = both(sink, monkeypatch, evaluated)
    assert found == wanted
    assert len(set(found[0])) > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_applied_too_late_is_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sink = sink_of(seed)

    def marked(copy: SinkPartition) -> list:
        slices = passed_slices(copy, 300, 5_000)
        ordering.mark_out_of_order(copy, slices)
        return [part.flags.tolist() for part in slices]

    found, wanted = both(sink, monkeypatch, marked)
    assert found == wanted
    assert any(flags & Flag.OUT_OF_ORDER for part in found for flags in part)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_receipts_do_to_cells_is_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, sink = sink_of(seed)
    for cells in (sink.cells[0], sink.cells[1]):
        cells.closed[:] = np.where(chance.random(SEGMENT_OFFSETS) < 0.1, State.DELIVERED + 1, 0)
    count = 4_000
    offsets = chance.integers(0, 2 * SEGMENT_OFFSETS + 50, count)
    status = chance.choice([0, 0, 0, 1, 2, 3, ANY_KIND], count).astype(np.uint8)
    receipts = ReceiptArrays(
        offsets=offsets,
        status=status,
        fingerprints=chance.integers(0, 3, count).astype(np.uint64),
        has_fingerprint=chance.random(count) < 0.7,
        applied_at=chance.integers(0, 10_000, count),
        sequences=chance.integers(0, 100, count),
        has_sequence=chance.random(count) < 0.5,
        names_command=(chance.random(count) < 0.2) & (status != ReceiptStatus.SKIPPED),  # those are heard one by one
        read_back=chance.random(count) < 0.2,
        ranks=np.arange(count),
    )

    def heard(copy: SinkPartition) -> list:
        hearing.hear(copy, receipts)
        columns = [getattr(copy.cells[number], name).tolist() for number in (0, 1) for name in COLUMNS]
        remarks = sorted((remark.kind, remark.offset, remark.rank) for remark in copy.remarks)
        parked = [offset for _, offset in copy.parked]
        return [*columns, remarks, parked, copy.tally.rows, sorted(copy.truncates), sorted(copy.orphans)]

    found, wanted = both(sink, monkeypatch, heard)
    assert found == wanted


def test_a_contract_that_began_later_judges_what_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, sink = sink_of(0)
    sink.terms.amend(CONTRACTS[1], 1, 2_000)
    count = 3_000
    receipts = hearing.one(sample_receipt(), 0)
    several = ReceiptArrays(**{
        name: np.repeat(getattr(receipts, name), count) for name in ReceiptArrays.__dataclass_fields__ if name != "offsets"
    }, offsets=chance.permutation(count))  # fmt: skip

    def heard(copy: SinkPartition) -> list:
        hearing.hear(copy, several)
        return [getattr(copy.cells[0], name).tolist() for name in COLUMNS]

    found, wanted = both(sink, monkeypatch, heard)
    assert found == wanted


def sample_receipt() -> hearing.Receipt:
    return hearing.Receipt(status=0, fingerprint=1, applied_at=5, sequence=None, names_command=False, rank=9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel.hear_first(*[np.zeros(1, np.int64)] * 23),
        lambda: kernel.judge_cells(*[np.zeros(8, np.int64)] * 13),
        lambda: kernel.close_cells(*[np.zeros(8, np.int64)] * 7),
        lambda: kernel.late_applies(2, 0, 9, tuple([np.zeros(80, np.int64)] * 6)),
        lambda: kernel.narrowed(np.zeros(1, np.int64), 8, True),
        lambda: kernel.schemas(
            b"", np.zeros(1, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int32), np.zeros(1, np.uint8)
        ),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(call) -> None:
    with pytest.raises(ValueError, match=r"arrays|bytes|items|table"):
        call()


def test_a_table_that_is_full_is_refused() -> None:
    keys = np.arange(16, dtype=np.uint64).reshape(8, 2)
    ranks, nothing = np.arange(8), np.full(8, NEVER)
    with pytest.raises(ValueError, match="free slot"):
        kernel.late_applies(
            ordering.Pass.JUDGE,
            0,
            8,
            (np.zeros((4, 5), np.int64), keys, np.ones(8, np.bool_), ranks, nothing, np.zeros(8, np.bool_)),
        )


def test_the_slice_of_a_rule_is_one_contracts() -> None:
    """A mistake in a caller is an error, and no read outside of the arrays."""
    segment, cells = ChangeSegment(0, 1), CellSegment(0)
    view = View(beginning=0, fence=0, skips=())
    with pytest.raises(ValueError, match="arrays"):
        rules.plain(Expectations(CONTRACTS[0], 1), view, segment, cells, 0, 10)
    with pytest.raises(ValueError, match="arrays"):
        rules.plain(Expectations(CONTRACTS[0], 0), view, segment, cells, 0, SEGMENT_OFFSETS + 1)
