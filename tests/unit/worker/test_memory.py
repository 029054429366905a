"""A sink that stands still, and memory that has a limit."""

from __future__ import annotations

import numpy as np

from app.adapters.store import MemoryStore
from app.ledger import blocks, counting, watermarks
from app.ledger.partition import PartitionFold
from app.model import SEGMENT_OFFSETS, TAIL_OFFSETS, ChangeBatch, Contract, SinkTopic, State
from app.testing import Row, evidence_batch, fence
from app.worker.memory import Memory
from app.worker.partition import PartitionWorker

LANE = "lane"
LIMIT = 4 << 20
OPEN = 2_000_000
PER_BATCH = 65_536


def changes(start: int, count: int) -> ChangeBatch:
    """Upserts, every one of a key of its own."""
    offsets = np.arange(start, start + count, dtype=np.int64)
    hashes = (offsets.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return ChangeBatch(
        topic="t", partition=0, start=start, next=start + count, offsets=offsets,
        kinds=np.ones(count, np.uint8), ops=np.full(count, ord("c"), np.uint8),
        key_hashes=np.stack([hashes, ~hashes], axis=1), has_key=np.ones(count, np.bool_),
        fingerprints=hashes.reshape(-1, 1), source_ts_ms=offsets, timestamps=offsets,
        position_hashes=np.zeros((count, 2), np.uint64), has_position=np.zeros(count, np.bool_),
    )  # fmt: skip


def opened(store: MemoryStore, memory_bytes: int | None = LIMIT) -> PartitionWorker:
    contracts = [
        Contract(sink="moving", topics=("t",), evidence="progress"),
        Contract(sink="late", topics=("t",), evidence="progress"),
        Contract(sink="still", topics=("t",)),
    ]
    lanes = dict.fromkeys(("moving", "late", "still"), LANE)
    return PartitionWorker(lambda: PartitionFold(contracts, 0), store, lanes, memory_bytes=memory_bytes)


def said(worker: PartitionWorker, *rows: tuple[str, Row]) -> None:
    """Rows of sinks, next in the lane."""
    batch = evidence_batch(
        [(SinkTopic(sink, "t", 0), row) for sink, row in rows], LANE, start=worker.position(LANE) or 0
    )
    worker.take([batch])


def run(worker: PartitionWorker, end: int) -> None:
    """Changes up to an end, each batch fenced by one sink and not by the other."""
    for start in range(worker.position("t") or 0, end, PER_BATCH):
        stop = min(start + PER_BATCH, end)
        worker.take([changes(start, stop - start)])
        said(worker, ("moving", fence(stop)))
        assert worker.fold.residents.bytes <= LIMIT


def test_memory_stays_within_its_limit_while_a_sink_stands_still_for_two_million_changes() -> None:
    worker = opened(MemoryStore())

    run(worker, OPEN)

    sink = worker.fold.sinks["still", "t"]
    assert int(watermarks.open_counts(sink)[State.PENDING]) == OPEN
    assert watermarks.difference(sink) == 0
    Memory(LIMIT).share([worker])  # as every tick does
    assert worker.fold.residents.bytes <= LIMIT


def test_a_worker_that_starts_again_reads_the_last_positions_and_judges_on() -> None:
    store = MemoryStore()
    run(opened(store), OPEN)

    worker = opened(store)
    loaded = worker.fold.residents.loaded
    said(worker, *(("still", Row(offset=offset, content=None)) for offset in (5, 1_000_000)))
    said(worker, ("still", fence(6)))
    worker.snapshot()

    sink = worker.fold.sinks["still", "t"]
    assert loaded <= 2 * TAIL_OFFSETS // SEGMENT_OFFSETS
    assert (watermarks.settled_watermark(sink), len(sink.stragglers)) == (0, 5)
    assert int(watermarks.open_counts(sink)[State.MISSING]) == 5
    assert int(watermarks.open_counts(sink)[State.DELIVERED]) == 1
    assert watermarks.difference(sink) == 0
    assert worker.fold.residents.bytes <= LIMIT


def test_one_fence_over_all_that_was_left_open_judges_it_in_pieces() -> None:
    worker = opened(MemoryStore())
    end = 100 * SEGMENT_OFFSETS + 7
    run(worker, end)

    said(worker, ("late", fence(end - 1)))

    sink = worker.fold.sinks["late", "t"]
    assert int(sink.tally.closed[State.ATTEMPTED]) == end - 1
    assert int(watermarks.open_counts(sink)[State.PENDING]) == 1
    assert worker.fold.residents.bytes <= LIMIT


def test_after_a_start_open_cells_are_counted_a_few_segments_at_a_time_and_then_only_where_something_was_written() -> (
    None
):
    store = MemoryStore()
    run(opened(store), 100 * SEGMENT_OFFSETS)
    worker = opened(store)
    sink = worker.fold.sinks["still", "t"]

    assert [counting.count(sink, 40) for _ in range(3)] == [False, False, True]
    loaded = worker.fold.residents.loaded
    worker.take([changes(100 * SEGMENT_OFFSETS, 10)])
    counts = watermarks.open_counts(sink)

    assert int(counts[State.PENDING]) == 100 * SEGMENT_OFFSETS + 10
    assert worker.fold.residents.loaded == loaded


def test_the_limit_is_divided_among_the_stores_that_are_open() -> None:
    workers = [opened(MemoryStore()), opened(MemoryStore())]
    for worker in workers:
        run(worker, 4 * PER_BATCH)
    memory = Memory(LIMIT)

    memory.share(workers)
    used, loaded = memory.used(workers)

    assert used <= LIMIT
    assert loaded == 0
    assert {worker.fold.residents.limit for worker in workers} == {LIMIT // 2}


def test_a_store_of_a_version_that_did_not_write_down_its_segments_is_read() -> None:
    """Nor had it columns of what is told of bad cells: they were objects in the header."""
    store = MemoryStore()
    worker = opened(store)
    run(worker, 10_000)
    said(worker, ("still", Row(offset=3, content=None)), ("still", fence(5)))
    worker.snapshot()
    now = blocks.pack_sink(worker.fold.sinks["still", "t"])
    for key in [key for key in store.data if key.startswith((b's["c",', b's["k",'))]:
        store.data[key] = downgraded(store.data[key])

    worker = opened(store)

    sink = worker.fold.sinks["still", "t"]
    assert (list(sink.changes.segments), list(sink.cells)) == ([0, 1, 2], [0])
    assert blocks.pack_sink(sink) == now


def downgraded(block: bytes) -> bytes:
    """A block of a source or a sink as version 0.1 wrote it."""
    header, arrays = blocks.unpack(block)
    del header["segments"], header["arrays"], header["version"]
    columns = {name: arrays.pop(name) for name in list(arrays) if name.startswith("straggler_")}
    if columns:
        header |= {
            name: arrays.pop(name).tolist() for name in ("verified_stop", "truncates", "orphans", "unsealed", "dirty")
        }
        commands = [*header.pop("commands"), None]
        header["stragglers"] = [straggler(columns, row, commands) for row in range(len(columns["straggler_offset"]))]
    return blocks.pack(header, arrays)


def straggler(columns: dict[str, np.ndarray], row: int, commands: list[str | None]) -> dict:
    values = {name.removeprefix("straggler_"): column for name, column in columns.items()}
    key = values.pop("key").tobytes()[16 * row : 16 * row + 16]
    told = {name: column[row].item() for name, column in values.items()}
    own = {name: told.pop(name) for name in ("offset", "kind", "state", "flags")}
    del told["has_key"]
    return own | {"key": key.hex(), "command": commands[told.pop("command")], "later": told}
