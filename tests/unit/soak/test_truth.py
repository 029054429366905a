"""What the long run takes for the truth: each way to be wrong about it is found, and what is right is not."""

from __future__ import annotations

import random
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from tests.soak.planted import CUT, DIVERGED, DROPPED, KEPT, MISSING, Planter, Row
from tests.soak.truth import Change, Truth

A, B = "a", "b"
NOTES, ORDERS, DOCUMENTS = (f"shop.public.{table}" for table in ("notes", "orders", "documents"))
DOCUMENT = uuid.UUID(int=7)

CHANGES = {
    NOTES: [
        Change((NOTES, 0, 0), KEPT + 1, True, False),
        Change((NOTES, 0, 1), None, True, False),  # poison
        Change((NOTES, 0, 2), CUT + 2, True, False),
    ],
    ORDERS: [
        Change((ORDERS, 0, 0), DROPPED + 3, True, False),
        Change((ORDERS, 0, 1), DROPPED + 3, True, False),  # told by the source again
    ],
    DOCUMENTS: [
        Change((DOCUMENTS, 0, 0), str(DOCUMENT), True, False),
        Change((DOCUMENTS, 0, 1), str(DOCUMENT), True, True),
    ],
}


def verdict(sink, topic, offset, state, *, closed=False):
    return {"sink": sink, "topic": topic, "partition": 0, "offset": offset, "state": state, "closed": closed}


RIGHT = (
    verdict(B, NOTES, 1, "REJECTED"),
    verdict(B, NOTES, 2, DIVERGED),
    verdict(A, ORDERS, 1, MISSING),
    verdict(A, DOCUMENTS, 1, DIVERGED),
)


def truth(*verdicts: dict[str, Any], watermarks: dict[Any, Any] | None = None) -> Truth:
    """A run in which one note was cut, one order dropped, one document touched, and one record was no change."""
    tables = {A: {"orders": "orders", "documents": "documents"}, B: {"notes": "notes", "orders": "orders"}}
    lost = {A: {"orders": {(DROPPED + 3,): None}}, B: {"notes": {(CUT + 2,): None}}}
    pipeline: Any = SimpleNamespace(
        sink_a=A, sink_b=B, sinks=(A, B), source="shop", tables=tables, shop=SimpleNamespace(untouched={DOCUMENT}),
        changes={"notes": NOTES, "orders": ORDERS, "documents": DOCUMENTS}, differences=lost.__getitem__,
        topics=lambda sink: [f"shop.public.{table}" for table in tables[sink]], rows=lambda *_: [(str(DOCUMENT),)],
    )  # fmt: skip
    planter = Planter(pipeline, random.Random(0))
    planter.poisons.add((NOTES, 0, 1))
    for sink, table, key, state in ((A, "orders", DROPPED + 3, MISSING), (B, "notes", CUT + 2, DIVERGED)):
        planter.rows[sink, table, key] = Row(sink=sink, table=table, key=key, states=frozenset({state}))
    telling: Any = SimpleNamespace(verdicts=lambda: list(verdicts), watermarks=lambda: watermarks or {})
    return Truth(pipeline, planter, telling, CHANGES.__getitem__)


def test_what_was_planted_and_told_as_it_was_is_right():
    found = truth(*RIGHT)

    assert (found.false_alarms(), list(found.untold()), found.due(), found.strangers()) == ([], [], 4, {})


@pytest.mark.parametrize(
    "told",
    [
        verdict(B, NOTES, 0, MISSING),
        verdict(B, NOTES, 0, "DELIVERED", closed=True),  # it was told of before, or this would not be
        verdict(B, NOTES, 1, "UNVERIFIABLE"),
        verdict(B, NOTES, 2, MISSING),
        verdict(B, ORDERS, 1, MISSING),
        verdict(A, DOCUMENTS, 0, DIVERGED),
        verdict(A, DOCUMENTS, 1, MISSING),
        verdict(B, NOTES, 9, MISSING),
    ],
    ids=lambda told: f"{told['sink']} {told['topic']} {told['offset']} {told['state']}",
)
def test_anything_else_is_a_false_alarm_even_if_it_cleared(told):
    assert truth(*RIGHT, told, {**told, "state": "DELIVERED", "closed": True}).false_alarms()[0] == told


@pytest.mark.parametrize("silent", RIGHT, ids=lambda told: told["topic"])
def test_each_that_is_not_told_is_found_and_so_is_one_that_cleared_or_is_told_of_an_older_change(silent):
    rest = [one for one in RIGHT if one is not silent]

    assert len(list(truth(*rest).untold())) == 1
    assert len(list(truth(*RIGHT, {**silent, "closed": True}).untold())) == 1


def test_the_newest_change_of_a_lost_row_must_be_told_and_an_older_one_may_be():
    older = verdict(A, ORDERS, 0, MISSING)

    assert truth(*RIGHT, older).false_alarms() == []
    assert len(list(truth(older, *(one for one in RIGHT if one["topic"] != ORDERS)).untold())) == 1


def test_cells_that_are_not_as_many_as_records_and_bad_ones_without_a_verdict_are_found():
    right = {
        (B, NOTES, 0): {
            "counts": {"delivered": 1, "rejected": 1, "diverged": 1},
            "open_counts": {"rejected": 1, "diverged": 1},
        }
    }
    fewer = {(B, NOTES, 0): {"counts": {"delivered": 2}, "open_counts": {}}}

    assert list(truth(*RIGHT, watermarks=right).miscounted()) == []
    assert len(list(truth(*RIGHT, watermarks=fewer).miscounted())) == 2
