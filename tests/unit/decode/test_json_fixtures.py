"""JSON change events of other projects, read in place: what they are, and atoms worked out from their payloads by hand."""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from app.decode.json_changes import JsonChanges
from app.decode.schemas import RecordedSchemas
from app.model import ChangeBatch, ChangeKind, RawBatch, RawRecord
from tests.kernel.agreement import BothDecoders

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures of other projects are not beside this one")

PLACEHOLDER = "__debezium_unavailable_value"
KAFKA = "paimon/**/kafka/"
ALL_TYPES = KAFKA + "debezium/table/schema/alltype/debezium-data-1.txt"
STRINGY = KAFKA + "debezium-avro/table/schema/alltype/debezium-avro-data-1.txt"


def values(pattern: str) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of one file, as the bytes that a record would hold; its licence on top is no record."""
    found = sorted(FIXTURES.glob(pattern))
    assert len(found) == 1, found
    text = re.sub(r"\A\s*/\*.*?\*/\s*", "", found[0].read_text(), flags=re.DOTALL)
    if found[0].suffix == ".json":
        return [(None, whole.encode()) for whole in _wholes(text)]
    pairs = []
    lines = [line for line in text.splitlines() if line.strip()]
    if "event/" in pattern or pattern == STRINGY:  # a line with the key, a line with the value
        return [(key.encode(), value.encode()) for key, value in zip(lines[::2], lines[1::2], strict=True)]
    if lines[0].startswith('{"type":"record"'):
        lines = lines[1:]
    for line in lines:
        if found[0].suffix == ".1" and "^" in line:
            key, _, value = line.partition("^")
        else:
            key, _, value = line.partition(";") if "};{" in line else ("", "", line)
        pairs.append((key.encode() or None, value.encode() or None))
    return pairs


def _wholes(text: str) -> list[str]:
    """One event, or two by the names of phases, each as it is written."""
    found = []
    for phase in ("expected_snapshot", "expected_binlog"):
        at = text.find(f'"{phase}"')
        if at >= 0:
            begin = text.index("{", at)
            found.append(text[begin : json.JSONDecoder().raw_decode(text, begin)[1]])
    return found or [text]


def decoded(pattern: str, column_types: Mapping[str, str] | None = None) -> ChangeBatch:
    records = [RawRecord(at, 0, key, value) for at, (key, value) in enumerate(values(pattern))]
    raw = RawBatch.of("t", 0, records, 0, len(records))
    return BothDecoders(RecordedSchemas({}), [frozenset()], PLACEHOLDER, column_types or {}).decode(raw)


def after(pattern: str, column_types: Mapping[str, str] | None = None, row: int = 0) -> dict[str, bytes]:
    """The atoms of one row."""
    value = values(pattern)[row][1]
    assert value is not None
    images = JsonChanges([frozenset()], PLACEHOLDER, column_types or {}).images(value)
    assert images is not None
    assert images.after is not None
    return images.after


def told(batch: ChangeBatch) -> str:
    """Ops, a dash for a tombstone, a question mark for what can't be read; sorted."""
    signs = {ChangeKind.TOMBSTONE: "-", ChangeKind.UNREADABLE: "?"}
    return "".join(
        sorted(signs.get(ChangeKind(kind)) or chr(op) for kind, op in zip(batch.kinds, batch.ops, strict=True))
    )


BARE = KAFKA + "debezium/"
FILES = {
    "debezium/**/serde-with-schema.json": "c", "debezium/**/serde-without-schema.json": "c",
    "debezium/**/serde-update.json": "u", "debezium/**/serde-unknown-property.json": "u",
    **{f"flink/**/debezium-data-schema-{form}.txt": "c" * 11 + "d" + "uuuu" for form in ("include", "exclude")},
    **{f"flink/**/debezium-postgres-data-{form}.txt": "ccd" + "r" * 9 + "uuuu"
       for form in ("schema-include", "schema-exclude", "replica-identity")},
    **{f"flink-cdc/**/debezium-data-schema-{form}.json": "ru" for form in ("exclude", "exclude-with-numeric-decimal")},
    **{f"flink-cdc/**/debezium-json{form}.txt": "c" * 15 + "d" + "uuuu" for form in ("", "-with-schema")},
    BARE + "database/include/topic0/debezium-data-1.txt": "cccc",
    **{BARE + f"database/{case}/topic{topic}/debezium-data-{number}.txt": "cc"
       for case in ("prefixsuffix", "schemaevolution") for topic in (0, 1) for number in (1, 2)},
    **{BARE + f"table/{case}/debezium-data-{number}.txt": told for case, number, told in (
        ("computedcolumn", 1, "c"), ("metadatacolumn", 1, "c"), ("nestedtype", 1, "c"), ("nullvalue", 1, "c"),
        ("nullvalue", 2, "c"), ("startupmode", 1, "cc"), ("startupmode", 2, "cc"), ("watermark", 1, "cc"),
        ("schemaevolution", 1, "cc"), ("schemaevolution", 2, "cc"), ("schemaevolution", 3, "ccdu"),
        ("schema/alltype", 1, "r"), ("schema/computedcolumn", 1, "c"), ("schema/include", 1, "c"),
        ("schema/primarykeys", 1, "cc"), ("schema/primarykeys", "with-schema-1", "c"),
        ("schema/schemaevolution", "with-delete", "d"), *(("schema/schemaevolution", n, "c") for n in range(1, 6)))},
    STRINGY: "cc",
    **{KAFKA + f"debezium-bson/table/event/event-{op}.txt": told
       for op, told in (("insert", "c"), ("update", "uu"), ("delete", "ddd"))},
    **{f"risingwave/**/{name}.1": told for name, told in (
        ("debezium_log", "ccdrrrruuu"), ("debezium_log_no_schema_field", "ccdrrrruuu"),
        ("debezium_log_missing_column_in_new_rows", "ccdrrrruuu"),
        ("debezium_log_missing_column_in_old_rows", "ccdrrrruuu"), ("debezium_log_schemaless", "cccdu"),
        ("debezium_ignore_case_json", "rrr"), ("debezium_mess_key", "rrru"), ("debezium_timestamp", "r"),
        ("debezium_mongo_json_customers", "rrrr"), ("debezium_mongo_json_customers_no_schema_field", "rrrr"),
        *((f"debezium_{what}_column_{when}_create_table_avro_json", "-drrru")
          for what in ("add", "drop") for when in ("before", "after")))},
    "seatunnel/**/debezium_data.txt": "rrr", "seatunnel/**/debezium-data.txt": "c" * 11 + "d" + "uuuu",
    **{f"seatunnel/**/debezium-{name}.txt": "r" for name in ("mysql", "postgresql", "oracle", "sqlserver")},
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "ops"), FILES.items(), ids=list(FILES))
def test_every_file_of_change_events_decodes_to_its_ops(pattern: str, ops: str) -> None:
    found = decoded(pattern)

    assert found.reasons == {}
    assert told(found) == ops
    assert all(found.fingerprints[found.kinds == ChangeKind.UPSERT, 0])


NO_ENVELOPE = "no envelope: no object with op and source"


@pytest.mark.parametrize(
    ("pattern", "reasons"),
    [
        ("paimon/**/mysql/debezium-event-change.json", [NO_ENVELOPE]),
        ("debezium/**/serde-unwrapped.json", [NO_ENVELOPE]),
        (KAFKA + "debezium-bson/table/event/event-bson.txt", [NO_ENVELOPE]),
        (KAFKA + "debezium-bson/table/event/event-json.txt", [NO_ENVELOPE]),
        (
            "flink-cdc/**/debezium-data-schema-include.json",
            ["which its schema does not name", "the schema has no field after"],
        ),
    ],
)
def test_what_is_no_change_event_is_undecodable_with_its_reason(pattern: str, reasons: Sequence[str]) -> None:
    """Schema changes, unwrapped rows, documents, and a schema that is not its payload's."""
    found = decoded(pattern)

    assert set(found.kinds.tolist()) == {ChangeKind.UNREADABLE}
    assert all(reason in said for reason, said in zip(reasons, found.reasons.values(), strict=True))


def test_no_json_file_is_left_out() -> None:
    """Every file that could hold JSON is named above, or is Avro, a schema or prose."""
    elsewhere = {"debezium-test-schema.json", "debezium_compact_avro_json.1", "debezium_non_compact_avro_json.1"}
    files = {
        path
        for path in FIXTURES.glob("*/**/*")
        if path.suffix in {".txt", ".1", ".json"} and path.name not in elsewhere and "LICENSE" not in path.name
    }
    undecodable = (
        "paimon/**/mysql/*.json", "debezium/**/serde-unwrapped.json", "flink-cdc/**/*include.json",
        KAFKA + "debezium-bson/table/event/event-bson.txt", KAFKA + "debezium-bson/table/event/event-json.txt",
    )  # fmt: skip

    named = Counter(path for pattern in (*FILES, *undecodable) for path in FIXTURES.glob(pattern))

    assert set(named) == files
    assert set(named.values()) == {1}


# ---------------------------------------------------------------- atoms, written by hand


def integer(value: int) -> bytes:
    return b"\x02" + value.to_bytes(8, "little", signed=True)


def decimal(unscaled: int, scale: int) -> bytes:
    size = 1 + unscaled.bit_length() // 8
    return b"\x03" + scale.to_bytes(4, "little", signed=True) + unscaled.to_bytes(size, "big", signed=True)


def double(value: float) -> bytes:
    return b"\x04" + struct.pack("<d", value)


def text(value: str) -> bytes:
    return b"\x05" + value.encode()


def stamp(seconds: int, nanoseconds: int = 0, tag: bytes = b"\x07") -> bytes:
    return tag + seconds.to_bytes(8, "little", signed=True) + nanoseconds.to_bytes(4, "little")


def instant(seconds: int, nanoseconds: int = 0) -> bytes:
    return stamp(seconds, nanoseconds, b"\x08")


def date(days: int) -> bytes:
    return b"\x09" + days.to_bytes(8, "little", signed=True)


def time(nanoseconds: int) -> bytes:
    return b"\x0a" + nanoseconds.to_bytes(8, "little", signed=True)


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def struct_of(*fields: tuple[str, bytes]) -> bytes:
    parts = [sized(name.encode()) + sized(atom) for name, atom in sorted(fields)]
    return b"\x11" + len(parts).to_bytes(4, "little") + b"".join(parts)


NULL, TRUE = b"\x00", b"\x01\x01"
POINT = b64decode("AQEAAAAAAAAAAADwPwAAAAAAAPA/")
LINE = b64decode("AQIAAAADAAAAAAAAAAAACEAAAAAAAAAAAAAAAAAAAAhAAAAAAAAACEAAAAAAAAAIQAAAAAAAABRA")

MYSQL_TYPES = {
    "_id": integer(1), "pt": decimal(11, 1), "_bit1": TRUE, "_bit": b"\x0f\x07\xc7", "_tinyint1": integer(1),
    "_bigint": integer(10_000_000_000), "_bigint_unsigned": decimal(2, -10), "_serial": decimal(4, -10),
    "_float": double(1.5), "_real": double(1.000001), "_numeric": decimal(1234511, 2),
    "_fixed": decimal(12345678987654321234567898765432111, 2), "_decimal": decimal(11111, 0),
    "_big_decimal": decimal(2222222222222222300000001111123456789, 9), "_date": date(19439),
    "_datetime": stamp(1679581805), "_datetime3": stamp(1679581805, 123_000_000),
    "_datetime6": stamp(1679581805, 123_456_000), "_timestamp": instant(1679608810, 123_456_000),
    "_timestamp0": instant(1679555400), "_char": text("Paimon"), "_bin": b"\x06bytes\0\0\0\0\0",
    "_varbin": b"\x06more bytes", "_json": b'\x0c{"a":"b"}', "_enum": text("value1"), "_year": integer(2023),
    "_time": time(36_803_000_000_000), "_set": text("a,b"),
    "_point": struct_of(("x", double(1)), ("y", double(1)), ("wkb", b"\x06" + POINT), ("srid", NULL)),
    "_linestring": struct_of(("wkb", b"\x06" + LINE), ("srid", NULL)),
}  # fmt: skip


def test_a_row_of_every_mysql_type_with_its_schema_has_the_protocols_atoms() -> None:
    found = after(ALL_TYPES)

    assert len(found) == 78
    assert {name: found[name] for name in MYSQL_TYPES} == MYSQL_TYPES


def test_decimals_that_the_source_tells_as_text_are_text_and_floats_of_four_bytes_are_widened() -> None:
    """The same table with ``decimal.handling.mode=string``."""
    found = after(STRINGY)
    strange = {"_bigint_unsigned", "_serial", "_timestamp", "_timestamp0"}  # told as int64, and of another time zone
    same = {name for name, atom in MYSQL_TYPES.items() if atom[:1] not in {b"\x03", b"\x04"}} & found.keys() - strange

    assert len(found) == 75
    assert len(same) > 15
    assert {name: found[name] for name in same} == {name: MYSQL_TYPES[name] for name in same}
    assert found["_fixed"] == text("123456789876543212345678987654321.110")
    assert found["_real"] == double(struct.unpack("<f", struct.pack("<f", 1.000001))[0])
    assert found["_timestamp"] == instant(1679554810, 123_456_000)


def test_a_snapshot_row_of_a_later_version_has_the_protocols_atoms() -> None:
    found = after("seatunnel/**/debezium_data.txt")
    expected = {
        "f_blob": b"\x06hello", "f_longblob": NULL, "f_tinyint": integer(-128), "f_int_unsigned": integer(7654321),
        "f_bigint_unsigned": decimal(987654321, 0), "f_decimal": decimal(789, 0), "f_float": double(12.34000015258789),
        "f_date": date(19109), "f_datetime": stamp(1651069800), "f_timestamp": instant(1682564920), "f_bit1": TRUE,
        "f_bit64": b"\x0f" + b"\x55" * 8, "f_enum": text("enum2"), "f_json": b'\x0c{"key":"value"}',
        "f_time": time(52_200_000_000_000), "f_year": integer(2022),
    }  # fmt: skip

    assert len(found) == 42
    assert {name: found[name] for name in expected} == expected


def test_a_row_of_postgresql_has_the_protocols_atoms() -> None:
    assert after("risingwave/**/debezium_timestamp.1") == {
        "id": integer(1), "ts": stamp(1665791731, 989_360_000), "d": date(19279), "t": time(86_131_989_360_000),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "table", "types", "expected"),
    [
        ("mysql", "all_types",
         {"f_numeric1": "decimal", "f_decimal": "decimal", "f_float": "float32", "f_json": "json", "f_bit64": "bits",
          "f_binary": "bytes", "f_date": "date", "f_time": "time-us", "f_year": "year", "f_datetime": "timestamp-ms",
          "f_timestamp": "zoned-timestamp"},
         {"f_numeric1": decimal(1, 0), "f_decimal": decimal(99999991, 1), "f_float": double(1), "f_json": b"\x0c{}",
          "f_bit64": b"\x0f\x01", "f_binary": b"\x06a", "f_date": date(20073), "f_time": time(56_033_000_000_000),
          "f_year": integer(2001), "f_datetime": stamp(1734363225), "f_timestamp": instant(1734363222),
          "f_bit1": TRUE, "f_enum": text("enum1"), "f_bigint": integer(1)}),
        ("postgresql", "all_types_1",
         {"f2": "list(boolean)", "f44": "date", "f45": "time-us", "f46": "time-ms", "f51": "timestamp-us",
          "f53": "zoned-timestamp"},
         {"f1": TRUE, "f2": b"\x10\0\0\0\0", "f3": NULL, "f44": date(20074), "f45": time(64_834_000_000_000),
          "f46": time(64_838_000_000_000), "f47": text("09:00:00"), "f51": stamp(1734544849),
          "f53": instant(1734458452, 458_000_000)}),
        ("oracle", "ALL_TYPES1",
         {"F2": "decimal", "F27": "timestamp-ms", "F28": "timestamp-us", "F30": "zoned-timestamp"},
         {"F1": integer(1), "F2": decimal(1, 0), "F10": NULL, "F11": text("1"), "F27": stamp(1734449012),
          "F28": stamp(1734449014), "F30": instant(1734449017, 618_000_000)}),
        ("sqlserver", "full_types_1",
         {"f29": "bytes", "f35": "date", "f36": "time-ns", "f37": "time-ms", "f38": "timestamp-ms",
          "f39": "timestamp-ns", "f41": "zoned-timestamp"},
         {"f1": TRUE, "f2": integer(1), "f29": b"\x06\x01", "f30": text("AQ=="), "f35": date(20073),
          "f36": time(75_723_000_000_000), "f37": time(75_724_000_000_000), "f38": stamp(1734382925),
          "f39": stamp(1734382927), "f41": instant(1734382929, 799_000_000)}),
    ],
    ids=["mysql", "postgresql", "oracle", "sqlserver"],
)  # fmt: skip
def test_without_a_schema_the_contract_names_the_classes_and_the_json_type_the_rest(
    name: str, table: str, types: Mapping[str, str], expected: Mapping[str, bytes]
) -> None:
    found = after(f"seatunnel/**/debezium-{name}.txt", {f"{table}.{column}": word for column, word in types.items()})

    assert {column: found[column] for column in expected} == expected


def test_a_column_with_an_object_is_a_map() -> None:
    found = after(BARE + "table/nestedtype/debezium-data-1.txt")

    assert found == {
        "id": integer(101), "name": text("hammer"), "row": struct_of(("row_key", text("value"))),
    }  # fmt: skip


# ---------------------------------------------------------------- the same changes, written differently


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("flink/**/debezium-data-schema-include.txt", "flink/**/debezium-data-schema-exclude.txt"),
        ("flink/**/debezium-postgres-data-schema-include.txt", "flink/**/debezium-postgres-data-schema-exclude.txt"),
        ("flink/**/debezium-postgres-data-schema-exclude.txt", "flink/**/debezium-postgres-data-replica-identity.txt"),
        ("flink/**/debezium-data-schema-exclude.txt", "seatunnel/**/debezium-data.txt"),
        ("risingwave/**/debezium_log.1", "risingwave/**/debezium_log_no_schema_field.1"),
        (
            "risingwave/**/debezium_mongo_json_customers.1",
            "risingwave/**/debezium_mongo_json_customers_no_schema_field.1",
        ),
    ],
)
def test_the_same_changes_with_a_schema_and_without_are_equal(first: str, second: str) -> None:
    """A float64 that is written without a point is an integer where nobody says what it is."""
    one, other = (decoded(pattern, {"products.weight": "float64"}) for pattern in (first, second))

    assert one.fingerprints.tolist() == other.fingerprints.tolist()
    assert one.position_hashes.tolist() == other.position_hashes.tolist()
    assert one.source_ts_ms.tolist() == other.source_ts_ms.tolist()


def test_decimals_as_base64_and_as_numbers_are_equal() -> None:
    """The events name no table. One file tells ``id`` and unsigned numbers as decimals of scale 0, the other as integers."""
    scales = {"decimal_c": 4, "decimal_un_c": 4, "decimal_un_z_c": 4, "numeric_c": 0, "big_decimal_c": 1,
              "id": 0, "big_un_c": 0, "big_un_z_c": 0}  # fmt: skip
    types = {f".{column}": f"decimal({scale})" for column, scale in scales.items()} | {".json_c": "json"}

    base64 = after("flink-cdc/**/debezium-data-schema-exclude.json", types)
    numbers = after("flink-cdc/**/debezium-data-schema-exclude-with-numeric-decimal.json", types)

    assert base64 == numbers
    assert base64["decimal_c"] == decimal(1234567, 4)
    assert base64["big_un_c"] == decimal(18446744073709551615, 0)


def test_a_key_that_is_no_json_is_hashed_like_any_other() -> None:
    found = decoded("risingwave/**/debezium_mess_key.1")

    assert found.has_key.all()
    assert len({tuple(pair) for pair in found.key_hashes.tolist()}) == 1
