"""A change topic that was deleted and made again: the old log's cells close, and coordinates begin anew (a new epoch).

Evidence about the old log may still be on its way, and nothing in it tells the two logs apart. So a sink is heard again
only after a START of a higher generation, as after an END: until then its new cells are open, which is lag and no loss.
"""

from __future__ import annotations

from app.ledger.cells import CellSegment
from app.ledger.changes import Changes
from app.ledger.fence import Finding, Outcome
from app.ledger.segments import Segments
from app.ledger.sink import SinkPartition
from app.ledger.watermarks import open_cells
from app.model import SEGMENT_BITS, Flag, Origin, State
from app.model.words import INDEX

LOG_REPLACED = "log_replaced"


def close_log(sink: SinkPartition) -> Outcome:
    """Every open cell becomes unverifiable, but for exempt ones; nobody can say any more what became of it."""
    changes = sink.changes
    origin = Origin(changes.topic, changes.partition, changes.next)
    outcome = Outcome(fence=changes.next, origin=origin, reason=LOG_REPLACED)
    for offset, found, flags in open_cells(sink):
        state = State.EXEMPT if found is State.EXEMPT else State.UNVERIFIABLE
        _close(sink, offset, state, flags)
        if state is State.UNVERIFIABLE:
            outcome.findings.append(Finding(offset=offset, state=state, flags=flags, is_closed=True))
    sink.fence = max(sink.fence, changes.next)
    return outcome


def _close(sink: SinkPartition, offset: int, state: State, flags: Flag) -> None:
    cells = sink.cells_at(offset >> SEGMENT_BITS)
    cells.closed[offset & INDEX] = state + 1
    cells.flags[offset & INDEX] = int(flags)
    sink.tally.closed[state] += 1
    for bit in range(8):
        sink.tally.flags[bit] += int(flags) >> bit & 1
    sink.unsealed.add(offset >> SEGMENT_BITS)
    if offset in sink.stragglers:
        sink.stragglers.remove(offset)


def begun_anew(sink: SinkPartition, changes: Changes, cells: Segments[CellSegment]) -> SinkPartition:
    """The same sink over the new log: its counters of evidence and its chain of seals go on, its cells begin anew."""
    fresh = SinkPartition(sink.contract, changes, sink.terms.newest.projection, cells)
    fresh.epoch = sink.epoch + 1
    fresh.is_ended = True
    for name in ("generation", "at", "seals", "seal_hash", "sealed_at", "is_compacted", "status"):
        setattr(fresh, name, getattr(sink, name))
    fresh.tally.rows = sink.tally.rows
    fresh.tally.rows["replaced"] += sink.queued + len(sink.parked) + len(sink.far)
    return fresh
