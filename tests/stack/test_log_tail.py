"""A sink's change log on a real broker: read on, and from its beginning once its topic was made again."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from app.errors import Unavailable
from app.worker.ports import Input
from tests.stack.broker import Broker
from tests.stack.load import create
from tests.stack.worker import until
from topologies.change_logs import LogTail


def test_a_change_log_that_was_made_again_is_read_from_its_beginning(broker: Broker) -> None:
    client = {"bootstrap.servers": broker.bootstrap}
    admin, place = AdminClient(client), Input("tailed.log", 0)
    create(broker.bootstrap, place.topic)
    tail = LogTail(client, "tail", admin, [place.topic], lambda: int(time.time() * 1000))

    def read() -> list[tuple[int, int]]:
        """Offsets that were read of the one partition that is written to."""
        ends: dict[Input, int] = {}
        until(lambda: ends.update(_ends(tail)) or ends, [])  # a topic that was just made has no leaders yet
        found = []
        while batches := tail.read(ends):
            found += [(batch.start, batch.next) for batch in batches if batch.partition == place.partition]
        return found

    _write(broker, place, 20)
    assert read() == [(0, 0), (0, 20)]
    _write(broker, place, 5)
    assert read() == [(20, 25)]

    for count in (5, 60):  # shorter than what was read, and longer by the time it is looked at
        admin.delete_topics([place.topic])[place.topic].result(30)
        create(broker.bootstrap, place.topic)
        _write(broker, place, count)
        assert read() == [(0, 0), (0, count)]
    tail.close()


def _ends(tail: LogTail) -> Mapping[Input, int]:
    try:
        return tail.ends(is_fresh=True)
    except Unavailable:
        return {}


def _write(broker: Broker, place: Input, count: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(count):
        producer.produce(place.topic, str(number), partition=place.partition)
    producer.flush(30)
