"""What is found about rows, as the receipts and marks that enter a lane.

A row that is right is a receipt with the change's own fingerprint. One that differs is a receipt with another: the change's
fingerprint, with what the sink holds in the columns that are wrong. One that never arrived is a SKIP over its one offset:
silence would prove nothing where a sink's evidence is its progress, and a SKIP says that the sink passed it.
"""

from __future__ import annotations

from functools import lru_cache

from xxhash import xxh64_intdigest

from app.decode.images import Image
from app.evidence.states import Absent, Different, Finding
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.codec import Mark, MarkKind, Receipt, Status

_MASK = (1 << 64) - 1
DIFFERS = "differs"
"""The error code of a receipt for a row that is there and is wrong."""


def fingerprint(image: Image, terms: StoreTerms) -> int:
    """What the sink's contract expects of a change (protocol section 2), from its atoms."""
    return sum(_hash(n, a) for n, a in (image.row or {}).items() if not terms.is_ignored(image.table, n)) & _MASK


def _hash(column: str, atom: bytes) -> int:
    return xxh64_intdigest(atom, _seed(column))


@lru_cache(4_096)
def _seed(column: str) -> int:
    return xxh64_intdigest(column.encode(), 0)


def evidence_of(
    sink: str,
    image: Image,
    finding: Finding,
    terms: StoreTerms,
    kind: str,
    at: int,
    generation: int = 0,
    *,
    is_heard: bool = False,
) -> Receipt | Mark:
    """The receipt or mark of a finding.

    Args:
        image: the change that the finding is about.
        kind: the receipt's ``evidence``: ``change-log`` or ``read-back``.
        at: when the sink applied it, ms: what it said itself, else its log; where nobody knows it is the change's own
            time, from which no flag follows.
        generation: the sink's.
        is_heard: something said that the sink applied this change. A SKIP proves nothing against that; a receipt of the
            wrong kind does.
    """
    if isinstance(finding, Absent) and not is_heard:
        return _skip(sink, image, kind, at, generation)
    found, error, status = None, None, Status.APPLIED
    if isinstance(finding, Absent):
        status = Status.APPLIED if image.kind is ChangeKind.DELETE else Status.DELETED
        error = (DIFFERS, "the row shows no sign of this change, and it was said to be applied")
    elif isinstance(finding, Different):
        found = _as_found(image, finding, terms)
        error = (DIFFERS, described(finding.columns))
    elif finding.is_delete:
        status = Status.DELETED
    elif finding.is_whole:
        found = fingerprint(image, terms)
    return Receipt(
        sink=sink,
        topic=image.topic,
        partition=image.partition,
        offset=image.offset,
        status=status,
        fingerprint=None if found is None else found.to_bytes(8, "little"),
        applied_at=at,
        error=error,
        evidence=kind,
    )


def _skip(sink: str, image: Image, kind: str, at: int, generation: int) -> Mark:
    """The sink passed this one change."""
    return Mark(
        sink=sink,
        topic=image.topic,
        partition=image.partition,
        kind=MarkKind.SKIP,
        offset=image.offset,
        to_offset=image.offset + 1,
        at=at,
        generation=generation,
        reason=f"{kind}: the row shows no sign of this change",
    )


def described(columns: dict[str, str]) -> str:
    """The columns that are wrong, each with what is wrong; values stay where they are.

    >>> described({"body": "placeholder", "title": "null"}), described({})
    ('body (placeholder), title (null)', 'the row is still there')
    """
    return ", ".join(f"{name} ({what})" for name, what in sorted(columns.items())) or "the row is still there"


def _as_found(image: Image, finding: Different, terms: StoreTerms) -> int:
    expected = whole = fingerprint(image, terms)
    row = image.row or {}
    for name in finding.columns:
        whole += _hash(name, finding.found[name]) if name in finding.found else 0
        whole -= _hash(name, row[name]) if name in row else 0
    whole &= _MASK
    return whole if whole != expected else whole ^ 1
