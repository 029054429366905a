"""What sampled records show: times, where keys lie, what can't be read, transactions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.evidence.installation.partitioner import murmur2, partition_of
from tests.unit.installation.world import (
    COUNT,
    ITEMS,
    NOW,
    ORDERS,
    SINK,
    bad,
    clean,
    connected,
    log,
    only,
    reader,
    receipts_sink,
    record,
    store_sink,
    with_topic,
)


def with_log(*records, marker=False):
    """The clean installation with other records in partition 0 of a topic, numbered so that they end where it ends."""
    shift = 10 - marker - records[-1].offset - 1
    other = log(ORDERS, 0, [one._replace(offset=one.offset + shift) for one in records], end=10)
    return clean(logs=(other, *clean().logs[1:]))


def key_in(partition: int, count: int = COUNT, *, but: int | None = None, nth: int = 0) -> bytes:
    """A key that the default partitioner puts somewhere, and in another count's partition ``but`` as well."""
    found = [
        key
        for number in range(2_000)
        if partition_of(key := b"x%d" % number, count) == partition and (but is None or partition_of(key, COUNT) != but)
    ]
    return found[nth]


def test_the_partitioner_is_that_of_kafkas_java_client():
    """Examples of its own tests."""
    signed = {
        b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829, b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }  # fmt: skip

    assert {key: murmur2(key) for key in signed} == {key: value % (1 << 32) for key, value in signed.items()}


def test_dead_letters_that_keep_the_time_of_their_change():
    found = only(with_topic("dlq", config={"message.timestamp.type": "CreateTime"}))

    assert (found.level, found.about, found.place) == ("warning", "timestamps", "topic dlq")
    assert "--add-config message.timestamp.type=LogAppendTime" in found.do


@pytest.mark.parametrize(("ahead_ms", "says"), [(5_000, "5 s ahead of"), (-90_000, "90 s behind")])
def test_a_server_whose_clock_differs(ahead_ms, says):
    found = only(clean(clocks={"Connect": ahead_ms}))

    assert (found.level, found.about, found.place) == ("warning", "clocks", "Connect")
    assert says in found.says


def test_records_of_the_future():
    found = only(with_log(record(0, key_in(0), timestamp=NOW + 60_000)))

    assert (found.level, found.about, found.place) == ("warning", "clocks", f"topic {ORDERS}")


def test_a_source_whose_clock_is_ahead_of_connects():
    found = only(with_log(record(0, key_in(0), timestamp=NOW - 9_000, source_ms=NOW - 1_000)))

    assert (found.level, found.about) == ("warning", "clocks")
    assert "up to 8 s after the record's timestamp" in found.says


def test_changes_of_rows_without_a_key():
    found = only(with_log(record(0, None), record(1, key_in(0))))

    assert (found.level, found.about) == ("warning", "keys")
    assert f"1 of 22 sampled changes have no key: {ORDERS}:0:8" in found.says


@pytest.mark.parametrize("kind", ["truncate", "message"])
def test_what_is_about_no_row_needs_no_key(kind):
    assert bad(with_log(record(0, None, kind), record(1, key_in(0)))) == []


def test_a_key_that_lies_in_two_partitions():
    found = only(with_log(record(0, key_in(1)), record(1, clean().logs[1].sample[0].key)))

    assert (found.level, found.about, found.place) == ("error", "keys", f"topic {ORDERS}")
    assert "1 sampled keys lie in several partitions" in found.says


def test_a_key_whose_schema_changed_is_one_key_though_its_bytes_differ():
    """The partitioner goes by all bytes, the schema's id among them; a key is what follows it."""
    framed = [bytes([0, 0, 0, 0, number]) + b"same" for number in range(50)]
    first = next(key for key in framed if partition_of(key, COUNT) == 0)
    second = next(key for key in framed if partition_of(key, COUNT) == 1)
    seen = with_log(record(0, first))
    other = log(ORDERS, 1, [record(9, second)])
    found = only(
        replace(seen, logs=tuple(other if (one.topic, one.partition) == (ORDERS, 1) else one for one in seen.logs))
    )

    assert (found.level, found.about) == ("error", "keys")
    assert b"same".hex() in found.says


def test_keys_that_another_partitioner_placed():
    found = only(with_log(record(0, key_in(1, nth=80)), record(1, key_in(2, nth=80)), record(2, key_in(0))))

    assert (found.level, found.about) == ("warning", "keys")
    assert "2 of 23 sampled keys do not lie where the default partitioner" in found.says


def test_keys_that_lie_as_fewer_partitions_would_have_them():
    strays = [
        key for number in range(2_000) if partition_of(key := b"z%d" % number, 2) == 0 and partition_of(key, COUNT)
    ]
    found = only(with_log(*(record(offset, key) for offset, key in enumerate(strays[:5]))))

    assert "they fit 2, so the count seems to have been raised" in found.says


def test_a_topic_that_holds_nothing():
    logs = tuple(log(ITEMS, n, []) if one.topic == ITEMS else one for one in clean().logs for n in (one.partition,))
    readers = {"readers": tuple(reader("", ORDERS, n) for n in range(COUNT))}
    found = only(clean(logs=logs, sinks=(store_sink(**readers), receipts_sink(**readers))))

    assert (found.level, found.about, found.place) == ("unknown", "keys", f"topic {ITEMS}")


def test_records_that_can_not_be_read():
    found = only(with_log(record(0, key_in(0)), record(1, b"?", "unreadable", reason="unknown schema id 7")))

    assert (found.level, found.about) == ("error", "decoding")
    assert f"1 of 22 sampled records can't be read: unknown schema id 7: {ORDERS}:0:9" in found.says


HOLES = [record(0, key_in(0)), record(2, key_in(0, nth=1))]


@pytest.mark.parametrize(
    ("level", "found"), [("read_committed", []), ("READ_UNCOMMITTED", ["error"]), ("", ["unknown"])], ids=str
)
@pytest.mark.parametrize("has_holes", [True, False])
def test_a_connector_that_may_read_what_was_aborted(level, found, has_holes):
    """Seen by holes between offsets, or by what the source's configuration says; the other sink is nobody's to ask."""
    config = SINK | ({"consumer.override.isolation.level": level} if level else {})
    seen = with_log(*HOLES) if has_holes else clean(connectors=connected({"exactly.once.support": "required"}))
    told = bad(replace(seen, sinks=(store_sink(config=config), receipts_sink())))

    assert [(one.level, one.about, one.place) for one in told] == [
        (one, "isolation", "connector dw-sink") for one in found
    ] + [("unknown", "isolation", "sinks.search")]
    assert ("exactly.once.support=required" in told[0].says) == (not has_holes)


def test_a_marker_at_the_end_is_a_hole_too():
    told = bad(with_log(record(0, key_in(0)), marker=True))

    assert {one.about for one in told} == {"isolation"}


def test_holes_of_a_compacted_topic_are_no_transactions():
    topics = with_topic(ORDERS, config={"cleanup.policy": "compact"}).topics
    promises = {"expect": "latest-state"}
    seen = replace(with_log(*HOLES), topics=topics, sinks=(store_sink(), receipts_sink(promises=promises)))

    assert bad(seen) == []
