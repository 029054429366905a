"""Random histories of several record keys that a sink keeps by other columns: nobody is convicted falsely, a loss is found.

The source's rows stand in two partitions by their id. The sink takes the changes of each in order, the partitions in any
interleaving, and keeps its rows by columns of the value. What it does with the row under the old key when one moves, and with
rows whose delete it hears of, differs from sink to sink; each way is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from app.decode.atoms import integer as number
from app.decode.images import Image
from app.evidence.keys import KeyText, by_key, key_text, row_key
from app.evidence.postgres import atom_of_text
from app.evidence.states import Absent, Different, Equal, judge, states
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL
from tests.unit.evidence.rows import delete, row, upsert

PARTITIONS = 2
MARKED, UNMARKED = atom_of_text("text", "true"), atom_of_text("text", "false")
Row = dict[str, bytes]


@dataclass(slots=True)
class Sink:
    """A table by its key.

    Attributes:
        moves: a row that moves to another key is taken away where it stood.
        is_blind: a delete takes the row under the key that the source's row had last, whoever wrote it since.
    """

    terms: StoreTerms
    moves: bool
    is_blind: bool
    rows: dict[KeyText, Row] = field(default_factory=dict)
    stood: dict[int, KeyText] = field(default_factory=dict)

    def take(self, change: Image) -> None:
        """One change, as the table's owner wants it."""
        identity = number((change.key or {})["id"])
        at = self.stood.get(identity)
        if change.kind is ChangeKind.DELETE:
            self._delete(identity, at)
            return
        key = key_text(row_key(change, self.terms))
        if key is None:
            return  # such a row can't be kept
        if self.moves and at not in (None, key) and self._is_of(at, identity):
            del self.rows[at]
        before = self.rows.get(key, {})
        left = {name: before.get(name, NULL) for name in change.unavailable}
        mark = {"__deleted": UNMARKED} if self.terms.deletes == "soft" else {}
        self.rows[key] = {**(change.row or {}), **left, **mark}
        self.stood[identity] = key

    def _delete(self, identity: int, at: KeyText | None) -> None:
        if at not in self.rows or not (self.is_blind or self._is_of(at, identity)):
            return
        if self.terms.deletes == "apply":
            del self.rows[at]
        elif self.terms.deletes == "soft":
            self.rows[at] = {**self.rows[at], "__deleted": MARKED}

    def _is_of(self, at: KeyText | None, identity: int) -> bool:
        return at in self.rows and number(self.rows[at]["id"]) == identity


@st.composite
def sources(draw: Any) -> list[list[Image]]:
    """The changes of each partition; a code, a region and a long body that an update may leave out."""
    logs: list[list[Image]] = [[] for _ in range(PARTITIONS)]
    held: dict[int, dict[str, Any]] = {}
    for _ in range(draw(st.integers(1, 12))):
        identity = draw(st.integers(1, 3))
        log = logs[identity % PARTITIONS]
        if identity in held and draw(st.integers(0, 4)) == 0:
            del held[identity]
            log.append(delete(len(log), key=identity))
            continue
        columns = {
            "code": draw(st.sampled_from(["x", "x", "y", None])), "region": draw(st.sampled_from(["n", "s"])),
            "body": draw(st.sampled_from(["b", "c", "d"])),
        }  # fmt: skip
        is_left_out = identity in held and draw(st.booleans())
        if is_left_out:
            columns["body"] = held[identity]["body"]
        log.append(upsert(len(log), key=identity, unavailable="body" if is_left_out else "", **columns))
        held[identity] = columns
    return logs


TERMS = st.builds(
    StoreTerms,
    keys=st.sampled_from(
        [{"orders": names} for names in (("code",), ("id", "region"), ("code", "id"), ("region", "code"))]
    ),
    deletes=st.sampled_from(["apply", "ignore", "soft"]),
)


def interleaved(draw: Any, sink: Sink, logs: list[list[Image]], ends: list[int]) -> None:
    """The sink takes what stands below some ends; now and then it begins again a little earlier in one partition."""
    at = [0] * PARTITIONS
    while any(here < end for here, end in zip(at, ends, strict=True)):
        which = draw(st.sampled_from([place for place in range(PARTITIONS) if at[place] < ends[place]]))
        if at[which] and draw(st.integers(0, 9)) == 0:
            for change in logs[which][max(0, at[which] - 2) : at[which]]:
                sink.take(change)
        sink.take(logs[which][at[which]])
        at[which] += 1


def findings(sink: Sink, log: list[Image], below: int) -> list[Any]:
    """What a partition's histories say of the sink's rows: whole, and as a worker fetches them, of one record key."""
    found = []
    identities = {number((change.key or {})["id"]) for change in log}
    parts = [log] + [[one for one in log if number((one.key or {})["id"]) == identity] for identity in identities]
    for part in parts:
        for key, history in by_key(part, sink.terms).items():
            known = states(history, sink.terms)
            found.append(judge(known, below, sink.rows.get(key), sink.terms))
    return found


@given(sources(), TERMS, st.booleans(), st.booleans(), st.data())
def test_a_sink_that_does_right_is_never_convicted(logs, terms, moves, is_blind, data):
    """It stands anywhere at or above its progress in each partition."""
    sink = Sink(terms, moves=moves and terms.deletes != "ignore", is_blind=is_blind)
    ends = [data.draw(st.integers(0, len(log))) for log in logs]
    interleaved(data.draw, sink, logs, ends)

    for log, end in zip(logs, ends, strict=True):
        below = data.draw(st.integers(0, end))
        assert not [one for one in findings(sink, log, below) if isinstance(one, Absent | Different)]


@given(sources(), st.sampled_from(["apply", "ignore"]), st.data())
def test_the_last_write_of_a_record_key_that_is_lost_is_found_where_the_key_holds_it(logs, deletes, data):
    """The key is id and region, so no other record key writes the row."""
    terms = StoreTerms(keys={"orders": ("id", "region")}, deletes=deletes)
    log = data.draw(st.sampled_from([log for log in logs if log]))
    lost = log[-1]
    assume(lost.kind is ChangeKind.UPSERT)
    sink, whole = (Sink(terms, moves=False, is_blind=False) for _ in range(2))
    for change in log:
        whole.take(change)
        if change is not lost:
            sink.take(change)
    key = key_text(row_key(lost, terms))
    assert key is not None
    assume({**sink.rows.get(key, {}), "body": b""} != {**whole.rows[key], "body": b""} or not lost.unavailable)
    assume(sink.rows.get(key) != whole.rows[key])

    found = judge(states(by_key(log, terms)[key], terms), len(log), sink.rows.get(key), terms)

    assert isinstance(found, Absent | Different)
    assert found.offset == lost.offset
    assert isinstance(judge(states(by_key(log, terms)[key], terms), len(log), whole.rows[key], terms), Equal)


def test_a_right_row_of_a_code_that_was_handed_on_says_nothing_of_its_former_owner():
    terms = StoreTerms(keys={"orders": ("code",)}, deletes="apply")
    sink = Sink(terms, moves=True, is_blind=False)
    former, next_owner = upsert(0, key=1, code="x", body="b"), upsert(0, key=2, code="x", body="c")
    for change in (former, next_owner):
        sink.take(change)

    assert findings(sink, [former], 1) == [None, None]
    assert sink.rows == {(("code", "x"),): row(id=2, code="x", body="c")}


def test_a_value_that_another_owner_of_the_row_left_there_is_no_fault_of_the_next():
    """Between two changes of one record key, another wrote the row; what the second one leaves out stayed as the other had it."""
    terms = StoreTerms(keys={"orders": ("code",)}, deletes="ignore")
    sink = Sink(terms, moves=False, is_blind=False)
    first, second = upsert(0, key=1, code="x", body="b"), upsert(1, key=1, code="x", body="b", unavailable="body")
    for change in (first, upsert(0, key=2, code="x", body="c"), second):
        sink.take(change)

    assert sink.rows[(("code", "x"),)] == row(id=1, code="x", body="c")
    assert findings(sink, [first, second], 2) == [Equal(offset=1, is_whole=False, is_delete=False)] * 2


def test_a_mark_that_another_record_key_s_delete_left_convicts_nobody():
    terms = StoreTerms(keys={"orders": ("code",)}, deletes="soft")
    sink = Sink(terms, moves=False, is_blind=True)
    mine = upsert(0, key=1, code="x", body="b")
    for change in (upsert(0, key=2, code="x", body="c"), mine, delete(1, key=2)):
        sink.take(change)

    assert sink.rows[(("code", "x"),)]["__deleted"] == MARKED
    assert findings(sink, [mine], 1) == [None, None]
