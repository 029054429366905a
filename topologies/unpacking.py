"""Bodies of record batches as their producers compressed them, into memory that is set aside before.

What comes out is never larger than the room that is given, so that a batch of a few bytes can't fill the machine. Codecs
are those of Kafka's documentation, "Record Batch", attributes 0 to 2.
"""

from __future__ import annotations

from collections.abc import Callable

import cramjam

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODEC_MASK = 0x07

XERIAL = b"\x82SNAPPY\x00"
"""What Java's producers begin a body of snappy with: blocks, each behind its size. librdkafka writes one block alone."""
XERIAL_HEADER_BYTES = 16
"""The magic, then two versions of four bytes."""
SIZE_BYTES = 4

Unpack = Callable[[memoryview, memoryview], int]


def unpacked(codec: int, body: memoryview, room: memoryview) -> int:
    """Decompress a body into the beginning of ``room``; gives its size there.

    Raises:
        ValueError: the body is damaged, larger than the room, or of a codec that nobody knows.
    """
    unpack = _CODECS.get(codec)
    if unpack is None:
        raise ValueError(f"its codec is number {codec}, which does not exist")
    try:
        return unpack(body, room)
    except cramjam.DecompressionError as error:
        raise ValueError(f"it can't be decompressed into {len(room)} bytes: {error}") from error


def _snappy(body: memoryview, room: memoryview) -> int:
    if body[: len(XERIAL)] != XERIAL:
        return int(cramjam.snappy.decompress_raw_into(body, room))
    filled, at = 0, XERIAL_HEADER_BYTES
    while at < len(body):
        size = int.from_bytes(body[at : at + SIZE_BYTES], "big")
        at += SIZE_BYTES
        filled += int(cramjam.snappy.decompress_raw_into(body[at : at + size], room[filled:]))
        at += size
    return filled


_CODECS: dict[int, Unpack] = {
    GZIP: cramjam.gzip.decompress_into,
    SNAPPY: _snappy,
    LZ4: cramjam.lz4.decompress_into,
    ZSTD: cramjam.zstd.decompress_into,
}
