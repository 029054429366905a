"""A row has one fingerprint, whichever of Connect's converters wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.decode.schemas import RecordedSchemas
from app.model import ChangeBatch, RawBatch, RawRecord
from tests.kernel.agreement import BothDecoders
from tests.laws.encodings import PLACEHOLDER, Column, avro_row, json_envelope, json_schema, rows
from tests.unit.decode.envelopes import CAME_FROM, ID, change, envelope, framed


def decoded(
    schema: Any, values: Sequence[bytes], ignored: frozenset[str], column_types: Mapping[str, str]
) -> ChangeBatch:
    raw = RawBatch.of("t", 0, [RawRecord(at, 0, b"k", value) for at, value in enumerate(values)], 0, len(values))
    projections = [frozenset(), ignored]
    schemas = RecordedSchemas({ID: json.dumps(schema)})
    return BothDecoders(schemas, projections, PLACEHOLDER, column_types).decode(raw)


def of_one_row(columns: Sequence[Column], column_types: Mapping[str, str], left_out: int) -> ChangeBatch:
    """The row as framed Avro, as JSON with its schema twice (the second is read by its head), and as JSON alone."""
    fields, row = avro_row(columns)
    schema = envelope(fields)
    bare = json_envelope(columns, CAME_FROM)
    wrapped = f'{{"schema":{json_schema(columns)},"payload":{bare}}}'
    spaced = f' {{ "payload": {bare}, "schema": {json_schema(columns)} }}\n'
    values = [framed(schema, change("c", row)), *(text.encode() for text in (wrapped, wrapped, spaced, bare))]
    return decoded(schema, values, frozenset({f"orders.{columns[left_out % len(columns)].name}"}), column_types)


def of_all(found: ChangeBatch, name: str, count: int) -> list[Any]:
    return [getattr(found, name)[row].tolist() for row in range(count)]


@settings(max_examples=400, deadline=None)
@given(rows(), st.integers(0, 9))
def test_avro_and_json_with_its_schema_give_one_fingerprint_and_one_position(
    columns: list[Column], left_out: int
) -> None:
    found = of_one_row(columns, {}, left_out)

    assert {row: why for row, why in found.reasons.items() if row < 4} == {}
    for name in ("kinds", "ops", "fingerprints", "position_hashes", "has_position", "source_ts_ms", "key_hashes"):
        told = of_all(found, name, 4)
        assert told == told[:1] * 4, name


@settings(max_examples=400, deadline=None)
@given(rows(), st.integers(0, 9))
def test_json_without_a_schema_gives_it_too_where_the_contract_or_the_json_type_names_the_class(
    columns: list[Column], left_out: int
) -> None:
    columns = [column for column in columns if column.kind.word is not None or column.kind.is_plain]
    if not columns:
        return
    types = {
        f"orders.{column.name}": column.kind.word
        for at, column in enumerate(columns)
        if column.kind.word is not None and not (column.kind.is_plain and at % 2)
    }

    found = of_one_row(columns, types, left_out)

    assert found.reasons == {}
    for name in ("kinds", "ops", "fingerprints", "position_hashes", "has_position", "source_ts_ms"):
        told = of_all(found, name, 5)
        assert told == told[:1] * 5, name
