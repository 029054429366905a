"""What of a batch of evidence is new: not read before, and not routed here before."""

from __future__ import annotations

import numpy as np

from app.ledger.lane import RANK_BITS, LaneRows
from app.model import EvidenceBatch, Origin
from app.worker.head import Head


def fresh(batch: EvidenceBatch, rows: LaneRows, skip: int, head: Head) -> LaneRows:
    """The rows that are new; the next origin offset of every origin log moves on in ``head``.

    Args:
        rows: one lane's of the batch; skip: how many rows of the batch were read before.
    """
    if skip:
        first = int(batch.records[skip]) if skip < len(batch) else batch.next
        own = (rows.ranks >> RANK_BITS) - head.bases.get(batch.topic, 0)
        rows = rows.rows(int(np.searchsorted(own, first)), len(rows))
    if not batch.origins:
        return rows
    keep = []
    for row in range(len(rows)):
        if _is_new(rows.origin(row), rows, row, head):
            keep.append(row)
        else:
            head.counters["routed_twice"] += 1
    return rows if len(keep) == len(rows) else rows.picked(keep)


def _is_new(origin: Origin, rows: LaneRows, row: int, head: Head) -> bool:
    """Routing is at least once; the next origin offset of every origin partition makes it count once."""
    log = f"{origin.topic}:{origin.partition}"
    known = head.origins.get(log, 0)
    if origin.offset >= known:
        head.origins[log] = origin.offset + 1
        return True
    return row > 0 and rows.origin(row - 1) == origin and origin.offset == known - 1
