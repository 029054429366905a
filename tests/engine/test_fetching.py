"""Ranges out of fetches: what was skipped on the way is covered by a range, and every range follows the one before it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from app.model import RawBatch
from app.native import kernel, missing
from topologies import fetching

TP = TopicPartition("changes", 3)
COMMIT, ABORT = b"\x00\x00\x00\x01", b"\x00\x00\x00\x00"
ATTRIBUTES, IS_CONTROL = 21, 0x20
"""Where a batch of format 2 has its attributes, and the bit of control records."""


@pytest.fixture(autouse=True, params=["raw", "one by one"])
def _installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "raw" and kernel is None:
        pytest.skip(missing() or "")
    with monkeypatch.context() as patch:
        if request.param != "raw":
            patch.setattr(fetching, "missing", lambda: "a test wants it so")
        fetching.install()
        yield
    fetching.install()


def written(base: int, *offsets: int, producer: int = -1, is_transactional: bool = False) -> bytes:
    """A record batch as a broker sends it; an offset that is left out was compacted away."""
    return _batch(base, [(offset, b"k", b"v%d" % offset) for offset in offsets], producer, is_transactional)


def control(offset: int, marker: bytes, producer: int) -> bytes:
    """The end of a transaction."""
    batch = bytearray(_batch(offset, [(offset, marker, b"\x00" * 6)], producer, is_transactional=True))
    attributes = struct.unpack_from(">h", batch, ATTRIBUTES)[0]
    struct.pack_into(">h", batch, ATTRIBUTES, attributes | IS_CONTROL)
    return bytes(batch)


def _batch(base: int, records: list[tuple[int, bytes, bytes]], producer: int, is_transactional: bool) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=int(is_transactional), producer_id=producer, producer_epoch=0,
        base_sequence=0 if is_transactional else -1, batch_size=100_000,
    )  # fmt: skip
    for offset, key, value in records:
        builder.append(offset - base, timestamp=1_000 + offset, key=key, value=value, headers=[("h", b"x")])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base)
    return bytes(built)


def fetched(
    data: bytes, at: int, most: int | None = None, aborted: list[tuple[int, int]] | None = None
) -> list[RawBatch]:
    """Every range of one fetch from ``at`` on, ``most`` records at a time."""
    return list(_ranges(data, at, most, aborted))


def _ranges(data: bytes, at: int, most: int | None, aborted: list[tuple[int, int]] | None) -> Iterator[RawBatch]:
    assignment = Assignment([TP])
    assignment.state_value(TP).seek(at)
    records = fetcher.PartitionRecords(
        TP,
        fetcher.MemoryRecords(data),
        aborted,
        at,
        None,
        None,
        check_crcs=False,
        isolation_level=fetcher.READ_COMMITTED,
    )
    result = fetcher.FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    while result.has_more():
        found = result.getall(most)
        if found:
            yield found.batch


async def test_a_range_is_its_records_from_position_to_position() -> None:
    (batch,) = fetched(written(5, 5, 6, 7), at=5)

    assert (batch.topic, batch.partition, batch.start, batch.next) == ("changes", 3, 5, 8)
    assert batch.offsets.tolist() == [5, 6, 7]
    assert batch.timestamps.tolist() == [1_005, 1_006, 1_007]
    assert (batch.key(0), batch.value(2), batch.headers[1]) == (b"k", b"v7", (("h", b"x"),))


async def test_what_stands_before_the_position_is_left_out() -> None:
    (batch,) = fetched(written(5, 5, 6, 7), at=7)

    assert (batch.start, batch.next, batch.offsets.tolist()) == (7, 8, [7])


async def test_offsets_that_were_compacted_away_are_covered() -> None:
    (batch,) = fetched(written(10, 12, 15), at=4)

    assert (batch.start, batch.next, batch.offsets.tolist()) == (4, 16, [12, 15])


async def test_a_control_record_at_the_end_is_covered() -> None:
    (batch,) = fetched(written(0, 0, 1, producer=7, is_transactional=True) + control(2, COMMIT, 7), at=0)

    assert (batch.start, batch.next, len(batch)) == (0, 3, 2)


async def test_a_range_without_records_is_handed_on_too() -> None:
    (batch,) = fetched(control(2, COMMIT, 7), at=2)

    assert (batch.start, batch.next, len(batch)) == (2, 3, 0)


async def test_an_aborted_transaction_is_covered_and_not_shown() -> None:
    data = written(0, 0, 1, producer=7, is_transactional=True) + control(2, ABORT, 7)

    (batch,) = fetched(data, at=0, aborted=[(7, 0)])

    assert (batch.start, batch.next, len(batch)) == (0, 3, 0)


@pytest.mark.parametrize("most", [1, 2, 3, 5])
async def test_a_fetch_cut_into_pieces_is_one_chain_of_ranges(most: int) -> None:
    data = (
        written(0, 0, 1, producer=7, is_transactional=True) + control(2, COMMIT, 7)
        + written(3, 4) + written(5, 5, 6, 9) + control(10, ABORT, 8)
    )  # fmt: skip

    ranges = fetched(data, at=0, most=most)

    assert [offset for batch in ranges for offset in batch.offsets] == [0, 1, 4, 5, 6, 9]
    assert (ranges[0].start, ranges[-1].next) == (0, 11)
    assert all(before.next == after.start for before, after in pairwise(ranges))
    assert all(len(batch) <= most for batch in ranges)


async def test_a_fetch_from_before_a_seek_is_dropped() -> None:
    assignment = Assignment([TP])
    state = assignment.state_value(TP)
    state.seek(0)
    records = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(written(0, 0, 1)), None, 0, None, None, False, 1)
    result = fetcher.FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    state.seek(1)

    assert not result.getall()
    assert not result.has_more()
    assert state.position == 1
