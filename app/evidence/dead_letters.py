"""Connect's dead letters: negative receipts by original coordinates (protocol section 3).

The headers are ``DeadLetterQueueReporter``'s, UTF-8 text each; some may be null or absent. The dead letter's own partition
says nothing, duplicates are normal.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.decode.headers import named, offset, partition, text
from app.decode.rows import EvidenceRows, Row
from app.errors import UnreadableEvidence
from app.model import EvidenceBatch, EvidenceKind, RawBatch, ReceiptStatus, SinkTopic
from app.model.batches import Headers

PREFIX = "__connect.errors."
KIND = "dead-letter"


def read_dead_letters(raw: RawBatch, owners: Mapping[str | None, str]) -> EvidenceBatch:
    """The REJECTED receipts of a dead-letter topic.

    Args:
        owners: sink by connector name; under None the sink that takes what names no connector, where the topic is one
            sink's alone.
    """
    rows = EvidenceRows()
    for index in range(len(raw)):
        try:
            _read(raw, index, owners, rows)
        except UnreadableEvidence as error:
            rows.unreadable.append((int(raw.offsets[index]), str(error)))
    return rows.batch(raw, {})


def _read(raw: RawBatch, index: int, owners: Mapping[str | None, str], rows: EvidenceRows) -> None:
    headers = raw.headers.get(index, ())
    connector = text(headers, PREFIX + "connector.name")
    sink = owners.get(connector, connector if connector is not None else owners.get(None))
    if sink is None:
        raise UnreadableEvidence(f"header {PREFIX}connector.name: it is absent, and several sinks share this topic")
    name = SinkTopic(sink, named(headers, PREFIX + "topic"), partition(headers, PREFIX + "partition"))
    rows.add(
        name,
        Row(
            record=index,
            kind=EvidenceKind.RECEIPT,
            offset=offset(headers, PREFIX + "offset"),
            status=ReceiptStatus.REJECTED,
            applied_at=int(raw.timestamps[index]),
            error=_cause(headers),
            evidence=KIND,
        ),
    )


def _cause(headers: Headers) -> tuple[str, str]:
    """What went wrong: the exception's class (or the stage), and its message."""
    code = text(headers, PREFIX + "exception.class.name") or text(headers, PREFIX + "stage") or "unknown"
    return code, text(headers, PREFIX + "exception.message") or ""
