"""What ``cdc-verifier changes`` prints: every change of some batches, one object each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.model import ChangeBatch, ChangeKind


def change_lines(batch: ChangeBatch) -> Iterator[dict[str, Any]]:
    """One object per change; fingerprints as hex digits of their 8 little-endian bytes, of the first projection."""
    for row in range(len(batch)):
        kind = ChangeKind(int(batch.kinds[row]))
        is_row = kind is ChangeKind.UPSERT
        yield {
            "topic": batch.topic,
            "partition": batch.partition,
            "offset": int(batch.offsets[row]),
            "kind": kind.word,
            "op": chr(batch.ops[row]) if batch.ops[row] else None,
            "key_hash": batch.key_hashes[row].tobytes().hex() if batch.has_key[row] else None,
            "fingerprint": int(batch.fingerprints[row, 0]).to_bytes(8, "little").hex() if is_row else None,
            "reason": batch.reasons.get(row),
        }
