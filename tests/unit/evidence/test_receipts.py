"""What is found about rows, as the receipts and marks that enter a lane."""

from __future__ import annotations

import pytest

from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.evidence.receipts import described, evidence_of, fingerprint
from app.evidence.states import Absent, Different, Equal
from app.evidence.tables import StoreTerms
from app.model import RawBatch, RawRecord
from cdc_receipts.codec import Mark, MarkKind, Receipt, Status
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import ID, change, decoded, envelope, framed
from tests.unit.evidence.rows import delete, row, truncate, upsert

TERMS = StoreTerms()
INSERT = upsert(5, name="a", body="b")


def said(image, finding, **rest):
    return evidence_of("s", image, finding, TERMS, "read-back", 99, 3, **rest)


def test_a_row_that_is_right_has_the_changes_own_fingerprint():
    found = said(INSERT, Equal(offset=5, is_whole=True, is_delete=False))

    assert found == Receipt(
        sink="s", topic="t", partition=0, offset=5, status=Status.APPLIED, applied_at=99, evidence="read-back",
        fingerprint=fingerprint(INSERT, TERMS).to_bytes(8, "little"),
    )  # fmt: skip


def test_the_fingerprint_is_the_folds_own_with_what_the_contract_leaves_out():
    """The one is made of atoms, the other of the record's bytes, by the plan of its schema."""
    schema = envelope((("id", "long"), ("name", ["null", "string"]), ("body", "string"), ("seen", "long")))
    value = framed(schema, change("u", {"id": 1, "name": None, "body": UNAVAILABLE_VALUE, "seen": 7}))
    ignored = ("orders.seen",)
    raw = RawBatch.of("t", 0, [RawRecord(0, 0, None, value)], 0, 1)

    (image,) = ImageDecoder(RecordedSchemas({ID: __import__("json").dumps(schema)}), UNAVAILABLE_VALUE).decode(raw)
    batch = decoded(schema, [value], [frozenset(ignored)])

    assert fingerprint(image, StoreTerms(ignore_columns=ignored)) == int(batch.fingerprints[0][0])


def test_a_row_that_was_not_compared_whole_is_there():
    found = said(INSERT, Equal(offset=5, is_whole=False, is_delete=False))

    assert isinstance(found, Receipt)
    assert (found.status, found.fingerprint) == (Status.APPLIED, None)


def test_a_row_that_is_gone_as_it_should_be_is_deleted():
    found = said(delete(5), Equal(offset=5, is_whole=True, is_delete=True))

    assert isinstance(found, Receipt)
    assert (found.status, found.fingerprint) == (Status.DELETED, None)


@pytest.mark.parametrize("held", [row(body="x"), {}, row(body="b")])
def test_a_row_that_differs_never_has_the_changes_fingerprint(held):
    finding = Different(offset=5, columns={"body": "value"}, found=held)
    found = said(INSERT, finding)

    assert isinstance(found, Receipt)
    assert found.status is Status.APPLIED
    assert found.fingerprint not in (None, fingerprint(INSERT, TERMS).to_bytes(8, "little"))
    assert found.error == ("differs", "body (value)")


def test_a_row_that_differs_has_the_fingerprint_of_what_the_sink_holds():
    found = said(INSERT, Different(offset=5, columns={"body": "value"}, found=row(body="x")))

    assert isinstance(found, Receipt)
    assert found.fingerprint == fingerprint(upsert(5, name="a", body="x"), TERMS).to_bytes(8, "little")


def test_a_deleted_row_that_is_still_there_was_applied_where_it_should_be_deleted():
    found = said(delete(5), Different(offset=5, columns={}, found={}))

    assert isinstance(found, Receipt)
    assert (found.status, found.error) == (Status.APPLIED, ("differs", "the row is still there"))


def test_a_change_of_which_there_is_no_sign_was_skipped():
    found = said(INSERT, Absent(offset=5))

    assert isinstance(found, Mark)
    assert (found.kind, found.offset, found.to_offset, found.generation) == (MarkKind.SKIP, 5, 6, 3)


@pytest.mark.parametrize(
    ("image", "status"), [(INSERT, Status.DELETED), (delete(5), Status.APPLIED), (truncate(5), Status.DELETED)]
)
def test_against_a_word_that_it_was_applied_stands_a_receipt_of_the_wrong_kind(image, status):
    found = said(image, Absent(offset=5), is_heard=True)

    assert isinstance(found, Receipt)
    assert (found.status, found.fingerprint) == (status, None)


def test_columns_are_described_without_their_values():
    assert described({"b": "null", "a": "placeholder"}) == "a (placeholder), b (null)"
