"""Receipts in their plainest form, many at once: columns, without an object for each.

Who fills them is `app.decode.compiled.receipts`; what is not plain, `app.decode.evidence` reads record by record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from app.model import RawBatch, SinkTopic
from app.model.batches import Bools, Int32s, Int64s, UInt8s, UInt64s

LEAST_RUN = 8
"""Rows in a row below which arrays cost more than records one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainReceipts:
    """Receipts of one fetch by raw row; only rows that ``is_plain`` ``bool[n]`` marks have a meaning.

    Attributes:
        names: whom the receipts speak of; ``name_index`` ``int32[n]`` points into it.
        Others: as in `EvidenceBatch`.
    """

    is_plain: Bools
    names: list[SinkTopic]
    name_index: Int32s
    offsets: Int64s
    statuses: UInt8s
    fingerprints: UInt64s
    has_fingerprint: Bools
    applied_at: Int64s
    sequences: Int64s
    has_sequence: Bools

    def runs(self) -> Iterator[tuple[int, int]]:
        """Stretches ``[lo, hi)`` of plain rows that are worth it, ascending."""
        edges = np.flatnonzero(np.diff(np.r_[False, self.is_plain, False].view(np.int8)))
        for lo, hi in edges.reshape(-1, 2).tolist():
            if hi - lo >= LEAST_RUN:
                yield lo, hi


ReadPlain = Callable[[RawBatch, Callable[[int], bool]], PlainReceipts]
"""The plain receipts of a fetch; asked whether a schema id stands for our schema of receipts, to the letter."""


def none_plain(count: int) -> PlainReceipts:
    """Columns of a fetch of ``count`` records, none of which is plain yet."""
    return PlainReceipts(
        is_plain=np.zeros(count, np.bool_),
        names=[],
        name_index=np.zeros(count, np.int32),
        offsets=np.zeros(count, np.int64),
        statuses=np.zeros(count, np.uint8),
        fingerprints=np.zeros(count, np.uint64),
        has_fingerprint=np.zeros(count, np.bool_),
        applied_at=np.zeros(count, np.int64),
        sequences=np.zeros(count, np.int64),
        has_sequence=np.zeros(count, np.bool_),
    )
