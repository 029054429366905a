"""Receipts read many at once are what they are read one by one, whatever the bytes."""

import dataclasses
import struct
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import plain
from app.decode.compiled import receipts
from app.decode.compiled.receipts import ReceiptColumns
from app.decode.evidence import ORIGIN_HEADERS, EvidenceDecoder
from app.decode.schemas import RecordedSchemas
from app.model import EvidenceBatch, RawBatch, RawRecord, SinkTopic
from app.native import kernel, missing
from cdc_receipts import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_batch, encode_mark, encode_receipt
from tests.kernel import agreement

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

IDS = {"DeliveryReceipt": 1, "DeliveryReceiptBatch": 2, "SinkMark": 3}
WHOM = {"sink": "warehouse", "topic": "shop.orders", "partition": 2}
RECEIPT = Receipt(**WHOM, offset=7, status=Status.APPLIED, fingerprint=b"finger 1", applied_at=1_767_225_600_000)


def packed(values, headers=()):
    records = [RawRecord(10 + 2 * n, 100 + n, b"k", value) for n, value in enumerate(values)]
    told = [record._replace(headers=found) for record, found in zip(records, headers, strict=False)]
    return RawBatch.of("receipts", 0, told + records[len(told) :], 10, 10 + 2 * len(records))


def decoded(raw, least_run=plain.LEAST_RUN, most_heads=receipts.MOST_HEADS, *, alone=False):
    schemas = RecordedSchemas({IDS[name]: SCHEMAS[name] for name in IDS})
    limits = (
        mock.patch.object(plain, "LEAST_RUN", least_run),
        mock.patch.multiple(receipts, LEAST_RUN=least_run, MOST_HEADS=most_heads),
    )
    with limits[0], limits[1]:
        return EvidenceDecoder(schemas, None if alone else ReceiptColumns(kernel).read).decode(raw)


def plain_of(raw, ids=(1,)):
    return ReceiptColumns(kernel).read(raw, set(ids).__contains__)


def assert_same(raw: RawBatch) -> EvidenceBatch:
    """Many at once, one by one, and with the limits as they are: one and the same batch."""
    alone = decoded(raw, alone=True)
    for found in (decoded(raw, least_run=1), decoded(raw, least_run=1, most_heads=1), decoded(raw)):
        agreement.assert_same(alone, found)
    return alone


longs = st.integers(-(2**63), 2**63 - 1)
words = st.sampled_from(["", "a", "b", "ä" * 70])
plain_ones = st.builds(
    Receipt, sink=words, topic=words, partition=st.sampled_from([0, 1, -(2**31)]), offset=st.integers(0, 300) | longs,
    status=st.sampled_from(Status), fingerprint=st.none() | st.binary(min_size=8, max_size=8), applied_at=longs,
    sequence=st.none() | longs,
)  # fmt: skip
rarer_ones = st.builds(
    dataclasses.replace, plain_ones, command_id=st.none() | words,
    error=st.none() | st.tuples(words, words), evidence=st.sampled_from([None, "success-topic", "read-back"]),
)  # fmt: skip
values = st.one_of(
    plain_ones.map(lambda sent: encode_receipt(sent, 1)),
    plain_ones.map(lambda sent: encode_receipt(sent, 1)),
    rarer_ones.map(lambda sent: encode_receipt(sent, 1)),
    st.sampled_from([None, b"", b"\0\0\0\0", encode_receipt(RECEIPT, 77), encode_batch([RECEIPT] * 3, 2)]),
    st.just(encode_mark(Mark(**WHOM, kind=MarkKind.FENCE, offset=9, at=1), 3)),
    st.binary(max_size=40).map(lambda noise: struct.pack(">bi", 0, 1) + noise),
)


@st.composite
def damaged(draw):
    """A value of which some bytes are others, too many or too few."""
    value = draw(values.filter(bool))
    at, size = draw(st.integers(0, len(value))), draw(st.integers(0, 3))
    return value[:at] + draw(st.binary(max_size=3) | st.just(b"\xff" * 9)) + value[at + size :]


origins = st.sampled_from([
    (),
    (("trace", None),),
    tuple(zip(ORIGIN_HEADERS, (b"dlq", b"3", b"44"), strict=True)),
    tuple(zip(ORIGIN_HEADERS, (b"dlq", b"x", b"44"), strict=True)),
])  # fmt: skip


@given(st.lists(values | damaged(), max_size=12), st.lists(origins, max_size=4))
def test_any_bytes_give_what_they_give_one_by_one(written, headers):
    assert_same(packed(written, headers[: len(written)]))


@given(st.lists(st.tuples(plain_ones, st.integers(1, 20)), max_size=6))
def test_long_runs_of_many_heads_give_what_they_give_one_by_one(runs):
    found = assert_same(packed([encode_receipt(sent, 1) for sent, count in runs for _ in range(count)]))

    assert len(found) == sum(count for _, count in runs)


@given(st.lists(plain_ones, min_size=plain.LEAST_RUN, max_size=12))
def test_plain_receipts_are_seen_as_plain(sent):
    found = plain_of(packed([encode_receipt(one, 1) for one in sent]))

    assert found.is_plain.all()
    assert [found.names[number] for number in found.name_index] == [
        SinkTopic(one.sink, one.topic, one.partition) for one in sent
    ]


@pytest.mark.parametrize("count", [0, 1, plain.LEAST_RUN - 1])
def test_a_handful_of_records_is_read_one_by_one(count):
    assert list(plain_of(packed([encode_receipt(RECEIPT, 1)] * count)).runs()) == []


def test_a_schema_that_is_not_ours_to_the_letter_is_left_to_avros_rules():
    assert not plain_of(packed([encode_receipt(RECEIPT, 1)] * 20), ids=()).is_plain.any()


def test_more_heads_than_there_is_room_for_are_read_one_by_one():
    raw = packed([encode_receipt(dataclasses.replace(RECEIPT, partition=n), 1) for n in range(receipts.MOST_HEADS + 3)])

    assert plain_of(raw).is_plain.sum() == receipts.MOST_HEADS
    assert len(assert_same(raw).names) == receipts.MOST_HEADS + 3
