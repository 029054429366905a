"""The decoder of evidence: receipts, batches of receipts, marks, losses and waivers, to one `EvidenceBatch`.

Records are told apart by their writer schema's name; fields are found by name, so that an emitter of another version is
read. What can't be read is `unreadable`, with its coordinates: bytes that are no such record, bytes left over, a null
value, arrays of unequal length, a SKIP without an end (protocol section 4).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from fastavro import parse_schema, schemaless_reader

from app.decode.framing import unframed
from app.decode.rows import EvidenceRows, Row
from app.decode.schemas import SchemaSource, UnknownSchema, schema_ids
from app.errors import BadInput, Unavailable, UnreadableEvidence
from app.model import EvidenceBatch, EvidenceKind, Origin, RawBatch, ReceiptStatus, SinkTopic
from app.model.batches import Headers
from app.model.words import ANY_KIND
from cdc_receipts.schemas import loaded

ORIGIN_HEADERS = ("cdc-verifier.origin.topic", "cdc-verifier.origin.partition", "cdc-verifier.origin.offset")
"""Headers of a routed record: where it was first written, as text."""

_MARKS = {kind.name: kind for kind in EvidenceKind if EvidenceKind.RECEIPT < kind <= EvidenceKind.END}
_STATUSES = {status.name: status for status in ReceiptStatus}
_Reader = Callable[[dict[str, Any], EvidenceRows, int], None]


class EvidenceDecoder:
    """Decodes with fastavro; receipts of a batch become arrays, never objects."""

    def __init__(self, schemas: SchemaSource) -> None:
        self._schemas = schemas
        self._plans: dict[int, tuple[Any, _Reader] | str] = {}

    def decode(self, raw: RawBatch) -> EvidenceBatch:
        """The evidence of one fetch; raises `Unavailable` where a schema can't be had now, and then decodes nothing."""
        rows = EvidenceRows()
        for index in range(len(raw)):
            try:
                self._record(raw.value(index), rows, index)
            except (BadInput, ValueError) as error:
                rows.unreadable.append((int(raw.offsets[index]), str(error)))
        origins = {
            index: origin for index, headers in raw.headers.items() if (origin := origin_of(headers)) is not None
        }
        return rows.batch(raw, origins)

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch that were not asked for yet."""
        return schema_ids(raw.value(row) for row in range(len(raw))) - self._plans.keys()

    def _record(self, value: bytes | None, rows: EvidenceRows, index: int) -> None:
        if value is None:
            raise UnreadableEvidence("a null value")
        schema_id, body = unframed(value)
        plan = self._plans.get(schema_id)
        if plan is None:
            plan = self._plans[schema_id] = self._make_plan(schema_id)
        if isinstance(plan, str):
            raise UnreadableEvidence(plan)
        parsed, read = plan
        stream = io.BytesIO(body)
        try:
            record: Any = schemaless_reader(stream, parsed, None)
        except Exception as error:  # whatever hostile bytes make of a decoder
            raise UnreadableEvidence(f"no record of its schema: {type(error).__name__}: {error}") from error
        if stream.tell() != len(body):
            raise UnreadableEvidence(f"{len(body) - stream.tell()} bytes left over")
        try:
            read(record, rows, index)
        except KeyError as error:
            raise UnreadableEvidence(f"the record has no field or symbol {error}") from error

    def _make_plan(self, schema_id: int) -> tuple[Any, _Reader] | str:
        try:
            schema = loaded(self._schemas.get(schema_id))
        except Unavailable:
            raise
        except (UnknownSchema, BadInput) as error:
            return str(error)
        name = schema.get("name", "") if isinstance(schema, dict) else ""
        read = _READERS.get(name.rpartition(".")[2])
        if read is None:
            return f"no evidence: a record named {name!r}"
        try:
            return parse_schema(schema), read
        except Exception as error:  # noqa: BLE001 - fastavro raises many kinds for a schema that is none
            return f"the writer schema can't be read: {error}"


def origin_of(headers: Headers) -> Origin | None:
    """Where a routed record was first written, None for one that was written here."""
    found = dict(headers)
    texts = [found.get(name) for name in ORIGIN_HEADERS]
    if any(text is None for text in texts):
        return None
    topic, partition, offset = (text.decode() for text in texts if text is not None)
    return Origin(topic, int(partition), int(offset))


def _whom(record: dict[str, Any]) -> SinkTopic:
    return SinkTopic(record["sink"], record["topic"], record["partition"])


def _read_receipt(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    kind = record.get("evidence")
    rows.add_receipt(
        (record["sink"], record["topic"], record["partition"]),
        index,
        record["offset"],
        ANY_KIND if kind == "success-topic" else _STATUSES[record["status"]],
        record["applied_at"],
        record.get("fingerprint"),
        record.get("sequence"),
        record.get("command_id"),
    )
    error = record.get("error")
    if kind is not None or error is not None:
        rows.say(kind, None if error is None else (error["code"], error["message"]))


def _read_batch(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    deltas = _array(record["offset_deltas"], "<u4", "offset_deltas")
    statuses = _array(record["statuses"], "u1", "statuses")
    times = _array(record["applied_at_deltas"], "<u4", "applied_at_deltas")
    packed = record.get("fingerprints")
    fingerprints = None if packed is None else _array(packed, "<u8", "fingerprints")
    sizes = {len(deltas), len(statuses), len(times)} | ({len(fingerprints)} if fingerprints is not None else set())
    if len(sizes) != 1:
        raise UnreadableEvidence(f"arrays of unequal length: {sorted(sizes)}")
    if len(statuses) and statuses.max() > ReceiptStatus.REJECTED:
        raise UnreadableEvidence(f"status {int(statuses.max())} is not one of 0 to {int(ReceiptStatus.REJECTED)}")
    if len(deltas):
        rows.add_receipts(
            _whom(record),
            record=index,
            offsets=deltas.astype(np.int64) + record["base_offset"],
            statuses=statuses,
            fingerprints=fingerprints,
            applied_at=times.astype(np.int64) + record["base_applied_at"],
        )


def _array(data: bytes, dtype: str, name: str) -> np.ndarray:
    width = np.dtype(dtype).itemsize
    if len(data) % width:
        raise UnreadableEvidence(f"{name}: {len(data)} bytes are no whole number of {width}-byte items")
    return np.frombuffer(data, dtype)


def _read_mark(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    kind, end = _MARKS[record["kind"]], record.get("to_offset")
    if kind is EvidenceKind.SKIP and end is None:
        raise UnreadableEvidence("a SKIP without to_offset")
    rows.add(
        _whom(record),
        Row(
            record=index,
            kind=kind,
            offset=record["offset"],
            applied_at=record["at"],
            to_offset=-1 if end is None else end,
            generation=record.get("generation", 0),
            reason=record.get("reason"),
        ),
    )


def _read_loss(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    lost = (
        f"{record['origin_topic']}:{record['origin_partition']} from {record['from_offset']} to {record['to_offset']}"
    )
    rows.add(
        _whom(record),
        Row(record=index, kind=EvidenceKind.LOSS, offset=record["from_offset"], applied_at=record["at"], reason=lost),
    )


def _read_waiver(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    reason = f"{record['who']}: {record['reason']}"
    rows.add(
        _whom(record),
        Row(record=index, kind=EvidenceKind.WAIVER, offset=record["offset"], applied_at=record["at"], reason=reason),
    )


_READERS: dict[str, _Reader] = {
    "DeliveryReceipt": _read_receipt,
    "DeliveryReceiptBatch": _read_batch,
    "SinkMark": _read_mark,
    "EvidenceLoss": _read_loss,
    "Waiver": _read_waiver,
}
