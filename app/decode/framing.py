"""Confluent framing: 00, the writer schema's id as int32 big-endian, the Avro body."""

from __future__ import annotations

import struct

from app.errors import Undecodable

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


def key_body(key: bytes) -> bytes:
    """A record key without its framing; a key that is not framed is taken as it is."""
    return key[HEADER_BYTES:] if len(key) >= HEADER_BYTES and key[0] == 0 else key
