"""Whether deletes hold the row as it was: PostgreSQL writes no more than the key unless a table has REPLICA IDENTITY FULL.

What a column that is not told stands for depends on its type (null, zero, an empty text, the epoch), so a delete is bare where
every column beside the key holds one of these. A sink that marks deleted rows writes what the delete holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from app.decode.envelope import EnvelopePlan
from app.decode.framing import is_framed, unframed
from app.decode.schemas import SchemaSource
from app.errors import BadInput
from app.evidence.installation.finding import Finding
from app.evidence.installation.seen import Installation
from app.model import RawBatch

EPOCH = "1970-01-01"


class Deletes(NamedTuple):
    """Of the sampled deletes of a topic: how many there were, and how many hold nothing but their key."""

    total: int
    bare: int


def sampled_deletes(
    raws: Iterable[RawBatch], schemas: SchemaSource, unavailable_value: str, keys: Mapping[str, tuple[str, ...]]
) -> dict[str, Deletes]:
    """By change topic; of Avro alone, and of tables that have columns beside their key (``keys``, by topic)."""
    plans: dict[int, EnvelopePlan | None] = {}
    found: dict[str, Deletes] = {}
    for raw in raws:
        for value in raw.values():
            row = (
                None if value is None or not is_framed(value) else _row_before(value, schemas, unavailable_value, plans)
            )
            beside = {name: cell for name, cell in (row or {}).items() if name not in keys.get(raw.topic, ())}
            if beside:
                total, bare = found.get(raw.topic, Deletes(0, 0))
                found[raw.topic] = Deletes(total + 1, bare + all(map(_is_untold, beside.values())))
    return found


def _row_before(
    value: bytes, schemas: SchemaSource, unavailable_value: str, plans: dict[int, EnvelopePlan | None]
) -> Mapping[str, Any] | None:
    """The row of a delete as the envelope holds it; None for all else, and for what can't be read."""
    try:
        number, body = unframed(value)
        if number not in plans:
            plans[number] = None
            plans[number] = EnvelopePlan(schemas.get(number), [frozenset()], unavailable_value)
        plan = plans[number]
        envelope = None if plan is None else plan.value(body)
    except BadInput:
        return None
    if not isinstance(envelope, dict) or envelope.get("op") != "d":
        return None
    row = envelope.get("before")
    return row if isinstance(row, dict) else None


def _is_untold(cell: Any) -> bool:
    if isinstance(cell, bytes):
        return not cell.strip(b"\0")
    return not cell or (isinstance(cell, str) and cell.startswith(EPOCH))


def marked_rows(seen: Installation) -> Iterator[Finding]:
    """Deletes that hold no row, at sinks that mark rows whose contents are compared."""
    for topic, (total, bare) in seen.deletes.items():
        for sink in seen.sinks_of(topic):
            if bare and sink.has_store and sink.contract.deletes == "soft":
                yield Finding(
                    level="warning", about="sources", place=f"topic {topic}",
                    says=f"{bare} of {total} sampled deletes hold the key alone, and sinks.{sink.name} marks deleted rows",
                    means="it writes what the delete holds: a marked row loses the values that it last had, and is diverged",
                    do="at the source: ALTER TABLE … REPLICA IDENTITY FULL",
                )  # fmt: skip
