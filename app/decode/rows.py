"""Gathers rows of evidence, one or many at a time, and makes an `EvidenceBatch` of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.decode.plain import PlainReceipts
from app.model import EvidenceBatch, EvidenceKind, Origin, RawBatch, ReceiptStatus, SinkTopic
from app.model.batches import Int64s

_COLUMNS: tuple[tuple[str, type], ...] = (
    ("rows", np.int64),
    ("name_index", np.int32),
    ("kinds", np.uint8),
    ("offsets", np.int64),
    ("statuses", np.uint8),
    ("fingerprints", np.uint64),
    ("has_fingerprint", np.bool_),
    ("applied_at", np.int64),
    ("sequences", np.int64),
    ("has_sequence", np.bool_),
    ("names_command", np.bool_),
    ("to_offsets", np.int64),
    ("generations", np.int32),
)
_PLAIN_COLUMNS = (
    "offsets", "statuses", "fingerprints", "has_fingerprint", "applied_at", "sequences", "has_sequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of evidence; ``record`` is the row of its record in the raw batch, other fields as in `EvidenceBatch`."""

    record: int
    kind: EvidenceKind
    offset: int
    applied_at: int
    status: int = ReceiptStatus.APPLIED
    fingerprint: bytes | None = None
    sequence: int | None = None
    command: str | None = None
    to_offset: int = -1
    generation: int = 0
    error: tuple[str, str] | None = None
    evidence: str | None = None
    reason: str | None = None


class EvidenceRows:
    """Rows gathered so far. Single rows wait in a list and become arrays when a packed record or the end comes."""

    def __init__(self) -> None:
        self.unreadable: list[tuple[int, str]] = []
        self._names: dict[SinkTopic, int] = {}
        self._blocks: list[dict[str, np.ndarray]] = []
        self._singles: list[tuple[object, ...]] = []
        self._count = 0
        self._texts: dict[str, dict[int, object]] = {"commands": {}, "errors": {}, "evidence": {}, "reasons": {}}

    def add(self, name: SinkTopic, row: Row) -> None:
        """One row."""
        for kind, text in (
            ("commands", row.command), ("errors", row.error), ("evidence", row.evidence), ("reasons", row.reason),
        ):  # fmt: skip
            if text is not None:
                self._texts[kind][self._count] = text
        has_fingerprint, has_sequence = row.fingerprint is not None, row.sequence is not None
        self._singles.append((
            row.record, self._name(name), row.kind, row.offset, row.status,
            int.from_bytes(row.fingerprint or b"", "little"), has_fingerprint, row.applied_at, row.sequence or 0,
            has_sequence, row.command is not None, row.to_offset, row.generation,
        ))  # fmt: skip
        self._count += 1

    def add_receipt(
        self,
        name: tuple[str, str, int],
        record: int,
        offset: int,
        status: int,
        applied_at: int,
        fingerprint: bytes | None,
        sequence: int | None,
        command: str | None,
    ) -> None:
        """One receipt; the same as `add`, for the form that comes by the million."""
        number = self._names.get(name)  # type: ignore[call-overload]  # a SinkTopic is a tuple, and equal to it
        if number is None:
            number = self._name(SinkTopic(*name))
        if command is not None:
            self._texts["commands"][self._count] = command
        self._singles.append((
            record, number, 0, offset, status,
            0 if fingerprint is None else int.from_bytes(fingerprint, "little"), fingerprint is not None, applied_at,
            sequence or 0, sequence is not None, command is not None, -1, 0,
        ))  # fmt: skip
        self._count += 1

    def say(self, evidence: str | None, error: tuple[str, str] | None) -> None:
        """The rare texts of the receipt added last."""
        for kind, text in (("evidence", evidence), ("errors", error)):
            if text is not None:
                self._texts[kind][self._count - 1] = text

    def add_receipts(
        self,
        name: SinkTopic,
        *,
        record: int,
        offsets: Int64s,
        statuses: np.ndarray,
        fingerprints: np.ndarray | None,
        applied_at: Int64s,
    ) -> None:
        """The receipts of one packed record, in its order."""
        self._flush()
        count = len(offsets)
        block: dict[str, np.ndarray] = {column: np.zeros(count, dtype) for column, dtype in _COLUMNS}
        block["rows"][:] = record
        block["name_index"][:] = self._name(name)
        block["to_offsets"][:] = -1
        block |= {"offsets": offsets, "statuses": statuses, "applied_at": applied_at}
        if fingerprints is not None:
            block["fingerprints"] = fingerprints
            block["has_fingerprint"][:] = True
        self._blocks.append(block)
        self._count += count

    def add_plain(self, plain: PlainReceipts, lo: int, hi: int) -> None:
        """Plain receipts of records ``[lo, hi)``, which follow what was added before."""
        self._flush()
        heads, firsts = np.unique(plain.name_index[lo:hi], return_index=True)
        numbers = np.zeros(len(plain.names), np.int32)
        for head in heads[np.argsort(firsts)].tolist():
            numbers[head] = self._name(plain.names[head])
        block: dict[str, np.ndarray] = {column: np.zeros(hi - lo, dtype) for column, dtype in _COLUMNS}
        block["rows"] = np.arange(lo, hi)
        block["name_index"] = numbers[plain.name_index[lo:hi]]
        block["to_offsets"][:] = -1
        block |= {column: getattr(plain, column)[lo:hi] for column in _PLAIN_COLUMNS}
        self._blocks.append(block)
        self._count += hi - lo

    def batch(self, raw: RawBatch, origins: dict[int, Origin]) -> EvidenceBatch:
        """The batch; origins by raw row."""
        self._flush()
        columns: dict[str, np.ndarray] = {
            column: np.concatenate([block[column] for block in self._blocks]).astype(dtype, copy=False)
            if self._blocks
            else np.zeros(0, dtype)
            for column, dtype in _COLUMNS
        }
        rows = columns.pop("rows")
        by_row = {}
        if origins:
            by_row = {place: origins[row] for place, row in enumerate(rows.tolist()) if row in origins}
        return EvidenceBatch(
            topic=raw.topic,
            partition=raw.partition,
            start=raw.start,
            next=raw.next,
            names=list(self._names),
            records=raw.offsets[rows],
            timestamps=raw.timestamps[rows],
            origins=by_row,
            unreadable=self.unreadable,
            **columns,  # type: ignore[arg-type]
            **self._texts,  # type: ignore[arg-type]
        )

    def _name(self, name: SinkTopic) -> int:
        return self._names.setdefault(name, len(self._names))

    def _flush(self) -> None:
        if self._singles:
            columns = zip(*self._singles, strict=True)
            self._blocks.append(
                {name: np.array(values, dtype) for (name, dtype), values in zip(_COLUMNS, columns, strict=True)}
            )
            self._singles.clear()
