"""Which schema may follow which, as the embedded registry answers it."""

from __future__ import annotations

import json

import pytest

import schemas
from app.adapters.brokers.compatibility import clashes, refusals
from cdc_receipts.codec import SCHEMAS

A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "string"}
B_NULL = {"name": "b", "type": ["null", "string"], "default": None}


def record(*fields, name="r"):
    return json.dumps({"type": "record", "name": name, "namespace": "n", "fields": list(fields)})


def enum(*symbols, default=None):
    beside = {} if default is None else {"default": default}
    return json.dumps({"type": "enum", "name": "e", "symbols": list(symbols), **beside})


@pytest.mark.parametrize(
    ("reader", "writer", "is_readable"),
    [
        (record(A), record(A), True),
        (record(A), record(A, B), True),
        (record(A, B), record(A), False),
        (record(A, B_NULL), record(A), True),
        (record(A, B_NULL), record(A, B), True),
        (record(A, B), record(A, B_NULL), False),
        (record(A), record(A, name="other"), False),
        ('"double"', '"int"', True),
        ('"int"', '"double"', False),
        ('{"type": "long", "logicalType": "timestamp-millis"}', '"long"', True),
        (enum("X", "Y"), enum("X"), True),
        (enum("X"), enum("X", "Y"), False),
        (enum("X", default="X"), enum("X", "Y"), True),
        ('{"type": "array", "items": "long"}', '{"type": "array", "items": "int"}', True),
        ('{"type": "map", "values": "int"}', '{"type": "map", "values": "long"}', False),
        ('{"type": "fixed", "name": "f", "size": 8}', '{"type": "fixed", "name": "f", "size": 16}', False),
        ('["null", "long"]', '"int"', True),
        ('"int"', '["null", "int"]', False),
    ],
)
def test_a_reader_reads_what_avro_says_it_can(reader, writer, is_readable):
    assert (clashes(reader, writer) == []) == is_readable


def test_a_schema_that_names_another_one_is_followed():
    inner = {"type": "record", "name": "i", "fields": [A]}
    wider = {"type": "record", "name": "i", "fields": [A, B]}

    def twice(definition):
        return record({"name": "x", "type": definition}, {"name": "y", "type": ["null", "i"], "default": None})

    assert clashes(twice(inner), twice(wider)) == []
    assert clashes(twice(wider), twice(inner)) == [
        "/x/b: the writer has no such field, and the reader no default for it"
    ]


def test_a_record_that_holds_itself_ends():
    tree = record(A, {"name": "children", "type": {"type": "array", "items": "r"}})

    assert clashes(tree, tree) == []


@pytest.mark.parametrize(
    ("level", "new", "versions", "is_fine"),
    [
        ("NONE", '"long"', ['"string"'], True),
        ("BACKWARD", record(A), [record(A, B)], True),
        ("FORWARD", record(A), [record(A, B)], False),
        ("FULL", record(A, B_NULL), [record(A)], True),
        ("FULL", record(A), [record(A, B)], False),
        ("BACKWARD", record(A, B), [record(A), record(A, B_NULL), record(A, B)], True),
        ("BACKWARD_TRANSITIVE", record(A, B), [record(A), record(A, B)], False),
    ],
)
def test_the_level_says_who_must_read_whom(level, new, versions, is_fine):
    assert (refusals(level, new, versions) == []) == is_fine


@pytest.mark.parametrize("name", sorted({*schemas.names(), *SCHEMAS}))
def test_every_schema_of_ours_may_follow_itself(name):
    text = SCHEMAS.get(name) or schemas.text(name)

    assert refusals("FULL_TRANSITIVE", text, [text]) == []
