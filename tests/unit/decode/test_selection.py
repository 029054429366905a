"""Which changes a contract takes: by table, operation and the values of a row, in Avro and JSON with schemas and without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from xxhash import xxh64_intdigest

from app.decode.schemas import RecordedSchemas
from app.model import ChangeKind, LeftOut, Projection, RawBatch, RawRecord
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.kernel.agreement import BothDecoders
from tests.unit.decode.envelopes import CAME_FROM, change, envelope, framed, record

VALUE_ID, KEY_ID = 7, 8
COLUMNS = (
    ("id", "long"), ("region", ["null", "string"]), ("total", ["null", "double"]),
    ("tags", ["null", {"type": "array", "items": "string"}]),
)  # fmt: skip
VALUE = envelope(COLUMNS)
KEY = record("Key", (("id", "long"), ("region", ["null", "string"])))
SCHEMAS = RecordedSchemas({VALUE_ID: json.dumps(VALUE), KEY_ID: json.dumps(KEY)})
CONNECT = {
    "id": {"type": "int64"}, "region": {"type": "string", "optional": True}, "total": {"type": "double", "optional": True},
    "tags": {"type": "array", "items": {"type": "string"}, "optional": True},
}  # fmt: skip
NO, YES, UNKNOWN = LeftOut.NO, LeftOut.YES, LeftOut.UNKNOWN
EU = (("orders.region", ("EU", "UK")),)
Row = Mapping[str, Any]


def row(region: str | None, **more: Any) -> dict[str, Any]:
    return {"id": 1, "region": region, "total": None, "tags": None, **more}


def avro(op: str, after: Row | None, before: Row | None, source: Row) -> bytes:
    return framed(VALUE, {**change(op, after, source), "before": before}, VALUE_ID)


def plain(op: str, after: Row | None, before: Row | None, source: Row) -> bytes:
    return json.dumps({"op": op, "after": after, "before": before, "source": {**CAME_FROM, **source}}).encode()


def with_schema(op: str, after: Row | None, before: Row | None, source: Row) -> bytes:
    kind = {"type": "struct", "optional": True, "fields": [{**one, "field": name} for name, one in CONNECT.items()]}
    schema = {"type": "struct", "fields": [{**kind, "field": "before"}, {**kind, "field": "after"}]}
    return json.dumps({"schema": schema, "payload": json.loads(plain(op, after, before, source))}).encode()


FORMS = {"avro": avro, "plain": plain, "with schema": with_schema}


@pytest.fixture(params=FORMS)
def encoded(request: pytest.FixtureRequest) -> Any:
    """Each encoding of a change."""
    return FORMS[request.param]


def decode(value: bytes, *projections: Projection, key: Row | None = None) -> Any:
    key_bytes = None if key is None else framed(KEY, {"id": 1, "region": None, **key}, KEY_ID)
    raw = RawBatch.of("t", 0, [RawRecord(0, 5, key_bytes, value)], 0, 1)
    decoder = BothDecoders(SCHEMAS, projections, UNAVAILABLE_VALUE)
    return decoder.decode(raw)


def left_out(value: bytes, *projections: Projection, key: Row | None = None) -> list[int]:
    found = decode(value, *projections, key=key)
    assert not found.reasons
    return [NO] * len(projections) if found.left_out is None else found.left_out[0].tolist()


@pytest.mark.parametrize(
    ("region", "taken", "others"), [("EU", NO, YES), ("UK", NO, YES), ("US", YES, NO), (None, YES, NO), ("eu", YES, NO)]
)
def test_a_row_is_taken_by_its_value_and_null_is_none_of_them(encoded, region, taken, others) -> None:
    value = encoded("c", row(region), None, {})

    assert left_out(value, Projection(rows=EU), Projection(rows_out=EU), Projection()) == [taken, others, NO]


def test_every_condition_must_hold_and_a_value_is_compared_as_it_is_written(encoded) -> None:
    both = Projection(rows=EU, rows_out=(("orders.total", ("1.5",)),))
    found = [left_out(encoded("u", row(*one), None, {}), both)[0] for one in [("EU",), ("US",)]]
    priced = [left_out(encoded("u", row("EU", total=total), None, {}), both)[0] for total in (1.5, 2.5)]
    by_id = Projection(rows=(("orders.id", ("1",)), ("orders.region", ("EU",))))

    assert (found, priced) == ([NO, YES], [YES, NO])
    assert left_out(encoded("c", row("EU"), None, {}), by_id) == [NO]
    assert left_out(encoded("c", row("EU", id=2), None, {}), by_id) == [YES]


def test_conditions_of_another_table_ask_nothing(encoded) -> None:
    assert left_out(encoded("c", row("US"), None, {"table": "items"}), Projection(rows=EU)) == [NO]


def test_tables_and_operations_are_left_out_whatever_the_row_is(encoded) -> None:
    taken = Projection(tables=frozenset({"orders"})), Projection(operations=frozenset("r")), Projection(rows=EU)

    assert left_out(encoded("r", row("EU"), None, {}), *taken) == [YES, YES, NO]
    assert left_out(encoded("u", row("EU"), None, {}), *taken) == [YES, NO, NO]
    assert left_out(encoded("d", None, row(None), {}), *taken, key={"region": "EU"}) == [YES, NO, NO]
    assert left_out(encoded("t", None, None, {}), *taken) == [YES, NO, NO]


def test_the_row_of_a_delete_is_that_of_its_key(encoded) -> None:
    """What stands in before is invented beyond the key."""
    value = encoded("d", None, row("EU"), {})
    by_key = Projection(rows=EU, before="key")

    assert left_out(value, by_key, key={"region": "EU"}) == [NO]
    assert left_out(value, by_key, key={"region": "US"}) == [YES]
    assert left_out(value, by_key) == [UNKNOWN]


def test_a_null_in_a_key_tells_nothing(encoded) -> None:
    """No table's key is null: it was taken of a before image that was not whole."""
    assert left_out(encoded("d", None, None, {}), Projection(rows=EU), key={"region": None}) == [UNKNOWN]


def test_the_row_of_a_delete_is_its_before_image_where_those_are_whole(encoded) -> None:
    whole = Projection(rows=EU, before="whole")

    assert left_out(encoded("d", None, row("EU"), {}), whole) == [NO]
    assert left_out(encoded("d", None, row("US"), {}), whole) == [YES]
    assert left_out(encoded("d", None, row(None), {}), whole) == [YES]
    assert left_out(encoded("d", None, None, {}), whole) == [UNKNOWN]


def test_a_value_that_is_unavailable_is_not_known_unless_the_row_before_has_it(encoded) -> None:
    after, before = row(UNAVAILABLE_VALUE), row("EU")

    assert left_out(encoded("u", after, before, {}), Projection(rows=EU)) == [UNKNOWN]
    assert left_out(encoded("u", after, before, {}), Projection(rows=EU, before="whole")) == [NO]
    assert left_out(encoded("u", after, row("US"), {}), Projection(rows=EU, before="whole")) == [YES]
    assert left_out(encoded("u", after, row(UNAVAILABLE_VALUE), {}), Projection(rows=EU, before="whole")) == [UNKNOWN]


def test_one_condition_that_fails_is_enough_whatever_is_not_known(encoded) -> None:
    both = Projection(rows=(("orders.id", ("2",)), *EU))

    assert left_out(encoded("u", row(UNAVAILABLE_VALUE), None, {}), both) == [YES]


def test_a_column_that_the_row_does_not_have_or_that_has_no_text_is_not_known(encoded) -> None:
    """A name that was mistyped must not leave every change out in silence."""
    mistyped = Projection(rows=(("orders.regoin", ("EU",)),))
    listed = Projection(rows_out=(("orders.tags", ("a",)),))

    assert left_out(encoded("c", row("EU", tags=["a"]), None, {}), mistyped, listed) == [UNKNOWN, UNKNOWN]


def test_rows_are_chosen_by_columns_that_nobody_compares(encoded) -> None:
    """The fingerprint is that of the listed columns, without those that are ignored."""
    some = Projection(
        rows=EU, listed=frozenset({"orders.id", "orders.total", "items.x"}), ignored=frozenset({"orders.total"})
    )
    found = decode(encoded("c", row("US"), None, {}), some)
    only_id = (b"\x02" + (1).to_bytes(8, "little"), xxh64_intdigest(b"id", 0))

    assert found.left_out.tolist() == [[YES]]
    assert int(found.fingerprints[0, 0]) == xxh64_intdigest(*only_id)


def test_a_change_that_cant_be_read_is_never_left_out() -> None:
    """Nobody knows what it is, and that must be told."""
    found = decode(b"\x00\x00\x00\x00\x07\xff", Projection(operations=frozenset("cudr"), rows=EU))

    assert found.kinds.tolist() == [ChangeKind.UNREADABLE]
    assert found.left_out is None


def test_schemas_of_keys_are_fetched_ahead_where_keys_are_asked_for() -> None:
    raw = RawBatch.of("t", 0, [RawRecord(0, 5, framed(KEY, row("EU"), KEY_ID), avro("d", None, None, {}))], 0, 1)
    asks, does_not = (BothDecoders(SCHEMAS, [one], UNAVAILABLE_VALUE) for one in (Projection(rows=EU), Projection()))

    assert (asks.missing(raw), does_not.missing(raw)) == ({VALUE_ID, KEY_ID}, {VALUE_ID})
    asks.decode(raw)
    assert asks.missing(raw) == set()


def test_a_projection_is_kept_as_data_and_an_older_version_knew_ignored_columns_only() -> None:
    one = Projection(
        ignored=frozenset({"a.b"}), listed=frozenset({"c.d"}), tables=frozenset({"t"}), operations=frozenset("r"),
        rows=EU, rows_out=(("a.b", ("x",)),), before="whole",
    )  # fmt: skip

    assert Projection.unpacked(json.loads(json.dumps(one.packed()))) == one
    assert Projection.unpacked(["orders.note"]) == Projection(ignored=frozenset({"orders.note"}))
