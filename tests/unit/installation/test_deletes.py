"""Deletes that hold the key alone, at sinks that mark deleted rows."""

from __future__ import annotations

import json

import pytest

from app.decode.schemas import RecordedSchemas
from app.evidence.installation.deletes import sampled_deletes
from app.model import RawBatch, RawRecord
from tests.unit.decode.envelopes import ID, change, envelope, framed
from tests.unit.installation.world import ORDERS, bad, clean, only, receipts_sink, store_sink

COLUMNS = (("id", "long"), ("total", "bytes"), ("note", ["null", "string"]), ("placed", "string"))
SCHEMA = envelope(COLUMNS)
UNTOLD = {"id": 7, "total": b"\0", "note": None, "placed": "1970-01-01T00:00:00Z"}


def sampled(*values):
    raw = RawBatch.of(ORDERS, 0, [RawRecord(n, 1, b"k", value) for n, value in enumerate(values)], 0, len(values))
    return sampled_deletes([raw], RecordedSchemas({ID: json.dumps(SCHEMA)}), "?", {ORDERS: ("id",)}).get(ORDERS)


def deleted(row):
    return framed(SCHEMA, {**change("d"), "before": row})


def test_a_delete_is_bare_where_every_column_beside_the_key_stands_for_nothing():
    whole = deleted(UNTOLD | {"total": b"\x01"})

    assert sampled(deleted(UNTOLD), whole, deleted(UNTOLD)) == (3, 2)


def test_what_is_no_delete_or_can_not_be_read_is_not_counted():
    upsert = framed(SCHEMA, change("c", UNTOLD))

    assert sampled(upsert, None, b"?", deleted(None), framed(SCHEMA, change("d"), 99)) is None


def soft(**more):
    return store_sink(promises={"deletes": "soft"}, proposal=None, **more)


def test_a_sink_that_marks_rows_and_deletes_that_hold_none():
    found = only(clean(sinks=(soft(), receipts_sink()), deletes={ORDERS: (3, 2)}))

    assert (found.level, found.about, found.place) == ("warning", "sources", f"topic {ORDERS}")
    assert found.says.startswith("2 of 3 sampled deletes hold the key alone, and sinks.dw marks")
    assert "REPLICA IDENTITY FULL" in found.do


@pytest.mark.parametrize(
    ("sink", "deletes"), [(soft(), (3, 0)), (soft(has_store=False, tables={}), (3, 3)), (store_sink(), (3, 3))]
)
def test_who_marks_nothing_or_is_not_compared_lacks_nothing(sink, deletes):
    assert bad(clean(sinks=(sink, receipts_sink()), deletes={ORDERS: deletes})) == []
