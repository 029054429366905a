"""JSON change events: what is one, what is no value, what contradicts itself, and what is exact."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from app.decode import json_rows
from app.decode.json_changes import Images, JsonChanges
from app.decode.schemas import RecordedSchemas
from app.model import NO_TIME, ChangeBatch, ChangeKind, RawBatch, RawRecord
from app.model.column_types import WORDS
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.kernel.agreement import BothDecoders
from tests.unit.decode.envelopes import CAME_FROM, ID, change, envelope, framed

INT = {"type": "int32", "optional": False}
TEXT = {"type": "string", "optional": True}
NULL = b"\x00"


def decoder(types: Mapping[str, str] | None = None, ignored: Sequence[frozenset[str]] = (frozenset(),)):
    schema = envelope((("id", "long"), ("note", ["null", "string"])))
    return BothDecoders(RecordedSchemas({ID: json.dumps(schema)}), ignored, UNAVAILABLE_VALUE, types or {})


def batch(*values: bytes | None, key: bytes | None = b"k") -> RawBatch:
    return RawBatch.of("t", 0, [RawRecord(at, 0, key, value) for at, value in enumerate(values)], 0, len(values))


def decoded(*values: bytes | None, key: bytes | None = b"k", **rest: Any) -> ChangeBatch:
    return decoder(**rest).decode(batch(*values, key=key))


def bare(after: str, op: str = "c", source: str = json.dumps(CAME_FROM)) -> bytes:
    """An envelope without a schema; the row is JSON text, so that numbers stand as they are meant."""
    return f'{{"before":null,"after":{after},"source":{source},"op":"{op}","ts_ms":1}}'.encode()


def wrapped(after: str, **columns: Any) -> bytes:
    """An envelope with its schema."""
    row = {"type": "struct", "fields": [{**kind, "field": name} for name, kind in columns.items()], "optional": True}
    fields = [{**row, "field": "before"}, {**row, "field": "after"}, {"type": "string", "field": "op"}]
    schema = json.dumps({"type": "struct", "fields": fields})
    return f'{{"schema":{schema},"payload":{bare(after).decode()}}}'.encode()


def atoms(value: bytes, types: Mapping[str, str] | None = None) -> dict[str, bytes]:
    images = JsonChanges([frozenset()], UNAVAILABLE_VALUE, types or {}).images(value)
    assert images is not None
    assert images.after is not None
    return images.after


def reason(value: bytes, **rest: Any) -> str:
    found = decoded(value, **rest)
    assert found.kinds.tolist() == [ChangeKind.UNREADABLE]
    return found.reasons[0]


def integer(value: int) -> bytes:
    return b"\x02" + value.to_bytes(8, "little", signed=True)


def double(value: float) -> bytes:
    return b"\x04" + struct.pack("<d", value)


def decimal(unscaled: int, scale: int) -> bytes:
    size = unscaled.bit_length() // 8 + 1
    return b"\x03" + scale.to_bytes(4, "little", signed=True) + unscaled.to_bytes(size, "big", signed=True)


# ---------------------------------------------------------------- what is a change, and what is no value


def test_one_topic_may_hold_both_encodings_and_the_rows_are_the_same() -> None:
    schema = envelope((("id", "long"), ("note", ["null", "string"])))
    avro = framed(schema, change("c", {"id": 1, "note": None}))
    forms = [bare('{"id":1,"note":null}'), wrapped('{"id":1,"note":null}', id=INT, note=TEXT)]

    found = decoded(avro, *forms, b" \t\r\n" + forms[0] + b"\n", None)

    assert found.reasons == {}
    assert [ChangeKind(kind).word for kind in found.kinds] == ["upsert"] * 4 + ["tombstone"]
    assert len(set(found.fingerprints[:4, 0].tolist())) == 1
    assert len({tuple(hashes) for hashes in found.position_hashes[:4].tolist()}) == 1
    assert found.source_ts_ms.tolist() == [5] * 4 + [NO_TIME]


def test_only_framed_values_ask_for_schemas() -> None:
    schema = envelope((("id", "long"),))
    raw = batch(bare('{"id":1}'), b"null", framed(schema, change("d")), b"{", None)

    assert decoder().missing(raw) == {ID}


@pytest.mark.parametrize(
    "value",
    [b"null", b" null\n", b'{"payload":null}', b'{"schema":null,"payload":null}',
     b'{"schema":{"type":"struct","fields":[]},"payload":null}', b'{ "payload" : null, "schema" : {"type":"string"} }'],
)  # fmt: skip
def test_a_null_in_json_is_no_value(value: bytes) -> None:
    found = decoded(value)

    assert (found.kinds.tolist(), found.reasons, found.has_position.tolist()) == ([ChangeKind.TOMBSTONE], {}, [False])


@pytest.mark.parametrize(("op", "kind"), [("d", "delete"), ("t", "truncate"), ("m", "message")])
def test_what_is_no_upsert_needs_no_row(op: str, kind: str) -> None:
    assert ChangeKind(decoded(bare("null", op)).kinds[0]).word == kind


@pytest.mark.parametrize(
    "form", [b'{"payload":%s}', b'{"schema":null,"payload":%s}', b'{"payload": %s, "schema": null}']
)
def test_an_envelope_without_a_schema_may_still_be_wrapped(form: bytes) -> None:
    value = bare('{"id":1}')

    assert decoded(form % value).fingerprints.tolist() == decoded(value).fingerprints.tolist()


def test_an_envelope_that_names_no_source_has_no_position_and_no_table() -> None:
    found = decoded(b'{"before":null,"after":{"id":1},"op":"c"}')

    assert found.reasons == {}
    assert (found.has_position.tolist(), found.source_ts_ms.tolist()) == ([False], [NO_TIME])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "truncated: 0 bytes"), (b"nil", "truncated"), (b"nullnull", "no magic byte: it begins with 6e"),
        (b"[1,2,3]", "no magic byte: it begins with 5b"), (b"\xef\xbb\xbf{}  ", "no magic byte: it begins with ef"),
        (b"{", "no JSON"), (b"{} {}", "no JSON"), (b'{"op":"c\xff"}', "no JSON"),
        (b"{" + b'"a":{' * 100_000, "nested too deeply"), (b"{}", "no envelope"), (b'{"op":"c"}', "no envelope"),
        (b'{"payload":[],"schema":null}', "no envelope"), (b'{"schemaId":1,"payload":{"op":"d","before":null}}', "no envelope"),
        (b'{"schema":7,"payload":{"op":"d","before":null}}', "its schema is no struct's"),
        (b'{"schema":{"type":"string"},"payload":{"op":"d","before":null}}', "its schema is no struct's"),
        (bare("null"), "op c without after"), (bare('{"id":1}', "x"), "unknown op 'x'"),
        (b'{"op":["c"],"source":null}', "no envelope of Debezium's"), (bare('{"id":1}', source='"s"'), "no envelope of Debezium's"),
        (bare("[1]"), "the field after is neither an object"), (bare('{"a":"\\ud800"}'), "it contradicts its types"),
        (bare('{"\\ud800":1}'), "it contradicts its types"), (bare('{"id":' + "9" * 5000 + "}"), "it contradicts its types"),
        (bare('{"id":1e99999999999}'), "scale is beyond int32"),
        (wrapped("1", id=INT), "a number where an object must be"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_as_a_change_is_undecodable_with_its_reason(value: bytes, said: str) -> None:
    found = reason(value)

    assert said in found
    assert found.isprintable()


@pytest.mark.parametrize("time", ["true", "1.5", "99999999999999999999", '"1"', "null"])
def test_a_time_that_is_no_int64_is_no_time(time: str) -> None:
    found = decoded(bare('{"id":1}', source=f'{{"connector":"x","ts_ms":{time}}}'))

    assert (found.reasons, found.source_ts_ms.tolist()) == ({}, [NO_TIME])


def test_a_json_key_is_hashed_as_its_bytes_its_schema_among_them() -> None:
    keys = [b'{"id":1}', b'{"schema":{"type":"struct"},"payload":{"id":1}}']

    hashes = [decoded(None, key=key).key_hashes[0].tolist() for key in keys]

    assert hashes == [[xxh64_intdigest(key, 0), xxh64_intdigest(key, 1)] for key in keys]


# ---------------------------------------------------------------- with a schema


def test_a_schema_is_known_again_by_its_text_and_never_taken_for_another() -> None:
    """The second value is read by the head of the first; the third has the same head, and its schema behind it."""
    first = wrapped('{"id":1}', id=INT)
    other = wrapped('{"id":"1"}', id=TEXT)
    schema = other[: other.index(b',"payload":')].removeprefix(b"{")
    payload = other[other.index(b',"payload":') :].removesuffix(b"}")
    behind = first[: first.index(b',"payload":')] + payload + b"," + schema + b"}"

    found = decoded(first, first, behind, other)

    assert found.reasons == {}
    assert found.fingerprints[0, 0] == found.fingerprints[1, 0] != found.fingerprints[2, 0]
    assert found.fingerprints[2, 0] == found.fingerprints[3, 0]


def test_a_payload_within_the_schema_is_not_taken_for_the_payload() -> None:
    schema = {"type": "struct", "parameters": {"a": "b", "payload": "x"}, "fields": [
        {"type": "struct", "optional": True, "field": "after", "fields": [{**INT, "field": "id"}]}]}  # fmt: skip
    value = b'{"schema":%s,"payload":%s}' % (json.dumps(schema, separators=(",", ":")).encode(), bare('{"id":1}'))

    assert atoms(value) == {"id": integer(1)}


@pytest.mark.parametrize(
    ("kind", "row", "atom"),
    [
        (TEXT, '{"a":null}', NULL), (TEXT, "{}", NULL), ({**TEXT, "default": "x"}, "{}", NULL),
        ({"type": "string", "default": "x"}, "{}", b"\x05x"), ({"type": "bytes", "default": "AQ=="}, '{"a":null}', b"\x06\x01"),
    ],
)  # fmt: skip
def test_a_null_or_no_field_is_null_where_the_schema_allows_it_else_its_default(
    kind: Any, row: str, atom: bytes
) -> None:
    assert atoms(wrapped(row, a=kind)) == {"a": atom}


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        (INT, "{}", "'a': a null, or no field at all"), (INT, '{"a":"1"}', "'a': a text where an integer must be"),
        (INT, '{"a":true}', "'a': a boolean where an integer must be"), (INT, '{"a":1.5}', "'a': more digits after the point"),
        (INT, '{"a":9223372036854775808}', "'a': a number beyond int64"), (INT, '{"a":NaN}', "'a': a number where an integer"),
        (TEXT, '{"a":1}', "'a': a number where a text must be"), (TEXT, '{"a":"x","b":1}', "it has ['b'], which its schema"),
        ({"type": "boolean"}, '{"a":1}', "'a': a number where a boolean must be"),
        ({"type": "bytes"}, '{"a":"A"}', "'a': a text that is no base64"), ({"type": "bytes"}, '{"a":[1]}', "'a': a list where base64"),
        ({"type": "double"}, '{"a":"1.5"}', "'a': a text where a number must be"),
        ({"type": "float"}, '{"a":1e39}', "'a': float too large"),
        ({"type": "array", "items": INT}, '{"a":{}}', "'a': an object where a list"),
        ({"type": "map", "keys": {"type": "string"}, "values": INT}, '{"a":[]}', "'a': a list where an object"),
        ({"type": "map", "keys": INT, "values": INT}, '{"a":[[1]]}', "'a': a list where a list of pairs"),
        ({"type": "struct", "fields": [{**INT, "field": "x"}]}, '{"a":{"x":[]}}', "'a': 'x': a list where an integer"),
        ({"type": "int128"}, "{}", "no type of Connect's: 'int128'"), ({"type": "array"}, "{}", "KeyError: 'items'"),
        ({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}, '{"a":"AQ=="}', "neither connect.parameters.scale"),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_its_schema_is_undecodable_and_the_reason_tells_no_value(
    kind: Any, row: str, said: str
) -> None:
    assert said in reason(wrapped(row, a=kind))


def test_nothing_is_asked_of_a_column_that_every_projection_ignores() -> None:
    value = wrapped('{"id":1,"secret":"no int"}', id=INT, secret=INT)
    plain = bare('{"id":1,"secret":"no int"}')
    ignored = frozenset({"orders.secret"})

    assert decoded(value, plain, ignored=[ignored], types={"orders.secret": "int"}).reasons == {}
    assert "'secret'" in reason(value, ignored=[ignored, frozenset()])


@pytest.mark.parametrize(
    ("value", "atom"),
    [
        ('"AZA="', decimal(4, 0)), ('""', decimal(0, 0)), ("4.00", decimal(4, 0)), ("4", decimal(4, 0)), ('"4.10"', decimal(41, 1)),
        ('"-4.5"', decimal(-45, 1)), ("-0.0", decimal(0, 0)), ("1E+3", decimal(1, -3)), ('"12345"', decimal(12345, 0)),
        ('"1234"', decimal(int.from_bytes(b"\xd7\x6d\xf8", "big", signed=True), 2)),
        ("123456789876543212345678987654321.11", decimal(12345678987654321234567898765432111, 2)),
    ],
)  # fmt: skip
def test_a_decimal_is_base64_or_an_exact_number(value: str, atom: bytes) -> None:
    """Text that is base64 is base64: JsonConverter writes numbers without quotes."""
    kind = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}

    assert atoms(wrapped(f'{{"a":{value}}}', a=kind)) == {"a": atom}
    assert atoms(bare(f'{{"a":{value}}}'), {"orders.a": "decimal(2)"}) == {"a": atom}


@pytest.mark.parametrize("value", ["4.001", "1e-99999", "1e99999", "NaN", '"x"', "true", '"1e5_0"'])
def test_a_number_that_its_decimal_can_not_hold_is_undecodable(value: str) -> None:
    assert "'a': " in reason(bare(f'{{"a":{value}}}'), types={"orders.a": "decimal(2)"})


@pytest.mark.parametrize(
    ("value", "atom"),
    [("1.50", decimal(15, 1)), ('"1.50"', decimal(15, 1)), ('"1234"', decimal(1234, 0)), ("7", decimal(7, 0)),
     ('{"scale":3,"value":"AQ=="}', decimal(1, 3)), ("null", NULL), ("1e-400", decimal(1, 400))],
)  # fmt: skip
def test_a_decimal_without_a_scale_is_a_number_in_quotes_or_not_or_a_struct(value: str, atom: bytes) -> None:
    assert atoms(bare(f'{{"a":{value}}}'), {"orders.a": "decimal"}) == {"a": atom}


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        ("float", "1.1", 1.100000023841858), ("float", "21.8", 21.799999237060547), ("double", "21.8", 21.8),
        ("float", "1.00000005960464477540", 1.0000001192092896), ("float", "1.00000005960464477539", 1.0),
        ("float", "-1.00000005960464477540", -1.0000001192092896), ("float", "1e-46", 0.0), ("double", "-0.0", 0.0),
        ("double", "7", 7.0), ("double", '"Infinity"', float("inf")), ("double", "-Infinity", float("-inf")),
        ("float", '"-Infinity"', float("-inf")),
    ],
)  # fmt: skip
def test_floats_are_the_nearest_of_their_width(kind: str, value: str, number: float) -> None:
    assert atoms(wrapped(f'{{"a":{value}}}', a={"type": kind})) == {"a": double(number)}


@pytest.mark.parametrize("value", ["NaN", '"NaN"'])
def test_nan_is_one_however_it_is_written(value: str) -> None:
    assert atoms(wrapped(f'{{"a":{value}}}', a={"type": "float"})) == {"a": bytes.fromhex("04000000000000f87f")}


# ---------------------------------------------------------------- without a schema


@pytest.mark.parametrize(
    ("value", "atom"),
    [
        ("null", NULL), ("true", b"\x01\x01"), ("false", b"\x01\x00"), ("-1", integer(-1)), ('"x"', b"\x05x"),
        ("9223372036854775807", integer(2**63 - 1)), ("9223372036854775808", decimal(2**63, 0)), ("39.0", double(39)),
        ("1e2", double(100)), ("0.1", double(0.1)), ("0.12345678901234567", double(0.12345678901234567)),
        ("0.123456789012345678", decimal(123456789012345678, 18)), ("100000000000000000000.0", double(1e20)),
        ("1e400", decimal(1, -400)), ("1e-400", decimal(1, 400)), ("0.0", double(0)), ("NaN", bytes.fromhex("04000000000000f87f")),
        ("[]", b"\x10\0\0\0\0"), ('["a",null]', b"\x10\2\0\0\0\2\0\0\0\5a\1\0\0\0\0"),
        ('{"b":null,"a":null}', b"\x11\2\0\0\0\1\0\0\0a\1\0\0\0\0\1\0\0\0b\1\0\0\0\0"),
    ],
)  # fmt: skip
def test_a_column_that_nobody_names_is_taken_by_its_json_type(value: str, atom: bytes) -> None:
    assert atoms(bare(f'{{"a":{value}}}')) == {"a": atom}


def test_a_column_that_is_not_there_takes_no_part_and_a_null_one_does() -> None:
    assert atoms(bare('{"a":1}'), {"orders.b": "int"}) == {"a": integer(1)}
    assert atoms(bare('{"a":1,"b":null}'), {"orders.b": "int"}) == {"a": integer(1), "b": NULL}


def test_of_a_key_that_an_object_has_twice_the_last_one_holds() -> None:
    assert atoms(bare('{"a":1,"a":2}')) == {"a": integer(2)}


def test_a_type_is_of_one_table() -> None:
    assert atoms(bare('{"a":1}'), {"orders.a": "date", "other.a": "text"}) == {"a": b"\x09" + (1).to_bytes(8, "little")}


def test_a_geometry_has_bytes_and_floats_and_whatever_else_it_has() -> None:
    found = atoms(
        bare('{"a":{"wkb":"AQ==","x":1,"srid":null,"more":"t"},"b":null}'),
        {"orders.a": "geometry", "orders.b": "geometry"},
    )
    fields = {"wkb": b"\x06\x01", "x": double(1), "srid": NULL, "more": b"\x05t"}
    parts = b"".join(
        len(name).to_bytes(4, "little") + name.encode() + len(atom).to_bytes(4, "little") + atom
        for name, atom in sorted(fields.items())
    )

    assert found == {"a": b"\x11\4\0\0\0" + parts, "b": NULL}
    assert "an object" in reason(bare('{"a":1}'), types={"orders.a": "geometry"})


def test_mongodbs_document_is_one_column_named_after() -> None:
    source = '{"connector":"mongodb","collection":"orders","ts_ms":1,"ord":1}'
    value = bare(json.dumps('{"b": 1, "a": {"$numberLong": "2"}}'), source=source)
    document = b'\x0c{"a":{"$numberLong":"2"},"b":1e0}'

    assert atoms(value) == {"after": document}
    assert atoms(value, {"orders.after": "text"}) != {"after": document}
    assert decoded(value, ignored=[frozenset(), frozenset({"orders.after"})]).fingerprints[0, 1] == 0


PLACEHOLDERS = {
    "text": json.dumps(UNAVAILABLE_VALUE), "bytes": json.dumps(b64encode(UNAVAILABLE_VALUE.encode()).decode()),
    "list(text)": json.dumps([UNAVAILABLE_VALUE]), "list(uuid)": '["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]',
    "list(bytes)": json.dumps([b64encode(UNAVAILABLE_VALUE.encode()).decode()]),
    "list(int)": json.dumps(list(UNAVAILABLE_VALUE.encode())), "map(text)": json.dumps({UNAVAILABLE_VALUE: UNAVAILABLE_VALUE}),
}  # fmt: skip


@pytest.mark.parametrize(("word", "value"), PLACEHOLDERS.items())
def test_the_placeholder_takes_no_part_whether_its_column_is_named_or_not(word: str, value: str) -> None:
    row = f'{{"id":1,"a":{value}}}'

    assert atoms(bare(row), {"orders.a": word}) == atoms(bare(row)) == {"id": integer(1)}
    assert decoded(bare(row)).fingerprints.tolist() == decoded(bare('{"id":1}')).fingerprints.tolist()


def test_shapes_and_schemas_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST_PLANS", 3)
    reader = JsonChanges([frozenset()], UNAVAILABLE_VALUE, {})
    for number in range(10):
        reader.decode(bare(f'{{"a{number}":1}}'))
        reader.decode(wrapped(f'{{"a{number}":1}}', **{f"a{number}": INT}))

    assert len(reader._rows) <= 3
    assert len(reader._plain._plans) <= 3


# ---------------------------------------------------------------- images


def test_images_are_both_rows_of_a_change_and_none_of_a_tombstone() -> None:
    reader = JsonChanges([frozenset({"orders.note"})], UNAVAILABLE_VALUE, {})
    value = bare('{"id":2,"note":"x"}', "u").replace(b'"before":null', b'"before":{"id":1}')

    assert reader.images(value) == Images("orders", {"id": integer(1)}, {"id": integer(2)})
    assert reader.images(bare("null", "d")) == Images("orders", None, None)
    assert reader.images(b"null") is None


def test_a_keys_columns_are_read_by_its_schema_or_the_tables_types() -> None:
    reader = JsonChanges([frozenset()], UNAVAILABLE_VALUE, {"orders.day": "date"})
    schema = {"type": "struct", "fields": [{"type": "int32", "name": "io.debezium.time.Date", "field": "day"}]}

    day = {"day": b"\x09" + (7).to_bytes(8, "little")}

    assert reader.key(b'{"day":7}', "orders") == day
    assert reader.key(json.dumps({"schema": schema, "payload": {"day": 7}}).encode(), "orders") == day
    assert reader.key(b'"text"', "orders") is None


# ---------------------------------------------------------------- hostile values

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["struct", "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "fields", "field", "op", "after", "items", "name", "x"]), inner)
    ),
    max_leaves=8,
)
WORDS_AND_NONE = st.sampled_from([*sorted(WORDS), "decimal(2)", "list(date)", "map(bytes)", None])


@settings(deadline=None)
@given(trees, trees, trees, st.sampled_from(["c", "d", "x", None, 1]), WORDS_AND_NONE)
def test_any_json_is_a_change_or_undecodable(row: Any, source: Any, schema: Any, op: Any, word: str | None) -> None:
    """Nothing but that: whatever stands where, no other error comes out."""
    value = {"before": row, "after": {"x": row}, "source": source, "op": op}
    types = {} if word is None else {"orders.x": word, ".x": word}
    described = {"fields": [{"type": "struct", "field": "after", "fields": [schema]}, schema]}
    forms = [value, {**value, "after": row}, {**value, "source": CAME_FROM}, {"schema": schema, "payload": value},
             {"schema": described, "payload": value}, row]  # fmt: skip
    texts = [json.dumps(form).encode() for form in forms]

    found = decoded(*texts, types=types)

    assert {row for row, kind in enumerate(found.kinds) if kind == ChangeKind.UNREADABLE} == found.reasons.keys()
    assert all(reason.encode() for reason in found.reasons.values())


@settings(deadline=None)
@given(st.data())
def test_any_bytes_are_a_change_or_undecodable(data: st.DataObject) -> None:
    value = bytearray(wrapped('{"id":1,"note":"x"}', id=INT, note=TEXT))
    for at in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=3)):
        value[at] = data.draw(st.integers(0, 255))

    found = decoded(bytes(value))

    assert (found.kinds[0] == ChangeKind.UNREADABLE) == (0 in found.reasons)
