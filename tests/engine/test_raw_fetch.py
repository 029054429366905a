"""What the kernel makes of a fetch is what aiokafka makes of it, record by record; and what only it has to decide."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cramjam
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from app.native import kernel, missing
from tests.kernel.batches import TP, ranges, read, rows
from tests.kernel.written import (
    ABORT,
    ATTRIBUTES,
    BODY,
    CODECS,
    COMMIT,
    COUNT,
    LENGTH,
    Batch,
    control,
    plain_snappy,
    signed,
    some_log,
    with_body,
)  # fmt: skip
from topologies import fetching, raw_fetch, unpacking
from topologies.raw_fetch import RawMemory, RawRecords

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

HEADERS = (("h", b"x"), ("größe", None), ("", b""))


@pytest.fixture(autouse=True)
def _installed() -> None:
    fetching.install()


def plain(base: int, *offsets: int, **more: Any) -> Batch:
    """A batch of records with keys, null keys and headers."""
    return Batch(
        rows=[(o, None if o % 3 == 0 else b"k%d" % o, b"v" * o, HEADERS[: o % 4]) for o in offsets], base=base, **more
    )


def in_transaction(base: int, *offsets: int, **more: Any) -> Batch:
    return plain(base, *offsets, producer=7, is_transactional=True, **more)


CASES: dict[str, tuple[Sequence[Batch], int, list[tuple[int, int]]]] = {
    "from its beginning": ([plain(5, 5, 6, 7), plain(8, 8)], 5, []),
    "from the middle of a batch": ([plain(5, 5, 6, 7)], 6, []),
    "from behind its last record": ([plain(5, 5, last=9)], 7, []),
    "compacted within": ([plain(5, 6, 9), plain(12, 14)], 5, []),
    "compacted at its end": ([plain(5, 5, last=11)], 5, []),
    "an empty batch between": ([plain(5, 5), Batch(rows=[], base=6, last=9), plain(10, 10)], 5, []),
    "only an empty batch": ([Batch(rows=[], base=5, last=9)], 5, []),
    "a transaction committed": ([in_transaction(5, 5, 6), control(7, COMMIT, 7), plain(8, 8)], 5, []),
    "a transaction aborted": ([in_transaction(5, 5, 6), control(7, ABORT, 7), in_transaction(8, 8)], 5, [(7, 5)]),
    "aborted beside others": ([in_transaction(5, 5), plain(6, 6), control(7, ABORT, 7), plain(8, 8)], 5, [(7, 5)]),
    "aborted twice": (
        [in_transaction(5, 5), control(6, ABORT, 7), in_transaction(7, 7), control(8, ABORT, 7)], 5, [(7, 7), (7, 5)],
    ),
    "aborted from the middle of a batch": ([in_transaction(5, 5, 6), control(7, ABORT, 7)], 6, [(7, 5)]),
    "only the end of a transaction": ([control(5, ABORT, 7)], 5, [(7, 3)]),
    "timestamps of the broker": ([plain(5, 5, 6, append_ms=1 << 41), plain(7, 7)], 5, []),
}  # fmt: skip


def both(data: bytes, at: int, aborted: list[tuple[int, int]], **more: Any) -> tuple[Any, Any]:
    """What the kernel reads, and what aiokafka does."""
    return read(ranges(data, at, aborted, is_raw=True, **more)), read(ranges(data, at, aborted, is_raw=False, **more))


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "uncommitted"])
@pytest.mark.parametrize("codec", [*CODECS, "plain snappy"])
@pytest.mark.parametrize("case", CASES)
async def test_what_is_read_is_what_aiokafka_reads(case: str, codec: str, is_committed: bool) -> None:
    batches, at, aborted = CASES[case]
    number = CODECS[codec.rsplit(maxsplit=1)[-1]]
    data = b"".join(
        batch.bytes() if batch.is_control or not batch.rows
        else plain_snappy(replace(batch, codec=number)) if codec == "plain snappy"
        else replace(batch, codec=number).bytes()
        for batch in batches
    )  # fmt: skip

    ours, theirs = both(data, at, aborted, is_committed=is_committed)

    assert ours == theirs
    assert ours[1] == [(at, batches[-1].next)]


@pytest.mark.parametrize("seed", range(50))
async def test_what_is_read_of_any_log_is_what_aiokafka_reads(seed: int) -> None:
    chance = random.Random(seed)
    log = some_log(chance)

    ours, theirs = both(
        log.data, chance.randrange(log.start, log.first_next), log.aborted, is_committed=chance.random() < 0.7
    )

    assert ours == theirs


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(10))
async def test_a_fetch_cut_into_pieces_is_one_chain_with_the_same_records(seed: int, most: int) -> None:
    log = some_log(random.Random(seed))
    (whole,), at = list(ranges(log.data, log.start, log.aborted, is_raw=True)), log.start

    pieces = list(ranges(log.data, at, log.aborted, is_raw=True, most=most))

    assert [row for piece in pieces for row in rows(piece)] == rows(whole)
    assert (pieces[0].start, pieces[-1].next) == (whole.start, whole.next)
    assert all(before.next == after.start for before, after in pairwise(pieces))
    assert all(len(piece) <= most for piece in pieces)


@pytest.mark.parametrize("codec", ["none", "zstd"])
async def test_a_range_ends_at_its_bounds_and_what_is_left_waits(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(
        Batch(rows=[(o, None, bytes(1_000), ()) for o in range(b, b + 10)], base=b, codec=CODECS[codec]).bytes()
        for b in range(0, 60, 10)
    )
    monkeypatch.setattr(raw_fetch, "RANGE_RECORDS", 25)
    by_records = list(ranges(data, 0, is_raw=True))
    monkeypatch.setattr(raw_fetch, "RANGE_BYTES", 5_000)
    by_bytes = list(ranges(data, 0, is_raw=True))

    for found, most, most_bytes in ((by_records, 25, 30_000), (by_bytes, 5, 6_100)):
        assert [o for batch in found for o in batch.offsets] == list(range(60))
        assert max(map(len, found)) == most
        assert all(before.next == after.start for before, after in pairwise(found))
        assert all(sum(batch.value_sizes) <= most_bytes for batch in found)
    assert all(len(batch.buffer) < 7_000 for batch in by_bytes)  # each has its own part


async def test_a_batch_that_is_cut_off_is_left_for_the_next_fetch() -> None:
    whole, next_ = plain(5, 5, 6), plain(7, 7, 8).bytes()

    for size in range(len(next_)):
        assert read(ranges(whole.bytes() + next_[:size], 5, is_raw=True))[1] == [(5, 7)]
        assert not list(ranges(next_[:size], 7, is_raw=True))


def older(magic: int, *offsets: int) -> bytes:
    """Records as they were written before Kafka 0.11."""
    found = b""
    for offset in offsets:
        builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=10_000)
        builder.append(0, 1_000, b"k", b"v")
        found += struct.pack(">q", offset) + bytes(builder.build())[8:]
    return found


@pytest.mark.parametrize("magic", [0, 1])
async def test_batches_of_older_formats_are_left_to_aiokafka(magic: int) -> None:
    ours, theirs = both(older(magic, 5, 6, 7), 6, [])

    assert ours == theirs
    assert ours[1] == [(6, 8)]


async def test_batches_of_older_and_newer_formats_are_told_apart() -> None:
    new = plain(7, 7, 8).bytes()

    assert read(ranges(older(1, 5, 6) + new, 5, is_raw=True))[1] == [(5, 7)]  # the next fetch begins with the newer
    assert read(ranges(new + older(1, 9), 7, is_raw=True))[1] == [(7, 9)]


def _with(batch: Batch, place: int, layout: str, value: int) -> bytes:
    built = bytearray(batch.bytes())
    struct.pack_into(layout, built, place, value)
    return signed(built)


DAMAGED = {
    "checksum": (plain(9, 9).bytes()[:-1] + b"\x01", "checksum"),
    "shorter than its header": (_with(plain(9, 9), LENGTH, ">i", 20), "shorter than its header"),
    "a length below zero": (_with(plain(9, 9), LENGTH, ">i", -20), "shorter than its header"),
    "too many records": (_with(plain(9, 9, last=99), COUNT, ">i", 50), "than its bytes can hold"),
    "more records than offsets": (_with(plain(9, 9), COUNT, ">i", 2), "than offsets"),
    "fewer records": (_with(plain(9, 9, 10), COUNT, ">i", 1), "bytes follow its last record"),
    "offsets that go back": (plain(5, 5).bytes(), "do not follow"),
    "a format of tomorrow": (_with(plain(9, 9), 16, ">b", 3), "another format than 2"),
    "a codec of nobody": (_with(plain(9, 9), ATTRIBUTES, ">h", 5), "codec is number 5"),
    "a body that is no zstd": (_with(plain(9, 9), ATTRIBUTES, ">h", 4), "can't be decompressed"),
    "a record that is none": (with_body(plain(9, 9).bytes(), b"\x7f" * 20), "not well formed"),
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_batch_is_told_with_its_place_and_what_to_do(name: str) -> None:
    data, told = DAMAGED[name]

    with pytest.raises(CorruptRecordException, match=told) as raised:
        list(ranges(plain(5, 5, 6, 7, 8).bytes() + data, 5, is_raw=True))

    assert "changes:3: the record batch at offset " in str(raised.value)
    assert "kafka-delete-records.sh" in str(raised.value)


async def test_a_damaged_fetch_is_thrown_away_and_its_position_stays() -> None:
    assignment = Assignment([TP])
    state = assignment.state_value(TP)
    state.seek(5)
    data = plain(5, 5).bytes()[:-1] + b"\x01"
    records = RawRecords(TP, RawMemory(data), None, 5, None, None, True, fetcher.READ_COMMITTED)
    result = fetching.RawFetchResult(TP, assignment=assignment, partition_records=records, backoff=0)

    with pytest.raises(CorruptRecordException):
        result.getall()

    assert not result.has_more()
    assert state.position == 5


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd", "snappy", "plain snappy"])
async def test_a_batch_that_grows_beyond_all_measure_is_an_error_and_fills_no_memory(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_fetch, "BATCH_BYTES", 1 << 20)
    monkeypatch.setattr(raw_fetch, "RANGE_BYTES", 1 << 20)
    bomb = Batch(rows=[(0, None, bytes(1 << 25), ())], base=0, codec=CODECS[codec.rsplit(maxsplit=1)[-1]])
    data = plain_snappy(bomb) if codec == "plain snappy" else bomb.bytes()

    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordException, match=r"changes:3.*offset 0.*1048576 bytes"):
            list(ranges(data, 0, is_raw=True))
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


async def test_javas_snappy_is_read_in_frames_of_any_size() -> None:
    batch = plain(5, *range(5, 40))
    body = batch.bytes()[BODY:]
    for size in (1, 100, 32_768):
        frames = [bytes(cramjam.snappy.compress_raw(body[at : at + size])) for at in range(0, len(body), size)]
        framed = unpacking.XERIAL + bytes(8) + b"".join(struct.pack(">i", len(f)) + f for f in frames)
        data = with_body(replace(batch, codec=CODECS["snappy"]).bytes(), framed)

        assert read(ranges(data, 5, is_raw=True)) == read(ranges(batch.bytes(), 5, is_raw=True))


async def test_a_batch_that_compaction_has_emptied_needs_no_body() -> None:
    data = signed(replace(plain(5, last=9), codec=CODECS["zstd"]).bytes()) + control(10, COMMIT, 7).bytes()
    emptied = bytearray(Batch(rows=[], base=11, last=11, producer=7, is_transactional=True, is_control=True).bytes())

    assert read(ranges(data + bytes(emptied), 5, [(7, 1)], is_raw=True)) == ([], [(5, 12)])


async def test_a_headers_name_that_is_no_text_is_repaired_as_java_does_it() -> None:
    data = bytearray(Batch(rows=[(0, None, b"v", [("hh", b"x")])], base=0).bytes())
    place = data.rindex(b"hh")
    data[place] = 0xFF

    (batch,) = ranges(signed(data), 0, is_raw=True)

    assert batch.headers[0] == (("\ufffdh", b"x"),)


async def test_headers_are_a_mapping_of_the_rows_that_have_any() -> None:
    (batch,) = ranges(plain(4, 4, 5, 6, 7).bytes(), 4, is_raw=True)

    assert dict(batch.headers) == {1: HEADERS[:1], 2: HEADERS[:2], 3: HEADERS}
    assert len(batch.headers) == 3
    assert batch.headers.get(0, ()) == ()
    assert 4 not in batch.headers


@pytest.fixture(params=[True, False], ids=["raw", "one by one"])
async def waiting(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fetch that came just now and waits to be taken."""
    assignment = Assignment([TP])
    assignment.state_value(TP).seek(5)
    make, memory, result = (
        (RawRecords, RawMemory, fetching.RawFetchResult) if request.param
        else (fetching._stock_records, fetching._stock_memory, fetching.RangedFetchResult)
    )  # fmt: skip
    records = make(TP, memory(plain(5, 5).bytes()), None, 5, None, None, True, fetcher.READ_COMMITTED)
    return result(TP, assignment=assignment, partition_records=records, backoff=60)


async def test_what_is_held_stays_and_stops_nobody_else(waiting: Any) -> None:
    held = {TP}
    fetching.hold(waiting._assignment, held.__contains__)

    assert not waiting.getall()
    assert waiting.has_more()
    assert waiting.calculate_backoff() == 0

    held.clear()
    assert waiting.calculate_backoff() > 0
    assert waiting.getall().batch.next == 6
    assert not waiting.has_more()


async def test_what_was_put_back_is_fetched_again(waiting: Any) -> None:
    found = waiting.getall()
    found.put_back()

    assert (found.state.position, found.has_jumped, len(found)) == (5, False, 1)
