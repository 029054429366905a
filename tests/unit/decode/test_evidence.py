"""Evidence from bytes: what was encoded is what is decoded, other versions are read, and the rest is unreadable."""

import io
import json
import struct

import numpy as np
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

import schemas
from app.decode.evidence import ORIGIN_HEADERS, EvidenceDecoder
from app.decode.schemas import RecordedSchemas
from app.errors import Unavailable
from app.model import EvidenceKind, Origin, RawBatch, RawRecord, ReceiptStatus, SinkTopic
from app.model.words import ANY_KIND
from cdc_receipts import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_batch, encode_mark, encode_receipt

IDS = {"DeliveryReceipt": 1, "DeliveryReceiptBatch": 2, "SinkMark": 3, "EvidenceLoss": 4, "Waiver": 5, "SinkStatus": 6}
WHOM = {"sink": "warehouse", "topic": "shop.orders", "partition": 2}
NAME = SinkTopic("warehouse", "shop.orders", 2)


def texts(**other):
    found = {IDS[name]: schemas.text(name) for name in IDS} | {IDS[name]: text for name, text in SCHEMAS.items()}
    return RecordedSchemas(found | {IDS[name]: json.dumps(schema) for name, schema in other.items()})


def batch(values, headers=(), **other):
    records = [RawRecord(10 + n, 100 + n, None, value, headers) for n, value in enumerate(values)]
    return EvidenceDecoder(texts(**other)).decode(RawBatch.of("receipts", 0, records, 10, 10 + len(records)))


def framed(name, datum, schema=None):
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(json.loads(schemas.text(name)) if schema is None else schema), datum)
    return struct.pack(">bi", 0, IDS[name]) + out.getvalue()


def receipt(offset=7, **fields):
    return Receipt(
        **{**WHOM, "offset": offset, "status": Status.APPLIED, "fingerprint": None, "applied_at": 5, **fields}
    )


def one(value, **other):
    """The reason why one value is unreadable."""
    found = batch([value], **other)
    assert len(found) == 0
    [(offset, reason)] = found.unreadable
    assert offset == 10
    return reason


def told(found):
    """The receipts of a batch of evidence, as they were before encoding."""
    return [
        Receipt(
            **found.names[found.name_index[row]]._asdict(),
            offset=int(found.offsets[row]),
            status=Status(found.statuses[row]),
            fingerprint=found.fingerprints[row].tobytes() if found.has_fingerprint[row] else None,
            applied_at=int(found.applied_at[row]),
            sequence=int(found.sequences[row]) if found.has_sequence[row] else None,
            command_id=found.commands.get(row),
            error=found.errors.get(row),
            evidence=found.evidence.get(row),
        )
        for row in range(len(found))
    ]


longs = st.integers(-(2**63), 2**63 - 1)
words = st.text(max_size=8)
receipts = st.builds(
    Receipt, sink=words, topic=words, partition=st.integers(-(2**31), 2**31 - 1), offset=longs, status=st.sampled_from(Status),
    fingerprint=st.none() | st.binary(min_size=8, max_size=8), applied_at=longs, sequence=st.none() | longs,
    command_id=st.none() | words, error=st.none() | st.tuples(words, words),
    evidence=st.none() | st.sampled_from(["dead-letter", "change-log", "read-back"]),
)  # fmt: skip
marks = st.builds(
    Mark, sink=words, topic=words, partition=st.integers(-(2**31), 2**31 - 1), kind=st.sampled_from(MarkKind), offset=longs,
    at=longs, to_offset=longs, generation=st.integers(-(2**31), 2**31 - 1), reason=st.none() | words,
)  # fmt: skip
plain = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(Status), st.integers(0, 2**32 - 1), st.binary(min_size=8, max_size=8)),
    min_size=1, max_size=5,
)  # fmt: skip


@given(st.lists(receipts, max_size=4))
def test_receipts_are_decoded_as_they_were_encoded(sent):
    found = batch([encode_receipt(receipt, 1) for receipt in sent])

    assert found.unreadable == []
    assert told(found) == sent
    assert found.names_command.tolist() == [receipt.command_id is not None for receipt in sent]
    assert found.records.tolist() == list(range(10, 10 + len(sent)))


@given(plain, st.booleans(), st.integers(-(2**40), 2**40))
def test_a_packed_batch_stands_for_its_receipts_in_their_order(items, has_fingerprint, base):
    sent = [
        receipt(
            base + offset, status=status, applied_at=base + at, fingerprint=fingerprint if has_fingerprint else None
        )
        for offset, status, at, fingerprint in items
    ]
    found = batch([encode_receipt(receipt(1, sink="other"), 1), encode_batch(sent, 2), encode_receipt(receipt(3), 1)])

    assert told(found) == [receipt(1, sink="other"), *sent, receipt(3)]
    assert found.records.tolist() == [10, *[11] * len(sent), 12]
    assert found.timestamps.tolist() == [100, *[101] * len(sent), 102]


@given(marks)
def test_marks_are_decoded_as_they_were_encoded(mark):
    found = batch([encode_mark(mark, 3)])

    assert found.unreadable == []
    assert found.kinds.tolist() == [mark.kind + 1]
    assert EvidenceKind(int(found.kinds[0])).name == mark.kind.name
    assert found.names == [SinkTopic(mark.sink, mark.topic, mark.partition)]
    assert [found.offsets[0], found.applied_at[0], found.to_offsets[0], found.generations[0]] == [
        mark.offset, mark.at, mark.to_offset, mark.generation,
    ]  # fmt: skip
    assert found.reasons == ({} if mark.reason is None else {0: mark.reason})


def test_a_mark_with_no_end_says_so():
    assert batch([encode_mark(Mark(**WHOM, kind=MarkKind.FENCE, offset=9, at=1), 3)]).to_offsets.tolist() == [-1]


def test_what_stands_beside_an_unreadable_record_is_read():
    found = batch([b"?", encode_receipt(receipt(), 1), None])

    assert told(found) == [receipt()]
    assert [offset for offset, _ in found.unreadable] == [10, 12]


PACKED = {
    **WHOM, "base_offset": 1, "offset_deltas": bytes(8), "statuses": bytes(2), "fingerprints": bytes(16),
    "base_applied_at": 1, "applied_at_deltas": bytes(8),
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "a null value"),
        (b"", "truncated"),
        (b"\1\0\0\0\1", "no magic byte"),
        (struct.pack(">bi", 0, 77), "unknown schema id 77"),
        (encode_receipt(receipt(), 1) + b"\0", "1 bytes left over"),
        (encode_receipt(receipt(), 1)[:-1], "no record of its schema"),
        (encode_receipt(receipt(sink="s"), 1).replace(b"\x02s", b"\x02\xff"), "UnicodeDecodeError"),
        (encode_mark(Mark(**WHOM, kind=MarkKind.SKIP, offset=1, at=1), 3), "a SKIP without to_offset"),
        (framed("DeliveryReceiptBatch", PACKED | {"statuses": bytes(3)}), "arrays of unequal length: [2, 3]"),
        (framed("DeliveryReceiptBatch", PACKED | {"offset_deltas": bytes(12)}), "arrays of unequal length: [2, 3]"),
        (framed("DeliveryReceiptBatch", PACKED | {"applied_at_deltas": bytes(4)}), "arrays of unequal length: [1, 2]"),
        (framed("DeliveryReceiptBatch", PACKED | {"fingerprints": bytes(8)}), "arrays of unequal length: [1, 2]"),
        (framed("DeliveryReceiptBatch", PACKED | {"fingerprints": b""}), "arrays of unequal length: [0, 2]"),
        (framed("DeliveryReceiptBatch", PACKED | {"offset_deltas": bytes(7)}), "7 bytes are no whole number of 4-byte"),
        (framed("DeliveryReceiptBatch", PACKED | {"statuses": b"\0\4"}), "status 4 is not one of 0 to 3"),
        (framed("DeliveryReceiptBatch", PACKED | {"base_offset": 2**63 - 1, "offset_deltas": b"\1" * 8}), "beyond int64"),
        (framed("DeliveryReceiptBatch", PACKED | {"base_applied_at": 2**63 - 1, "applied_at_deltas": b"\1" * 8}), "beyond int64"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_unreadable_with_its_reason(value, reason):
    assert reason in one(value)


@given(st.data())
def test_no_part_of_a_record_is_a_record(data):
    whole = data.draw(receipts.map(lambda sent: encode_receipt(sent, 1)) | marks.map(lambda sent: encode_mark(sent, 3)))

    assert one(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.sampled_from(sorted(IDS.values())), st.binary(max_size=60))
def test_no_bytes_stop_the_decoder(schema_id, noise):
    found = batch([struct.pack(">bi", 0, schema_id) + noise, encode_receipt(receipt(), 1)])

    assert told(found)[-1] == receipt()


def test_an_empty_batch_of_receipts_says_nothing():
    empty = dict.fromkeys(("offset_deltas", "statuses", "applied_at_deltas"), b"")

    found = batch([framed("DeliveryReceiptBatch", PACKED | empty | {"fingerprints": None})])

    assert (len(found), found.unreadable) == (0, [])


def varied(name, change):
    schema = json.loads(SCHEMAS[name])
    change(schema["fields"])
    return schema


def test_a_version_with_other_fields_in_another_order_is_read_by_their_names():
    """Absent nullable fields are null, added ones are passed over, an int stands for a long."""

    def older(fields):
        del fields[7:]
        fields.reverse()
        fields.append({"name": "host", "type": "string"})
        next(field for field in fields if field["name"] == "offset")["type"] = "int"

    schema = varied("DeliveryReceipt", older)
    datum = {**WHOM, "offset": 7, "status": "APPLIED", "fingerprint": None, "applied_at": 5, "host": "h"}

    assert told(batch([framed("DeliveryReceipt", datum, schema)], DeliveryReceipt=schema)) == [receipt()]


def test_a_mark_of_a_version_without_generations_is_of_the_first():
    schema = varied("SinkMark", lambda fields: fields.pop(6))
    datum = {**WHOM, "kind": "FENCE", "offset": 7, "at": 5}

    assert batch([framed("SinkMark", datum, schema)], SinkMark=schema).generations.tolist() == [0]


@pytest.mark.parametrize(
    ("number", "kind", "value"),
    [
        (0, ["null", "string"], None),
        (2, "string", "2"),
        (3, "string", "7"),
        (4, {"type": "enum", "name": "ReceiptStatus", "symbols": ["APPLIED", "LOST"]}, "LOST"),
        (5, ["null", {"type": "fixed", "name": "Fingerprint", "size": 16}], bytes(16)),
        (6, ["null", "long"], None),
    ],
)
def test_a_version_whose_values_are_not_of_the_protocols_types_is_unreadable(number, kind, value):
    schema = varied("DeliveryReceipt", lambda fields: fields[number].update(type=kind))
    datum = {**WHOM, "offset": 7, "status": "APPLIED", "fingerprint": None, "applied_at": 5}
    datum[schema["fields"][number]["name"]] = value

    assert "no record of its schema" in one(framed("DeliveryReceipt", datum, schema), DeliveryReceipt=schema)


def test_a_varint_that_is_no_int_is_unreadable():
    schema = varied("SinkMark", lambda fields: fields[2].update(type="long"))
    value = framed("SinkMark", {**WHOM, "kind": "FENCE", "offset": 1, "at": 1, "partition": 2**40}, schema)

    assert "partition: 1099511627776 is no int" in one(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "DeliveryReceipt", "namespace": "elsewhere", "fields": []},
        {"type": "record", "name": "Row", "fields": []},
        "string",
        ["null", "string"],
        {"type": "record", "name": "DeliveryReceipt", "fields": [{"name": "a", "type": "nowhere"}]},
        {"no": "schema"},
    ],
)
def test_a_record_of_another_name_is_no_evidence(schema):
    assert one(struct.pack(">bi", 0, 1), DeliveryReceipt=schema)


def test_a_routed_record_keeps_its_origin_for_each_of_its_rows():
    where = tuple(zip(ORIGIN_HEADERS, (b"dlq", b"3", b"44"), strict=True))

    found = batch([framed("DeliveryReceiptBatch", PACKED)], headers=(("trace", None), *where))

    assert found.origins == {0: Origin("dlq", 3, 44), 1: Origin("dlq", 3, 44)}


def test_a_record_that_was_written_here_has_no_origin():
    assert batch([encode_receipt(receipt(), 1)], headers=(("trace", b"1"),)).origins == {}


@pytest.mark.parametrize(
    "where", [(b"dlq", b"3", None), (b"dlq", b"x", b"44"), (b"dlq", b"3", b"-1"), (b"", b"3", b"44")]
)
def test_a_routed_record_whose_origin_can_not_be_read_is_unreadable(where):
    """It could not be told from the same record routed twice."""
    found = batch([encode_receipt(receipt(), 1)], headers=tuple(zip(ORIGIN_HEADERS, where, strict=True)))

    assert len(found) == 0
    assert "header cdc-verifier.origin" in found.unreadable[0][1]


def test_a_routed_success_is_of_the_kind_its_change_expects():
    found = batch(
        [encode_receipt(receipt(evidence="success-topic"), 1), encode_receipt(receipt(evidence="read-back"), 1)]
    )

    assert found.statuses.tolist() == [ANY_KIND, ReceiptStatus.APPLIED]


@pytest.mark.parametrize("sink", ["warehouse", None])
def test_a_loss_names_the_log_and_speaks_of_one_sink_or_of_all(sink):
    datum = {
        **WHOM,
        "sink": sink,
        "origin_topic": "dlq",
        "origin_partition": 1,
        "from_offset": 3,
        "to_offset": 9,
        "at": 5,
    }

    found = batch([framed("EvidenceLoss", datum)])

    assert found.kinds.tolist() == [EvidenceKind.LOSS]
    assert found.names == [NAME._replace(sink=sink or "")]
    assert found.reasons == {0: "dlq:1 from 3 to 9"}


def test_a_waiver_names_a_change_and_who_settled_it():
    found = batch([framed("Waiver", {**WHOM, "offset": 8, "who": "ann", "reason": "known", "at": 5})])

    assert (found.kinds.tolist(), found.offsets.tolist(), found.names) == ([EvidenceKind.WAIVER], [8], [NAME])
    assert found.reasons == {0: "ann: known"}


@pytest.mark.parametrize(("state", "read_as"), [("FAILED", "FAILED"), ("BLOCKED", "UNKNOWN")])
def test_a_status_is_one_row_that_names_no_change(state, read_as):
    task = {"id": 0, "state": state, "worker": "w:8083", "trace_cause": "ConnectException: no"}
    datum = {**WHOM, "state": state, "tasks": [task], "at": 5, "cause": "task 0: no", "rebuild_from": 7}

    found = batch([framed("SinkStatus", datum)])

    assert (found.kinds.tolist(), found.names, found.applied_at.tolist()) == ([EvidenceKind.STATUS], [NAME], [5])
    assert (found.evidence, found.reasons, found.to_offsets.tolist()) == ({0: read_as}, {0: "task 0: no"}, [7])


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_documented_schema_is_the_one_that_emitters_write(name):
    """The files under schemas/ say what fields mean; apart from that there is one truth."""
    documented = schemas.load(name)
    for part in (documented, *documented["fields"]):
        part.pop("doc", None)

    assert documented == json.loads(SCHEMAS[name])


def test_a_schema_that_can_not_be_had_now_decodes_nothing():
    class Away:
        def get(self, schema_id):
            raise Unavailable("registry")

    decoder = EvidenceDecoder(Away())
    raw = RawBatch.of("receipts", 0, [RawRecord(0, 0, None, encode_receipt(receipt(), 1))], 0, 1)

    assert decoder.missing(raw) == {1}
    with pytest.raises(Unavailable):
        decoder.decode(raw)


def test_fingerprints_are_little_endian_numbers():
    found = batch([encode_receipt(receipt(fingerprint=bytes(range(8))), 1)])

    assert found.fingerprints.tolist() == [0x0706050403020100]
    assert found.fingerprints.dtype == np.uint64
