"""Random histories of one key, sinks that do right and sinks that do wrong: nobody is convicted falsely, no fault is missed.

A sink is a table that applies the changes of its partition in order. A right one may be ahead of its progress by any number,
begin again from an older change (and come as far as it had been), and leave out what a newer change of the key stands for. A
faulty one does one thing wrong with the newest change below its progress; where nothing newer is on its way, that must show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.decode.images import Image
from app.evidence.change_log import walk
from app.evidence.keys import by_key, shared_text
from app.evidence.postgres import atom_of_text
from app.evidence.states import Absent, Different, Equal, judge, states
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL
from tests.unit.evidence.rows import UNAVAILABLE, delete, image, row, truncate, upsert

VALUES = st.sampled_from([None, "a", "b", "", "A"])
Row = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """A source's table of one key, and what its changes are."""

    changes: list[Image]
    truth: list[Row | None]
    """What the source's row is after each."""


@st.composite
def histories(draw: Any) -> Written:
    """Inserts, updates that leave the long column out where it did not change, deletes, truncates, columns that come and go."""
    changes: list[Image] = []
    truth: list[Row | None] = []
    held: dict[str, Any] | None = None
    offset = draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 8))):
        offset += draw(st.integers(1, 3))
        what = draw(st.sampled_from(["update"] * 5 + ["delete", "truncate", "again"]))
        if what == "truncate":
            changes.append(truncate(offset))
            held = None
        elif what == "delete" and held is not None:
            changes.append(delete(offset))
            held = None
        elif what == "again" and changes:
            again = draw(st.sampled_from(changes))
            if again.kind is not ChangeKind.UPSERT or again.unavailable:
                continue
            changes.append(replace(again, offset=offset))
            held = {name: atom for name, atom in (again.row or {}).items() if name != "id"}
        else:
            was = held
            columns = draw(st.sampled_from([("name", "body"), ("name", "body", "extra"), ("body",)]))
            held = {name: draw(VALUES) for name in columns}
            is_long = was is not None and "body" in was and draw(st.booleans())
            if is_long and was is not None:
                held["body"] = was["body"]
            changes.append(upsert(offset, unavailable="body" if is_long else "", **held))
        truth.append(None if held is None else row(id=1, **held))
    assume(changes)
    return Written(changes, truth)


def applied(changes: Sequence[Image], terms: StoreTerms, held: Row | None = None) -> Row | None:
    """What a right sink holds after some changes; a value that is left out stays as it was."""
    for change in changes:
        match change.kind:
            case ChangeKind.UPSERT:
                mark = {"__deleted": atom_of_text("text", "false")} if terms.deletes == "soft" else {}
                left = {name: held[name] for name in change.unavailable if held is not None and name in held}
                stale = {name: atom for name, atom in (held or {}).items() if name not in (change.row or {})}
                held = {**stale, **(change.row or {}), **left, **mark}
            case ChangeKind.DELETE if terms.deletes == "soft" and held is not None:
                held = {**held, "__deleted": atom_of_text("text", "true")}
            case ChangeKind.DELETE if terms.deletes == "apply":
                held = None
            case ChangeKind.TRUNCATE if terms.truncates:
                held = None
    return held


TERMS = st.builds(
    StoreTerms,
    deletes=st.sampled_from(["apply", "ignore", "soft"]),
    truncates=st.booleans(),
    sets_every_column=st.booleans(),
    is_every_change=st.booleans(),
)


def known_of(changes: Sequence[Image], terms: StoreTerms) -> list[Any]:
    return [state for history in by_key(changes, terms).values() for state in states(history, terms)]


@given(histories(), TERMS, st.data())
def test_a_sink_that_does_right_is_never_convicted(written, terms, data):
    """It stands anywhere at or above its progress, came there over a redelivery or not."""
    below = data.draw(st.integers(0, written.changes[-1].offset + 1), "progress")
    passed = sum(change.offset < below for change in written.changes)
    stands = data.draw(st.integers(passed, len(written.changes)), "stands")
    back = data.draw(st.integers(0, stands), "back")
    held = applied(written.changes[back:stands], terms, applied(written.changes[:stands], terms))

    finding = judge(known_of(written.changes, terms), below, held, terms)

    assert finding is None or isinstance(finding, Equal)


@given(histories(), TERMS, st.data())
def test_what_is_claimed_of_a_sink_is_not_above_where_it_may_stand(written, terms, data):
    stands = data.draw(st.integers(0, len(written.changes)), "stands")
    held = applied(written.changes[:stands], terms)
    below = written.changes[stands - 1].offset + 1 if stands else 0

    finding = judge(known_of(written.changes, terms), below, held, terms)

    assert finding is None or finding.offset < below


def newest(written: Written, terms: StoreTerms) -> tuple[int, Image]:
    """The newest change that the row shows, and its place."""
    shown = [
        (place, change)
        for place, change in enumerate(written.changes)
        if change.kind is ChangeKind.UPSERT
        or (change.kind is ChangeKind.DELETE and terms.deletes != "ignore")
        or (change.kind is ChangeKind.TRUNCATE and terms.truncates)
    ]
    assume(shown)
    return shown[-1]


FAULTS = ["lost", "column", "null", "placeholder", "kept", "removed", "unmarked"]


def faulty(fault: str, written: Written, terms: StoreTerms, place: int, column: str) -> Row | None:
    """What a sink holds that did one thing wrong with the change at a place, the last one that it read."""
    before = applied(written.changes[:place], terms)
    after = applied(written.changes[: place + 1], terms)
    kind = written.changes[place].kind
    match fault:
        case "lost":
            return before
        case "removed":
            return None
        case "kept" if kind is not ChangeKind.UPSERT:
            return before or row(id=1, name="z", body="z")
        case "unmarked" if after is not None and "__deleted" in after:
            was = after["__deleted"] == atom_of_text("text", "true")
            return {**after, "__deleted": atom_of_text("text", "false" if was else "true")}
        case "column" | "null" | "placeholder" if after is not None:
            wrong = {"column": b"\x05another", "null": NULL, "placeholder": b"\x05" + UNAVAILABLE.encode()}[fault]
            return {**after, column: wrong}
    return after


@pytest.mark.parametrize("fault", FAULTS)
@given(written=histories(), terms=TERMS, data=st.data())
def test_a_fault_at_the_newest_change_is_always_found(fault, written, terms, data):
    """Unless it can't be seen: the row is what a right sink would hold, or a truncate is all that took it."""
    if fault == "kept":
        written = Written([*written.changes, delete(written.changes[-1].offset + 1)], [*written.truth, None])
        terms = replace(terms, deletes="apply" if terms.deletes == "ignore" else terms.deletes)
    place, change = newest(written, terms)
    known = known_of(written.changes[: place + 1], terms)
    assume(known)
    told = sorted((known[-1].columns or {"name": b""}).keys() - {"id"})
    assume(told)
    column = data.draw(st.sampled_from(told), "column")
    held = faulty(fault, written, terms, place, column)
    right = applied(written.changes[: place + 1], terms)
    assume(held != right)
    assume(not is_blind(held, right, known[-1]))

    finding = judge(known, change.offset + 1, held, terms)

    assert isinstance(finding, Absent | Different)
    assert finding.offset == change.offset


def is_blind(held: Row | None, right: Row | None, last: Any) -> bool:
    """Whether nothing that the changes tell differs between two rows."""
    if held is None or right is None:
        return False
    told = {*(last.columns or {}), "__deleted"}
    unknown = {name for name in last.unknown if held.get(name) == b"\x05" + UNAVAILABLE.encode()}
    return all(held.get(name, NULL) == right.get(name, NULL) for name in told | unknown)


# ---------------------------------------------------------------- the sink's own log


def logged(changes: Sequence[Image], terms: StoreTerms, kept: Sequence[bool], restarts: Sequence[int]) -> list[Image]:
    """What the log of a right sink shows, that leaves out some changes and begins again from some places."""
    path: list[int] = []
    for place in range(len(changes)):
        path.append(place)
        if place in restarts:
            path += list(range(max(0, place - 2), place + 1))
    found: list[Image] = []
    held: Row | None = None
    for at, place in enumerate(path):
        is_reduced = (
            not kept[place] and changes[place].kind is ChangeKind.UPSERT and path[at + 1 : at + 2] == [place + 1]
        )
        if is_reduced and changes[place + 1].kind is ChangeKind.UPSERT and not changes[place + 1].unavailable:
            continue
        was, held = held, applied([changes[place]], terms, held)
        if changes[place].kind is ChangeKind.TRUNCATE or (held is None and was is None):
            continue
        kind = ChangeKind.DELETE if held is None else ChangeKind.UPSERT
        found.append(image(at, kind, key=row(id=1), row=held, table="kept"))
    return found


@given(
    histories(), st.booleans(), st.lists(st.booleans(), min_size=8, max_size=8), st.sets(st.integers(0, 7), max_size=2)
)
def test_the_log_of_a_sink_that_does_right_convicts_nobody(written, truncates, kept, restarts):
    terms = StoreTerms(truncates=truncates, sets_every_column=True)
    known = {
        key: states(history, terms)
        for history in by_key(written.changes, terms).values()
        if (key := shared_text(row(id=1), terms, "orders")) is not None
    }

    found = walk(known, logged(written.changes, terms, kept, sorted(restarts)), terms, "orders", ("id",))

    assert [finding for _, finding in found if not isinstance(finding, Equal)] == []


@given(histories())
def test_the_log_of_a_sink_that_applies_every_change_proves_each(written):
    terms = StoreTerms(truncates=True, sets_every_column=True)
    known = {shared_text(row(id=1), terms, "orders"): known_of(written.changes, terms)}
    log = logged(written.changes, terms, [True] * 8, [])

    found = [finding.offset for _, finding in walk(known, log, terms, "orders", ("id",))]

    assert len(found) == len(log)
    assert found == sorted(set(found))
