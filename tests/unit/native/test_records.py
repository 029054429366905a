"""The kernel's walk over record batches: its checksum, and that it stays within the bytes whatever they say."""

from __future__ import annotations

import random

import numpy as np
import pytest
from aiokafka.record.util import calc_crc32c

from app.native import kernel, missing
from tests.kernel.batches import Guarded, disagreements
from tests.kernel.written import Batch
from topologies import fetching

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

BEGIN = [0, 0, -1, -1]
"""Where reading begins: batch, record, byte, the offset before."""


def test_the_checksum_is_kafkas_by_the_processor_and_by_tables() -> None:
    chance = random.Random(1)
    for size in (*range(100), 4_096, 65_537):
        data = chance.randbytes(size)
        assert kernel.crc32c(data) == (calc_crc32c(data),) * 2, size

    assert kernel.crc32c(b"123456789") == (0xE3069283,) * 2  # RFC 3720's polynomial, the usual check value


async def test_damaged_batches_are_errors_or_read_as_aiokafka_reads_them() -> None:
    """The same by command, as long as one likes: python -m tests.kernel.batches --count 1000000."""
    fetching.install()

    assert await disagreements(seed=7, count=3_000) == []


def test_every_cut_through_a_fetch_stays_within_its_bytes() -> None:
    rows = [(offset, b"key", b"value" * 5, [("header", b"x")] * (offset % 3)) for offset in range(6)]
    data = b"".join(Batch(rows=rows[at : at + 2], base=at).bytes() for at in (0, 2, 4))
    guarded, table = Guarded(1), np.empty((10, 9), np.int64)

    found = {kernel.scan(guarded.holding(data[:size]), True, table) for size in range(len(data) + 1)}

    assert {fault for _, _, fault in found} == {None}
    assert sorted({count for count, _, _ in found}) == [0, 1, 2, 3]


@pytest.mark.parametrize(("column", "value"), [(0, -1), (0, 10_000), (1, 10_000), (1, 3), (2, -5), (3, -1)], ids=str)
def test_a_table_that_is_not_of_the_bytes_is_refused(column: int, value: int) -> None:
    data = Batch(rows=[(0, b"k", b"v", [])], base=0).bytes()
    table, records = np.empty((1, 9), np.int64), np.empty((8, 4), np.int64)
    kernel.scan(data, True, table)
    table[0, column] = value

    with pytest.raises(ValueError, match="not one of this buffer"):
        kernel.records(data, table, np.array(BEGIN), 0, 1 << 20, records)


@pytest.mark.parametrize("cursor", [[0, 0, 5, -1], [0, 0, 10_000, -1], [-1, 0, -1, -1], [0, -1, -1, -1], [0, 0, -1]])
def test_a_cursor_that_is_not_of_the_batch_is_refused(cursor: list[int]) -> None:
    data = Batch(rows=[(0, b"k", b"v", [])], base=0).bytes()
    table, records = np.empty((1, 9), np.int64), np.empty((8, 4), np.int64)
    kernel.scan(data, True, table)

    with pytest.raises(ValueError, match="not one of this buffer"):
        kernel.records(data, table, np.array(cursor), 0, 1 << 20, records)


def test_headers_that_are_not_there_are_an_error() -> None:
    for start, count in ((0, 1), (3, 1), (4, 1), (-1, 1), (99, 1), (0, 1 << 40)):
        with pytest.raises(ValueError, match="no headers"):
            kernel.headers(b"\x7f\x01\x02\x03", start, count)
    assert kernel.headers(b"", 0, 0) == ()
