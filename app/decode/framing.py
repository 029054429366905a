"""Confluent framing: 00, the writer schema's id as int32 big-endian, the Avro body."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from app.errors import Undecodable
from app.model import RawBatch
from app.model.batches import Int64s, NumbersOf
from app.native import kernel

HEADER_BYTES = 5
MOST_SCHEMAS = 64
"""Of one batch, for the kernel."""
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


def schema_ids(raw: RawBatch) -> set[int]:
    """Ids that a batch's values name, so that they can be fetched ahead of decoding."""
    return set(_schemas(raw)[0])


def rows_by_schema(raw: RawBatch) -> Iterator[tuple[int, Int64s]]:
    """The framed rows of a batch by the schema that they name."""
    ids, numbers = _schemas(raw)
    for number, schema_id in enumerate(ids):
        yield schema_id, np.flatnonzero(numbers == number)


def _schemas(raw: RawBatch) -> tuple[list[int], NumbersOf]:
    """The ids that values name, each once, and which of them each row names; found once for each batch."""
    found = raw.schemas
    if found is None:
        found = (None if kernel is None else _by_kernel(raw)) or _by_arrays(raw)
        object.__setattr__(raw, "schemas", found)
    return found


def _by_kernel(raw: RawBatch) -> tuple[list[int], NumbersOf] | None:
    """None where the kernel has no room for so many."""
    ids, numbers = np.zeros(MOST_SCHEMAS, np.int32), np.zeros(len(raw), np.uint8)
    found = kernel.schemas(raw.buffer, *map(np.ascontiguousarray, (raw.value_starts, raw.value_sizes)), ids, numbers)
    return (ids[:found].tolist(), numbers) if found < MOST_SCHEMAS else None


def _by_arrays(raw: RawBatch) -> tuple[list[int], NumbersOf]:
    data = np.frombuffer(raw.buffer + bytes(HEADER_BYTES), np.uint8)
    heads = data[raw.value_starts[:, None] + np.arange(HEADER_BYTES)]
    is_framed = (raw.value_sizes >= HEADER_BYTES) & (heads[:, 0] == 0)
    ids, places = np.unique(np.ascontiguousarray(heads[is_framed, 1:]).view(">i4")[:, 0], return_inverse=True)
    numbers = np.full(len(raw), -1, np.int64)
    numbers[is_framed] = places
    return ids.tolist(), numbers
