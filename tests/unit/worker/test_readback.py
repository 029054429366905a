"""Rows of a sink's store before a fence: what is right is delivered, what is lost is missing, and nobody is convicted early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from app.decode.changes import ReferenceChangeDecoder
from app.decode.evidence import EvidenceDecoder
from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.errors import BadInput, Unavailable
from app.evidence.tables import StoreTerms
from app.ledger import watermarks
from app.ledger.lane import LaneRows, concatenate, lane_ranks, split
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import Contract, Projection, RawBatch, RawRecord, ReceiptStatus, SinkTopic
from app.testing import Row, fence, lane_rows
from app.worker.looks import is_kept_exactly
from app.worker.ports import Input
from app.worker.readback import Contract as ReadBackContract
from app.worker.readback import ReadBack
from cdc_receipts.atoms import floating, integer, text
from cdc_receipts.codec import SCHEMAS, Mark, Receipt, encode_mark, encode_receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, envelope, framed, record

VALUE_ID, KEY_ID, NARROW_ID = 7, 8, 9
VALUE = envelope((("id", "long"), ("name", ["null", "string"]), ("body", ["null", "string"])))
NARROW = envelope((("id", "long"), ("name", ["null", "string"])))
"""After a column was dropped."""
KEY = record("Key", (("id", "long"),))
WRITERS = RecordedSchemas({VALUE_ID: json.dumps(VALUE), KEY_ID: json.dumps(KEY), NARROW_ID: json.dumps(NARROW)})
EVIDENCE = {name: number for number, name in enumerate(SCHEMAS, 1)}
SOURCE = Input("t", 0)
WHOM = SinkTopic("s", "t", 0)

Told = dict[int, str]


def upsert(key: int, name: str | None, body: str | None = "b") -> tuple[int, str, dict[str, Any] | None]:
    """A change that writes a row."""
    return key, "u", {"id": key, "name": name, "body": body}


def delete(key: int) -> tuple[int, str, dict[str, Any] | None]:
    """A change that removes one."""
    return key, "d", None


class World:
    """A source partition, a sink's store, and the fold that judges it."""

    def __init__(
        self,
        *changes: tuple[int, str, Any],
        evidence: str = "progress",
        redelivery: str = "legal",
        share: float = 1.0,
        projection: Projection = Projection(),  # noqa: B008 - it never changes
        **terms: Any,
    ) -> None:
        contract = Contract(
            sink="s",
            topics=("t",),
            evidence=evidence,
            expect="latest-state",
            fences="progress",
            redelivery=redelivery,
            rows=projection.rows,
            before=projection.before,
        )  # type: ignore[arg-type]
        terms |= {"projection": projection}
        self.fold = PartitionFold([contract], 0)
        self.records: list[RawRecord] = []
        self.position = 0
        self.gone: set[int] = set()
        self.unmatched: set[bytes] = set()
        self.store: dict[int, dict[str, bytes]] = {}
        self.lane: list[LaneRows] = []
        self.asked: list[Sequence[Sequence[str]]] = []
        self.looks: list[Callable[[], None]] = []
        self.committed = 1_000
        self.reader = ReadBack(
            ReadBackContract(sink="s", terms=StoreTerms(is_every_change=False, **terms), share=share, second_look_s=1),
            self,
            self,
            ImageDecoder(WRITERS, UNAVAILABLE_VALUE),
            self._no_schemas,
            self._progress,
            lambda: 9_000,
            self._sleep,
        )
        self.happens(*changes)

    def happens(self, *changes: tuple[int, str, Any]) -> None:
        """More changes at the source, read by the fold."""
        self.happens_unread(*changes)
        self.reads_on()

    def happens_unread(self, *changes: tuple[int, str, Any]) -> None:
        """More changes at the source, which the fold has not come to yet."""
        for key, op, after in changes:
            value = framed(VALUE, change(op, after, {"lsn": len(self.records)}), VALUE_ID)
            self.records.append(RawRecord(len(self.records), 100, framed(KEY, {"id": key}, KEY_ID), value))

    def reads_on(self) -> None:
        """The fold comes to the log's end."""
        start = self.position
        self.position = len(self.records)
        raw = RawBatch.of("t", 0, self.records[start:], start, self.position)
        self.fold.take_changes(ReferenceChangeDecoder(WRITERS, self.fold.projections, UNAVAILABLE_VALUE).decode(raw))
        for _ in self.fold.judge():
            pass

    def holds(self, *rows: tuple[int, str | None, str | None]) -> None:
        """The sink's rows."""
        none = b"\x00"
        self.store = {
            key: {"id": integer(key), "name": text(name) if name is not None else none, "body": text(body) if body is not None else none}
            for key, name, body in rows
        }  # fmt: skip

    @property
    def sink(self) -> SinkPartition:
        """The fold's view."""
        return self.fold.sinks["s", "t"]

    def look(self, below: int, *, has_bad: bool = False) -> list[Receipt | Mark]:
        """Read back, put what is said into the lane and a fence behind it, and judge."""
        said = asyncio.run(self.reader.look(self.sink, SOURCE, below, has_bad=has_bad))
        self.says(said, below)
        return said

    def says(self, said: Sequence[Receipt | Mark], below: int) -> None:
        """Evidence and a fence behind it come into the lane."""
        records = [RawRecord(place, 0, None, _encoded(one)) for place, one in enumerate(said)]
        rank = sum(len(part) for part in self.lane) << 24
        parts = [lane_rows([fence(below)], first_rank=rank + (1 << 40))]
        if records:
            raw = RawBatch.of("lane", 0, records, 0, len(records))
            batch = EvidenceDecoder(RecordedSchemas({n: SCHEMAS[name] for name, n in EVIDENCE.items()})).decode(raw)
            parts.insert(0, split(batch, lane_ranks(batch) + rank)[WHOM])
        rows = concatenate(parts)
        self.lane.append(rows)
        self.fold.take_evidence(WHOM, rows)
        for _ in self.fold.judge():
            pass

    def hears(self, *rows: Row) -> None:
        """The sink says something itself."""
        said = lane_rows(list(rows), first_rank=(sum(len(part) for part in self.lane) << 24) + (1 << 39))
        self.lane.append(said)
        self.fold.take_evidence(WHOM, said)
        for _ in self.fold.judge():
            pass

    def states(self) -> Told:
        """Every cell's state."""
        found = [*watermarks.closed_cells(self.sink), *watermarks.open_cells(self.sink)]
        return {offset: state.word for offset, state, _ in found}

    def flags(self) -> set[str]:
        """Every flag of a cell."""
        return {word for _, _, flags in watermarks.closed_cells(self.sink) for word in flags.words()}

    # what the reader asks

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> list[Mapping[str, bytes] | None]:
        assert (table, tuple(key)) == ("t", ("id",))
        self.asked.append(keys)
        return [self.store.get(int(one[0])) for one in keys]

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        assert (table, tuple(key)) == ("t", ("id",))
        return values[0] not in self.unmatched

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        assert source == SOURCE
        found = [self.records[offset] for offset in offsets if offset not in self.gone]
        return RawBatch.of("t", 0, found, 0, len(self.records))

    async def end(self, source: Input, start: int) -> int:
        assert source == SOURCE
        return max(start, len(self.records))

    async def _progress(self, source: Input) -> int:
        return self.committed

    async def _no_schemas(self, _: set[int]) -> None: ...

    async def _sleep(self, _: float) -> None:
        if self.looks:
            self.looks.pop(0)()


def _encoded(one: Receipt | Mark) -> bytes:
    if isinstance(one, Receipt):
        return encode_receipt(one, EVIDENCE["DeliveryReceipt"])
    return encode_mark(one, EVIDENCE["SinkMark"])


def test_rows_that_are_right_are_delivered_and_older_changes_of_their_keys_are_superseded() -> None:
    world = World(upsert(1, "a"), upsert(2, "x"), upsert(1, "b"), delete(2))
    world.holds((1, "b", "b"))

    world.look(4)

    assert world.states() == {0: "superseded", 1: "superseded", 2: "delivered", 3: "delivered"}
    assert world.reader.tally.rows["equal"] == 2
    assert world.flags() == set()


def test_a_row_that_is_not_there_is_missing_also_where_progress_is_all_the_evidence() -> None:
    world = World(upsert(1, "a"), upsert(2, "b"))
    world.holds((2, "b", "b"))

    world.look(2)

    assert world.states() == {0: "missing", 1: "delivered"}


def test_a_row_that_shows_an_older_state_is_missing() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"))
    world.holds((1, "a", "b"))

    world.look(2)

    assert world.states() == {0: "superseded", 1: "missing"}


def test_a_deleted_row_that_is_still_there_is_missing_and_one_of_nobodys_content_is_diverged() -> None:
    world = World(upsert(1, "a"), delete(1), upsert(2, "a"), delete(2))
    world.holds((1, "a", "b"), (2, "whose?", "b"))

    world.look(4)

    assert world.states() == {0: "superseded", 1: "missing", 2: "superseded", 3: "diverged"}


def test_a_wrong_row_is_diverged_and_its_columns_are_named() -> None:
    world = World(upsert(1, "a"), upsert(1, "b", UNAVAILABLE_VALUE))
    world.holds((1, "b", UNAVAILABLE_VALUE))

    (said,) = world.look(2)

    assert world.states()[1] == "diverged"
    assert isinstance(said, Receipt)
    assert said.error == ("differs", "body (placeholder)")


def test_a_value_that_a_change_leaves_out_is_the_one_before_it() -> None:
    world = World(upsert(1, "a", "long"), upsert(1, "b", UNAVAILABLE_VALUE))
    world.holds((1, "b", "long"))

    world.look(2)

    assert world.states()[1] == "delivered"


def test_a_sink_that_is_ahead_of_its_commits_is_right() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"), upsert(1, "c"))
    world.holds((1, "c", "b"))

    world.look(1)

    assert "missing" not in world.states().values()
    assert "diverged" not in world.states().values()


def test_a_row_that_becomes_right_before_the_second_look_was_never_wrong() -> None:
    world = World(upsert(1, "a"))
    world.looks.append(lambda: world.holds((1, "a", "b")))

    world.look(1)

    assert world.states() == {0: "delivered"}
    assert "recovered" not in world.flags()


def test_a_row_that_moves_on_is_looked_at_again_and_never_convicted() -> None:
    world = World(upsert(1, "0"))

    def moves() -> None:
        world.happens(upsert(1, str(len(world.records))))
        world.holds((1, "0", "of a moment that nobody sees"))

    world.looks.extend([moves] * 10)

    assert world.look(1) == []
    assert world.reader.tally.rows["moving"] == 1


def test_a_row_that_may_be_a_newer_change_that_was_spoiled_says_nothing_of_an_older_one() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"))
    world.holds((1, "of neither", "b"))

    assert world.look(1) == []
    assert len(world.look(2)) == 1


def test_a_sink_that_was_set_back_is_not_convicted_by_older_rows() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"))
    world.holds((1, "a", "b"))
    world.committed = 0

    with pytest.raises(Unavailable, match="has fallen"):
        world.look(2)
    assert set(world.states().values()) == {"pending"}


def test_a_repair_that_nobody_reports_is_found_when_bad_rows_are_read_again() -> None:
    world = World(upsert(1, "a"), upsert(2, "b"))
    world.holds((2, "b", "b"))
    world.look(2)
    world.holds((1, "a", "b"), (2, "b", "b"))

    world.look(2, has_bad=True)

    assert world.states() == {0: "delivered", 1: "delivered"}
    assert world.flags() == {"recovered"}


def test_what_is_known_is_not_said_again() -> None:
    world = World(upsert(1, "a"), upsert(2, "b"))
    world.holds((2, "of somebody else", "b"))
    assert len(world.look(2)) == 2

    assert world.look(2, has_bad=True) == []


def test_where_silence_is_proof_a_row_that_is_not_there_needs_no_skip() -> None:
    world = World(upsert(1, "a"), evidence="receipts")

    assert world.look(1) == []
    assert world.states() == {0: "missing"}


def test_a_store_that_does_not_answer_says_nothing_of_any_row() -> None:
    world = World(upsert(1, "a"))

    def away(*_: object, **__: object) -> list[Mapping[str, bytes] | None]:
        raise Unavailable("the store is away")

    world.read = away  # type: ignore[method-assign]

    with pytest.raises(Unavailable):
        world.look(1)
    assert world.states() == {0: "pending"}


# ---------------------------------------------------------------- a sink that is ahead of this worker


def test_a_sink_that_is_ahead_of_what_was_read_here_is_not_convicted_and_its_fence_waits() -> None:
    """The row is of a change that stands in the log and was not read yet: two looks alike prove nothing."""
    world = World(upsert(1, "a"))
    world.happens_unread(upsert(1, "b"))
    world.holds((1, "b", "b"))

    with pytest.raises(Unavailable, match="read up to 1"):
        world.look(1)

    assert world.states() == {0: "pending"}


def test_a_deletion_that_was_not_read_yet_makes_no_row_missing() -> None:
    world = World(upsert(1, "a"))
    world.happens_unread(delete(1))
    world.holds()
    world.looks.append(world.reads_on)

    world.look(1)

    assert "missing" not in world.states().values()


def test_a_row_that_is_wrong_is_convicted_when_what_came_meanwhile_was_read() -> None:
    world = World(upsert(1, "a"))
    world.happens_unread(upsert(2, "other"))
    world.looks.append(world.reads_on)

    world.look(1)

    assert world.states()[0] == "missing"


def test_a_row_that_was_right_at_an_earlier_look_was_right_though_its_changes_come_faster_than_looks() -> None:
    """Each look sees the state of a change that is read only before the next one."""
    world = World(upsert(1, "0"), evidence="receipts")
    world.happens_unread(upsert(1, "1"))
    world.holds((1, "1", "b"))

    def moves() -> None:
        world.reads_on()
        number = len(world.records)
        world.happens_unread(upsert(1, str(number)))
        world.holds((1, str(number), "b"))

    world.looks.extend([moves] * 10)
    world.look(1)

    assert world.reader.tally.rows["moving"] == 0
    assert "missing" not in world.states().values()


# ---------------------------------------------------------------- changes that can't be had any more


def test_a_row_may_be_of_a_change_that_is_not_in_the_log_any_more() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"), upsert(1, "c"))
    world.holds((1, "b", "b"))
    world.gone = {1}

    assert world.look(1) == []
    assert "diverged" not in world.states().values()


def test_a_row_may_be_of_a_change_that_expired_before_it_was_read() -> None:
    world = World(upsert(1, "a"))
    world.happens_unread(upsert(1, "lost"))
    world.fold.changes["t"].lose(1, 2)
    world.position = 2
    world.gone = {1}
    world.holds((1, "lost", "b"))

    assert world.look(1) == []
    assert world.states()[0] == "attempted"


def test_what_retention_took_before_the_changes_of_a_key_hides_nothing() -> None:
    world = World(upsert(2, "old"), upsert(2, "older"), upsert(1, "a"))
    world.gone = {0}

    world.look(3)

    assert world.states()[2] == "missing"


# ---------------------------------------------------------------- a sink that tells of itself, too


def applied(offset: int, at: int) -> Row:
    """A connector's success topic says that a change was applied."""
    return Row(offset=offset, content=None, at=at)


def test_what_is_read_back_is_the_write_that_the_sink_told_of_and_no_second_one() -> None:
    world = World(upsert(1, "a"), upsert(2, "b"), evidence="receipts", redelivery="fault")
    world.hears(applied(0, 150), applied(1, 160))
    world.holds((1, "a", "b"), (2, "of somebody else", "b"))

    world.look(2)

    assert world.states() == {0: "delivered", 1: "diverged"}
    assert world.flags() == set()


def test_a_write_ahead_of_the_progress_is_told_by_the_sink_itself_first() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"), evidence="receipts", redelivery="fault")
    world.hears(applied(0, 150))
    world.holds((1, "b", "b"))

    world.look(1)
    world.hears(applied(1, 160))
    world.look(2)

    assert world.states() == {0: "delivered", 1: "delivered"}
    assert world.flags() == set()


def test_a_deletion_that_a_sink_reports_is_looked_for_all_the_same() -> None:
    world = World(upsert(1, "a"), evidence="receipts")
    world.hears(applied(0, 150))
    world.holds((1, "a", "b"))
    world.look(1)
    world.happens(delete(1))
    world.hears(Row(offset=1, status=ReceiptStatus.DELETED, content=None, at=160))

    world.look(2)

    assert world.states()[1] == "diverged"


def test_a_share_is_one_of_the_rows_that_a_sink_told_of_too() -> None:
    world = World(*(upsert(key, "a") for key in range(100)), evidence="receipts", share=0.1)
    world.hears(*(applied(offset, 150) for offset in range(99)))
    world.holds(*((key, "a", "b") for key in range(100)))

    world.look(100)

    (asked,) = world.asked
    assert len(asked) < 40
    assert ["99"] in asked
    assert set(world.states().values()) == {"delivered"}


def test_what_a_later_row_shows_is_not_said_again_at_every_look_at_an_older_bad_cell() -> None:
    world = World(upsert(1, "a"), upsert(1, "b"), evidence="receipts", redelivery="fault")
    world.hears(applied(0, 150), applied(0, 151), applied(1, 160))
    world.holds((1, "b", "b"))
    world.look(2)
    assert world.states() == {0: "duplicated", 1: "delivered"}

    assert world.look(2, has_bad=True) == []


# ---------------------------------------------------------------- keys that can't be matched


@pytest.mark.parametrize("newest", [upsert(1, "b"), delete(1)])
def test_a_key_that_the_store_keeps_in_another_form_proves_nothing_by_having_no_row(newest: Any) -> None:
    """Neither that a change never arrived nor that a row was deleted."""
    world = World(upsert(1, "a"), newest)
    world.unmatched = {integer(1)}

    assert world.look(2) == []
    assert world.states() == {0: "superseded", 1: "attempted"}
    assert world.reader.tally.rows["unmatched"] == 1


@pytest.mark.parametrize(
    ("atom", "allowed", "is_exact"),
    [
        (integer(7), "float32", True),
        (floating(0.1), "float32", False),
        (text("ab"), "case", False),
        (text("ab "), "blanks", False),
        (text("ab"), "blanks", True),
        (text("ab"), "inet", False),
    ],
)
def test_a_key_that_may_lose_something_in_the_store_is_not_looked_for_as_it_is(
    atom: bytes, allowed: str, is_exact: bool
) -> None:
    terms = StoreTerms(tolerances={"t.id": (allowed,)})

    assert is_kept_exactly({"id": atom}, terms, "t") == is_exact


# ---------------------------------------------------------------- rows that the contract finds by other columns


class Named(World):
    """A sink that keeps its rows by name; its rows of no record key are another partition's."""

    def __init__(self, *changes: tuple[int, str, Any], **terms: Any) -> None:
        self.by_name: dict[str, dict[str, bytes]] = {}
        super().__init__(*changes, keys={"orders": ("name",)}, **terms)

    def keeps(self, *rows: tuple[int, str, str]) -> Named:
        """The sink's rows."""
        self.by_name = {name: {"id": integer(key), "name": text(name), "body": text(body)} for key, name, body in rows}
        return self

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> list[Mapping[str, bytes] | None]:
        assert (table, tuple(key)) == ("t", ("name",))
        self.asked.append(keys)
        return [self.by_name.get(one[0]) for one in keys]

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        assert (table, tuple(key)) == ("t", ("name",))
        return True


def test_rows_are_found_by_the_contract_s_key_and_judged_by_the_record_key_that_they_show() -> None:
    world = Named(upsert(1, "a"), upsert(2, "b"), upsert(3, "c"), upsert(4, "d"), deletes="ignore")
    world.keeps((1, "a", "b"), (2, "b", "wrong"), (9, "c", "another's"))
    world.look(4)

    assert world.states() == {0: "delivered", 1: "diverged", 2: "attempted", 3: "missing"}


def test_several_record_keys_that_make_one_row_are_asked_once_by_the_newest() -> None:
    world = Named(upsert(1, "a"), upsert(2, "a")).keeps((2, "a", "b"))
    world.look(2)

    assert world.asked == [[["a"]]]
    assert world.states() == {0: "attempted", 1: "delivered"}


def test_a_row_that_moved_to_another_key_is_looked_for_there() -> None:
    world = Named(upsert(1, "a"), upsert(1, "z"), deletes="ignore").keeps((1, "a", "b"), (1, "z", "b"))
    world.look(2)

    assert world.states() == {0: "superseded", 1: "delivered"}


def test_a_delete_that_does_not_tell_the_contract_s_key_is_attempted() -> None:
    world = Named(upsert(1, "a"), delete(1)).keeps((1, "a", "b"))
    world.look(2)

    assert world.states() == {0: "superseded", 1: "attempted"}
    assert world.reader.tally.rows["unmatched"] == 1


def test_a_table_that_a_value_names_and_that_is_not_there_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(upsert(1, "t"), upsert(2, "odd"), table_name="${column.name}")
    world.holds((1, "t", "b"))
    known = world.read

    def read(
        table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> list[Mapping[str, bytes] | None]:
        if table != "t":
            raise BadInput(f"no table {table}")
        return known(table, key, keys)

    monkeypatch.setattr(world, "read", read)
    world.look(2)

    assert world.states() == {0: "delivered", 1: "attempted"}


def test_a_table_may_be_named_after_a_value_of_the_row() -> None:
    world = World(upsert(1, "t"), upsert(2, None), table_name="${column.name}")
    world.holds((1, "t", "b"))
    world.look(2)

    assert world.states() == {0: "delivered", 1: "attempted"}
    assert world.reader.tally.rows["unmatched"] == 1


def test_a_row_of_a_table_that_somebody_else_fills_says_nothing() -> None:
    """It may be another topic's row, or another sink may have taken it away."""
    world = World(upsert(1, "a"), upsert(2, "b"))
    world.holds((1, "of another topic", "b"))
    world.reader._looks._fillers = lambda *_: ("s", "other")

    world.look(2)

    assert set(world.states().values()) == {"attempted"}
    assert world.reader.tally.rows["shared"] == 2
