"""Records read beside every consumer group."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from app.adapters.brokers.embedded import EmbeddedBroker
from app.errors import Unavailable
from topologies.sampling import Sampler


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as found:
        found.create_topic("t", 3)
        producer = Producer({"bootstrap.servers": found.bootstrap})
        for partition, count in ((0, 10), (1, 2)):
            for number in range(count):
                producer.produce("t", b"v%d" % number, b"k", partition=partition, timestamp=1_000 + number)
        assert producer.flush(30) == 0
        yield found


BOUNDS = {("t", 0): (0, 10), ("t", 1): (0, 2), ("t", 2): (0, 0)}


def test_of_each_partition_the_newest_records_come_and_none_of_an_empty_one(broker):
    with Sampler({"bootstrap.servers": broker.bootstrap}, "g") as sampler:
        found = sampler.newest(BOUNDS, 3)

    assert {place: [record.offset for record in records] for place, records in found.items()} == {
        ("t", 0): [7, 8, 9], ("t", 1): [0, 1], ("t", 2): [],
    }  # fmt: skip
    assert (found["t", 1][1].value, found["t", 1][1].timestamp) == (b"v1", 1_001)


def test_times_are_told_of_several_offsets_of_one_partition_and_of_none_beyond_the_end(broker):
    with Sampler({"bootstrap.servers": broker.bootstrap}, "g") as sampler:
        found = sampler.times([("t", 0, 4), ("t", 0, 9), ("t", 1, 1), ("t", 2, 0), ("t", 0, 4)])

    assert found == {("t", 0, 4): 1_004, ("t", 0, 9): 1_009, ("t", 1, 1): 1_001}


def test_a_topic_that_is_not_there_is_unavailable_and_is_not_waited_for_ever(broker, monkeypatch):
    monkeypatch.setattr("topologies.sampling.SILENCE_S", 1.0)
    with Sampler({"bootstrap.servers": broker.bootstrap}, "g") as sampler, pytest.raises(Unavailable):
        sampler.newest({("nothing", 5): (0, 3)}, 3)
