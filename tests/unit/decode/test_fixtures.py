"""Records of other projects, read in place: Avro of Debezium 1.2 and 1.9, as their own tests keep it."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import fastavro
import pytest

from app.decode.schemas import RecordedSchemas
from app.model import ChangeBatch, ChangeKind, RawBatch, RawRecord
from cdc_receipts.schemas import loaded
from tests.kernel.agreement import BothDecoders

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures of other projects are not beside this one")


def _decoded(values: list[bytes | None], schema: str) -> ChangeBatch:
    records = [RawRecord(offset, 0, b"k", value) for offset, value in enumerate(values)]
    raw = RawBatch.of("t", 0, records, 0, len(records))
    schemas = RecordedSchemas({81: schema})
    return BothDecoders(schemas, [frozenset()], "__debezium_unavailable_value").decode(raw)


def _flink(name: str) -> Path:
    return next(FIXTURES.glob(f"flink/**/{name}"))


def test_framed_records_of_mysql_1_2_are_a_create_an_update_and_a_delete() -> None:
    """Each file ends with one stray byte; without it the records decode, with it they have bytes left over."""
    schema = _flink("debezium-test-schema.json").read_text()
    files = [_flink(f"debezium-avro-{name}.avro").read_bytes() for name in ("insert", "update", "delete")]

    whole = _decoded([data[:-1] for data in files], schema)
    stray = _decoded(list(files), schema)

    assert [chr(op) for op in whole.ops] == ["c", "u", "d"]
    assert [ChangeKind(kind) for kind in whole.kinds] == [ChangeKind.UPSERT, ChangeKind.UPSERT, ChangeKind.DELETE]
    assert list(stray.reasons.values()) == ["1 bytes left over"] * 3


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("debezium_compact_avro_json.1", "rrru" + "-"),
        ("debezium_non_compact_avro_json.1", "rrrud" + "-"),
    ],
)
def test_union_tagged_avro_of_postgresql_1_9_decodes(name: str, kinds: str) -> None:
    """The first line holds the schemas, each other one a key and a value; nothing after ``^`` is a tombstone."""
    head, *lines = next(FIXTURES.glob(f"risingwave/**/{name}")).read_text().splitlines()
    schema = head.split("^")[1]
    parsed = fastavro.parse_schema(loaded(schema))
    values = []
    for line in lines:
        text = line.split("^")[1]
        values.append(_framed(parsed, json.dumps(json.loads(text))) if text.strip() else None)

    found = _decoded(values, schema)

    assert found.reasons == {}
    assert sorted(
        "-" if kind == ChangeKind.TOMBSTONE else chr(op) for kind, op in zip(found.kinds, found.ops, strict=True)
    ) == sorted(kinds)


def _framed(parsed: object, text: str) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, next(iter(fastavro.json_reader(io.StringIO(text), parsed))))
    return struct.pack(">bi", 0, 81) + body.getvalue()
