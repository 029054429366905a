"""A connector's success topic: presence receipts of the kind their change expects (protocol section 3)."""

from __future__ import annotations

from app.decode.headers import named, offset, partition
from app.decode.rows import EvidenceRows, Row
from app.errors import UnreadableEvidence
from app.model import EvidenceBatch, EvidenceKind, RawBatch, SinkTopic
from app.model.words import ANY_KIND

HEADERS = ("input_record_topic", "input_record_partition", "input_record_offset")
KIND = "success-topic"


def read_successes(raw: RawBatch, sink: str) -> EvidenceBatch:
    """The presence receipts of one sink's success topic; applied_at is the record's timestamp."""
    rows = EvidenceRows()
    of_topic, of_partition, of_offset = HEADERS
    for index in range(len(raw)):
        headers = raw.headers.get(index, ())
        try:
            name = SinkTopic(sink, named(headers, of_topic), partition(headers, of_partition))
            row = Row(
                record=index,
                kind=EvidenceKind.RECEIPT,
                offset=offset(headers, of_offset),
                status=ANY_KIND,
                applied_at=int(raw.timestamps[index]),
                evidence=KIND,
            )
        except UnreadableEvidence as error:
            rows.unreadable.append((int(raw.offsets[index]), str(error)))
        else:
            rows.add(name, row)
    return rows.batch(raw, {})
