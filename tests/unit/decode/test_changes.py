"""Changes from bytes: every kind and version, what is undecodable, projections, key and position hashes."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from app.decode.schemas import RecordedSchemas
from app.errors import Unavailable
from app.model import NO_TIME, ChangeKind, RawBatch, RawRecord
from cdc_receipts.fingerprint import RowFingerprinter
from tests.kernel.agreement import BothDecoders
from tests.unit.decode.envelopes import ID, ORDERS, SOURCE, body, change, decoded, envelope, framed, only_reason, record

COLUMNS = (("id", "long"), ("note", ["null", "string"]))
ROW = {"id": 1, "note": "x"}
ENVELOPE = envelope(COLUMNS)


def fingerprint(row, columns=COLUMNS, ignore=()):
    return RowFingerprinter(record("Value", columns), ignore).fingerprint_int(row)


@pytest.mark.parametrize("version", ORDERS)
def test_fields_are_found_by_name_in_the_order_of_every_version(version):
    schema = envelope(COLUMNS, version=version)

    found = decoded(schema, [framed(schema, change("c", ROW))])

    assert found.reasons == {}
    assert found.fingerprints.tolist() == [[fingerprint(ROW)]]
    assert found.source_ts_ms.tolist() == [5]


def test_every_op_has_its_kind_and_a_null_value_is_a_tombstone():
    values = [framed(ENVELOPE, change(op, ROW if op in "cru" else None)) for op in "crudtm"]

    found = decoded(ENVELOPE, [*values, None])

    assert [ChangeKind(kind).word for kind in found.kinds] == (
        "upsert upsert upsert delete truncate message tombstone".split()
    )
    assert bytes(found.ops) == b"crudtm\0"
    assert found.fingerprints[3:].any() == False  # noqa: E712 - a numpy bool
    assert found.source_ts_ms[-1] == NO_TIME


def test_a_logical_message_has_no_row_fields_at_all():
    schema = record("Message", (("op", "string"), ("source", record("Source", SOURCE)), ("message", "bytes")))

    found = decoded(schema, [framed(schema, {**change("m"), "message": b"hello"})])

    assert found.kinds.tolist() == [ChangeKind.MESSAGE]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "truncated: 0 bytes"),
        (b"\0\0\0\0", "truncated: 4 bytes"),
        (b"\1\0\0\0\7abc", "no magic byte: it begins with 01"),
        (b'"op": "c"', "no magic byte: it begins with 22"),
        (struct.pack(">bi", 0, 99) + b"abc", "unknown schema id 99"),
        (struct.pack(">bi", 0, -1) + b"abc", "unknown schema id -1"),
        (framed(ENVELOPE, change("x")), "unknown op 'x'"),
        (framed(ENVELOPE, change("")), "unknown op ''"),
        (framed(ENVELOPE, change("u")), "op u without after"),
        (framed(ENVELOPE, change("c", ROW)) + b"\n", "1 bytes left over"),
        (framed(ENVELOPE, change("c", ROW)).replace(b"x", b"\xff"), "UnicodeDecodeError"),
    ],
)
def test_what_is_no_change_is_undecodable_with_its_reason(value, reason):
    assert reason in only_reason(ENVELOPE, value)


@given(st.data())
def test_no_part_of_a_record_is_a_record(data):
    whole = framed(ENVELOPE, change("c", {"id": 300, "note": "text"}))
    cut = data.draw(st.integers(0, len(whole) - 1))

    assert only_reason(ENVELOPE, whole[:cut])


@given(st.binary(max_size=60))
def test_no_bytes_stop_the_decoder(noise):
    found = decoded(ENVELOPE, [framed(ENVELOPE, change("c", ROW))[:5] + noise, framed(ENVELOPE, change("c", ROW))])

    assert found.kinds[1] == ChangeKind.UPSERT


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        record("Key", COLUMNS),
        record("Envelope", (("op", "string"),)),
        {"type": "record", "name": "Broken", "fields": [{"name": "a", "type": "nowhere"}]},
        {"type": "map", "values": "string"},
        {"no": "schema"},
        7,
    ],
)
def test_a_schema_that_is_no_envelope_makes_its_records_undecodable(schema):
    assert decoded(schema, [struct.pack(">bi", 0, ID) + b"\0"]).kinds.tolist() == [ChangeKind.UNREADABLE]


@pytest.mark.parametrize(
    ("schema", "datum"),
    [
        (envelope(COLUMNS, source="string"), {**change("c", ROW), "source": "here"}),
        (envelope(COLUMNS, source=record("S", (("table", {"type": "array", "items": "int"}),))),
         {**change("c", ROW), "source": {"table": [1]}}),
        (["null", ENVELOPE], None),
    ],
)  # fmt: skip
def test_an_envelope_of_other_types_than_debeziums_is_undecodable(schema, datum):
    assert "no envelope of Debezium's" in only_reason(schema, framed(schema, datum))


def test_a_decimal_without_a_scale_makes_only_its_rows_undecodable():
    columns = (("id", "long"), ("price", {"type": "bytes", "connect.name": "org.apache.kafka.connect.data.Decimal"}))
    schema = envelope(columns)
    values = [framed(schema, change("c", {"id": 1, "price": b"\1"})), framed(schema, change("d"))]

    whole, ignored = decoded(schema, values), decoded(schema, values, [frozenset({"orders.price"})])

    assert whole.kinds.tolist() == [ChangeKind.UNREADABLE, ChangeKind.DELETE]
    assert "neither connect.parameters.scale nor scale" in whole.reasons[0]
    assert ignored.fingerprints[0, 0] == fingerprint({"id": 1}, (("id", "long"),))


def test_a_type_that_was_defined_in_a_column_before_is_found_by_its_short_name():
    """Avro writes a second use as a name, without the namespace where it is the row's own."""
    point = record("Point", (("x", "int"),))
    schema = envelope((("a", point), ("b", "Point"), ("c", ["null", "Point"])))
    row = {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}

    found = decoded(schema, [framed(schema, change("c", row))])

    assert found.fingerprints[0, 0] == fingerprint(row, (("a", point), ("b", point), ("c", point)))


def test_a_type_that_holds_itself_makes_its_rows_undecodable():
    schema = envelope((("tree", record("Tree", (("branch", ["null", "Tree"]),))),))

    assert "can't be fingerprinted" in only_reason(schema, framed(schema, change("c", {"tree": {"branch": None}})))


def test_a_mongodb_row_is_one_column_named_after():
    text = {"type": "string", "connect.name": "io.debezium.data.Json"}
    source = record("Source", (("connector", "string"), ("collection", "string"), ("ord", "int")))
    schema = record("Envelope", (("after", ["null", text]), ("source", source), ("op", ["null", "string"])))
    row = {"after": '{"b":1,"a":{"$numberLong":"2"}}', "op": "c"}
    value = framed(schema, {**row, "source": {"connector": "mongodb", "collection": "orders", "ord": 1}})

    found = decoded(schema, [value], [frozenset(), frozenset({"orders.after"})])

    assert found.fingerprints[0].tolist() == [
        fingerprint({"after": '{"a":{"$numberLong":"2"},"b":1}'}, (("after", text),)),
        0,
    ]
    assert "unknown op None" in only_reason(
        schema,
        framed(schema, {"after": None, "op": None, "source": {"connector": "mongodb", "collection": "o", "ord": 1}}),
    )


NAMES = ("id", "note", "price", "at")
rows = st.fixed_dictionaries({"id": st.integers(-(2**63), 2**63 - 1), "note": st.none() | st.text(max_size=5),
                              "price": st.floats(), "at": st.binary(max_size=9)})  # fmt: skip
TYPES = {"id": "long", "note": ["null", "string"], "price": "double", "at": "bytes"}


@given(rows, st.lists(st.sets(st.sampled_from(NAMES)), max_size=4))
def test_a_projection_is_a_subtraction_and_keeps_its_place(row, ignored):
    columns = tuple(TYPES.items())
    schema = envelope(columns)
    sets = [frozenset(f"orders.{name}" for name in names) | {"other.id"} for names in ignored]

    found = decoded(schema, [framed(schema, change("u", row))], sets)

    assert found.fingerprints.shape == (1, len(ignored))
    assert found.fingerprints[0].tolist() == [fingerprint(row, columns, names) for names in ignored]


@given(rows, st.permutations(NAMES))
def test_column_order_is_irrelevant(row, order):
    plain, mixed = envelope(tuple(TYPES.items())), envelope([(name, TYPES[name]) for name in order])

    assert (
        decoded(plain, [framed(plain, change("c", row))]).fingerprints.tolist()
        == decoded(mixed, [framed(mixed, change("c", row))]).fingerprints.tolist()
    )


def test_an_ignored_column_belongs_to_the_table_that_the_source_names_not_to_the_topic():
    values = [framed(ENVELOPE, change("c", ROW, {"table": table})) for table in ("orders", "orders_eu")]

    found = decoded(ENVELOPE, values, [frozenset({"orders.note"})])

    assert found.fingerprints[:, 0].tolist() == [fingerprint(ROW, ignore=["note"]), fingerprint(ROW)]


@pytest.mark.parametrize(
    ("key", "hashed"),
    [(struct.pack(">bi", 0, 3) + b"abc", b"abc"), (b"abc", b"abc"), (b"\0ab", b"\0ab"), (b"", b"")],
)
def test_a_keys_hash_leaves_its_framing_out_and_takes_a_key_without_framing_as_it_is(key, hashed):
    found = decoded(ENVELOPE, [None], key=key)

    assert found.has_key.tolist() == [True]
    assert found.key_hashes[0].tolist() == [xxh64_intdigest(hashed, 0), xxh64_intdigest(hashed, 1)]


def test_a_null_key_has_neither_hash_nor_position():
    found = decoded(ENVELOPE, [framed(ENVELOPE, change("c", ROW))], key=None)

    assert (found.has_key.tolist(), found.has_position.tolist()) == ([False], [False])
    assert not found.key_hashes.any()
    assert not found.position_hashes.any()


def test_equal_positions_keys_and_ops_are_equal_and_nothing_else_is():
    told = [
        ("c", {}), ("c", {"table": "renamed", "ts_ms": 9}),  # equal: neither is part of a position
        ("u", {}), ("c", {"lsn": 3}), ("c", {"txId": 2}), ("c", {"txId": None}), ("c", {"db": "e"}), ("c", {"name": "n"}),
    ]  # fmt: skip
    found = decoded(ENVELOPE, [framed(ENVELOPE, change(op, ROW, source)) for op, source in told])
    other_key = decoded(ENVELOPE, [framed(ENVELOPE, change("c", ROW))], key=b"j")

    hashes = [tuple(pair) for pair in [*found.position_hashes.tolist(), *other_key.position_hashes.tolist()]]

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == len(hashes) - 1
    assert found.has_position.all()


@pytest.mark.parametrize(
    ("connector", "position", "has_one"),
    [
        ("postgresql", {"lsn": None, "txId": 1}, False),
        ("postgresql", {"lsn": 1, "txId": None}, True),
        ("mysql", {"file": None, "pos": None, "row": None, "gtid": None}, False),
        ("mariadb", {"file": "a", "pos": 1, "row": 0}, True),
        ("sqlserver", {"commit_lsn": "1", "change_lsn": None, "event_serial_no": None}, True),
        ("oracle", {"commit_scn": None, "scn": "5"}, True),
        ("oracle", {"commit_scn": None, "scn": None}, False),
        ("mongodb", {"ts_ms": 1, "ord": 1}, True),
        ("vitess", {"vgtid": "x"}, False),
    ],
)
def test_a_position_is_null_where_all_its_fields_are_or_a_postgresql_lsn_is(connector, position, has_one):
    fields = [("connector", "string"), *((name, ["null", "string", "long"]) for name in position)]
    schema = envelope(COLUMNS, source=record("Source", fields))

    found = decoded(schema, [framed(schema, {**change("c", ROW), "source": {"connector": connector, **position}})])

    assert found.has_position.tolist() == [has_one]


def test_a_schema_that_can_not_be_had_now_decodes_nothing_and_is_asked_for_again():
    class Slow:
        is_away = True

        def get(self, schema_id):
            if self.is_away:
                raise Unavailable("registry")
            return ENVELOPE

    source = Slow()
    decoder = BothDecoders(source, [frozenset()], "p")
    raw = RawBatch.of("t", 0, [RawRecord(0, 0, None, framed(ENVELOPE, change("d")))], 0, 1)

    assert decoder.missing(raw) == {ID}
    with pytest.raises(Unavailable):
        decoder.decode(raw)

    source.is_away = False

    assert decoder.decode(raw).kinds.tolist() == [ChangeKind.DELETE]
    assert decoder.missing(raw) == set()


def test_an_empty_fetch_is_an_empty_batch_of_the_same_range():
    raw = RawBatch.of("t", 3, [], 10, 20)

    found = BothDecoders(RecordedSchemas({}), [frozenset(), frozenset()], "p").decode(raw)

    assert (len(found), found.start, found.next, found.partition) == (0, 10, 20, 3)
    assert found.fingerprints.shape == (0, 2)
    assert found.key_hashes.shape == (0, 2)


def test_a_batch_decodes_as_its_records_one_by_one():
    values = [framed(ENVELOPE, change("c", {"id": n, "note": None})) for n in range(5)] + [None, b"?"]

    whole = decoded(ENVELOPE, values)

    for row, value in enumerate(values):
        single = decoded(ENVELOPE, [value])
        for name in ("kinds", "ops", "fingerprints", "source_ts_ms", "key_hashes", "position_hashes", "has_position"):
            assert getattr(single, name)[0].tolist() == getattr(whole, name)[row].tolist()


def test_a_row_holds_the_placeholder_in_every_form_it_can_have():
    """The columns that hold it are left out; what only looks like it takes part."""
    told = "__debezium_unavailable_value"
    arrays = {"uuids": "string", "ints": "int"}
    columns = [("id", "long"), ("text", "string"), ("bytes", "bytes"), ("map", {"type": "map", "values": "string"})]
    columns += [(name, {"type": "array", "items": items}) for name, items in arrays.items()]
    columns += [("texts", {"type": "array", "items": "string"}), ("blobs", {"type": "array", "items": "bytes"})]
    row = {
        "id": 1, "text": told, "bytes": told.encode(), "map": {told: told}, "texts": [told], "blobs": [told.encode()],
        "uuids": ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"], "ints": list(told.encode()),
    }  # fmt: skip
    near = {
        **row,
        "text": told + " ",
        "texts": [told, told],
        "map": {told: told, "a": told},
        "ints": list(told.encode())[:-1],
    }
    schema = envelope(columns)

    left, kept = decoded(schema, [framed(schema, change("c", row)), framed(schema, change("c", near))]).fingerprints[
        :, 0
    ]

    assert left == fingerprint({"id": 1}, (("id", "long"),))
    assert kept != left


def test_records_are_read_with_the_schema_that_wrote_them():
    old, new = envelope(COLUMNS[:1]), ENVELOPE
    schemas = RecordedSchemas({1: json.dumps(old), 2: json.dumps(new)})
    values = [framed(old, change("c", {"id": 1}), 1), struct.pack(">bi", 0, 2) + body(new, change("c", ROW))]
    raw = RawBatch.of("t", 0, [RawRecord(n, 0, b"k", value) for n, value in enumerate(values)], 0, 2)

    found = BothDecoders(schemas, [frozenset()], "p").decode(raw)

    assert found.fingerprints[:, 0].tolist() == [fingerprint({"id": 1}, COLUMNS[:1]), fingerprint(ROW)]
