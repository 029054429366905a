"""The decoder of evidence: receipts, batches of receipts, marks, losses, waivers and statuses, to one `EvidenceBatch`.

Records are told apart by their writer schema's full name. One that is not ours to the letter is resolved to ours by Avro's
rules (fields by name, defaults for absent ones), so that an emitter of another version is read, and what is not of the
protocol's types is not. What can't be read is `unreadable`, with its coordinates: bytes that are no such record, bytes left
over, a null value, arrays of unequal length, a SKIP without an end (protocol section 4); also what names no coordinates: sums
beyond int64, an int beyond int32, origin headers that are no coordinates.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import to_parsing_canonical_form

import schemas
from app.decode import headers
from app.decode.framing import schema_ids, unframed
from app.decode.plain import ReadPlain
from app.decode.rows import EvidenceRows, Row
from app.decode.schemas import SchemaSource, UnknownSchema
from app.errors import BadInput, Unavailable, UnreadableEvidence
from app.model import EvidenceBatch, EvidenceKind, Origin, RawBatch, ReceiptStatus, SinkTopic
from app.model.batches import Headers
from app.model.words import ANY_KIND, SINK_STATES, UNKNOWN
from cdc_receipts.codec import SCHEMAS
from cdc_receipts.schemas import loaded

ORIGIN_HEADERS = ("cdc-verifier.origin.topic", "cdc-verifier.origin.partition", "cdc-verifier.origin.offset")
"""Headers of a routed record: where it was first written, as text."""

_MARKS = {kind.name: kind for kind in EvidenceKind if EvidenceKind.RECEIPT < kind <= EvidenceKind.END}
_STATUSES = {status.name: status for status in ReceiptStatus}
_INT32 = range(-(1 << 31), 1 << 31)
_Reader = Callable[[dict[str, Any], EvidenceRows, int], None]
_Plan = tuple[Any, Any, _Reader]
"""The writer's schema, ours where the two differ (else None), and what makes rows of the record."""


class EvidenceDecoder:
    """Decodes with fastavro; receipts of a batch become arrays, never objects.

    Args:
        schemas: where writer schemas come from.
        read_plain: what reads plain receipts many at once; without it they are read one by one, too.
    """

    def __init__(self, schemas: SchemaSource, read_plain: ReadPlain | None = None) -> None:
        self._schemas = schemas
        self._read_plain = read_plain
        self._plans: dict[int, _Plan | str] = {}

    def decode(self, raw: RawBatch) -> EvidenceBatch:
        """The evidence of one fetch; raises `Unavailable` where a schema can't be had now, and then decodes nothing."""
        rows = EvidenceRows()
        origins, problems = _origins(raw)
        done = 0
        if self._read_plain is not None:
            plain = self._read_plain(raw, self._is_receipt)
            plain.is_plain[list(problems)] = False
            for lo, hi in plain.runs():
                self._records(raw, done, lo, problems, rows)
                rows.add_plain(plain, lo, hi)
                done = hi
        self._records(raw, done, len(raw), problems, rows)
        return rows.batch(raw, origins)

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch that were not asked for yet."""
        return schema_ids(raw) - self._plans.keys()

    def _records(self, raw: RawBatch, lo: int, hi: int, problems: dict[int, str], rows: EvidenceRows) -> None:
        """Records ``[lo, hi)`` of a fetch one by one."""
        for index in range(lo, hi):
            try:
                if index in problems:
                    raise UnreadableEvidence(problems[index])
                self._record(raw.value(index), rows, index)
            except BadInput as error:
                rows.unreadable.append((int(raw.offsets[index]), str(error)))

    def _record(self, value: bytes | None, rows: EvidenceRows, index: int) -> None:
        if value is None:
            raise UnreadableEvidence("a null value")
        schema_id, body = unframed(value)
        plan = self._plan(schema_id)
        if isinstance(plan, str):
            raise UnreadableEvidence(plan)
        writer, reader, read = plan
        stream = io.BytesIO(body)
        try:
            record: Any = schemaless_reader(stream, writer, reader)
        except Exception as error:  # whatever hostile bytes make of a decoder
            raise UnreadableEvidence(f"no record of its schema: {type(error).__name__}: {error}") from error
        if stream.tell() != len(body):
            raise UnreadableEvidence(f"{len(body) - stream.tell()} bytes left over")
        read(record, rows, index)

    def _is_receipt(self, schema_id: int) -> bool:
        """Whether a schema is ours of receipts, to the letter."""
        plan = self._plan(schema_id)
        return not isinstance(plan, str) and plan[1:] == (None, _read_receipt)

    def _plan(self, schema_id: int) -> _Plan | str:
        plan = self._plans.get(schema_id)
        if plan is None:
            plan = self._plans[schema_id] = self._make_plan(schema_id)
        return plan

    def _make_plan(self, schema_id: int) -> _Plan | str:
        try:
            schema = self._schemas.get(schema_id)
        except Unavailable:
            raise
        except (UnknownSchema, BadInput) as error:
            return str(error)
        try:
            writer: Any = parse_schema(loaded(schema))
            name = writer["name"] if isinstance(writer, dict) else ""
            if name not in _READERS:
                return f"no evidence: a record named {name!r}"
            ours, read = _READERS[name]
            is_ours = to_parsing_canonical_form(writer) == to_parsing_canonical_form(ours)
        except Exception as error:  # noqa: BLE001 - fastavro raises many kinds for a schema that is none
            return f"the writer schema can't be read: {error}"
        return writer, None if is_ours else ours, read


def _origins(raw: RawBatch) -> tuple[dict[int, Origin], dict[int, str]]:
    """By row, where the routed records of a fetch were first written, and why that can't be read of others."""
    origins: dict[int, Origin] = {}
    problems: dict[int, str] = {}
    for index, found in raw.headers.items():
        try:
            origin = origin_of(found)
        except BadInput as error:
            problems[index] = str(error)
        else:
            if origin is not None:
                origins[index] = origin
    return origins, problems


def origin_of(found: Headers) -> Origin | None:
    """Where a routed record was first written, None for one that was written here.

    Raises:
        UnreadableEvidence: some of the three headers are there, but they are no coordinates.
    """
    if not any(name in ORIGIN_HEADERS for name, _ in found):
        return None
    topic, partition, offset = ORIGIN_HEADERS
    return Origin(headers.named(found, topic), headers.partition(found, partition), headers.offset(found, offset))


def _partition(record: dict[str, Any]) -> int:
    return _int32(record["partition"], "partition")


def _int32(value: int, name: str) -> int:
    """Avro's varints hold more than an int may."""
    if value not in _INT32:
        raise UnreadableEvidence(f"{name}: {value} is no int")
    return value


def _whom(record: dict[str, Any]) -> SinkTopic:
    return SinkTopic(record["sink"], record["topic"], _partition(record))


def _read_receipt(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    kind = record.get("evidence")
    rows.add_receipt(
        (record["sink"], record["topic"], _partition(record)),
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
            offsets=_sums(record["base_offset"], deltas, "offset_deltas"),
            statuses=statuses,
            fingerprints=fingerprints,
            applied_at=_sums(record["base_applied_at"], times, "applied_at_deltas"),
        )


def _array(data: bytes, dtype: str, name: str) -> np.ndarray:
    width = np.dtype(dtype).itemsize
    if len(data) % width:
        raise UnreadableEvidence(f"{name}: {len(data)} bytes are no whole number of {width}-byte items")
    return np.frombuffer(data, dtype)


def _sums(base: int, deltas: np.ndarray, name: str) -> np.ndarray:
    if base + int(deltas.max()) > np.iinfo(np.int64).max:
        raise UnreadableEvidence(f"{name}: {base} and {int(deltas.max())} are beyond int64 together")
    return deltas.astype(np.int64) + base


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
            generation=_int32(record["generation"], "generation"),
            reason=record.get("reason"),
        ),
    )


def _read_loss(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    """A loss of no one sink has the sink "": it speaks of every sink that has its lane here."""
    lost = (
        f"{record['origin_topic']}:{record['origin_partition']} from {record['from_offset']} to {record['to_offset']}"
    )
    rows.add(
        SinkTopic(record["sink"] or "", record["topic"], _partition(record)),
        Row(record=index, kind=EvidenceKind.LOSS, offset=record["from_offset"], applied_at=record["at"], reason=lost),
    )


def _read_waiver(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    reason = f"{record['who']}: {record['reason']}"
    rows.add(
        _whom(record),
        Row(record=index, kind=EvidenceKind.WAIVER, offset=record["offset"], applied_at=record["at"], reason=reason),
    )


def _read_status(record: dict[str, Any], rows: EvidenceRows, index: int) -> None:
    """One row, as `app.ledger.status` takes it; a state that we don't know says nothing."""
    state, rebuild = record["state"], record.get("rebuild_from")
    rows.add(
        _whom(record),
        Row(
            record=index,
            kind=EvidenceKind.STATUS,
            offset=0,
            applied_at=record["at"],
            to_offset=-1 if rebuild is None else rebuild,
            evidence=state if state in SINK_STATES else UNKNOWN,
            reason=record.get("cause"),
        ),
    )


_OURS: tuple[tuple[Any, _Reader], ...] = (
    (json.loads(SCHEMAS["DeliveryReceipt"]), _read_receipt),
    (json.loads(SCHEMAS["DeliveryReceiptBatch"]), _read_batch),
    (json.loads(SCHEMAS["SinkMark"]), _read_mark),
    (schemas.load("EvidenceLoss"), _read_loss),
    (schemas.load("Waiver"), _read_waiver),
    (schemas.load("SinkStatus"), _read_status),
)
_READERS: dict[str, tuple[Any, _Reader]] = {
    f"{schema['namespace']}.{schema['name']}": (parse_schema(schema), read) for schema, read in _OURS
}
"""Our schema and what makes rows of the record, by the record's full name."""
