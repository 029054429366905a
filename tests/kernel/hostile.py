"""Hostile bytes: mutated records and noise, each before a page that nobody may touch, through the kernel.

    python -m tests.kernel.hostile --strings 10000000 --seed 1

The kernel may refuse any of them; what it decodes must be what the reference decodes. The seed of a group of strings is
printed before an error ends the run, and stands in the last line of the progress file where the process itself ends.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.decode.compiled.changes import CompiledChangeDecoder, some
from app.decode.compiled.receipts import ReceiptColumns
from app.decode.decoders import evidence_decoder
from app.decode.evidence import EvidenceDecoder
from app.decode.schemas import RecordedSchemas
from app.model import ChangeBatch
from app.native import kernel
from cdc_receipts import SCHEMAS, Receipt, Status, encode_receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.kernel import generator
from tests.kernel.agreement import assert_same
from tests.kernel.guarded import PAGE, Guarded, loose

GROUP, SEEDS_OF_ONE = 500, 40
"""Strings of one schema, and valid records that they are mutated from."""

EDGES = (b"\0", b"\1", b"\2", b"\x7f", b"\x80", b"\xff", b"\xff" * 9, b"\xff" * 9 + b"\1", b"\x80\0", b"\xfe\xff\xff\xff\x0f",
         b"\xfe" + b"\xff" * 8 + b"\1", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b'"', b"\\", b"9" * 20, b"\xc2", b"{")  # fmt: skip
"""Numbers at the ends of their ranges, sizes beyond any record, halves of characters."""


def mutated(chance: random.Random, value: bytes, others: list[bytes]) -> bytes:
    """A value with up to four changes, or noise behind its framing."""
    if chance.random() < 0.05:
        return value[:5] + chance.randbytes(chance.randrange(80))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        at, size = chance.randrange(len(value) + 1), chance.choice((0, 1, 1, 1, 2, 8))
        kind = chance.randrange(6)
        if kind == 0:
            value = value[:at]
        elif kind == 1:
            value = value[:at] + chance.choice(EDGES) + value[at + size :]
        elif kind == 2:
            other = chance.choice(others)
            value = value[:at] + other[min(at, len(other)) :]
        elif kind == 3:
            value = value[:at] + value[at + size :]
        else:
            value = value[:at] + chance.randbytes(1) + value[at + 1 :]
    return value


def strings(chance: random.Random, valid: list[bytes]) -> list[bytes]:
    """A group of hostile strings; those that a page can't hold are left out."""
    found = [mutated(chance, chance.choice(valid), valid) for _ in range(GROUP)]
    return [value for value in found if len(value) <= PAGE]


def changes(chance: random.Random, memory: Guarded) -> int:
    """A group of changes; returns how many of them the kernel decoded."""
    batch = generator.batch(chance, SEEDS_OF_ONE)
    values = strings(chance, [value for value in batch.raw.values() if value])
    raw = memory.held(values, generator.raw_of(chance, values))
    decoder = CompiledChangeDecoder(kernel, batch.schemas, batch.projections, UNAVAILABLE_VALUE)
    found, left = decoder.tried(raw)
    done = np.setdiff1d(np.arange(len(raw)), left)
    assert_same(decoder.reference.decode(some(loose(raw), done)), _of(found.batch(left, None), done))
    return len(done)


def receipts(chance: random.Random, memory: Guarded) -> int:
    """A group of receipts, likewise."""
    valid = [encode_receipt(_receipt(chance), 1) for _ in range(SEEDS_OF_ONE)]
    values = strings(chance, valid)
    raw = memory.held(values, generator.raw_of(chance, values))
    schemas = RecordedSchemas({1: SCHEMAS["DeliveryReceipt"]})
    guarded = ReceiptColumns(kernel).read(raw, {1}.__contains__)
    assert guarded.is_plain.tolist() == ReceiptColumns(kernel).read(loose(raw), {1}.__contains__).is_plain.tolist()
    assert_same(EvidenceDecoder(schemas).decode(loose(raw)), evidence_decoder(schemas).decode(loose(raw)))
    return int(guarded.is_plain.sum())


def _receipt(chance: random.Random) -> Receipt:
    return Receipt(
        sink=chance.choice("ab"), topic=chance.choice(("", "t", "ä" * 70)), partition=chance.choice((0, 1, -(2**31))),
        offset=generator.number(chance), status=chance.choice(list(Status)), applied_at=generator.number(chance),
        fingerprint=chance.choice((None, chance.randbytes(8))), sequence=chance.choice((None, 1)),
        command_id=chance.choice((None, None, "c")), error=chance.choice((None, None, ("e", "m"))),
    )  # fmt: skip


def _of(found: ChangeBatch, rows: np.ndarray) -> ChangeBatch:
    columns = {
        name: getattr(found, name)[rows] for name in found.__slots__ if isinstance(getattr(found, name), np.ndarray)
    }
    left_out = columns.pop("left_out", None)
    return replace(found, **columns, left_out=left_out if left_out is not None and left_out.any() else None)


def groups(seed: int) -> Iterator[str]:
    """Seeds of groups; each fifth is of receipts."""
    number = 0
    while True:
        yield f"{'receipts' if number % 5 == 4 else 'changes'}/{seed}/{number}"
        number += 1


def one(seed: str, memory: Guarded) -> int:
    """One group by its own seed; returns how many strings the kernel decoded.

    Raises:
        AssertionError: what it decoded is not what the reference decodes.
    """
    try:
        return (receipts if seed.startswith("receipts") else changes)(random.Random(seed), memory)
    except Exception as error:
        raise AssertionError(f"seed {seed!r}: {error}") from error


def run(seed: int, count: int, progress: Path | None = None) -> tuple[int, int]:
    """Try ``count`` strings at least; returns how many were tried and how many of them the kernel decoded."""
    memory, tried, decoded = Guarded(GROUP), 0, 0
    for group in groups(seed):
        if tried >= count:
            break
        if progress is not None:
            progress.write_text(group)
        decoded += one(group, memory)
        tried += GROUP
    return tried, decoded


def main() -> int:
    faulthandler.enable()
    parser = argparse.ArgumentParser()
    parser.add_argument("--strings", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--progress", type=Path, help="a file that names the group under way")
    given = parser.parse_args()
    if kernel is None:
        print("there is no kernel")
        return 1
    began = time.monotonic()
    tried, decoded = run(given.seed, given.strings, given.progress)
    print(f"seed {given.seed}: {tried} strings, {decoded} of them decoded and alike, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
