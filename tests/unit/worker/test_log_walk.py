"""The sink's own change log before a fence: what it shows arrived, what it is silent about is waited for, and nobody is convicted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.errors import NotYet, Unavailable
from app.evidence.tables import StoreTerms
from app.model import EvidenceKind, RawBatch, RawRecord
from app.testing import Row
from app.worker.log_rows import LoggedSink
from app.worker.log_walk import KIND, LogWalk
from app.worker.ports import Input
from app.worker.readback import Changes
from app.worker.sink_log import SinkLog
from cdc_receipts.codec import Mark, Receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, framed, record
from tests.unit.worker.test_readback import KEY, KEY_ID, NARROW, SOURCE, VALUE, VALUE_ID, WRITERS, World, delete, upsert

WAIT_S = 30.0
TEXT_KEY_ID = 9
TEXT_KEY = record("Key", (("id", "string"),))
NARROWED_ID = 10
BOTH = RecordedSchemas(
    {
        VALUE_ID: json.dumps(VALUE),
        KEY_ID: json.dumps(KEY),
        TEXT_KEY_ID: json.dumps(TEXT_KEY),
        NARROWED_ID: json.dumps(NARROW),
    }
)


def insert(key: int, name: str | None, body: str | None = "b") -> tuple[int, str, dict[str, Any] | None]:
    """A change that puts a row where none was."""
    return key, "c", {"id": key, "name": name, "body": body}


LONG_S = 1_000
"""Longer than clocks differ."""

LATER, MORE = [insert(50, "c"), insert(51, "d")], [insert(52, "e"), insert(53, "f")]
"""Changes of other keys that come later."""


class LogWorld(World):
    """A source partition, and the change log of a sink's database with one record for each of its writes."""

    def __init__(self, *changes: tuple[int, str, Any], partitions: int = 1, most: int = 1_000, **terms: Any) -> None:
        rest = {name: terms.pop(name) for name in ("evidence", "redelivery") if name in terms}
        self.source_ms = 5
        self.asked_for: list[int] = []
        super().__init__(*changes, **rest)
        self.now = 0.0
        self.unread_ms = -1
        self.source_partitions = 1
        self.log: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self.told = [0] * partitions
        self.begun: set[int] = set()
        self.written = 0
        self.terms = StoreTerms(**terms)
        self.restarts(most)

    def happens_unread(self, *changes: tuple[int, str, Any]) -> None:
        """See `World`; they happened at `source_ms`."""
        for key, op, after in changes:
            source = {"lsn": len(self.records), "ts_ms": self.source_ms}
            value = framed(VALUE, change(op, after, source), VALUE_ID)
            self.records.append(RawRecord(len(self.records), 100, framed(KEY, {"id": key}, KEY_ID), value))

    def passes(self, seconds: int) -> None:
        """Time goes by at the sink."""
        self.written += seconds

    def goes_on(self) -> None:
        """The source and the sink go on with keys of their own."""
        more = [insert(1_000 + len(self.records) + n, "more") for n in range(2)]
        self.happens(*more)
        self.writes(*more)

    def restarts(self, most: int = 1_000) -> None:
        """The worker that looks is another one."""
        self.begun.clear()
        sink_log = SinkLog(ImageDecoder(BOTH, UNAVAILABLE_VALUE), most)
        reader: Any = SimpleNamespace(ends=self.ends, read=self.read_log, unread_ms=lambda _: self.unread_ms)
        self.walk = LogWalk(
            "s",
            self.terms,
            LoggedSink(reader, sink_log, self._no_schemas),
            Changes(self, ImageDecoder(WRITERS, UNAVAILABLE_VALUE), self._no_schemas),
            self._progress,
            WAIT_S,
            1,
            lambda: 9_000,
            lambda: self.now,
            self._sleep,
            partitions=lambda _: self.source_partitions,
        )

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

    def walks(self, below: int, *, has_bad: bool = False) -> list[Receipt | Mark]:
        """Look at the log, put what is said and a fence into the lane, and judge."""
        said = asyncio.run(self.walk.look(self.sink, SOURCE, below, has_bad=has_bad))
        self.says(said, below)
        return said

    # what the walk asks

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        self.asked_for.append(len(offsets))
        return await super().fetch(source, offsets)

    def ends(self, *, is_fresh: bool = False) -> Mapping[Input, int]:
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


def test_the_last_row_that_the_log_shows_of_each_key_is_delivered_and_older_changes_are_superseded() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), delete(2))
    world.writes(upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), delete(2))

    assert [one.evidence for one in world.walks(4) if isinstance(one, Receipt)] == [KIND, KIND]

    assert world.states() == {0: "superseded", 1: "superseded", 2: "delivered", 3: "delivered"}
    assert world.flags() == set()


def test_a_sink_that_is_ahead_of_its_commits_is_right() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "b"))
    world.writes(upsert(1, "a"), upsert(1, "b"))

    world.walks(1)
    world.walks(2)

    assert world.states() == {0: "superseded", 1: "delivered"}
    assert world.flags() == set()


def test_placeholder_text_over_a_true_value_is_diverged_with_the_column() -> None:
    world = LogWorld(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), *LATER, sets_every_column=True)
    world.writes(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), *LATER)

    waited_or_not(world, 4)

    assert "diverged" in world.states().values()
    assert world.walk.tally.rows["different"] == 1


def test_what_somebody_writes_beside_a_value_that_stays_is_no_placeholder() -> None:
    """A maintenance script touches the row; its log leaves the long value out, as it was."""
    world = LogWorld(*pairs("x", "y"), upsert(7, "a", "long"), *pairs("c", "d"), sets_every_column=True)
    world.writes(*pairs("x", "y"), upsert(7, "a", "long"), upsert(7, "a", UNAVAILABLE_VALUE), *pairs("c", "d"))

    world.walks(5)

    assert world.states()[2] == "delivered"


@pytest.mark.parametrize("redelivery", ["legal", "fault"])
def test_what_a_sink_applied_again_what_its_log_tells_again_and_what_a_snapshot_shows_is_no_fault(
    redelivery: str,
) -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"), redelivery=redelivery)
    world.writes(*pairs("a", "b", "c", "d"), *pairs("a", "b", "c", "d"))
    world.writes(upsert(1, "b"), op="r")

    world.walks(4)

    assert set(world.states().values()) == {"delivered"}
    assert world.flags() == set()


def test_a_key_that_goes_in_circles_is_judged_by_what_the_log_is_sure_to_show() -> None:
    """Its last write is lost, and the log shows what is the same of long ago."""
    circle = [upsert(1, "ab"[n % 2]) for n in range(20)]
    world = LogWorld(*circle)
    world.writes(*circle)
    world.says([], 20)
    world.happens(upsert(1, "a"), upsert(1, "b"), upsert(1, "a"))

    with pytest.raises(NotYet):
        world.walks(23)
    world.now += WAIT_S
    world.walks(23)

    assert "delivered" not in {world.states()[offset] for offset in (20, 21, 22)}


def test_updates_that_change_nothing_that_is_compared_are_right_and_applied_once() -> None:
    beats = [upsert(1, "same") for _ in range(20)]
    world = LogWorld(*beats, redelivery="fault")
    world.writes(*beats)
    world.says([], 20)
    world.happens(upsert(1, "same"), upsert(2, "other"), upsert(3, "third"))
    world.writes(upsert(1, "same"), upsert(2, "other"), upsert(3, "third"))

    waited_or_not(world, 23)

    assert {"duplicated", "missing", "diverged"}.isdisjoint(world.states().values())
    assert world.flags() == set()


def test_an_update_that_the_log_is_silent_about_may_have_changed_nothing() -> None:
    """MySQL tells of no write that changes nothing; the row may be older than what is held of the log."""
    world = LogWorld(*pairs("a", "b"), upsert(7, "same"), *pairs("c", "d"))
    world.writes(*pairs("a", "b"), *pairs("c", "d"))

    waited_or_not(world, 5)

    assert world.states()[2] == "attempted"


def test_a_change_that_was_overtaken_by_a_batch_that_was_applied_again_and_never_came_is_not_delivered() -> None:
    world = LogWorld(insert(9, "z"), upsert(1, "a"), upsert(1, "b"), upsert(1, "c"), insert(2, "x"), insert(3, "y"))
    world.writes(
        insert(9, "z"), upsert(1, "a"), upsert(1, "b"), upsert(1, "a"), upsert(1, "b"), insert(2, "x"), insert(3, "y")
    )

    waited_or_not(world, 6)

    assert world.states()[3] == "missing"


def test_a_repair_is_delivered_and_not_applied_twice() -> None:
    rows = [upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), *LATER]
    world = LogWorld(*rows, sets_every_column=True, redelivery="fault")
    world.writes(*rows)
    waited_or_not(world, 4)
    world.writes(upsert(1, "b", "long"), upsert(50, "c"))

    world.walks(4, has_bad=True)

    assert {"duplicated", "diverged"}.isdisjoint(world.states().values())


def test_a_key_that_may_stand_in_another_form_is_not_judged_by_a_log() -> None:
    world = LogWorld(*pairs("a", "lost", "c", "d"), tolerances={"orders.id": ("blanks",)})
    world.writes(*(one for one in pairs("a", "lost", "c", "d") if one[0] != 1))

    waited_or_not(world, 4)

    assert "missing" not in world.states().values()


def test_a_log_whose_keys_stand_in_two_partitions_has_no_order() -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"), partitions=2)
    world.writes(*pairs("a", "b", "c", "d"))
    world.writes(upsert(1, "b"), partition=1)

    waited_or_not(world, 4)

    assert set(world.states().values()) == {"attempted"}


def test_another_worker_that_reads_the_log_again_says_nothing_twice() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "b"), upsert(1, "a"), *pairs("c", "d"), redelivery="fault")
    world.writes(upsert(1, "a"), upsert(1, "b"), upsert(1, "a"), *pairs("c", "d"))
    world.says(asyncio.run(world.walk.look(world.sink, SOURCE, 4)), 0)
    world.restarts()

    assert world.walks(4) == []


def test_a_log_tells_of_every_life_of_a_sink_and_so_nothing_of_a_later_one() -> None:
    world = LogWorld(upsert(1, "a"), upsert(2, "b"))
    world.writes(upsert(1, "a"), upsert(2, "b"))
    world.walks(2)
    world.hears(Row(offset=0, kind=EvidenceKind.START, generation=1))

    assert world.walks(2) == []


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


def test_a_log_that_tells_again_what_it_had_told_is_no_redelivery() -> None:
    """Its connector was killed; what it tells again stands at the same place of the database's own log."""
    world = LogWorld(upsert(1, "a"), redelivery="fault")
    world.writes(upsert(1, "a"), lsn=7)
    world.writes(upsert(1, "a"), lsn=7)

    world.walks(1)

    assert world.states() == {0: "delivered"}


def test_rows_of_keys_that_no_change_here_has_are_passed_over() -> None:
    world = LogWorld(upsert(1, "a"))
    world.writes(upsert(9, "of another partition"), upsert(1, "a"), delete(9))

    world.walks(1)

    assert world.states() == {0: "delivered"}


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
    world = LogWorld(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), *LATER, sets_every_column=True)
    world.writes(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE), *LATER)
    waited_or_not(world, 4)
    assert world.states()[1] == "diverged"
    world.writes(upsert(1, "b", "long"), upsert(50, "c"))

    world.walks(4, has_bad=True)

    assert world.states()[1] == "delivered"


# ---------------------------------------------------------------- what it does not show, and must


def pairs(*names: str) -> list[tuple[int, str, Any]]:
    """Changes of keys of their own."""
    return [insert(key, name) for key, name in enumerate(names)]


def waited_or_not(world: LogWorld, below: int) -> None:
    """A look, once more after the time that a fence waits where it must."""
    try:
        world.walks(below)
    except NotYet:
        world.now += WAIT_S
        world.walks(below)


def waited(world: LogWorld, below: int) -> list[Receipt | Mark]:
    """What is said once a fence has waited for the log as long as it does."""
    with pytest.raises(NotYet):
        world.walks(below)
    world.now += WAIT_S
    return world.walks(below)


def test_a_change_between_two_that_the_log_shows_never_arrived() -> None:
    world = LogWorld(*pairs("a", "lost", "c", "d"))
    world.writes(upsert(0, "a"), upsert(2, "c"), upsert(3, "d"))

    world.walks(4)

    assert world.states() == {0: "delivered", 1: "missing", 2: "delivered", 3: "delivered"}


def test_a_key_whose_row_shows_an_older_change_is_missing_the_newer() -> None:
    world = LogWorld(upsert(1, "a"), upsert(1, "lost"), upsert(2, "c"), upsert(3, "d"))
    world.writes(upsert(1, "a"), upsert(2, "c"), upsert(3, "d"))

    world.walks(4)

    assert world.states()[1] == "missing"


def test_a_row_that_ends_as_nothing_the_source_ever_said_is_diverged() -> None:
    world = LogWorld(upsert(0, "z"), upsert(1, "a"), upsert(2, "c"), upsert(3, "d"))
    world.writes(upsert(0, "z"), upsert(1, "somebody's"), upsert(2, "c"), upsert(3, "d"))

    (said,) = (one for one in world.walks(4) if one.offset == 1)

    assert world.states()[1] == "diverged"
    assert isinstance(said, Receipt)
    assert said.error == ("differs", "name (value)")


def test_a_write_that_comes_at_the_second_look_was_on_its_way() -> None:
    world = LogWorld(*pairs("a", "late", "c", "d"))
    world.writes(upsert(0, "a"), upsert(2, "c"), upsert(3, "d"))
    world.looks.append(lambda: world.writes(upsert(1, "late")))

    world.walks(4)

    assert set(world.states().values()) == {"delivered"}


def test_a_sink_that_was_set_back_is_not_convicted_by_its_log() -> None:
    world = LogWorld(*pairs("a", "lost", "c", "d"))
    world.writes(upsert(0, "a"), upsert(2, "c"), upsert(3, "d"))
    world.committed = 0

    with pytest.raises(Unavailable, match="has fallen"):
        world.walks(4)


def test_a_delete_that_a_log_is_silent_about_is_not_known_to_have_come_or_not() -> None:
    """The sink's row may have been there before the log began, or never."""
    world = LogWorld(upsert(0, "z"), delete(1), upsert(2, "c"), upsert(3, "d"))
    world.writes(upsert(0, "z"), upsert(2, "c"), upsert(3, "d"))

    waited_or_not(world, 4)

    assert world.states()[1] == "attempted"


def test_a_deleted_row_that_the_log_shows_to_be_there_still_is_missing_its_delete() -> None:
    world = LogWorld(upsert(0, "z"), upsert(1, "a"), delete(1), upsert(2, "c"), upsert(3, "d"))
    world.writes(upsert(0, "z"), upsert(1, "a"), upsert(2, "c"), upsert(3, "d"))

    waited_or_not(world, 5)

    assert world.states() == {0: "delivered", 1: "superseded", 2: "missing", 3: "delivered", 4: "delivered"}


def test_a_key_that_the_log_writes_in_another_form_is_not_known_to_be_absent() -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"))
    for key, name in ((0, "a"), (2, "c"), (3, "d")):
        source = {"table": "t", "ts_ms": 1_000 * key, "lsn": key}
        value = framed(VALUE, change("u", {"id": key, "name": name, "body": "b"}, source), VALUE_ID)
        world.tells(framed(TEXT_KEY, {"id": str(key)}, TEXT_KEY_ID), value)

    waited_or_not(world, 4)

    assert world.states()[1] == "attempted"


def test_a_truncate_in_the_log_leaves_nothing_to_be_known() -> None:
    world = LogWorld(*pairs("a", "b", "c", "d"))
    world.writes(*pairs("a", "b", "c", "d")[:2])
    world.writes((0, "t", None))
    world.writes(*pairs("a", "b", "c", "d")[2:])

    waited(world, 4)

    assert world.states() == {0: "attempted", 1: "attempted", 2: "delivered", 3: "delivered"}


# ---------------------------------------------------------------- what it shows long after


def settled(*changes: tuple[int, str, Any], **given: Any) -> LogWorld:
    """A sink that wrote everything, whose cells are closed, and whose log was looked at since."""
    world = LogWorld(*changes, **given)
    world.writes(*changes)
    world.walks(len(changes))
    world.walks(len(changes), has_bad=True)
    assert set(world.states().values()) <= {"delivered", "superseded"}
    return world


def contradicted(world: LogWorld) -> list[int]:
    """Closed cells that evidence disagrees with."""
    return [remark.offset for remark in world.sink.remarks if remark.kind == "contradicted"]


def test_a_row_that_vanished_long_after_its_fence_contradicts_its_change(caplog: pytest.LogCaptureFixture) -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.writes(delete(1))

    world.walks(4, has_bad=True)

    assert contradicted(world) == [1]
    assert "that of the change t:0:1: it shows no sign of its change" in caplog.text


def test_a_row_that_somebody_changed_contradicts_its_change_with_the_columns(caplog: pytest.LogCaptureFixture) -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.writes(upsert(2, "somebody's"))

    world.walks(4, has_bad=True)
    world.walks(4, has_bad=True)

    assert contradicted(world) == [2]
    assert "t:0:2: name (value)" in caplog.text


def test_a_row_that_is_changed_soon_after_its_fence_is_told_once_the_log_has_come_beyond() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(upsert(2, "somebody's"))

    assert world.walks(4, has_bad=True) == []
    world.goes_on()

    world.walks(4, has_bad=True)
    assert contradicted(world) == [2]


def test_a_row_that_is_written_again_as_it_was_contradicts_nothing() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.writes(upsert(2, "c"))
    world.goes_on()

    assert world.walks(4, has_bad=True) == []
    assert contradicted(world) == []


def test_a_row_that_was_mended_before_the_second_look_contradicts_nothing() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.writes(upsert(2, "somebody's"))
    world.goes_on()
    world.looks.append(lambda: world.writes(upsert(2, "c")))

    assert world.walks(4, has_bad=True) == []


def test_a_change_that_is_on_its_way_explains_a_row() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.passes(LONG_S)
    world.writes(upsert(2, "newer"))
    world.looks.append(lambda: world.happens(upsert(2, "newer")))

    world.walks(4, has_bad=True)

    assert contradicted(world) == []


def test_a_sink_that_writes_again_what_it_had_written_was_set_back() -> None:
    world = settled(upsert(1, "a"), upsert(1, "b"), upsert(2, "c"), upsert(3, "d"))
    world.passes(LONG_S)
    world.writes(upsert(1, "a"))
    world.committed = 0

    with pytest.raises(Unavailable, match="has fallen"):
        world.walks(4, has_bad=True)
    assert contradicted(world) == []


def test_a_log_that_is_behind_tells_of_an_earlier_change() -> None:
    """The sink's own word closed the cells long before its log comes to them."""
    world = LogWorld(*pairs("a", "b"), *pairs("x", "y", "z", "w"))
    world.walk._wait_s = 0.0
    world.walks(6)
    world.walks(6, has_bad=True)
    world.writes(*pairs("a", "b"))

    world.walks(6, has_bad=True)

    assert contradicted(world) == []


def strangers(world: LogWorld) -> dict[str, int]:
    """Rows of keys that no change tells of, after two looks, by what they are called."""
    for _ in range(2):
        world.walks(len(world.records), has_bad=True)
    rows = world.walk.tally.rows
    return {word: rows[word] for word in ("foreign", "unexplained") if rows[word]}


def test_a_row_under_a_key_that_no_change_tells_of_is_foreign(caplog: pytest.LogCaptureFixture) -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(upsert(99, "somebody's"))

    assert strangers(world) == {"foreign": 1}
    assert strangers(world) == {"foreign": 1}
    assert "no change of t:0 tells of (foreign) was written, see log:0 offset 4" in caplog.text
    assert "somebody" not in caplog.text


def test_a_row_of_a_change_that_was_not_read_yet_is_nobody_elses() -> None:
    """The sink is ahead of this worker."""
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(upsert(99, "newer"))
    world.happens_unread(upsert(99, "newer"))

    assert strangers(world) == {}
    world.reads_on()
    assert strangers(world) == {}


def test_a_key_that_stands_on_another_partition_is_anothers_to_explain() -> None:
    world = settled(*(upsert(key, "a") for key in range(4)))
    world.source_partitions = 64
    world.writes(*(upsert(key, "x") for key in range(100, 110)))

    assert strangers(world) == {}


def test_where_changes_were_forgotten_a_row_is_unexplained_and_no_more() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.sink.changes.forgotten = 4_096
    world.writes(upsert(99, "of a change long ago"))

    assert strangers(world) == {"unexplained": 1}


def test_a_row_that_is_taken_away_needs_no_change_of_its_key() -> None:
    world = settled(*pairs("a", "b", "c", "d"))
    world.writes(upsert(99, "somebody's"), delete(99))

    assert strangers(world) == {}


# ---------------------------------------------------------------- how far it reaches


def silent(world: LogWorld, below: int) -> list[int]:
    """The offsets that are said to be missing; of what no log reaches nothing is known."""
    try:
        world.walks(below)
    except NotYet:
        world.now += WAIT_S
        world.walks(below)
    return [offset for offset, state in world.states().items() if state == "missing"]


def test_a_log_reaches_from_its_first_record_to_the_last_change_before_its_last_transaction() -> None:
    world = LogWorld(*(insert(key, "a") for key in range(6)))
    world.writes(*(insert(key, "a") for key in (1, 3, 4)))

    assert silent(world, 6) == [2]


def test_changes_that_are_closed_show_from_where_on_the_log_reaches() -> None:
    world = LogWorld(*(insert(key, "a") for key in range(2)))
    world.writes(upsert(0, "a"), upsert(1, "a"))
    world.walks(2)
    world.happens(*(insert(key, "a") for key in range(2, 6)))
    world.writes(upsert(3, "a"), upsert(4, "a"), upsert(5, "a"))

    assert silent(world, 3) == [2]


def test_changes_beyond_the_progress_show_how_far_the_log_has_come() -> None:
    world = LogWorld(*(insert(key, "a") for key in range(3)))
    world.writes(upsert(0, "a"), upsert(1, "a"))
    with pytest.raises(NotYet):
        world.walks(3)
    world.happens(insert(3, "a"), insert(4, "a"))
    world.writes(upsert(3, "a"), upsert(4, "a"))

    assert silent(world, 3) == [2]


def test_a_later_transaction_of_other_keys_shows_that_one_is_whole() -> None:
    world = LogWorld(*(insert(key, "a") for key in range(4)))
    world.writes(upsert(0, "a"), upsert(1, "a"), upsert(3, "a"))
    with pytest.raises(NotYet):
        world.walks(4)
    world.writes(upsert(9, "of another partition"))

    assert silent(world, 4) == [2]


@pytest.mark.parametrize(("more", "missing"), [((), []), ((1,), []), ((1, 4), []), ((1, 4, 5), [2, 3])])
def test_all_partitions_of_a_log_must_have_come_so_far(more: Sequence[int], missing: list[int]) -> None:
    world = LogWorld(*(insert(key, "a") for key in range(9)), partitions=2)
    world.writes(*(insert(key, "a") for key in (0, 6, 7, 8)))
    world.writes(*(insert(key, "a") for key in more), partition=1)

    assert silent(world, 9) == missing


def test_a_row_that_was_the_same_long_ago_does_not_tell_how_far_the_log_has_come() -> None:
    """Both keys go in circles, and the log is a circle behind: its records are of offsets 0 and 1, not of 20 and 22."""
    first = [
        upsert(7, "on"),
        upsert(1, "on"),
        *(upsert(7, str(n)) for n in range(9)),
        *(upsert(1, str(n)) for n in range(9)),
    ]
    world = LogWorld(*first, upsert(7, "on"), upsert(2, "on its way"), upsert(1, "on"), upsert(4, "d"))
    world.says([], 20)
    world.writes(upsert(7, "on"), upsert(1, "on"), upsert(7, "0"))

    assert silent(world, 24) == []
