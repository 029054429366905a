"""How old the newest change below a watermark and the oldest open cell are: what the lags on the metrics page are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.ledger import watermarks
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import NO_TIME, ChangeKind, Contract
from app.testing import Change, change_batch

RECORDED_AT = 1_700_000_000_000
"""When the first record was written, ms; each later one a second after the one before."""


@pytest.fixture
def sink() -> SinkPartition:
    """An upsert, a delete, and what has no source time: the delete's tombstone and a record that nobody can read."""
    kinds = [ChangeKind.UPSERT, ChangeKind.DELETE, ChangeKind.TOMBSTONE, ChangeKind.UNREADABLE]
    batch = change_batch([Change(offset=offset, key="a", kind=kind) for offset, kind in enumerate(kinds)])
    fold = PartitionFold([Contract(sink="s", topics=("t",))], 0)
    fold.take_changes(
        replace(
            batch,
            source_ts_ms=np.array([RECORDED_AT - 500, RECORDED_AT + 500, NO_TIME, NO_TIME]),
            timestamps=RECORDED_AT + 1_000 * np.arange(4),
        )
    )
    return fold.sinks["s", "t"]


def test_a_changes_own_time_is_its_sources(sink: SinkPartition) -> None:
    assert watermarks.source_time(sink, 2) == RECORDED_AT + 500
    assert watermarks.oldest_open_time(sink) == RECORDED_AT - 500


@pytest.mark.parametrize(("offset", "seconds"), [(2, 2), (3, 3)], ids=["tombstone", "unreadable"])
def test_what_has_no_source_time_has_its_records(sink: SinkPartition, offset: int, seconds: int) -> None:
    assert watermarks.source_time(sink, offset + 1) == RECORDED_AT + 1_000 * seconds
    sink.fence = offset

    assert watermarks.oldest_open_time(sink) == RECORDED_AT + 1_000 * seconds
