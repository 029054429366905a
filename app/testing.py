"""Doubles and builders for tests: batches from short rows, a lane from a few words, a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xxhash import xxh64_intdigest

from app.ledger.cells import NEVER
from app.ledger.lane import LaneRows
from app.model import NO_TIME, ChangeBatch, ChangeKind, EvidenceBatch, EvidenceKind, ReceiptStatus, SinkTopic

_SHARED = (
    "timestamps", "kinds", "offsets", "statuses", "fingerprints", "has_fingerprint", "applied_at", "sequences",
    "has_sequence", "names_command", "to_offsets", "generations",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change as a test writes it; ``content`` stands for the row, equal contents have equal fingerprints.

    ``left_out`` is of `LeftOut`, by projection; a batch has as many projections as the longest says, one at least.
    """

    offset: int
    kind: ChangeKind = ChangeKind.UPSERT
    key: str | None = "k"
    content: int = 0
    source_ts_ms: int = 1_000
    position: int | None = None
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of evidence as a test writes it."""

    offset: int
    kind: EvidenceKind = EvidenceKind.RECEIPT
    status: int = ReceiptStatus.APPLIED
    content: int | None = 0
    at: int = 1_000
    sequence: int | None = None
    command: bool = False
    to_offset: int = -1
    generation: int = 0
    end: int = NEVER


def key_hash(key: str) -> tuple[int, int]:
    """Both halves of a key's hash."""
    return xxh64_intdigest(key.encode(), 0), xxh64_intdigest(key.encode(), 1)


def change_batch(
    changes: Sequence[Change], topic: str = "t", partition: int = 0, start: int | None = None, end: int | None = None
) -> ChangeBatch:
    """A batch of changes; its range is that of the changes unless given."""
    count = len(changes)
    projections = max([1, *(len(change.left_out) for change in changes)])
    left_out = [change.left_out or (0,) * projections for change in changes]
    hashes = [key_hash(change.key) if change.key is not None else (0, 0) for change in changes]
    return ChangeBatch(
        topic=topic,
        partition=partition,
        start=changes[0].offset if start is None else start,
        next=changes[-1].offset + 1 if end is None else end,
        offsets=np.array([change.offset for change in changes], np.int64),
        kinds=np.array([change.kind for change in changes], np.uint8),
        ops=np.zeros(count, np.uint8),
        key_hashes=np.array(hashes, np.uint64).reshape(count, 2),
        has_key=np.array([change.key is not None for change in changes], np.bool_),
        fingerprints=np.array([[change.content] * projections for change in changes], np.uint64).reshape(
            count, projections
        ),
        source_ts_ms=np.array([change.source_ts_ms for change in changes], np.int64),
        timestamps=np.full(count, NO_TIME, np.int64),
        position_hashes=np.array([[change.position or 0] * 2 for change in changes], np.uint64).reshape(count, 2),
        has_position=np.array([change.position is not None for change in changes], np.bool_),
        left_out=np.array(left_out, np.uint8) if any(map(any, left_out)) else None,
    )


def lane_rows(rows: Sequence[Row], first_rank: int = 0, log: tuple[str, int] = ("receipts", 0)) -> LaneRows:
    """Rows of one lane, ranked in the order given."""
    count = len(rows)
    ranks = np.arange(first_rank, first_rank + count, dtype=np.int64)
    return LaneRows(
        logs=[log],
        log_index=np.zeros(count, np.int32),
        records=ranks.copy(),
        timestamps=np.zeros(count, np.int64),
        ranks=ranks,
        ends=np.array([row.end for row in rows], np.int64),
        kinds=np.array([row.kind for row in rows], np.uint8),
        offsets=np.array([row.offset for row in rows], np.int64),
        statuses=np.array([row.status for row in rows], np.uint8),
        fingerprints=np.array([row.content or 0 for row in rows], np.uint64),
        has_fingerprint=np.array([row.content is not None for row in rows], np.bool_),
        applied_at=np.array([row.at for row in rows], np.int64),
        sequences=np.array([row.sequence or 0 for row in rows], np.int64),
        has_sequence=np.array([row.sequence is not None for row in rows], np.bool_),
        names_command=np.array([row.command for row in rows], np.bool_),
        to_offsets=np.array([row.to_offset for row in rows], np.int64),
        generations=np.array([row.generation for row in rows], np.int32),
    )


def evidence_batch(
    rows: Sequence[tuple[SinkTopic, Row]], topic: str = "receipts", partition: int = 0, start: int = 0
) -> EvidenceBatch:
    """A batch of evidence, one record a row, at the offsets from ``start`` on."""
    count = len(rows)
    names = list(dict.fromkeys(name for name, _ in rows))
    lane = lane_rows([row for _, row in rows])
    records = np.arange(start, start + count, dtype=np.int64)
    return EvidenceBatch(
        topic=topic,
        partition=partition,
        start=start,
        next=start + count,
        names=names,
        name_index=np.array([names.index(name) for name, _ in rows], np.int32),
        records=records,
        **{name: getattr(lane, name) for name in _SHARED},
    )


def fence(offset: int, *, at: int = 1_000, generation: int = 0) -> Row:
    """A FENCE mark."""
    return Row(offset=offset, kind=EvidenceKind.FENCE, at=at, generation=generation)
