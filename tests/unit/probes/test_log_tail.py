"""A sink's change log as it is read: where partitions begin, and when they begin anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from app.worker.ports import Input
from topologies import change_logs
from topologies.change_logs import MARGIN_MS, LogTail

LOG = Input("log", 0)
SINCE_MS, NOW_MS = 10 * MARGIN_MS, 20 * MARGIN_MS


class Message:
    """A record at an offset."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return LOG.topic

    def partition(self) -> int:
        return LOG.partition

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def headers(self) -> None:
        return None

    def key(self) -> bytes:
        return b"k"

    def value(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 5


class Topic:
    """A topic of one partition, as a broker and a consumer tell of it."""

    def __init__(self) -> None:
        self.first, self.end, self.young, self.life = 0, 0, 0, 1
        self.asked_since: list[int] = []
        self._position = 0

    # what a consumer asks

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        self.asked_since += [place.offset for place in asked]
        return [
            SimpleNamespace(topic=place.topic, partition=place.partition, offset=self.young, error=None)
            for place in asked
        ]

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return self.first, self.end

    def assign(self, places: list[TopicPartition]) -> None:
        self._position = places[0].offset

    def consume(self, count: int, timeout: float) -> list[Message]:
        found = [Message(offset) for offset in range(self._position, min(self.end, self._position + count))]
        self._position += len(found)
        return found

    def close(self) -> None: ...

    # what the admin client asks

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={LOG.topic: SimpleNamespace(partitions={LOG.partition: None})})

    def is_made_again(self, end: int) -> None:
        self.life += 1
        self.end = end


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """The log's topic, behind what the tail asks."""
    found = Topic()
    monkeypatch.setattr(change_logs, "Consumer", lambda _: found)
    monkeypatch.setattr(change_logs, "ends", lambda _, places: {(*place,): found.end for place in places})
    monkeypatch.setattr(change_logs, "topic_ids", lambda _, names: {name: str(found.life) for name in names})
    return found


def tail_of(topic: Any) -> LogTail:
    return LogTail({}, "group", topic, [LOG.topic], lambda: SINCE_MS, wall_ms=lambda: NOW_MS)


def read(tail: LogTail) -> list[tuple[int, int, int]]:
    """What is read up to the end: start, next and how many records of each batch."""
    ends: Mapping[Input, int] = tail.ends(is_fresh=True)
    found = []
    while batches := tail.read(ends):
        found += [(batch.start, batch.next, len(batch)) for batch in batches]
    return found


def test_a_log_is_read_from_before_the_oldest_open_change_to_its_end_and_on(topic: Topic) -> None:
    tail = tail_of(topic)
    topic.end, topic.young = 500, 30

    assert read(tail) == [(30, 30, 0), (30, 500, 470)]
    assert topic.asked_since == [SINCE_MS - MARGIN_MS]
    topic.end = 700
    assert read(tail) == [(500, 700, 200)]


@pytest.mark.parametrize("end", [60, 700])
def test_a_log_that_was_made_again_is_read_from_its_beginning(topic: Topic, end: int) -> None:
    """Be it shorter than what was read, or longer by now."""
    tail = tail_of(topic)
    topic.end = 500
    read(tail)

    topic.is_made_again(end)

    assert read(tail) == [(0, 0, 0), (0, end, end)]


def test_a_log_whose_id_is_not_told_is_the_same_while_it_grows(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    tail = tail_of(topic)
    topic.end = 500
    read(tail)
    monkeypatch.setattr(change_logs, "topic_ids", lambda *_: {})
    topic.end = 600

    assert read(tail) == [(500, 600, 100)]
    topic.end = 100
    assert read(tail) == [(0, 0, 0), (0, 100, 100)]


def test_records_that_came_after_the_end_was_asked_for_are_no_sign_of_another_log(topic: Topic) -> None:
    tail = tail_of(topic)
    topic.end = 500
    ends = tail.ends(is_fresh=True)
    topic.end = 600
    while tail.read(ends):
        pass

    assert read(tail) == []
    assert tail.unread_ms(LOG) == -1


@pytest.mark.parametrize(
    ("first", "young", "end", "unread_ms"),
    [
        (0, 0, 500, -1),
        (0, 30, 500, SINCE_MS - MARGIN_MS),
        (0, -1, 500, SINCE_MS - MARGIN_MS),
        (0, -1, 0, -1),
        (30, 30, 500, NOW_MS),
        (500, -1, 500, NOW_MS),
    ],
    ids=[
        "all of it",
        "from a time on",
        "nothing so young",
        "empty",
        "what has expired may be younger",
        "all has expired",
    ],
)
def test_up_to_when_what_is_not_read_was_written(
    topic: Topic, first: int, young: int, end: int, unread_ms: int
) -> None:
    tail = tail_of(topic)
    topic.first, topic.young, topic.end = first, young, end

    read(tail)

    assert tail.unread_ms(LOG) == unread_ms
