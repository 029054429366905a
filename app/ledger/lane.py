"""One sink's evidence about one source partition, in lane order: the only order that evidence has.

`LaneRows` is a run of that lane. Ranks grow along the lane and are computed from lane coordinates, so that they are the
same at every reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from app.ledger.cells import NEVER, ReceiptArrays
from app.model import EvidenceBatch, EvidenceKind, Origin, ReceiptStatus, SinkTopic
from app.model.batches import Bools, Int32s, Int64s, Places, UInt8s, UInt64s, numbers_of, side_by_side

RANK_BITS = 24
"""A lane record may stand for up to 2**24 receipts; rank = lane offset << 24 | index inside the record."""


READ_BACK = ("read-back", "change-log")
"""Kinds of evidence that show what a sink's store holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRows:
    """n rows of one lane in order.

    Attributes:
        logs: the evidence logs the rows were written to; ``log_index`` ``int32[n]`` and ``records`` ``int64[n]`` give
            each row's own coordinates there.
        ranks: ``int64[n]``, strictly growing.
        ends: ``int64[n]``, the recorded end of the change partition that the row named more than, else `NEVER`.
        texts: by row index: (command id, error, kind of evidence, reason), for people only.
        Others: as in `EvidenceBatch`.
    """

    logs: list[tuple[str, int]]
    log_index: Int32s
    records: Int64s
    timestamps: Int64s
    ranks: Int64s
    ends: Int64s
    kinds: UInt8s
    offsets: Int64s
    statuses: UInt8s
    fingerprints: UInt64s
    has_fingerprint: Bools
    applied_at: Int64s
    sequences: Int64s
    has_sequence: Bools
    names_command: Bools
    to_offsets: Int64s
    generations: Int32s
    texts: dict[int, tuple[str | None, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, lo: int, hi: int) -> LaneRows:
        """The rows ``[lo, hi)``."""
        columns = {name: getattr(self, name)[lo:hi] for name in ROW_COLUMNS}
        texts = {row - lo: text for row, text in self.texts.items() if lo <= row < hi} if self.texts else {}
        return LaneRows(logs=self.logs, texts=texts, **columns)

    def picked(self, rows: list[int]) -> LaneRows:
        """Some rows, in their order."""
        columns = {name: getattr(self, name)[rows] for name in ROW_COLUMNS}
        texts = {place: self.texts[row] for place, row in enumerate(rows) if row in self.texts}
        return LaneRows(logs=self.logs, texts=texts, **columns)

    def origin(self, row: int) -> Origin:
        """The coordinates of a row's record in the log it was first written to."""
        topic, partition = self.logs[int(self.log_index[row])]
        return Origin(topic, partition, int(self.records[row]))

    def receipts(self, lo: int, hi: int) -> ReceiptArrays:
        """The receipts among rows ``[lo, hi)``."""
        rows = np.flatnonzero(self.kinds[lo:hi] == EvidenceKind.RECEIPT) + lo
        take: slice | Int64s = slice(lo, hi) if len(rows) == hi - lo else rows
        return ReceiptArrays(
            offsets=self.offsets[take],
            status=self.statuses[take],
            fingerprints=self.fingerprints[take],
            has_fingerprint=self.has_fingerprint[take],
            applied_at=self.applied_at[take],
            sequences=self.sequences[take],
            has_sequence=self.has_sequence[take],
            names_command=self.names_command[take],
            read_back=self._read_back(lo, hi)[rows - lo],
            ranks=self.ranks[take],
        )

    def _read_back(self, lo: int, hi: int) -> Bools:
        """``bool[hi - lo]``: the content was seen in the sink's store, by somebody else than the sink."""
        found = np.zeros(hi - lo, np.bool_)
        for row, texts in self.texts.items():
            if lo <= row < hi and texts[2] in READ_BACK:
                found[row - lo] = self.has_fingerprint[row] or self.statuses[row] == ReceiptStatus.DELETED
        return found

    def most_needed(self) -> int:
        """No row needs more than this; for rows that may all be judged by, far cheaper than `needs`."""
        return max(int(self.offsets.max()) + 1, int(self.to_offsets.max())) if len(self) else 0

    def needs(self) -> Int64s:
        """``int64[n]``: up to which offset the changes must have been read before a row may be judged by.

        A row that names more than its recorded end needs no more than that end.
        """
        kinds = self.kinds
        named = self.offsets + ((kinds == EvidenceKind.RECEIPT) | (kinds == EvidenceKind.WAIVER))
        named = np.where(kinds == EvidenceKind.SKIP, self.to_offsets, named)
        named = np.where(kinds >= EvidenceKind.END, np.where(kinds == EvidenceKind.WAIVER, named, 0), named)
        return np.minimum(named, self.ends)


ROW_COLUMNS = tuple(f.name for f in fields(LaneRows) if f.name not in {"logs", "texts"})


def split(
    batch: EvidenceBatch, ranks: Int64s, ends: Mapping[tuple[str, int], int] | None = None
) -> dict[SinkTopic, LaneRows]:
    """The rows of a batch by whom they speak of, each in lane order.

    Args:
        ranks: ``int64[n]`` of the rows.
        ends: the end of each change partition where it is fixed beforehand (a recording's end, 0 for a partition that
            was not recorded); None when live.
    """
    logs, log_index = _logs(batch)
    found: dict[SinkTopic, LaneRows] = {}
    for number, name in enumerate(batch.names):
        rows: Places = (
            side_by_side(np.flatnonzero(batch.name_index == number)) if len(batch.names) > 1 else slice(0, len(batch))
        )
        count = len(batch.offsets[rows])
        if not count:
            continue
        end = NEVER if ends is None else ends.get((name.topic, name.partition), 0)
        found[name] = LaneRows(
            logs=logs,
            log_index=log_index[rows],
            records=_records(batch)[rows],
            timestamps=batch.timestamps[rows],
            ranks=ranks[rows],
            ends=np.full(count, end, np.int64),
            kinds=batch.kinds[rows],
            offsets=batch.offsets[rows],
            statuses=batch.statuses[rows],
            fingerprints=batch.fingerprints[rows],
            has_fingerprint=batch.has_fingerprint[rows],
            applied_at=batch.applied_at[rows],
            sequences=batch.sequences[rows],
            has_sequence=batch.has_sequence[rows],
            names_command=batch.names_command[rows],
            to_offsets=batch.to_offsets[rows],
            generations=batch.generations[rows],
            texts=_texts(batch, rows),
        )
    return found


def lane_ranks(batch: EvidenceBatch, base: int = 0) -> Int64s:
    """``int64[n]`` ranks of a batch that was read from the lane itself: record offset, then place inside the record.

    Args:
        base: what is added to offsets, where the lane's topic was made again and its offsets have begun anew.
    """
    count = len(batch)
    if not count:
        return np.zeros(0, np.int64)
    places = (batch.records + base) << RANK_BITS
    is_new = batch.records[1:] != batch.records[:-1]
    if is_new.all():  # a row a record
        return places
    firsts = np.flatnonzero(np.r_[True, is_new])
    inside = np.arange(count) - np.repeat(firsts, np.diff(np.r_[firsts, count]))
    return places | inside


def lost_rows(topic: str, partition: int, record: int, base: int = 0) -> LaneRows:
    """One LOSS row, at the place of the first record of a lane that expired before it was read; ``base`` as above."""
    none, no = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    return LaneRows(
        logs=[(topic, partition)],
        log_index=none.astype(np.int32),
        records=none + record,
        timestamps=none,
        ranks=none + ((record + base) << RANK_BITS),
        ends=none + NEVER,
        kinds=np.full(1, EvidenceKind.LOSS, np.uint8),
        offsets=none,
        statuses=none.astype(np.uint8),
        fingerprints=none.astype(np.uint64),
        has_fingerprint=no,
        applied_at=none,
        sequences=none,
        has_sequence=no,
        names_command=no,
        to_offsets=none - 1,
        generations=none.astype(np.int32),
    )


def concatenate(parts: list[LaneRows]) -> LaneRows:
    """Several runs of one lane as one."""
    if len(parts) == 1:
        return parts[0]
    logs: list[tuple[str, int]] = []
    index: list[Int32s] = []
    texts: dict[int, tuple[str | None, ...]] = {}
    at = 0
    for part in parts:
        for log in part.logs:
            if log not in logs:
                logs.append(log)
        places = np.array([logs.index(log) for log in part.logs], np.int32)
        index.append(places[part.log_index] if len(places) else part.log_index)
        texts |= {at + row: text for row, text in part.texts.items()}
        at += len(part)
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ROW_COLUMNS if name != "log_index"}
    return LaneRows(logs=logs, log_index=np.concatenate(index), texts=texts, **columns)


def _logs(batch: EvidenceBatch) -> tuple[list[tuple[str, int]], Int32s]:
    logs = [(batch.topic, batch.partition)]
    index = np.zeros(len(batch), np.int32)
    for row, origin in batch.origins.items():
        log = (origin.topic, origin.partition)
        if log not in logs:
            logs.append(log)
        index[row] = logs.index(log)
    return logs, index


def _records(batch: EvidenceBatch) -> Int64s:
    if not batch.origins:
        return batch.records
    records = batch.records.copy()
    for row, origin in batch.origins.items():
        records[row] = origin.offset
    return records


def _texts(batch: EvidenceBatch, rows: Places) -> dict[int, tuple[str | None, ...]]:
    named = batch.commands.keys() | batch.errors.keys() | batch.evidence.keys() | batch.reasons.keys()
    if not named:
        return {}
    place = {row: index for index, row in enumerate(numbers_of(rows).tolist())}
    return {
        place[row]: (
            batch.commands.get(row),
            ": ".join(batch.errors[row]) if row in batch.errors else None,
            batch.evidence.get(row),
            batch.reasons.get(row),
        )
        for row in sorted(named)
        if row in place
    }
