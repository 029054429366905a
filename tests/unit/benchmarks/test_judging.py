"""Right or wrong: a planted fault that is not reported makes wrong, and so does one that nobody planted."""

from __future__ import annotations

import pytest

import schemas
from app.adapters.encode import SCHEMA_NAMES, Encoder
from app.model import ChangeKind, Flag, Origin, State
from app.model.effects import Orphan, Verdict
from benchmarks.judging import decoded_text, registered_decoder, score
from benchmarks.load import Fault

LOST = Fault("one", "t", 0, 5, "MISSING")
WRONG = Fault("two", "t", 3, 9, "DIVERGED")
PLANTED = {LOST, WRONG}

IDS = {name: number for number, name in enumerate(SCHEMA_NAMES, 11)}
TEXTS = {number: schemas.text(name) for name, number in IDS.items()}


@pytest.mark.parametrize(
    ("found", "missed", "false"),
    [
        (PLANTED, 0, 0),
        ({LOST}, 1, 0),
        (PLANTED | {LOST._replace(offset=6)}, 0, 1),
        ({LOST, WRONG._replace(state="MISSING")}, 1, 1),
        ({LOST, WRONG._replace(sink="one")}, 1, 1),
        (set(), 2, 0),
    ],
)
def test_only_what_was_planted_and_all_of_it_is_right(found, missed, false):
    told = score(found, PLANTED)

    assert (told.missed, told.false) == (missed, false)
    assert told.is_right == (found == PLANTED)
    assert str(told).startswith("right" if told.is_right else "WRONG")


def test_a_peers_verdict_is_one_line_of_text():
    assert decoded_text(b"MISSING,one,t,0,5") == LOST


def test_our_verdicts_are_read_as_the_registry_knows_them():
    verdict = Verdict(
        sink="one", generation=0, topic="t", epoch=0, partition=0, id="00ff", offset=5, state=State.MISSING, flags=Flag(0),
        change=ChangeKind.UPSERT, key_hash=None, expected_fingerprint=None, seen_fingerprint=None, fence=9,
        fence_origin=Origin("receipts", 1, 77), closed=False, at=3,
    )  # fmt: skip

    assert registered_decoder(TEXTS.get)(Encoder(IDS).value(verdict)) == LOST


def test_a_finding_is_a_false_verdict():
    orphan = Orphan(sink="one", topic="t", partition=0, offset=5, origin=Origin("receipts", 1, 77))
    found = registered_decoder(TEXTS.get)(Encoder(IDS).value(orphan))

    assert score({*PLANTED, found}, PLANTED).false == 1
