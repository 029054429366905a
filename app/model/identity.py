"""Ids and hashes of effects: computed from the cell and the fence, so that emitting twice is emitting once (law 7).

Canonical bytes: every field in order as a tag byte, a length and a payload, so that no two lists of fields share bytes.

    00                                    null
    01  int64 little-endian               integer (no length: always 8 bytes)
    02  uint32 little-endian n, n bytes   text, UTF-8
    03  uint32 little-endian n, n bytes   bytes
    04  uint32 little-endian n, n fields  list

The first field is a text that names what is hashed and the version of its form. Sums mod 2**64 go in as 8 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace

from app.model.batches import Origin
from app.model.effects import Seal

ID_BYTES = 16
"""Ids are 128 bits: no two of any deployment's commands will ever meet."""

Field = int | str | bytes | Sequence["Field"] | None


def canonical(fields: Sequence[Field]) -> bytes:
    """The canonical bytes of a list of fields.

    >>> canonical(["a", 1, None]).hex()
    '02010000006101010000000000000000'
    """
    return b"".join(_encoded(field) for field in fields)


def _encoded(field: Field) -> bytes:
    match field:
        case None:
            return b"\x00"
        case int():
            return b"\x01" + struct.pack("<q", field)
        case str():
            text = field.encode()
            return b"\x02" + struct.pack("<I", len(text)) + text
        case bytes():
            return b"\x03" + struct.pack("<I", len(field)) + field
        case _:
            return b"\x04" + struct.pack("<I", len(field)) + canonical(field)


def verdict_id(
    *, sink: str, generation: int, topic: str, epoch: int, partition: int, offset: int, fence_origin: Origin
) -> str:
    """The id of what the fence at ``fence_origin`` found about one cell: 32 hex digits."""
    return _id(["verdict 1", sink, generation, topic, epoch, partition, offset, *fence_origin])


def command_id(
    *,
    sink: str,
    generation: int,
    topic: str,
    epoch: int,
    partition: int,
    segment: int,
    fence_origin: Origin,
    attempt: int = 1,
) -> str:
    """The id of the command for one segment that the fence at ``fence_origin`` gave rise to: 32 hex digits."""
    return _id(["command 1", sink, generation, topic, epoch, partition, segment, *fence_origin, attempt])


def _id(fields: Sequence[Field]) -> str:
    return hashlib.sha256(canonical(fields)).digest()[:ID_BYTES].hex()


def seal_hash(seal: Seal) -> bytes:
    """SHA-256 over the canonical bytes of every field of a seal but its own hash: 32 bytes.

    A seal of an older version counts no levels; its form, ``seal 1``, is all that stands before them in ``seal 2``.
    """
    fields: list[Field] = [
        "seal 2" if seal.levels else "seal 1",
        seal.sink,
        seal.generation,
        seal.topic,
        seal.epoch,
        seal.partition,
        seal.number,
        seal.segment,
        seal.first_offset,
        seal.last_offset,
        seal.counts,
        seal.flags,
        seal.open_offsets,
        seal.source_sum.to_bytes(8, "little"),
        seal.sink_sum.to_bytes(8, "little"),
        seal.first_ts_ms,
        seal.last_ts_ms,
        seal.contract,
        seal.at,
        seal.previous,
        *([seal.levels] if seal.levels else []),
    ]
    return hashlib.sha256(canonical(fields)).digest()


def sealed(seal: Seal) -> Seal:
    """The seal with its own hash set."""
    return replace(seal, hash=seal_hash(seal))
