"""Sinks of a recording whose rows nobody can look at: what their committed offsets say, and what they don't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.model import RawRecord
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, encode_mark
from tests.unit.worker.test_recorded_stores import Small

PLAIN = """
[source]
topics = ["shop.orders"]
[sinks.s]
connector = "s"
"""
MARK_ID = 51


class Passed(Small):
    """A recording of three changes on partition 0, of which the group had committed two, and one on partition 1."""

    def __init__(self, place: Path, config: str = PLAIN) -> None:
        super().__init__(place)
        self.config = config
        self.schemas[MARK_ID] = json.loads(SCHEMAS["SinkMark"])
        self.changes((1, "a", "c"), (2, "b", "c"), (3, "c", "c")).changes((4, "d", "c"), partition=1)
        self.progress = {("shop.orders", 0): 2}

    def fence(self, offset: int, topic: str = "receipts") -> Passed:
        """One that the recording holds."""
        mark = Mark(sink="s", topic="shop.orders", partition=0, kind=MarkKind.FENCE, offset=offset, at=1)
        log = self.logs.setdefault(topic, [])
        log.append((0, RawRecord(len(log), 1, None, encode_mark(mark, MARK_ID))))
        return self

    def counts(self) -> dict[int, dict[str, int]]:
        """By partition, the cells of each state."""
        return {line["partition"]: line["counts"] for line in self.sinks()}

    def sinks(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["kind"] == "sink"]


@pytest.fixture
def passed(tmp_path: Path) -> Passed:
    return Passed(tmp_path)


def test_what_a_sink_without_a_store_has_passed_is_attempted_and_the_rest_is_pending(passed: Passed) -> None:
    """Of partition 1 the group has no offset: that is no progress, and no lag of 0 either."""
    assert passed.counts() == {0: {"attempted": 2, "pending": 1}, 1: {"pending": 1}}
    assert [line["frontier"] for line in passed.sinks()] == [2, 0]


def test_why_its_rows_are_not_compared_stands_beside_it(passed: Passed) -> None:
    told, untold = passed.sinks()

    assert told["rows"] == "not compared: the contract names no recorded tables and no change log"
    assert told["fences"] == "by the recorded progress"
    assert "rows" not in untold
    assert "fences" not in untold


def test_a_sink_that_appends_is_said_to(passed: Passed) -> None:
    passed.config += 'writes = "append"\n'

    assert passed.sinks()[0]["rows"] == "not compared: it appends, and keeps no row by the key of a change"
    assert passed.counts()[0] == {"attempted": 2, "pending": 1}


def test_a_group_that_the_recording_does_not_know_has_passed_nothing(passed: Passed) -> None:
    passed.config = passed.config.replace('connector = "s"', 'group = "another"')

    assert passed.counts() == {0: {"pending": 3}, 1: {"pending": 1}}


def test_a_progress_beyond_the_recording_counts_as_its_end(passed: Passed) -> None:
    passed.progress["shop.orders", 0] = 9

    assert passed.counts()[0] == {"attempted": 3}
    assert passed.sinks()[0]["frontier"] == 3


def test_a_partition_that_the_recording_does_not_hold_makes_no_cells(passed: Passed) -> None:
    passed.progress["shop.orders", 7] = 4

    assert set(passed.counts()) == {0, 1}


def test_a_change_log_without_any_record_leaves_the_progress(passed: Passed) -> None:
    """Its connector has begun, and told nothing yet."""
    passed.logs["log.orders"] = []
    passed.config += 'change_log = ["log.orders"]\ntable_name = "${source.table}"\n'

    assert passed.counts()[0] == {"attempted": 2, "pending": 1}
    assert passed.sinks()[0]["rows"] == "not compared: the change log has no records of orders"


def test_a_sink_that_writes_receipts_is_fenced_by_nobody_else(passed: Passed) -> None:
    """Its receipts may come long after its commits: a fence at those would call what was applied missing."""
    passed.receipts((0, 5))
    for fences in ("progress", "emitter", "receipts"):
        passed.config = passed.config.replace('fences = "progress"', f'fences = "{fences}"')

        assert passed.counts()[0] == {"delivered": 1, "pending": 2}
        assert all("fences" not in line for line in passed.sinks())


def test_nor_where_only_its_progress_is_asked_for(passed: Passed) -> None:
    passed.receipts((0, 5)).config += 'evidence = "progress"\n'

    assert passed.counts()[0] == {"delivered": 1, "pending": 2}


def test_a_lane_that_has_fences_is_read_by_them(passed: Passed) -> None:
    """The recording holds what the probe wrote: that saw more than the offsets."""
    passed.fence(1, "cdc-verifier.lane.3")

    assert passed.counts()[0] == {"attempted": 1, "pending": 2}
    assert all("fences" not in line for line in passed.sinks())


def test_dead_letters_stand_before_the_recorded_progress(passed: Passed) -> None:
    headers = tuple(
        (f"__connect.errors.{name}", value.encode())
        for name, value in (("topic", "shop.orders"), ("partition", "0"), ("offset", "1"), ("connector.name", "s"))
    )
    passed.logs["dead"] = [(0, RawRecord(0, 9_000, None, b"", headers))]
    passed.config += 'dead_letters = ["dead"]\n'

    assert passed.states() == {(0, 1): "rejected", (0, 2): "pending", (1, 0): "pending"}
    assert passed.counts()[0] == {"rejected": 1, "attempted": 1, "pending": 1}
