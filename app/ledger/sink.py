"""One sink's view of one source partition: its lane is folded into cells here, row by row in lane order.

Fences are evaluated by `fence.evaluate`; this module decides how far the lane may be read, what a receipt does to a cell,
and what a mark does to the view. Pure: arrays in, state and findings out; no clock, no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from dataclasses import replace

import numpy as np

from app.ledger import rules
from app.ledger.cells import Bit, CellSegment, Receipt, Remark, Word
from app.ledger.changes import Changes, ChangeSegment
from app.ledger.counts import Counts
from app.ledger.hearing import hear, note_errors, one, straggler_spoke
from app.ledger.keyed import FINE, Fact, facts, facts_at
from app.ledger.lane import LaneRows
from app.ledger.rebuilding import forget_cells
from app.ledger.rules import View
from app.ledger.segments import Segments
from app.ledger.skips import joined
from app.ledger.status import Status
from app.ledger.stragglers import Stragglers
from app.ledger.tally import Tally
from app.ledger.terms import Agreed, Terms
from app.model import (
    NO_TIME,
    SEGMENT_BITS,
    Contract,
    EvidenceKind,
    Origin,
    ReceiptStatus,
    State,
)
from app.model.batches import Int64s, UInt8s
from app.model.words import INDEX


class SinkPartition:
    """The fold of one lane. `push` adds rows of the lane, `next_fence` reads on as far as the changes allow.

    Attributes:
        changes: shared with the other sinks of the source partition.
        terms: its contracts over time.
        since, unseen: a sink that was added later has no cells below ``since``; ``unseen`` of the changes read lie there.
        generation, beginning, fence, frontier, skips, at: as the marks read so far say; ``at`` is the highest time.
        is_begun: whether a START was read, or where judging begins was said otherwise.
        parked, far: receipts that wait for a change that was not read yet, or that must be read again (`app.ledger.far`).
        horizon: keyed questions see changes below it.
        status: of the sink's connector, as the lane told last.
        errors: by offset of an open cell, what a receipt said was wrong; for people.
        verified_stop: closed unverifiable cells that no operator waived.
        cells: in memory alone where none are given.
    """

    def __init__(
        self, contract: Contract, changes: Changes, projection: int, cells: Segments[CellSegment] | None = None
    ) -> None:
        self.terms = Agreed([Terms(contract, projection)])
        self.changes = changes
        self.since = self.unseen = 0
        self.generation = 0
        self.epoch = 0
        self.beginning = 0
        self.is_begun = False
        self.fence = 0
        self.frontier = 0
        self.horizon = 0
        self.at = NO_TIME
        self.fence_at = NO_TIME
        self.is_ended = False
        self.skips: list[tuple[int, int]] = []
        self.status: Status | None = None
        self.cells: Segments[CellSegment] = Segments() if cells is None else cells
        self.stragglers = Stragglers()
        self.verified_stop: set[int] = set()
        self.truncates: set[int] = set()
        self.orphans: set[int] = set()
        self.errors: dict[int, str] = {}
        self.parked: list[tuple[Receipt, int]] = []
        self.far: list[tuple[Receipt, int]] = []
        self.touched: list[Int64s] = []
        self.unsealed: set[int] = set()
        self.seals = 0
        self.seal_hash = b""
        self.sealed_at = NO_TIME
        self.is_evidence_lost = False
        self.is_compacted = False
        self.queue: deque[LaneRows] = deque()
        self.queued = 0
        self.tally = Tally()
        self.counts = Counts()
        self.remarks: list[Remark] = []

    @property
    def contract(self) -> Contract:
        """The contract in force for what is read next."""
        return self.terms.newest.contract

    def begin_here(self) -> None:
        """The sink was added when the changes below were read already: they have no cells here."""
        self.since = self.beginning = self.fence = self.frontier = self.horizon = self.changes.next
        self.unseen = self.changes.read + self.changes.expired

    # ---------------------------------------------------------------- the lane

    def push(self, rows: LaneRows) -> None:
        """Add rows that follow all rows added before, in lane order."""
        self.queue.append(rows)
        self.queued += len(rows)

    def blocked_by(self) -> tuple[LaneRows, int, int] | None:
        """The row that waits for changes: (rows, row, offset up to which changes must be read), or None."""
        if not self.queue:
            return None
        rows = self.queue[0]
        need = int(rows.needs()[0])
        return (rows, 0, need) if need > self.changes.next else None

    def record_end(self, end: int) -> None:
        """The engine found that the change partition ends at ``end``: the blocked row names more than there is."""
        rows = self.queue[0]
        ends = rows.ends.copy()
        ends[0] = end
        self.queue[0] = replace(rows, ends=ends)

    def take_changes(self) -> None:
        """Changes were read: receipts that waited for a change beyond a recorded end find it now."""
        if not self.parked:
            return
        ready = [item for item in self.parked if item[1] < self.changes.next]
        self.parked = [item for item in self.parked if item[1] >= self.changes.next]
        for receipt, offset in sorted(ready, key=lambda item: item[0].rank):
            hear(self, one(receipt, offset))

    def next_fence(self) -> tuple[int, Origin] | None:
        """Read the lane on, up to and including the next fence that must be evaluated.

        Returns:
            (the fence's offset, its coordinates), or None when all rows that may be judged by have been read. The
            caller evaluates the fence before it calls again.
        """
        while self.queue:
            rows = self.queue.popleft()
            ready = self._ready(rows)
            if not ready:
                self.queue.appendleft(rows)
                return None
            stops = np.flatnonzero(rows.kinds[:ready] > EvidenceKind.PROGRESS)
            end = int(stops[0]) if len(stops) else ready
            self._quiet(rows.rows(0, end) if end < len(rows) else rows)
            if len(stops):
                origin = self._mark(rows, end)
                end += 1
            else:
                origin = None
            self.queued -= end
            if end < len(rows):
                self.queue.appendleft(rows.rows(end, len(rows)))
            if origin is not None:
                return origin
        return None

    def _ready(self, rows: LaneRows) -> int:
        """How many rows at the head need no change that has not been read."""
        if rows.most_needed() <= self.changes.next:
            return len(rows)
        late = np.flatnonzero(rows.needs() > self.changes.next)
        return int(late[0]) if len(late) else len(rows)

    def _quiet(self, rows: LaneRows) -> None:
        """Receipts and PROGRESS marks before the next mark that changes the view.

        What a SKIPPED that names a command means depends on what stood before it about other changes of its key, so it is
        heard by itself; all other receipts are heard many at a time.
        """
        if not len(rows):
            return
        if self.is_ended:
            self.tally.rows["ended"] += len(rows)
            return
        for row in np.flatnonzero(rows.kinds == EvidenceKind.PROGRESS).tolist():
            self._progress(rows, row)
        answers = np.flatnonzero(rows.names_command & (rows.statuses == ReceiptStatus.SKIPPED))
        start = 0
        for row in answers.tolist():
            self._receipts(rows, start, row)
            self._receipts(rows, row, row + 1)
            start = row + 1
        self._receipts(rows, start, len(rows))

    def _receipts(self, rows: LaneRows, lo: int, hi: int) -> None:
        receipts = rows.receipts(lo, hi)
        if len(receipts):
            is_receipt = rows.kinds[lo:hi] == EvidenceKind.RECEIPT
            named = np.minimum(receipts.offsets + 1, rows.ends[lo:hi][is_receipt])
            self.horizon = max(self.horizon, int(named.max()))
            hear(self, receipts)
            note_errors(self.errors, rows, lo, hi)

    def _progress(self, rows: LaneRows, row: int) -> None:
        if self._is_old(rows, row):
            return
        self.tally.rows["marks"] += 1
        self.frontier = max(self.frontier, self._clipped(rows, row, int(rows.offsets[row])))
        self.at = max(self.at, int(rows.applied_at[row]))

    # ---------------------------------------------------------------- marks

    def _mark(self, rows: LaneRows, row: int) -> tuple[int, Origin] | None:
        kind = EvidenceKind(int(rows.kinds[row]))
        offset = int(rows.offsets[row])
        if kind is EvidenceKind.LOSS:
            self.tally.rows["losses"] += 1
            self.is_evidence_lost = True
            return None
        if kind is EvidenceKind.START and self._restart(rows, row, offset):
            return None
        if self.is_ended:
            self.tally.rows["ended"] += 1
            return None
        if kind is EvidenceKind.WAIVER:
            self._waive(offset)
            return None
        if kind is EvidenceKind.STATUS:
            self.tally.rows["statuses"] += 1
            self.status = Status.of(rows, row)
            return None
        if self._is_old(rows, row):
            return None
        self.tally.rows["marks"] += 1
        self.at = max(self.at, int(rows.applied_at[row]))
        if kind is EvidenceKind.END:
            self._end()
        elif kind is EvidenceKind.START:
            self.begin(self._clipped(rows, row, offset))
        elif kind is EvidenceKind.SKIP:
            self._skip(self._clipped(rows, row, offset), self._clipped(rows, row, int(rows.to_offsets[row])))
        else:
            return self._fence(rows, row, self._clipped(rows, row, offset))
        return None

    def _clipped(self, rows: LaneRows, row: int, offset: int) -> int:
        """A mark that names an offset beyond the end names that end (protocol section 3)."""
        end = int(rows.ends[row])
        if offset > end:
            self.tally.rows["beyond_end"] += 1
        return min(offset, end)

    def _is_old(self, rows: LaneRows, row: int) -> bool:
        """Marks of a lower generation are counted and ignored."""
        if int(rows.generations[row]) >= self.generation:
            return False
        self.tally.rows["old_generation"] += 1
        return True

    def _fence(self, rows: LaneRows, row: int, offset: int) -> tuple[int, Origin] | None:
        self.frontier = max(self.frontier, offset)
        self.horizon = max(self.horizon, offset)
        self.fence_at = max(self.fence_at, int(rows.applied_at[row]))
        if offset < self.fence:
            self.tally.rows["fences_below"] += 1
            return None
        return offset, rows.origin(row)

    def begin(self, offset: int) -> None:
        """START of the same generation moves the beginning forward only; what is closed stays."""
        self.is_begun = True
        if offset > self.beginning:
            self.beginning = offset
            self.stragglers.dirty |= {o for o in self.stragglers.by_offset if o < offset}

    def _skip(self, start: int, end: int) -> None:
        self.frontier = max(self.frontier, end)
        if end > start:
            self.skips = joined(self.skips, start, end)

    def _end(self) -> None:
        """The sink is gone: its open cells leave the counts, but no watermark passes them."""
        self.is_ended = True

    def _waive(self, offset: int) -> None:
        self.tally.rows["waivers"] += 1
        self.verified_stop.discard(offset)
        cells = self.cells_at(offset >> SEGMENT_BITS)
        if not cells.closed[offset & INDEX]:
            cells.bits[offset & INDEX] |= Bit.WAIVED
            straggler_spoke(self, offset)

    def _restart(self, rows: LaneRows, row: int, offset: int) -> bool:
        """START of a higher generation: the sink was rebuilt, everything from ``offset`` on is judged anew."""
        generation = int(rows.generations[row])
        if generation <= self.generation:
            return False
        self.tally.rows["marks"] += 1
        offset = self._clipped(rows, row, offset)
        self.at = max(self.at, int(rows.applied_at[row]))
        self.generation = generation
        self.is_ended = False
        self.is_evidence_lost = False
        if offset < self.since:
            self.changes.widen(offset, self.since)
            held = self.changes.slices(offset, self.since)
            self.unseen -= sum(int(np.count_nonzero(segment.kinds[lo:hi])) for segment, lo, hi in held)
            self.since = offset
        self.is_begun = True
        self.beginning = offset
        self.fence = min(self.fence, offset)
        self.frontier = min(self.frontier, offset)
        self.horizon = min(self.horizon, offset)
        self.skips = [(lo, min(hi, offset)) for lo, hi in self.skips if lo < offset]
        waiting = len(self.parked) + len(self.far)
        self.parked = [item for item in self.parked if item[1] < offset]
        self.far = [item for item in self.far if item[1] < offset]
        self.tally.rows["old_generation"] += waiting - len(self.parked) - len(self.far)
        self.verified_stop = {o for o in self.verified_stop if o < offset}
        self.truncates = {o for o in self.truncates if o < offset}
        forget_cells(self, offset)
        return True

    # ---------------------------------------------------------------- looking at cells

    def view(self) -> View:
        """Where this sink stands now."""
        return View(beginning=self.beginning, fence=self.fence, skips=self.skips)

    def cells_at(self, number: int) -> CellSegment:
        """The cells of a segment, to be written to; made when first needed."""
        cells = self.cells.writable(number)
        if cells is None:
            cells = self.cells[number] = CellSegment(number)
        return cells

    def states(self, changes: ChangeSegment, cells: CellSegment | None, lo: int, hi: int) -> UInt8s:
        """Plain states of a slice, closed cells as they closed."""
        if cells is not None and cells.closed[lo:hi].all():
            return cells.closed[lo:hi] - 1
        view = self.view()
        parts = [
            rules.plain(terms.expectations, view, changes, cells, first, last)[0]
            for terms, first, last in self.terms.pieces(changes.base, lo, hi)
        ]
        states = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if cells is not None:
            closed = cells.closed[lo:hi]
            states = np.where(closed > 0, closed - 1, states).astype(np.uint8)
        return states

    def facts(self, keys: set[bytes], lo: int, hi: int) -> list[Fact]:
        """Facts about the changes of some keys at ``[lo, hi)``."""
        return list(facts(self.changes, self._cells_of, self.states, keys, lo, min(hi, self.changes.next)))

    def facts_at(self, segment: ChangeSegment, keys: Container[bytes], rows: Iterable[int]) -> list[Fact]:
        """Facts about some changes of a segment, as far as they are of some keys."""
        return list(facts_at(segment, self._cells_of, self.states, keys, rows))

    def _cells_of(self, segment: ChangeSegment) -> CellSegment | None:
        return self.cells.get(segment.base >> SEGMENT_BITS)

    def word(self, offset: int) -> Word:
        """The word of one cell."""
        cells = self.cells.get(offset >> SEGMENT_BITS)
        return Word() if cells is None else cells.word(offset & INDEX)

    def plain_state(self, offset: int) -> State:
        """The plain state of one cell."""
        kind = self.kind(offset)
        return rules.plain_state(self.terms.at(offset).expectations, self.view(), kind, offset, self.word(offset))

    def kind(self, offset: int) -> int:
        """What stands at an offset as its contract sees it; see `Expectations.kinds`."""
        segment = self.changes.segment_of(offset)
        return 0 if segment is None else self.terms.at(offset).expectations.kind(segment, offset & INDEX)

    def is_fine(self, offset: int) -> bool:
        """Whether a cell fits the rule of delivered."""
        return self.plain_state(offset) in FINE
