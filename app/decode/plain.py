"""Receipts in their plainest form, many at once: columns out of the bytes of a whole fetch, without an object for each.

A receipt is plain here where its writer schema is ours to the letter and nothing follows its time; sequences, command ids,
errors and kinds of evidence are rarer. Its body, as Avro writes it:

    head          sink, topic (each a varint size and UTF-8), partition (varint)
    offset        zigzag varint
    status        1 byte: twice the enum's index
    fingerprint   00, or 02 and 8 bytes
    applied_at    zigzag varint
    00 00 00 00   sequence, command_id, error and evidence are null

Heads repeat from record to record: each distinct one is decoded once, by fastavro, and compared as bytes after that. What is
not of this form to its last byte is not plain; whether it is evidence is for `app.decode.evidence` to say.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastavro import parse_schema, schemaless_reader

from app.decode.framing import HEADER_BYTES, framed_ids, padded
from app.model import RawBatch, SinkTopic
from app.model.batches import Bools, Int32s, Int64s, UInt8s, UInt64s
from app.model.words import ReceiptStatus
from cdc_receipts.codec import SCHEMAS

MOST_HEADS = 32
"""Heads looked for in one fetch; each costs some array operations, and a log with more of them gains nothing from it."""
LEAST_RUN = 8
"""Rows in a row below which arrays cost more than records one by one."""

_VARINT_BITS = range(0, 63, 7)
"""Shifts of a varint's first nine bytes; the rare tenth is left to fastavro."""
_BODY_BYTES = 2 * len(_VARINT_BITS) + 1 + 9 + 4
"""The most that is read behind a head, so that a padded buffer holds it for any bytes."""

_RECEIPT = json.loads(SCHEMAS["DeliveryReceipt"])
_HEAD: Any = parse_schema({**_RECEIPT, "fields": _RECEIPT["fields"][:3]})


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

    def runs(self) -> Iterator[tuple[int, int]]:
        """Stretches ``[lo, hi)`` of plain rows that are worth it, ascending."""
        edges = np.flatnonzero(np.diff(np.r_[False, self.is_plain, False].view(np.int8)))
        for lo, hi in edges.reshape(-1, 2).tolist():
            if hi - lo >= LEAST_RUN:
                yield lo, hi


def plain_receipts(raw: RawBatch, is_ours: Callable[[int], bool]) -> PlainReceipts:
    """The plain receipts of one fetch.

    Args:
        is_ours: whether a schema id stands for our schema of receipts, to the letter.
    """
    count = len(raw)
    found = PlainReceipts(
        is_plain=np.zeros(count, np.bool_),
        names=[],
        name_index=np.zeros(count, np.int32),
        offsets=np.zeros(count, np.int64),
        statuses=np.zeros(count, np.uint8),
        fingerprints=np.zeros(count, np.uint64),
        has_fingerprint=np.zeros(count, np.bool_),
        applied_at=np.zeros(count, np.int64),
    )
    if count < LEAST_RUN:
        return found
    data = padded(raw, _BODY_BYTES)
    ids, is_framed = framed_ids(raw)
    ours = [number for number in np.unique(ids[is_framed]).tolist() if is_ours(number)]
    rows = np.flatnonzero(is_framed & np.isin(ids, ours))
    for _ in range(MOST_HEADS):
        if not len(rows):
            break
        rows = rows[~_fill(found, raw, data, rows)]
    return found


def _fill(found: PlainReceipts, raw: RawBatch, data: UInt8s, rows: Int64s) -> Bools:
    """Read those of some rows that have the head of their first one; returns which they were."""
    first = raw.value(int(rows[0])) or b""
    stream = io.BytesIO(first[HEADER_BYTES:])
    try:
        record: Any = schemaless_reader(stream, _HEAD, None)
    except Exception:  # noqa: BLE001 - as for any hostile bytes; why they are none is said where they are read alone
        return _first_of(len(rows))
    head = first[: HEADER_BYTES + stream.tell()]
    has_head = _begin_with(raw, data, rows, head)
    if record["partition"] in range(-(1 << 31), 1 << 31):
        _read(found, data, rows[has_head], raw.value_starts[rows[has_head]] + len(head), _ends(raw, rows[has_head]))
        found.name_index[rows[has_head]] = len(found.names)
        found.names.append(SinkTopic(record["sink"], record["topic"], record["partition"]))
    return has_head


def _first_of(count: int) -> Bools:
    result = np.zeros(count, np.bool_)
    result[0] = True
    return result


def _ends(raw: RawBatch, rows: Int64s) -> Int64s:
    return raw.value_starts[rows] + raw.value_sizes[rows]


def _begin_with(raw: RawBatch, data: UInt8s, rows: Int64s, head: bytes) -> Bools:
    """``bool[rows]``: the value begins with these bytes."""
    result = np.zeros(len(rows), np.bool_)
    places = np.flatnonzero(raw.value_sizes[rows] >= len(head))
    heads = data[raw.value_starts[rows[places]][:, None] + np.arange(len(head))]
    result[places] = (heads == np.frombuffer(head, np.uint8)).all(axis=1)
    return result


def _read(found: PlainReceipts, data: UInt8s, rows: Int64s, at: Int64s, ends: Int64s) -> None:
    """Read what stands behind the heads of some rows, at ``at`` ``int64[rows]``, and mark those that are plain."""
    offsets, at, is_plain = _varints(data, at)
    status = data[at]
    is_plain &= (status & 1 == 0) & (status <= 2 * ReceiptStatus.REJECTED)
    union = data[at + 1]
    is_plain &= (union == 0) | (union == 2)
    has_fingerprint = union == 2
    fingerprints = data[(at + 2)[:, None] + np.arange(8)].view("<u8")[:, 0]
    applied_at, at, is_varint = _varints(data, at + np.where(has_fingerprint, 10, 2))
    is_plain &= is_varint & (at + 4 == ends)
    for place in range(4):
        is_plain &= data[at + place] == 0
    found.is_plain[rows] = is_plain
    found.offsets[rows] = offsets
    found.statuses[rows] = status >> 1
    found.fingerprints[rows] = np.where(has_fingerprint, fingerprints, 0)
    found.has_fingerprint[rows] = has_fingerprint
    found.applied_at[rows] = applied_at


def _varints(data: UInt8s, at: Int64s) -> tuple[Int64s, Int64s, Bools]:
    """Zigzag varints of up to nine bytes: their values, where they end, and which of them did."""
    values = np.zeros(len(at), np.int64)
    goes_on = np.ones(len(at), np.bool_)
    for shift in _VARINT_BITS:
        byte = np.where(goes_on, data[at], 0)
        values |= (byte & 0x7F).astype(np.int64) << shift
        at = at + goes_on
        goes_on = byte >= 0x80
        if not goes_on.any():
            break
    return (values >> 1) ^ -(values & 1), at, ~goes_on
