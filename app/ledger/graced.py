"""Fences for a capture that has none (``--grace``, protocol section 6).

A fence at N stands before the first record of the lane whose timestamp is later, by the grace at least, than that of the
record that first named N (progress) or N-1 (receipts). Timestamps order nothing else anywhere.
"""

from __future__ import annotations

import numpy as np

from app.ledger.cells import NEVER
from app.ledger.lane import ROW_COLUMNS, LaneRows
from app.model import EvidenceKind


def with_fences(rows: LaneRows, grace_ms: int) -> LaneRows | None:
    """The lane with fences put in; None where it has fences of its own."""
    if (rows.kinds == EvidenceKind.FENCE).any():
        return None
    places, offsets = _fences(rows, grace_ms)
    columns = {name: np.insert(getattr(rows, name), places, _fill(rows, name, places, offsets)) for name in ROW_COLUMNS}
    columns["ranks"] = np.arange(len(columns["kinds"]), dtype=np.int64)
    shift = np.searchsorted(places, np.arange(len(rows)), side="right")
    texts = {row + int(shift[row]): text for row, text in rows.texts.items()}
    return LaneRows(logs=rows.logs, texts=texts, **columns)


def _fences(rows: LaneRows, grace_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Before which rows a fence stands, and its offset; fences grow along the lane."""
    waiting: list[tuple[int, int]] = []  # (timestamp that named it, fence)
    places, offsets = [], []
    named = fenced = 0
    for row in range(len(rows)):
        now = int(rows.timestamps[row])
        due = [fence for timestamp, fence in waiting if now - timestamp >= grace_ms and fence > fenced]
        if due:
            fenced = max(due)
            places.append(row)
            offsets.append(fenced)
        waiting = [(timestamp, fence) for timestamp, fence in waiting if fence > fenced]
        fence = _named(rows, row)
        if fence > named:
            named = fence
            waiting.append((now, fence))
    return np.array(places, np.int64), np.array(offsets, np.int64)


def _named(rows: LaneRows, row: int) -> int:
    """The fence that a row could give: N of a progress, offset + 1 of a receipt, neither beyond the recorded end."""
    kind = rows.kinds[row]
    if kind == EvidenceKind.PROGRESS:
        return min(int(rows.offsets[row]), int(rows.ends[row]))
    if kind == EvidenceKind.RECEIPT:
        return min(int(rows.offsets[row]) + 1, int(rows.ends[row]))
    return 0


def _fill(rows: LaneRows, name: str, places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A column's values for the fences: coordinates and times of the record that each stands before."""
    column = getattr(rows, name)
    if name in {"log_index", "records", "timestamps"}:
        return np.asarray(column[places])
    if name == "applied_at":
        return np.asarray(rows.timestamps[places])
    made: np.ndarray = np.zeros(len(places), column.dtype)
    if name == "kinds":
        made[:] = EvidenceKind.FENCE
    elif name == "offsets":
        made = offsets
    elif name == "ends":
        made[:] = NEVER
    elif name == "to_offsets":
        made[:] = -1
    elif name == "generations" and len(column):
        made[:] = column.max()
    return made
