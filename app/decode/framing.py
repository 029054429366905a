"""Confluent framing: 00, the writer schema's id as int32 big-endian, the Avro body."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from app.errors import Undecodable
from app.model import RawBatch
from app.model.batches import Bools, Int32s, Int64s
from app.native import kernel

HEADER_BYTES = 5
_header = struct.Struct(">bi")


def unframed(data: bytes) -> tuple[int, bytes]:
    """The schema id and the body of framed bytes.

    Raises:
        Undecodable: no magic byte, or fewer bytes than the framing needs.
    """
    if len(data) < HEADER_BYTES:
        raise Undecodable(f"truncated: {len(data)} bytes, the framing alone needs {HEADER_BYTES}")
    magic, schema_id = _header.unpack_from(data)
    if magic != 0:
        raise Undecodable(f"no magic byte: it begins with {data[0]:02x}, Confluent framing with 00")
    return schema_id, data[HEADER_BYTES:]


def is_framed(data: bytes) -> bool:
    """Whether bytes are framed, whatever their body is."""
    return len(data) >= HEADER_BYTES and data[0] == 0


def key_body(key: bytes) -> bytes:
    """A record key without its framing; a key that is not framed is taken as it is."""
    return key[HEADER_BYTES:] if is_framed(key) else key


def framed_ids(raw: RawBatch) -> tuple[Int32s, Bools]:
    """``int32[n]``, the schema ids of a batch's values, and ``bool[n]``, which of them are framed."""
    if kernel is not None:
        found, is_framed = np.zeros(len(raw), np.int32), np.zeros(len(raw), np.bool_)
        places = map(np.ascontiguousarray, (raw.value_starts, raw.value_sizes))
        kernel.framed_ids(raw.buffer, *places, found, is_framed)
        return found, is_framed
    data = np.frombuffer(raw.buffer + bytes(HEADER_BYTES), np.uint8)
    heads = data[raw.value_starts[:, None] + np.arange(HEADER_BYTES)]
    ids: Int32s = np.ascontiguousarray(heads[:, 1:]).view(">i4")[:, 0].astype(np.int32)
    return ids, (raw.value_sizes >= HEADER_BYTES) & (heads[:, 0] == 0)


def schema_ids(raw: RawBatch) -> set[int]:
    """Ids that a batch's values name, so that they can be fetched ahead of decoding."""
    ids, is_framed = framed_ids(raw)
    return set(_distinct(ids[is_framed]))


def rows_by_schema(raw: RawBatch) -> Iterator[tuple[int, Int64s]]:
    """The framed rows of a batch by the schema that they name."""
    ids, is_framed = framed_ids(raw)
    rows = np.flatnonzero(is_framed)
    if not len(rows):
        return
    ids = ids[rows]
    numbers = _distinct(ids)
    for number in numbers:
        yield number, rows if len(numbers) == 1 else rows[ids == number]


def _distinct(ids: Int32s) -> list[int]:
    """Each number once; nearly always there is only one."""
    if len(ids) and bool((ids == ids[0]).all()):
        return [int(ids[0])]
    found: list[int] = np.unique(ids).tolist()
    return found
