"""The sink's own change log before a fence: what it shows arrived, what it is silent about is waited for, and nobody is convicted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.decode.images import ImageDecoder
from app.errors import NotYet
from app.evidence.tables import StoreTerms
from app.model import EvidenceKind, RawBatch, RawRecord
from app.testing import Row
from app.worker.log_walk import KIND, LoggedSink, LogWalk
from app.worker.ports import Input
from app.worker.sink_log import SinkLog
from cdc_receipts.codec import Receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, framed
from tests.unit.worker.test_readback import KEY, KEY_ID, SOURCE, VALUE, VALUE_ID, WRITERS, World, delete, upsert

WAIT_S = 30.0


class LogWorld(World):
    """A source partition, and the change log of a sink's database with one record for each of its writes."""

    def __init__(self, *changes: tuple[int, str, Any], partitions: int = 1, most: int = 1_000, **terms: Any) -> None:
        rest = {name: terms.pop(name) for name in ("evidence", "redelivery") if name in terms}
        super().__init__(*changes, **rest)
        self.now = 0.0
        self.log: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self.told = [0] * partitions
        self.begun: set[int] = set()
        self.written = 0
        self.terms = StoreTerms(**terms)
        self.restarts(most)

    def restarts(self, most: int = 1_000) -> None:
        """The worker that looks is another one."""
        self.begun.clear()
        sink_log = SinkLog(ImageDecoder(WRITERS, UNAVAILABLE_VALUE), most)
        reader: Any = SimpleNamespace(ends=self.ends, read=self.read_log)
        self.walk = LogWalk(
            "s", self.terms, LoggedSink(reader, sink_log, self._no_schemas), self, ImageDecoder(WRITERS, UNAVAILABLE_VALUE),
            self._no_schemas, WAIT_S, lambda: self.now,
        )  # fmt: skip

    def writes(self, *rows: tuple[int, str, Any], partition: int = 0, op: str = "", lsn: int | None = None) -> None:
        """The sink writes rows, and its log tells: each in a transaction of its own, a second after the one before."""
        for key, kind, after in rows:
            self.written += 1
            source = {"table": "t", "ts_ms": 1_000 * self.written, "lsn": self.written if lsn is None else lsn}
            value = framed(VALUE, change(op or kind, after, source), VALUE_ID)
            self.tells(framed(KEY, {"id": key}, KEY_ID), value, partition)

    def tells(self, key: bytes | None, value: bytes, partition: int = 0) -> None:
        """Any record of the log."""
        log = self.log[partition]
        log.append(RawRecord(len(log), 0, key, value))

    def walks(self, below: int, *, has_bad: bool = False) -> list[Receipt]:
        """Look at the log, put what is said and a fence into the lane, and judge."""
        said = asyncio.run(self.walk.look(self.sink, SOURCE, below, has_bad=has_bad))
        self.says(said, below)
        return said

    # what the walk asks

    def ends(self) -> Mapping[Input, int]:
        return {Input("log", number): len(log) for number, log in enumerate(self.log)}

    def read_log(self, ends: Mapping[Input, int]) -> Sequence[RawBatch]:
        found = []
        for (_, number), end in ends.items():
            if number not in self.begun:
                self.begun.add(number)
                self.told[number] = 0
                found.append(RawBatch.of("log", number, [], 0, 0))
            elif self.told[number] < end:
                found.append(
                    RawBatch.of("log", number, self.log[number][self.told[number] : end], self.told[number], end)
                )
                self.told[number] = end
        return found


def test_every_write_that_the_log_shows_is_delivered_with_the_time_at_which_the_sink_wrote_it() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), delete(2))
    world.writes(upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), delete(2))

    said = world.walks(4)

    assert set(world.states().values()) == {"delivered"}
    assert [(one.offset, one.applied_at, one.evidence) for one in said] == [
        (0, 1_000, KIND), (1, 2_000, KIND), (2, 3_000, KIND), (3, 4_000, KIND),
    ]  # fmt: skip
    assert world.flags() == set()


def test_the_content_of_a_whole_row_is_its_changes_fingerprint() -> None:
    world = LogWorld(upsert(1, "a"))
    world.writes(upsert(1, "a"))

    (said,) = world.walks(1)

    assert said.fingerprint is not None
    assert int.from_bytes(said.fingerprint, "little") == int(world.sink.changes.segments[0].fingerprints[0, 0])


def test_a_change_that_the_log_does_not_show_is_waited_for_and_then_attempted_no_more() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    world.writes(upsert(1, "a"))

    with pytest.raises(NotYet):
        world.walks(2)
    world.now += WAIT_S
    world.walks(2)

    assert world.states() == {0: "delivered", 1: "attempted"}
    assert world.walk.tally.rows["untold"] == 1


def test_a_log_that_comes_while_a_fence_waits_proves_what_it_shows() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    with pytest.raises(NotYet):
        world.walks(2)
    world.writes(upsert(1, "a"), upsert(2, "b"))

    world.walks(2)

    assert set(world.states().values()) == {"delivered"}


def test_a_fence_further_on_is_given_its_own_time() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    with pytest.raises(NotYet):
        world.walks(1)
    world.now += WAIT_S

    with pytest.raises(NotYet):
        world.walks(2)


def test_a_sink_that_is_ahead_of_its_commits_is_right() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "b"))
    world.writes(upsert(1, "a"), upsert(1, "b"))

    assert len(world.walks(1)) == 2
    assert world.walks(2) == []

    assert world.states() == {0: "delivered", 1: "delivered"}
    assert world.flags() == set()


def test_placeholder_text_over_a_true_value_is_diverged_with_the_column() -> None:
    world = LogWorld(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), sets_every_column=True)
    world.writes(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE))

    said = world.walks(2)

    assert world.states() == {0: "delivered", 1: "diverged"}
    assert said[-1].error == ("differs", "body (placeholder)")


def test_a_batch_that_the_sink_applied_again_is_a_redelivery_with_both_times() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    world.writes(upsert(1, "a"), upsert(2, "b"), upsert(1, "a"), upsert(2, "b"))

    world.walks(2)

    assert set(world.states().values()) == {"delivered"}
    assert world.flags() == {"redelivered"}


def test_a_log_that_tells_again_what_it_had_told_is_no_redelivery() -> None:
    """Its connector was killed; what it tells again stands at the same place of the database's own log."""
    world = LogWorld(upsert(1, "a"), redelivery="fault")
    world.writes(upsert(1, "a"), lsn=7)
    world.writes(upsert(1, "a"), lsn=7)

    world.walks(1)

    assert world.states() == {0: "delivered"}


def test_another_worker_that_reads_the_log_again_says_nothing_twice() -> None:
    """It may begin in the middle, and take the second write of a change for its first."""
    world = LogWorld(upsert(1, "a"), upsert(1, "b"), upsert(1, "a"), redelivery="fault")
    world.writes(upsert(1, "a"), upsert(1, "b"), upsert(1, "a"))
    with_all = asyncio.run(world.walk.look(world.sink, SOURCE, 3))
    world.says(with_all, 0)
    world.restarts()
    del world.log[0][:2]
    world.log[0][:] = [RawRecord(0, *world.log[0][0][1:])]

    assert world.walks(3) == []
    assert set(world.states().values()) == {"delivered"}


def test_rows_of_keys_that_no_change_here_has_are_passed_over() -> None:
    world = LogWorld(upsert(1, "a"))
    world.writes(upsert(9, "of another partition"), upsert(1, "a"), delete(9))

    world.walks(1)

    assert world.states() == {0: "delivered"}


def test_a_row_that_no_change_made_convicts_nobody() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "b"))
    world.writes(upsert(1, "a"), upsert(1, "somebody's"), upsert(1, "b"))

    world.walks(2)

    assert set(world.states().values()) == {"delivered"}


def test_what_a_sink_wrote_in_an_earlier_life_proves_nothing_of_this_one() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    world.writes(upsert(1, "a"), upsert(2, "b"))
    world.walks(2)
    world.hears(Row(offset=0, kind=EvidenceKind.START, generation=1))

    with pytest.raises(NotYet):
        world.walks(2)
    world.writes(upsert(1, "a"))
    with pytest.raises(NotYet):
        world.walks(2)
    world.now += WAIT_S
    said = world.walks(2)

    assert [one.offset for one in said] == [0]


def test_a_record_that_cant_be_read_may_be_a_write_of_any_key() -> None:
    """What was known before it is not known any more: a redelivery can't be told from the first write."""
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    world.writes(upsert(1, "a"))
    world.tells(None, b"\0nonsense")
    world.writes(upsert(2, "b"))

    with pytest.raises(NotYet):
        world.walks(2)
    world.now += WAIT_S
    world.walks(2)

    assert world.states() == {0: "attempted", 1: "delivered"}


def test_what_does_not_fit_into_memory_is_not_known() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"), upsert(3, "c"), most=2)
    world.writes(upsert(1, "a"), upsert(2, "b"), upsert(3, "c"))

    with pytest.raises(NotYet):
        world.walks(3)
    world.now += WAIT_S
    world.walks(3)

    assert world.states() == {0: "attempted", 1: "delivered", 2: "delivered"}


def test_a_repair_that_nobody_reports_is_found_when_bad_cells_are_looked_at_again() -> None:
    world = LogWorld(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), sets_every_column=True)
    world.writes(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE))
    world.walks(2)
    world.writes(upsert(1, "b", "long"))

    world.walks(2, has_bad=True)

    assert world.states() == {0: "delivered", 1: "delivered"}


# ---------------------------------------------------------------- how far it reaches


def covered(world: LogWorld, below: int) -> list[int]:
    """The offsets whose writes the log is sure to show after a look."""
    world.now += WAIT_S
    try:
        asyncio.run(world.walk.look(world.sink, SOURCE, below))
    except NotYet:
        world.now += WAIT_S
        asyncio.run(world.walk.look(world.sink, SOURCE, below))
    return [offset for offset in range(len(world.records)) if world.walk.covers(SOURCE, offset)]


def test_a_log_reaches_from_its_first_record_to_the_last_change_before_its_last_transaction() -> None:
    world = LogWorld(*(upsert(key, "a") for key in range(6)))
    world.writes(*(upsert(key, "a") for key in (1, 3, 4, 5)))

    assert covered(world, 6) == [2, 3, 4]


def test_all_partitions_of_a_log_must_have_come_so_far() -> None:
    world = LogWorld(*(upsert(key, "a") for key in range(6)), partitions=2)
    world.writes(*(upsert(key, "a") for key in (0, 2, 4, 5)))

    assert covered(world, 6) == []

    world.writes(*(upsert(key, "a") for key in (1, 3)), partition=1)
    assert covered(world, 6) == []
    world.writes(upsert(3, "a"), partition=1)
    assert covered(world, 6) == [2, 3]


def test_a_row_that_was_the_same_long_ago_does_not_tell_how_far_the_log_has_come() -> None:
    """Twenty changes ago the row was the same: the record may be of then, and the log hours behind."""
    flips = [upsert(1, "on" if place % 20 == 0 else str(place)) for place in range(21)]
    world = LogWorld(*flips, upsert(2, "lost"), upsert(3, "c"), upsert(4, "d"))
    world.says([], 20)
    world.writes(upsert(3, "c"), upsert(1, "on"), upsert(4, "d"))

    assert covered(world, 24) == []
