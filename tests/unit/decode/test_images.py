"""Changes read whole: their rows, their keys, what is unavailable, and what is said of those that can't be read."""

from __future__ import annotations

import json

import pytest

from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.model import ChangeKind, RawBatch, RawRecord
from cdc_receipts.atoms import NULL, integer, text
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, envelope, framed, record

VALUE_ID, KEY_ID, TEXT_ID = 7, 8, 9
VALUE = envelope((("id", "long"), ("name", ["null", "string"]), ("body", ["null", "string"])))
DOCUMENT = envelope((("id", "long"),))
DOCUMENT["fields"] = [
    {**one, "type": ["null", "string"]} if one["name"] in {"before", "after"} else one for one in DOCUMENT["fields"]
]
KEY = record("Key", (("id", "long"),))
SCHEMAS = RecordedSchemas({VALUE_ID: json.dumps(VALUE), KEY_ID: json.dumps(KEY), TEXT_ID: json.dumps(DOCUMENT)})
ONE = framed(KEY, {"id": 1}, KEY_ID)
ROW = {"id": 1, "name": None, "body": UNAVAILABLE_VALUE}


def decoded(*records, wanted=None):
    rows = [RawRecord(offset, 100 + offset, key, value) for offset, (key, value) in enumerate(records)]
    raw = RawBatch.of("t", 3, rows, 0, len(rows))
    return list(ImageDecoder(SCHEMAS, UNAVAILABLE_VALUE).decode(raw, wanted))


def only(key, value):
    (found,) = decoded((key, value))
    return found


def test_a_row_has_its_values_and_names_what_is_unavailable():
    found = only(ONE, framed(VALUE, change("u", ROW), VALUE_ID))

    assert (found.topic, found.partition, found.offset, found.timestamp, found.at) == ("t", 3, 0, 100, 5)
    assert (found.kind, found.op, found.database, found.table) == (ChangeKind.UPSERT, "u", "d", "orders")
    assert found.key == {"id": integer(1)}
    assert found.row == {"id": integer(1), "name": NULL}
    assert found.unavailable == {"body"}


def test_a_change_without_a_time_has_its_records():
    assert only(ONE, framed(VALUE, change("u", ROW, {"ts_ms": None}), VALUE_ID)).at == 100


@pytest.mark.parametrize(("op", "kind"), [("d", ChangeKind.DELETE), ("t", ChangeKind.TRUNCATE)])
def test_deletes_and_truncates_have_no_row(op, kind):
    found = only(ONE, framed(VALUE, change(op), VALUE_ID))

    assert (found.kind, found.row, found.unavailable, found.hides) == (kind, None, frozenset(), "")


def test_tombstones_are_no_changes_and_only_those_asked_for_are_read():
    value = framed(VALUE, change("u", {**ROW, "body": "b"}), VALUE_ID)

    assert [one.offset for one in decoded((ONE, value), (ONE, None), (ONE, value))] == [0, 2]
    assert [one.offset for one in decoded((ONE, value), (ONE, None), (ONE, value), wanted={1, 2})] == [2]


NOBODYS_SCHEMA = b"\x00\x00\x00\x03\xe7\x02"


@pytest.mark.parametrize("value", [b"poison", NOBODYS_SCHEMA, framed(VALUE, change("u", ROW), VALUE_ID)[:-4],
                                   framed(VALUE, change("q", ROW), VALUE_ID)])  # fmt: skip
def test_a_change_that_cant_be_read_keeps_its_key(value):
    found = only(ONE, value)

    assert (found.kind, found.row, found.op, found.hides) == (ChangeKind.UNREADABLE, None, "", "")
    assert found.key == {"id": integer(1)}


@pytest.mark.parametrize(
    ("key", "value", "hides"),
    [
        (NOBODYS_SCHEMA, NOBODYS_SCHEMA, "key"), (b"poison", NOBODYS_SCHEMA, ""), (None, NOBODYS_SCHEMA, "truncate"),
        (None, b"poison", ""), (ONE[:5], b"poison", "key"),
    ],
)  # fmt: skip
def test_what_an_unreadable_change_without_a_key_may_be_is_said(key, value, hides):
    found = only(key, value)

    assert (found.kind, found.key, found.hides) == (ChangeKind.UNREADABLE, None, hides)


def test_a_document_that_is_one_text_has_no_row():
    found = only(ONE, framed(DOCUMENT, change("u", '{"_id": 1}'), TEXT_ID))

    assert (found.kind, found.row) == (ChangeKind.UPSERT, None)


def test_a_key_that_is_no_record_is_none():
    decoder = ImageDecoder(RecordedSchemas({KEY_ID: '"string"'}), UNAVAILABLE_VALUE)

    assert decoder.key(framed("string", "a", KEY_ID)) is None
    assert decoder.key(None) is None


def test_the_schemas_that_a_batch_needs_are_told_once():
    decoder = ImageDecoder(SCHEMAS, UNAVAILABLE_VALUE)
    raw = RawBatch.of(
        "t", 0, [RawRecord(0, 0, ONE, framed(VALUE, change("u", ROW), VALUE_ID)), RawRecord(1, 0, b"x", b"y")], 0, 2
    )

    assert decoder.missing(raw) == {VALUE_ID, KEY_ID}
    assert [one.kind for one in decoder.decode(raw)] == [ChangeKind.UPSERT, ChangeKind.UNREADABLE]
    assert decoder.missing(raw) == set()


def test_the_text_of_a_placeholder_can_be_another():
    raw = RawBatch.of(
        "t", 0, [RawRecord(0, 0, ONE, framed(VALUE, change("u", {**ROW, "name": "n/a"}), VALUE_ID))], 0, 1
    )

    (found,) = ImageDecoder(SCHEMAS, "n/a").decode(raw)

    assert found.unavailable == {"name"}
    assert found.row is not None
    assert found.row["body"] == text(UNAVAILABLE_VALUE)
