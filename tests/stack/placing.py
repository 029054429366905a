"""Records on a real broker at the very offsets that they have in a world.

A log that begins above 0 is filled with what is then deleted; a gap is made of a transaction's marker, or of an aborted
transaction with as many records as are wanted, some of which would be harmful to whoever read them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.simulation.recording import Record
from tests.stack.worker import until

Logs = Mapping[str, Mapping[int, list[Record]]]
"""Records in offset order, by topic and partition."""

WAIT_S = 60.0
LONGEST = 12
"""Records that are written at once; the rounds of all partitions alternate."""


@dataclass(slots=True, eq=False)
class Piece:
    """Neighbouring records, and how many offsets after them hold none."""

    records: list[Record] = field(default_factory=list)
    gap: int = 0

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.records[-1].offset + 1 + self.gap


def pieces(records: list[Record]) -> list[Piece]:
    """A log cut at its gaps, and where it would be too long."""
    made = [Piece()]
    for record, after in zip_longest(records, records[1:]):
        made[-1].records.append(record)
        made[-1].gap = 0 if after is None else after.offset - record.offset - 1
        if after is not None and (made[-1].gap or len(made[-1].records) >= LONGEST):
            made.append(Piece())
    return made


class Placer:
    """Writes logs; ``name`` differs between the worlds of one broker."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.rng = random.Random(name)
        client = {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.plain = Producer({**client, "enable.idempotence": True})
        self.transactional = Producer({**client, "transactional.id": name})
        self.transactional.init_transactions(WAIT_S)
        self.looker = Consumer({"bootstrap.servers": bootstrap, "group.id": name, "isolation.level": "read_committed"})

    def create(self, counts: Mapping[str, int]) -> None:
        """Topics that take and keep records whatever time those say they are of."""
        config = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
        topics = [NewTopic(topic, count, 1, config=config) for topic, count in counts.items()]
        for done in self.admin.create_topics(topics).values():
            done.result(WAIT_S)

    def begin(self, logs: Logs) -> None:
        """Make every log start at the offset of its first record."""
        starts = [
            TopicPartition(topic, number, records[0].offset)
            for topic, partitions in logs.items()
            for number, records in partitions.items()
            if records and records[0].offset
        ]
        for start in starts:
            for _ in range(start.offset):
                self.plain.produce(start.topic, b"gone", partition=start.partition)
        self._flush(self.plain)
        for start in starts:  # the broker deletes nothing beyond what it shows
            until(lambda start=start: self.looker.get_watermark_offsets(start, WAIT_S)[1] >= start.offset, ())  # type: ignore[misc]
        for done in self.admin.delete_records(starts).values() if starts else ():
            done.result(WAIT_S)

    def place(self, logs: Logs) -> Iterator[None]:
        """Write everything, a round of pieces at a time."""
        cut = [pieces(records) for partitions in logs.values() for records in partitions.values() if records]
        for together in zip_longest(*cut):
            self._round([piece for piece in together if piece is not None])
            yield None

    def _round(self, together: list[Piece]) -> None:
        by_marker = [piece for piece in together if piece.gap == 1 or (piece.gap > 2 and self.rng.random() < 0.5)]
        for piece in together:
            if piece not in by_marker:
                self._put(self.plain, piece.records)
        self._flush(self.plain)
        if by_marker:
            self.transactional.begin_transaction()
            for piece in by_marker:
                self._put(self.transactional, piece.records)
            self._flush(self.transactional)
            self.transactional.commit_transaction(WAIT_S)
            for piece in by_marker:
                self._await_marker(piece, piece.records[-1].offset + 1)
        if unfilled := [piece for piece in together if piece.gap > (piece in by_marker)]:
            self._abort(unfilled, {id(piece) for piece in by_marker})

    def _abort(self, unfilled: list[Piece], marked: set[int]) -> None:
        """One aborted transaction; its marker fills the last offset of every gap, ``marked`` ones have one at their first."""
        self.transactional.begin_transaction()
        for piece in unfilled:
            last = piece.records[-1]
            for number in range(piece.gap - 1 - (id(piece) in marked)):
                value = last.value if number < LONGEST else b"no"
                self.transactional.produce(last.topic, value, last.key, partition=last.partition)
        self._flush(self.transactional)
        self.transactional.abort_transaction(WAIT_S)
        for piece in unfilled:
            self._await_marker(piece, piece.end - 1)

    def _await_marker(self, piece: Piece, offset: int) -> None:
        """A transaction has ended before its markers stand in the logs."""
        place = TopicPartition(piece.records[-1].topic, piece.records[-1].partition)
        deadline = time.monotonic() + WAIT_S
        while self.looker.get_watermark_offsets(place, timeout=WAIT_S)[1] <= offset:
            assert time.monotonic() < deadline, f"no marker at {offset} of {place}"

    def _put(self, producer: Producer, records: list[Record]) -> None:
        for record in records:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                partition=record.partition,
                timestamp=record.timestamp,
                headers=list(record.headers),
                on_delivery=lambda error, message, offset=record.offset: _arrived(error, message, offset),
            )

    @staticmethod
    def _flush(producer: Producer) -> None:
        """Wait until all has arrived; what is left at once may be events of the client itself."""
        deadline = time.monotonic() + WAIT_S
        while producer.flush(1.0):
            assert time.monotonic() < deadline, "records did not arrive"


def _arrived(error: object, message: Message, wanted: int) -> None:
    if error is not None or message.offset() != wanted:
        place = f"{message.topic()}:{message.partition()}"
        raise AssertionError(f"{place} is at {message.offset()}, not at {wanted}: {error}")
