"""The kernel's changes are the reference's: on the shared vectors, on recordings, and on random rows of random schemas."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.adapters.recording import Recording
from app.decode.decoders import evidence_decoder
from app.decode.evidence import EvidenceDecoder
from app.decode.schemas import RecordedSchemas
from app.model import ChangeKind, Projection, RawBatch, RawRecord
from app.native import kernel, missing
from tests.kernel import random_rows
from tests.kernel.agreement import BothDecoders, assert_same
from tests.unit.decode.envelopes import ID, change, envelope, framed, record

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

TESTS = Path(__file__).parents[1]
VECTORS = json.loads((TESTS / "data" / "fingerprint-vectors.json").read_text())["vectors"]
RECORDINGS = [path.parent for path in sorted((TESTS / "recordings").glob("*/schemas.json"))]
ROWS = int(os.environ.get("CDC_VERIFIER_RANDOM_ROWS", "20000"))
"""Random rows of one run."""


def raw_of(values: list[bytes | None], key: bytes | None = b"\0\0\0\0\1key") -> RawBatch:
    return RawBatch.of("t", 0, [RawRecord(at, 0, key, value) for at, value in enumerate(values)], 0, len(values))


def envelope_of(row: Any) -> dict[str, Any]:
    """The shortest envelope there is."""
    return record(
        "Envelope", [("op", "string"), ("source", record("Source", [("table", "string")])), ("after", ["null", row])]
    )


def test_every_vector_has_its_fingerprint() -> None:
    """Some have what is left to the reference: keys twice, texts that no class reads."""
    left = 0
    for vector in VECTORS:
        body = b"\2c" + b"\2t" + b"\2" + base64.b64decode(vector["avro_b64"])
        projections = [frozenset(f"t.{name}" for name in vector["ignore"]), frozenset()]
        both = BothDecoders(RecordedSchemas({1: json.dumps(envelope_of(vector["schema"]))}), projections)

        found = both.decode(raw_of([struct.pack(">bi", 0, 1) + body]))

        assert found.fingerprints[0, 0] == int.from_bytes(bytes.fromhex(vector["fingerprint"]), "little")
        left += both.left

    assert left < len(VECTORS) / 4


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_every_record_of_a_recording_is_the_same_change_and_the_same_evidence(path: Path) -> None:
    recording = Recording(path)
    changes = BothDecoders(
        recording.schemas(), [Projection(), Projection(ignored=frozenset({"orders.note", "orders.id"}))]
    )
    alone, together = EvidenceDecoder(recording.schemas()), evidence_decoder(recording.schemas())
    for topic in set(recording.topics()) - {"workload"}:  # what was done to the database is no topic
        for raw in recording.partitions(topic):
            changes.decode(raw)
            assert_same(alone.decode(raw), together.decode(raw))


def test_real_changes_are_decoded_by_the_kernel() -> None:
    """But for a handful of odd values."""
    recording = Recording(TESTS / "recordings" / "debezium-3.7")
    both, count = BothDecoders(recording.schemas(), [frozenset()]), 0
    for topic in recording.topics():
        for raw in recording.partitions(topic) if topic.startswith("shop.public.") else ():
            count += int((both.decode(raw).kinds == ChangeKind.UPSERT).sum())

    assert count > 100
    assert both.left < 10


def test_random_rows_are_the_same() -> None:
    done, left = random_rows.run(seed=1, rows=ROWS)

    assert done >= ROWS
    assert left < done / 5, "the kernel decodes most of them"


# ---------------------------------------------------------------- what a program is made of


COLUMNS = (("id", "long"), ("note", ["null", "string"]), ("total", "double"))
ROW = {"id": 1, "note": "x", "total": 1.5}


def both_of(schema: Any, projections: Any = (frozenset(),)) -> BothDecoders:
    return BothDecoders(RecordedSchemas({ID: json.dumps(schema)}), list(projections))


def test_rows_of_several_tables_of_one_schema_are_each_read_by_their_own_columns() -> None:
    schema = envelope(COLUMNS)
    values = [framed(schema, change("c", ROW, {"table": name})) for name in ("orders", "items", "", "orders", "items")]
    both = both_of(schema, [frozenset({"orders.note"}), frozenset({"items.id"}), frozenset()])

    found = both.decode(raw_of([*values, None]))

    assert both.left == 0
    assert len(np.unique(found.fingerprints[:2])) == 3
    assert found.kinds.tolist() == [ChangeKind.UPSERT] * 5 + [ChangeKind.TOMBSTONE]


def test_tables_whose_rows_are_chosen_by_their_values_are_the_references_and_no_others() -> None:
    schema = envelope(COLUMNS)
    values = [framed(schema, change("c", ROW, {"table": name})) for name in ("orders", "items") * 3]
    both = both_of(schema, [Projection(rows=(("orders.note", ("y",)),)), Projection(tables=frozenset({"items"}))])

    found = both.decode(raw_of(values))

    assert both.left == 3
    assert found.left_out is not None
    assert found.left_out.tolist() == [[1, 0], [0, 1]] * 3


def test_a_table_that_can_not_be_fingerprinted_is_the_references_with_its_reasons() -> None:
    """A decimal without a scale: its rows are undecodable, so that nothing is left out of them."""
    decimal = {"type": "bytes", "connect.name": "org.apache.kafka.connect.data.Decimal"}
    schema = envelope((("id", "long"), ("price", decimal)))
    values = [
        framed(schema, change(op, {"id": 1, "price": b"\1"}, {"table": name}))
        for name in ("orders", "items")
        for op in "cd"
    ]
    both = both_of(schema, [Projection(tables=frozenset({"orders"}), ignored=frozenset({"items.price"}))])

    found = both.decode(raw_of(values))

    assert both.left == 2
    assert list(found.reasons) == [0]
    assert found.left_out is not None
    assert found.left_out.tolist() == [[0], [1], [0], [0]]


def test_a_type_that_is_named_as_a_primitive_is_refused_when_the_program_is_made() -> None:
    schema = envelope((("id", "long"), ("odd", record("string", [("a", "long")])), ("text", "string")))
    schema["namespace"] = ""
    both = both_of(schema)

    both.decode(raw_of([framed(schema, change("d"))]))

    assert both.left == 1


def test_a_document_is_a_row_of_one_column() -> None:
    """MongoDB's ``after`` is a text."""
    text = {"type": "string", "connect.name": "io.debezium.data.Json"}
    source = record("Source", [("connector", "string"), ("collection", "string"), ("ord", "int"), ("ts_ms", "long")])
    schema = record("Envelope", [("after", ["null", text]), ("source", source), ("op", "string")])
    came_from = {"connector": "mongodb", "collection": "orders", "ord": 1, "ts_ms": 5}
    rows = [("c", '{"b": 1, "a": 2}'), ("c", "__debezium_unavailable_value"), ("d", None), ("u", "{"), ("c", None)]
    both = both_of(schema, [frozenset({"orders.x"}), frozenset({"orders.after"})])

    found = both.decode(raw_of([framed(schema, {"after": after, "source": came_from, "op": op}) for op, after in rows]))

    assert both.left == 2
    assert found.has_position.tolist() == [True] * 4 + [False]


def test_more_tables_than_there_is_room_for_are_the_references() -> None:
    schema = envelope(COLUMNS)
    both = both_of(schema, [frozenset({"t1.id"})])

    both.decode(raw_of([framed(schema, change("c", ROW, {"table": f"t{number}"})) for number in range(100)]))

    assert 30 < both.left < 40


def test_as_many_projections_as_a_mask_has_bits_are_the_kernels_and_more_are_not() -> None:
    columns = [(f"c{number}", "int") for number in range(70)]
    schema = envelope(columns)
    value = framed(schema, change("c", {name: 1 for name, _ in columns}))
    for count, left in ((63, 0), (64, 0), (65, 1)):
        both = both_of(schema, [frozenset({f"orders.c{number}"}) for number in range(count)])
        both.decode(raw_of([value]))
        assert both.left == left, count


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": record("Empty", [])},
        {"type": "array", "items": {"type": "fixed", "name": "Nothing", "size": 0}},
    ],
)
def test_lists_of_items_that_have_no_bytes_are_refused_when_the_program_is_made(odd: Any) -> None:
    """A few bytes could say that there are two thousand million of them."""
    schema = envelope([("id", "long"), ("odd", odd)])
    both = both_of(schema)

    both.decode(raw_of([framed(schema, change("c", {"id": 1, "odd": []}))]))

    assert both.left == 1


def test_types_that_nest_too_deep_are_refused_when_the_program_is_made() -> None:
    deep: Any = "int"
    for _ in range(40):
        deep = {"type": "array", "items": deep}
    schema = envelope([("id", "long"), ("deep", deep)])
    itself = envelope([("id", "long"), ("tree", record("Tree", [("more", ["null", "Tree"])]))])
    for broken, value in ((schema, {"deep": []}), (itself, {"tree": {"more": None}})):
        both = both_of(broken)
        both.decode(raw_of([framed(broken, change("d")), framed(broken, change("c", {"id": 1, **value}))]))
        assert both.left == 2


def test_json_and_avro_may_stand_in_one_batch() -> None:
    schema = envelope(COLUMNS)
    text = json.dumps({"before": None, "after": {"id": 1}, "source": {"table": "orders"}, "op": "c"}).encode()
    both = both_of(schema)

    found = both.decode(raw_of([framed(schema, change("c", ROW)), text, b"noise", None, framed(schema, change("d"))]))

    assert both.left == 2
    assert list(found.reasons) == [2]
