"""Changes fetched again beside the fold, from the embedded broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from app.adapters.brokers.embedded import EmbeddedBroker
from app.worker.ports import Input
from topologies.changes import GAP, ChangeReader

SOURCE = Input("changes", 0)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as found:
        found.create_topic("changes", 1)
        found.create_topic("empty", 1)
        producer = Producer({"bootstrap.servers": found.bootstrap})
        for number in range(2 * GAP + 10):
            producer.produce("changes", str(number).encode(), partition=0)
        assert producer.flush(20) == 0
        yield found


@pytest.fixture
def reader(broker: EmbeddedBroker) -> Iterator[ChangeReader]:
    found = ChangeReader({"bootstrap.servers": broker.bootstrap}, "nobody")
    yield found
    found.close()


async def test_changes_are_found_by_their_offsets_and_what_is_beyond_the_end_is_absent(reader: ChangeReader) -> None:
    offsets = [1, 3, 2 * GAP + 5]

    raw = await reader.fetch(SOURCE, [*offsets, 3 * GAP])

    assert raw.offsets.tolist() == offsets
    assert [raw.value(row) for row in range(3)] == [str(offset).encode() for offset in offsets]


async def test_the_end_is_told_where_records_stand_before_it(reader: ChangeReader) -> None:
    end = 2 * GAP + 10

    assert await reader.end(SOURCE, 0) == end
    assert await reader.end(SOURCE, end - 1) == end
    assert await reader.end(SOURCE, end) == end
    assert await reader.end(SOURCE, end + 3) == end + 3


async def test_an_empty_log_holds_nothing(reader: ChangeReader) -> None:
    empty = Input("empty", 0)

    assert len(await reader.fetch(empty, [0, 1])) == 0
    assert await reader.end(empty, 0) == 0
