"""Record batches as brokers keep them: made by aiokafka's builder, then changed where it can't make what a broker can."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cramjam
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""aiokafka writes snappy as Java does, in frames; `plain_snappy` makes of it what librdkafka writes."""
COMMIT, ABORT = b"\x00\x00\x00\x01", b"\x00\x00\x00\x00"
LOG_APPEND_TIME, CONTROL = 0x08, 0x20
LENGTH, CRC, ATTRIBUTES, LAST_DELTA, MAX_TIMESTAMP, COUNT, BODY = 8, 17, 21, 23, 35, 57, 61
LARGE = 1 << 30

Row = tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Offset, key, value, headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch. ``last`` is its last offset where compaction has taken the record at it away, ``append_ms`` the broker's time."""

    rows: Sequence[Row]
    base: int
    codec: int = 0
    producer: int = -1
    is_transactional: bool = False
    is_control: bool = False
    last: int | None = None
    append_ms: int | None = None

    @property
    def next(self) -> int:
        return (self.rows[-1][0] if self.last is None else self.last) + 1

    def bytes(self) -> bytes:
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=self.codec, is_transactional=int(self.is_transactional),
            producer_id=self.producer, producer_epoch=0, base_sequence=0 if self.producer >= 0 else -1, batch_size=LARGE,
        )  # fmt: skip
        for offset, key, value, headers in self.rows:
            builder.append(offset - self.base, 1_000 + offset * 3 % 7, key, value, list(headers))
        return self._as_kept(bytearray(builder.build()))

    def _as_kept(self, built: bytearray) -> bytes:
        if not self.rows:
            del built[BODY:]  # as compaction leaves it
        struct.pack_into(">qi", built, 0, self.base, len(built) - 12)
        struct.pack_into(">i", built, LAST_DELTA, self.next - 1 - self.base)
        attributes = struct.unpack_from(">h", built, ATTRIBUTES)[0] | self.codec
        if self.append_ms is not None:
            attributes |= LOG_APPEND_TIME
            struct.pack_into(">q", built, MAX_TIMESTAMP, self.append_ms)
        struct.pack_into(">h", built, ATTRIBUTES, attributes | (CONTROL if self.is_control else 0))
        return signed(built)


def signed(batch: bytes | bytearray) -> bytes:
    """The batch with the checksum that its bytes have."""
    built = bytearray(batch)
    struct.pack_into(">I", built, CRC, calc_crc32c(bytes(built[ATTRIBUTES:])))
    return bytes(built)


def with_body(batch: bytes, body: bytes) -> bytes:
    """The batch with another body; its count of records stays."""
    built = bytearray(batch[:BODY] + body)
    struct.pack_into(">i", built, LENGTH, len(built) - 12)
    return signed(built)


def plain_snappy(batch: Batch) -> bytes:
    """Snappy as librdkafka writes it: one block without a frame."""
    plain = replace(batch, codec=0).bytes()
    return with_body(batch.bytes(), bytes(cramjam.snappy.compress_raw(plain[BODY:])))


def control(offset: int, marker: bytes, producer: int) -> Batch:
    """The end of a transaction."""
    return Batch(
        rows=[(offset, marker, bytes(6), ())], base=offset, producer=producer, is_transactional=True, is_control=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a broker answers: batches, and the aborted transactions among them as (producer, first offset).

    Attributes:
        start, first_next, next: the first batch begins, the first ends, the last ends; who asks from anywhere in the first
            batch is answered with all of it.
    """

    data: bytes
    start: int
    first_next: int
    next: int
    aborted: list[tuple[int, int]]


def some_log(chance: random.Random, codecs: Sequence[int] = tuple(CODECS.values()), size: int = 8) -> Fetched:
    """Transactions that end well and badly, side by side; gaps, empty batches, null and large fields, headers."""
    at = start = chance.randrange(1 << 40)
    found: list[bytes] = []
    aborted: list[tuple[int, int]] = []
    open_: dict[int, int] = {}
    first_next = at
    for _ in range(chance.randrange(1, size)):
        producer = chance.choice((-1, -1, 7, 8, 9))
        at += chance.choice((0, 0, 0, 1, 5))
        if producer in open_ and chance.random() < 0.4:
            first, marker = open_.pop(producer), chance.choice((COMMIT, ABORT))
            aborted += [(producer, first)] if marker == ABORT else []
            batch = control(at, marker, producer)
        else:
            batch = _some_batch(chance, at, producer, chance.choice(codecs))
            if batch.is_transactional:
                open_.setdefault(producer, at)
        found.append(
            plain_snappy(batch)
            if batch.codec == CODECS["snappy"] and batch.rows and chance.random() < 0.5
            else batch.bytes()
        )
        at = batch.next
        first_next = at if len(found) == 1 else first_next
    chance.shuffle(aborted)
    return Fetched(data=b"".join(found), start=start, first_next=first_next, next=at, aborted=aborted)


def _some_batch(chance: random.Random, base: int, producer: int, codec: int) -> Batch:
    offsets = sorted(chance.sample(range(base, base + 20), chance.randrange(1, 12)))
    if chance.random() < 0.1:
        offsets, codec = [], 0  # aiokafka can't read the compressed ones, and we can
    return Batch(
        rows=[(offset, _some_bytes(chance), _some_bytes(chance), _some_headers(chance)) for offset in offsets],
        base=base, codec=codec, producer=producer, is_transactional=producer >= 0 and chance.random() < 0.8,
        last=max(offsets, default=base) + chance.choice((0, 0, 0, 3)), append_ms=chance.choice((None, None, 1 << 41)),
    )  # fmt: skip


def _some_bytes(chance: random.Random) -> bytes | None:
    size = chance.choice((-1, 0, 1, 9, 63, 64, 65, 200, 9_000))
    return None if size < 0 else bytes(chance.choices(b"abc\x00\xff", k=size))


def _some_headers(chance: random.Random) -> list[tuple[str, bytes | None]]:
    count = chance.choice((0, 0, 0, 1, 3))
    return [(chance.choice(("", "h", "größe")), chance.choice((None, b"", b"x" * 70))) for _ in range(count)]
