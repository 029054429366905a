"""Evidence about a change that was forgotten: it is read again, and judged by itself."""

from __future__ import annotations

import asyncio

from app.adapters.store import MemoryStore
from app.ledger.partition import PartitionFold
from app.model import TAIL_OFFSETS, ChangeKind, Contract, EvidenceKind, RawBatch, ReceiptStatus, SinkTopic
from app.model.effects import Contradicted, Orphan
from app.testing import Change, Row, change_batch, evidence_batch, fence
from app.worker.partition import PartitionWorker
from app.worker.rereading import Rereader

NAME = SinkTopic("s", "t", 0)
FAR = TAIL_OFFSETS + 10_000
CHANGES = [
    Change(offset=0, key="a", content=1),
    Change(offset=2, key="b", kind=ChangeKind.DELETE),
    Change(offset=3, key="c", content=4),
    Change(offset=FAR, key="d", content=9),
]


def opened(store) -> PartitionWorker:
    return PartitionWorker(
        lambda: PartitionFold([Contract(sink="s", topics=("t",))], 0), store, {"s": "receipts"}, snapshot_rows=1
    )


def said(*rows, start=0):
    return evidence_batch([(NAME, row) for row in rows], start=start)


def judged(store) -> PartitionWorker:
    """A worker that has closed everything and forgotten what lies far below the fence."""
    worker = opened(store)
    worker.take([change_batch(CHANGES)])
    good = (
        Row(offset=0, content=1),
        Row(offset=2, status=ReceiptStatus.DELETED, content=None),
        Row(offset=3, content=4),
    )
    worker.take([said(*good, Row(offset=FAR, content=9), fence(FAR + 1))])
    assert 0 not in worker.fold.changes["t"].segments
    return worker


def findings(worker):
    kinds = (Contradicted, Orphan)
    return [(type(e).__name__, e.offset, e.origin.offset) for _, e in worker.outbox(100) if isinstance(e, kinds)]


def rows(worker):
    return {name: count for name, count in worker.fold.sinks["s", "t"].tally.rows.items() if count and name != "marks"}


LATE = (
    Row(offset=0, content=1),  # agrees
    Row(offset=0, content=7),  # differs
    Row(offset=1, content=7),  # no change
    Row(offset=2, content=7),  # wrong kind
    Row(offset=3, content=8),  # differs
)


def test_a_rebuild_below_what_is_held_makes_no_orphans_of_changes_that_were_forgotten():
    """They keep their verdicts; what is said of them now is judged by itself, over a restart, too."""
    store = MemoryStore()
    worker = judged(store)
    start = Row(offset=0, kind=EvidenceKind.START, generation=1)
    worker.take([said(start, *LATE[:3], Row(offset=FAR, content=9), start=5)])
    again = opened(store)

    assert list(again.fold.far()) == [("t", 0)]
    assert findings(again) == []

    again.read_again(change_batch(CHANGES[:3], start=0, end=4), earliest=0)
    assert findings(again) == [("Contradicted", 0, 7), ("Orphan", 1, 8)]


def test_evidence_about_a_forgotten_change_waits_until_it_was_read_again_also_over_a_restart():
    store = MemoryStore()
    worker = judged(store)
    worker.take([said(*LATE, start=5)])
    again = opened(store)

    assert list(again.fold.far()) == [("t", 0)]
    assert findings(again) == []

    again.read_again(change_batch(CHANGES[:3], start=0, end=3), earliest=0)

    assert findings(again) == [("Contradicted", 0, 6), ("Orphan", 1, 7), ("Contradicted", 2, 8)]
    assert list(again.fold.far()) == [("t", 3)]

    again.read_again(change_batch(CHANGES[2:3], start=3, end=4), earliest=0)

    assert findings(opened(store))[3:] == [("Contradicted", 3, 9)]
    assert rows(opened(store)) == {"cells": 4, "after_closing": 4, "orphans": 1}


def test_where_the_change_is_gone_the_evidence_is_too_late():
    worker = judged(MemoryStore())
    worker.take([said(*LATE, start=5)])
    worker.read_again(change_batch([], start=3, end=3), earliest=3)

    assert rows(worker) == {"cells": 4, "too_late": 4}
    assert list(worker.fold.far()) == [("t", 3)]


def test_stretches_are_read_one_after_the_other_and_a_store_that_left_gets_none():
    worker, left = judged(MemoryStore()), judged(MemoryStore())
    for one in (worker, left):
        one.take([said(*LATE, start=5)])
    asked = []

    def read(topic, partition, offset):
        asked.append((topic, partition, offset))
        return 0, RawBatch.of(topic, partition, [], offset, offset + 2)

    async def decode(raw):
        return change_batch([c for c in CHANGES if raw.start <= c.offset < raw.next], start=raw.start, end=raw.next)

    async def run() -> None:
        reader = Rereader(read, decode)
        await reader.advance({"left": left})
        async with asyncio.timeout(10):
            while len(asked) < 3 or worker.fold.sinks["s", "t"].far:
                await reader.advance({"here": worker})
                await asyncio.sleep(0)

    asyncio.run(run())

    assert asked == [("t", 0, 0), ("t", 0, 0), ("t", 0, 2)]
    assert [name for name, *_ in findings(worker)] == ["Contradicted", "Orphan", "Contradicted", "Contradicted"]
    assert findings(left) == []
