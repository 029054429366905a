"""Effects as Avro and as JSON: what is written is what a reader of the schema reads."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace

import fastavro
import pytest

import schemas
from app.adapters import encode
from app.adapters.told import ToldReader
from app.decode.schemas import RecordedSchemas
from app.errors import BadInput
from app.model import ChangeKind, Flag, Level, Origin, Ownership, State
from app.model.effects import (
    Command,
    CommandAction,
    CommandItem,
    CommandKind,
    CommandMode,
    CommandReason,
    Contradicted,
    Orphan,
    Seal,
    SinkWatermark,
    UnknownSink,
    Unreadable,
    Verdict,
)
from app.model.identity import seal_hash, sealed

ORIGIN = Origin("receipts", 1, 77)
PLACE = {"sink": "s", "generation": 0, "topic": "t", "epoch": 0, "partition": 1}

VERDICT = Verdict(
    **PLACE,
    id="00ff",
    offset=5,
    state=State.DIVERGED,
    flags=Flag.LATE | Flag.REDELIVERED,
    change=ChangeKind.UPSERT,
    key_hash=bytes(range(16)),
    expected_fingerprint=b"\x01" * 8,
    seen_fingerprint=None,
    fence=9,
    fence_origin=ORIGIN,
    closed=False,
    at=3,
    level=Level.READ_BACK,
)
COMMAND = Command(
    id="00ff",
    sink="s",
    generation=0,
    incident="00ff",
    topic="t",
    partition=1,
    items=(
        CommandItem(
            offset=5,
            reason=CommandReason.MISSING,
            key_hash=bytes(range(16)),
            kind=CommandKind.UPSERT,
            fingerprint=(258).to_bytes(8, "little"),
            newest_offset=6,
        ),
        CommandItem(
            offset=7,
            reason=CommandReason.REJECTED,
            key_hash=None,
            kind=CommandKind.UNKNOWN,
            fingerprint=None,
            newest_offset=7,
        ),
    ),
    action=CommandAction.REDELIVER,
    mode=CommandMode.DRY_RUN,
    attempt=1,
    issued_at=3,
    expires_at=4,
    trace_id="00ff",
)
SEAL = Seal(
    **PLACE,
    number=0,
    segment=0,
    first_offset=0,
    last_offset=5,
    counts=(0, 0, 0, 0, 6, 0, 0, 0, 0, 0),
    flags=(0,) * 8,
    open_offsets=(),
    source_sum=2**64 - 1,
    sink_sum=1,
    first_ts_ms=0,
    last_ts_ms=1,
    contract="abc",
    at=3,
    hash=b"\x02" * 32,
    levels=(0, 1, 2, 3),
)
WATERMARK = SinkWatermark(
    **PLACE,
    frontier=9,
    settled_watermark=8,
    verified_watermark=7,
    settled_ts_ms=5,
    verified_ts_ms=None,
    open_counts=(0, 0, 0, 0, 0, 0, 0, 0, 1, 0),
    counts=(0, 0, 0, 0, 7, 0, 0, 0, 1, 0),
    flags=(1, 0, 0, 0, 0, 0, 0, 2),
    seals=0,
    seal_hash=b"",
    at=3,
    beginning=2,
    next_offset=9,
    fence=8,
    fence_at=3,
    held_from=1,
    rows={"cells": 7},
    levels=(0, 1, 2, 4),
    bad_levels=(0, 0, 0, 1),
    status="FAILED",
    status_cause="a task's error",
    rebuild_from=4,
)
FINDINGS = [
    Orphan(sink="s", topic="t", partition=1, offset=5, origin=ORIGIN),
    Contradicted(sink="s", topic="t", partition=1, offset=5, origin=ORIGIN),
    Unreadable(topic="receipts", partition=1, offset=5, reason="trailing bytes"),
    UnknownSink(topic="receipts", partition=1, offset=5, sink="x", reason="no such sink"),
]
EFFECTS = [VERDICT, COMMAND, SEAL, WATERMARK, *FINDINGS]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_every_effect_is_read_back_by_its_schema(effect: encode.Effect) -> None:
    ids = {name: 100 + number for number, name in enumerate(encode.SCHEMA_NAMES)}
    name = encode.schema_name(effect)
    framed = encode.Encoder(ids).value(effect)
    body = io.BytesIO(framed[5:])

    assert framed[:5] == b"\x00" + struct.pack(">I", ids[name])
    assert fastavro.schemaless_reader(body, fastavro.parse_schema(schemas.load(name)), None) == encode.datum(effect)
    assert not body.read()


def test_a_verdict_says_whose_the_sinks_topic_is() -> None:
    ids = {name: 100 + number for number, name in enumerate(encode.SCHEMA_NAMES)}
    whose = {("s", "t"): Ownership("ada", "high")}
    framed = encode.Encoder(ids, lambda *place: whose[place]).value(VERDICT)
    told = fastavro.schemaless_reader(io.BytesIO(framed[5:]), fastavro.parse_schema(schemas.load("Verdict")), None)

    assert told == encode.datum(VERDICT) | {"owner": "ada", "severity": "high"}
    assert ToldReader(RecordedSchemas({100: schemas.text("Verdict")})).told(framed) == VERDICT


@pytest.mark.parametrize("effect", [VERDICT, WATERMARK, *FINDINGS], ids=lambda effect: type(effect).__name__)
def test_what_commands_read_of_our_topics_is_what_was_told(effect: encode.Effect) -> None:
    name = encode.schema_name(effect)
    value = encode.framed(name, encode.datum(effect), 7)

    assert ToldReader(RecordedSchemas({7: schemas.text(name)})).told(value) == effect


def test_a_watermark_of_an_older_version_is_read_with_what_it_knew() -> None:
    old = schemas.load("Watermark")
    old["fields"] = old["fields"][: [field["name"] for field in old["fields"]].index("owner") + 1]
    value = io.BytesIO()
    fastavro.schemaless_writer(value, fastavro.parse_schema(old), encode.datum(WATERMARK))

    told = ToldReader(RecordedSchemas({7: json.dumps(old)})).told(b"\x00\x00\x00\x00\x07" + value.getvalue())

    marks = {"beginning": None, "next_offset": 0, "fence": 0, "fence_at": None, "held_from": 0, "rows": {}}
    counts = {"levels": (0,) * 4, "bad_levels": (0,) * 4}
    status = {"status": None, "status_cause": None, "rebuild_from": None}
    assert told == replace(WATERMARK, **marks, **counts, **status)


def test_a_verdict_of_an_older_version_names_no_level() -> None:
    old = schemas.load("Verdict")
    old["fields"] = [field for field in old["fields"] if field["name"] != "level"]
    value = io.BytesIO()
    fastavro.schemaless_writer(value, fastavro.parse_schema(old), encode.datum(VERDICT))

    told = ToldReader(RecordedSchemas({7: json.dumps(old)})).told(b"\x00\x00\x00\x00\x07" + value.getvalue())

    assert told == replace(VERDICT, level=None)


def test_a_seal_of_an_older_version_has_no_levels_and_the_hash_that_it_had() -> None:
    """It is read by today's schema, and what is computed of it is what stands in it."""
    made = sealed(replace(SEAL, levels=()))
    old = schemas.load("Seal")
    old["fields"] = [field for field in old["fields"] if field["name"] != "levels"]
    value = io.BytesIO()
    fastavro.schemaless_writer(value, fastavro.parse_schema(old), encode.datum(made))
    value.seek(0)

    read = fastavro.schemaless_reader(value, fastavro.parse_schema(old), fastavro.parse_schema(schemas.load("Seal")))

    assert read["levels"] == []
    assert read["hash"] == seal_hash(replace(made, levels=tuple(read["levels"])))


@pytest.mark.parametrize("value", [None, b"", b"\x00\x00\x00\x00\x07", b"\x00\x00\x00\x00\x08"])
def test_a_record_that_is_none_of_ours_is_bad_input(value: bytes | None) -> None:
    others = {7: schemas.text("Watermark"), 8: schemas.text("Waiver")}

    with pytest.raises(BadInput):
        ToldReader(RecordedSchemas(others)).told(value)


@pytest.mark.parametrize("name", encode.SCHEMA_NAMES)
def test_schemas_describe_exactly_what_is_encoded(name: str) -> None:
    effect = next(effect for effect in EFFECTS if encode.schema_name(effect) == name)

    assert {field["name"] for field in schemas.load(name)["fields"]} == set(encode.datum(effect))


def test_avros_states_and_kinds_have_the_order_of_the_code() -> None:
    enums = {field["name"]: field["type"] for field in schemas.load("Verdict")["fields"]}

    assert enums["state"]["symbols"] == [state.name for state in State]
    assert enums["change"]["symbols"] == [kind.name for kind in ChangeKind]


def test_the_replay_command_has_the_protocols_fields_in_the_protocols_order() -> None:
    schema = schemas.load("ReplayCommand")
    items = next(field for field in schema["fields"] if field["name"] == "items")["type"]["items"]

    assert [field["name"] for field in schema["fields"]] == (
        "id sink generation incident topic partition items action mode attempt issued_at expires_at trace_id".split()
    )
    assert [field["name"] for field in items["fields"]] == (
        "offset reason key_hash kind fingerprint newest_offset".split()
    )


def test_every_schema_is_in_the_protocols_namespace_and_parses() -> None:
    for name in schemas.names():
        schema = schemas.load(name)

        assert (schema["namespace"], schema["name"]) == ("cdc_verifier", name)
        fastavro.parse_schema(schema)


def test_commands_print_bytes_as_hex_digits_in_order() -> None:
    line = encode.command_line(COMMAND)

    assert line["kind"] == "command"
    assert (line["action"], line["mode"]) == ("REDELIVER", "DRY_RUN")
    assert json.loads(json.dumps(line))["items"] == [
        {
            "offset": 5,
            "reason": "MISSING",
            "key_hash": "000102030405060708090a0b0c0d0e0f",
            "kind": "UPSERT",
            "fingerprint": "0201000000000000",
            "newest_offset": 6,
        },
        {
            "offset": 7,
            "reason": "REJECTED",
            "key_hash": None,
            "kind": "UNKNOWN",
            "fingerprint": None,
            "newest_offset": 7,
        },
    ]


def test_findings_print_a_sink_only_with_the_sources_coordinates() -> None:
    lines = [encode.finding_line(finding) for finding in FINDINGS]

    assert lines == [
        {"kind": "orphan", "sink": "s", "topic": "t", "partition": 1, "offset": 5},
        {"kind": "contradicted", "sink": "s", "topic": "t", "partition": 1, "offset": 5},
        {"kind": "unreadable", "topic": "receipts", "partition": 1, "offset": 5},
        {"kind": "unknown_sink", "topic": "receipts", "partition": 1, "offset": 5},
    ]


def test_keys_keep_a_lanes_order_and_compact_to_the_newest() -> None:
    assert [encode.key(effect) for effect in EFFECTS[:5]] == [
        b"s|t|1",
        b"s|t|1",
        b"seal|s|0|t|0|1|0",
        b"s|t|1",
        b"orphan|t|1|5",
    ]
