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
from app.errors import Unavailable
from app.evidence.tables import StoreTerms
from app.ledger import watermarks
from app.ledger.lane import LaneRows, concatenate, lane_ranks, split
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import Contract, RawBatch, RawRecord, SinkTopic
from app.testing import fence, lane_rows
from app.worker.ports import Input
from app.worker.readback import Contract as ReadBackContract
from app.worker.readback import ReadBack
from cdc_receipts.atoms import integer, text
from cdc_receipts.codec import SCHEMAS, Mark, Receipt, encode_mark, encode_receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, envelope, framed, record

VALUE_ID, KEY_ID = 7, 8
VALUE = envelope((("id", "long"), ("name", ["null", "string"]), ("body", ["null", "string"])))
KEY = record("Key", (("id", "long"),))
WRITERS = RecordedSchemas({VALUE_ID: json.dumps(VALUE), KEY_ID: json.dumps(KEY)})
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

    def __init__(self, *changes: tuple[int, str, Any], evidence: str = "progress", **terms: Any) -> None:
        contract = Contract(sink="s", topics=("t",), evidence=evidence, expect="latest-state", fences="progress")  # type: ignore[arg-type]
        self.fold = PartitionFold([contract], 0)
        self.records: list[RawRecord] = []
        self.store: dict[int, dict[str, bytes]] = {}
        self.lane: list[LaneRows] = []
        self.asked: list[Sequence[Sequence[str]]] = []
        self.looks: list[Callable[[], None]] = []
        self.reader = ReadBack(
            ReadBackContract(sink="s", terms=StoreTerms(is_every_change=False, **terms), share=1.0, second_look_s=1),
            self,
            self._fetch,
            ImageDecoder(WRITERS, UNAVAILABLE_VALUE),
            self._no_schemas,
            lambda: 9_000,
            self._sleep,
        )
        self.happens(*changes)

    def happens(self, *changes: tuple[int, str, Any]) -> None:
        """More changes at the source, read by the fold."""
        start = len(self.records)
        for key, op, after in changes:
            value = framed(VALUE, change(op, after, {"lsn": len(self.records)}), VALUE_ID)
            self.records.append(RawRecord(len(self.records), 100, framed(KEY, {"id": key}, KEY_ID), value))
        raw = RawBatch.of("t", 0, self.records[start:], start, len(self.records))
        self.fold.take_changes(ReferenceChangeDecoder(WRITERS, [frozenset()], UNAVAILABLE_VALUE).decode(raw))

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
        return said

    def states(self) -> Told:
        """Every cell's state."""
        found = [*watermarks.closed_cells(self.sink), *watermarks.open_cells(self.sink)]
        return {offset: state.word for offset, state, _ in found}

    def flags(self) -> set[str]:
        """Every flag of a cell."""
        return {word for _, _, flags in watermarks.closed_cells(self.sink) for word in flags.words()}

    # what the reader asks

    def read(self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]]) -> list[Mapping[str, bytes] | None]:
        assert (table, tuple(key)) == ("t", ("id",))
        self.asked.append(keys)
        return [self.store.get(int(one[0])) for one in keys]

    async def _fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        assert source == SOURCE
        found = [self.records[offset] for offset in offsets]
        return RawBatch.of("t", 0, found, 0, len(self.records))

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

    def away(*_: object) -> list[Mapping[str, bytes] | None]:
        raise Unavailable("the store is away")

    world.read = away  # type: ignore[method-assign]

    with pytest.raises(Unavailable):
        world.look(1)
    assert world.states() == {0: "pending"}
