"""The fold alone: ready arrays in, judged cells and RocksDB writes out.

Two sinks, four source partitions, batches of 256 changes, receipts in records of 100, a fence after each step, and everything
told now and then. The yardstick is one sum over each of those arrays in the same process, so that a ratio means the same on every machine.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from app.adapters.store import RocksStore
from app.config.settings import StateSettings
from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.model import ChangeBatch, Contract, EvidenceBatch, EvidenceKind, SinkTopic
from app.worker.partition import PartitionWorker

TOPIC, LANE = "t", "receipts"
SINKS = ("one", "two")
PARTITIONS = 4
CHANGES_PER_BATCH, RECEIPTS_PER_RECORD = 256, 100
TELL_CHANGES = 50 * CHANGES_PER_BATCH
"""Changes of a partition after which everything is told: a second at 50,000 changes a second."""
MEMORY_BYTES = StateSettings().max_memory_bytes


def changes(start: int, count: int, partition: int) -> ChangeBatch:
    """Upserts, every one of a key of its own."""
    offsets = np.arange(start, start + count, dtype=np.int64)
    hashes = (offsets.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    pairs = np.stack([hashes, hashes ^ np.uint64(0xC2B2AE3D27D4EB4F)], axis=1)
    return ChangeBatch(
        topic=TOPIC,
        partition=partition,
        start=start,
        next=start + count,
        offsets=offsets,
        kinds=np.ones(count, np.uint8),
        ops=np.full(count, ord("c"), np.uint8),
        key_hashes=pairs,
        has_key=np.ones(count, np.bool_),
        fingerprints=hashes.reshape(-1, 1),
        source_ts_ms=offsets,
        timestamps=offsets,
        position_hashes=pairs,
        has_position=np.ones(count, np.bool_),
    )


def receipts(start: int, count: int, partition: int, sinks: tuple[str, ...], record: int) -> EvidenceBatch:
    """Receipts of each sink in packed records, then a fence of each."""
    parts = []
    for number, _ in enumerate(sinks):
        offsets = np.arange(start, start + count, dtype=np.int64)
        parts.append((number, offsets, np.full(count, EvidenceKind.RECEIPT, np.uint8)))
        parts.append((number, np.array([start + count]), np.array([EvidenceKind.FENCE], np.uint8)))
    offsets = np.concatenate([part[1] for part in parts])
    kinds = np.concatenate([part[2] for part in parts])
    names = np.concatenate([np.full(len(part[1]), part[0], np.int32) for part in parts])
    total = len(offsets)
    hashes = (offsets.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    records = record + np.cumsum(np.r_[0, (np.diff(names) != 0) | (np.arange(1, total) % RECEIPTS_PER_RECORD == 0)])
    return EvidenceBatch(
        topic=LANE,
        partition=partition,
        start=record,
        next=int(records[-1]) + 1,
        names=[SinkTopic(sink, TOPIC, partition) for sink in sinks],
        name_index=names,
        records=records.astype(np.int64),
        timestamps=offsets,
        kinds=kinds,
        offsets=offsets,
        statuses=np.zeros(total, np.uint8),
        fingerprints=hashes,
        has_fingerprint=kinds == EvidenceKind.RECEIPT,
        applied_at=offsets,
        sequences=np.zeros(total, np.int64),
        has_sequence=np.zeros(total, np.bool_),
        names_command=np.zeros(total, np.bool_),
        to_offsets=np.full(total, -1, np.int64),
        generations=np.zeros(total, np.int32),
    )


def summed(batch: ChangeBatch | EvidenceBatch) -> float:
    """One sum over each array of a batch: what merely looking at the data costs."""
    arrays = (getattr(batch, name) for name in batch.__slots__)
    return float(sum(array.sum() for array in arrays if isinstance(array, np.ndarray)))


def run(total: int = 262_144, *, standing_still: int = 0) -> dict[str, float]:
    """CPU-µs per change of the fold, with its snapshots and with telling now and then, and of the sums; and the process's memory.

    Args:
        standing_still: open cells of a sink "two" that says nothing while "one" moves; 0: both sinks move.
    """
    moving = SINKS if not standing_still else SINKS[:1]
    fold_s = tell_s = sum_s = 0.0
    with tempfile.TemporaryDirectory() as directory:
        workers = opened(Path(directory))
        first = fill(workers, standing_still)
        tell(workers)
        for start in range(first, first + total // PARTITIONS, CHANGES_PER_BATCH):
            for worker in workers:
                read = changes(start, CHANGES_PER_BATCH, worker.partition)
                said = receipts(start, CHANGES_PER_BATCH, worker.partition, moving, worker.position(LANE) or 0)
                began = time.process_time()
                worker.take([read])
                worker.take([said])
                middle = time.process_time()
                summed(read)
                summed(said)
                fold_s += middle - began
                sum_s += time.process_time() - middle
            if (start - first) % TELL_CHANGES == 0:
                began = time.process_time()
                tell(workers)
                tell_s += time.process_time() - began
        loaded = sum(worker.fold.residents.loaded for worker in workers)
        close(workers)
    return {
        "fold_us_per_change": fold_s / total * 1e6,
        "tell_us_per_change": tell_s / total * 1e6,
        "sums_us_per_change": sum_s / total * 1e6,
        "rss_mb": rss_mb(),
        "segments_loaded": loaded,
    }


def fill(workers: Sequence[PartitionWorker], standing_still: int) -> int:
    """Changes that sink "two" says nothing of, and no batch of what is measured; returns where they end."""
    first = standing_still // len(workers) // CHANGES_PER_BATCH * CHANGES_PER_BATCH
    for worker in workers:
        for start in range(0, first, 8_192):
            count = min(8_192, first - start)
            worker.take([changes(start, count, worker.partition)])
            worker.take([receipts(start, count, worker.partition, SINKS[:1], worker.position(LANE) or 0)])
    return first


def filled(directory: Path, standing_still: int) -> None:
    """Stores with so many open cells, left as a worker that was killed leaves them: with deltas behind the last snapshot."""
    workers = opened(directory)
    fill(workers, standing_still)
    close(workers)


def reload(directory: Path) -> dict[str, float]:
    """Seconds until stores are open and until everything in them was counted and told."""
    began = time.monotonic()
    workers = opened(directory)
    middle = time.monotonic()
    tell(workers)
    found = {"open_s": middle - began, "first_tell_s": time.monotonic() - middle, "rss_mb": rss_mb()}
    close(workers)
    return found


def tell(workers: Sequence[PartitionWorker]) -> None:
    """What a worker tells of its stores every second."""
    for worker in workers:
        for sink, told in zip(worker.fold.sinks.values(), worker.watermarks("benchmark"), strict=True):
            watermarks.expected_from(sink, sink.frontier)
            watermarks.expected_from(sink, told.verified_watermark)
            watermarks.oldest_open_time(sink)
            assert watermarks.difference(sink, sum(told.open_counts)) == 0


def opened(directory: Path) -> list[PartitionWorker]:
    """A store of each partition, with its part of the memory that is there for segments."""
    contracts = [Contract(sink=sink, topics=(TOPIC,)) for sink in SINKS]
    lanes = dict.fromkeys(SINKS, LANE)
    return [
        PartitionWorker(
            partial(PartitionFold, contracts, partition),
            RocksStore(directory / str(partition)),
            lanes,
            memory_bytes=MEMORY_BYTES // PARTITIONS,
        )
        for partition in range(PARTITIONS)
    ]


def close(workers: Sequence[PartitionWorker]) -> None:
    """Their stores."""
    for worker in workers:
        worker.store.close()


def rss_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
