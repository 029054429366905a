"""plain.py BOOTSTRAP SCHEMAS STATE NAME: a verifier without a framework, as an expert would write it.

Open changes are held in a dict and written through to RocksDB with every batch; offsets are committed after that. A change is
forgotten once both sinks said the right thing of it. One rule only: no receipt below the fences is MISSING, another
fingerprint is DIVERGED.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from records import Decoder
from rocksdict import Options, Rdict, WriteBatch
from topics import CHANGES, RECEIPTS, SINKS

AHEAD = 50_000
"""Changes that either side may be ahead of the other before it waits."""
KEY, CELL = struct.Struct(">iq"), struct.Struct(">BQQQ")


class Partition:
    """One source partition: its open changes, and how far everybody has come.

    A cell is a list: the change's fingerprint, then each sink's; None where nothing was read yet.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.cells: dict[int, list[int | None]] = {}
        self.read = self.judged = self.told = 0
        self.fences = dict.fromkeys(SINKS, 0)
        self.dirty: set[int] = set()

    def note(self, offset: int, place: int, fingerprint: int) -> Iterator[str]:
        """Take a change (place 0) or a sink's receipt (1 or 2)."""
        cell = self.cells.get(offset)
        if cell is None:
            cell = self.cells[offset] = [None, None, None]
        cell[place] = fingerprint
        self.dirty.add(offset)
        if cell[0] is None:
            return
        for other in (1, 2) if place == 0 else (place,):
            if cell[other] is not None and cell[other] != cell[0]:
                yield f"DIVERGED,{SINKS[other - 1]},{CHANGES},{self.number},{offset}"
        if cell[1] is not None and cell[2] is not None:
            del self.cells[offset]

    def judge(self) -> Iterator[str]:
        """What is open below both fences, and whose change was read, lacks a receipt."""
        end = min(self.read, *self.fences.values())
        for offset in range(self.judged, end):
            cell = self.cells.pop(offset, None)
            if cell is None:
                continue
            self.dirty.add(offset)
            for sink, seen in zip(SINKS, cell[1:], strict=True):
                if seen is None:
                    yield f"MISSING,{sink},{CHANGES},{self.number},{offset}"
        self.judged = max(self.judged, end)

    def write(self, batch: WriteBatch) -> None:
        """Put what was touched into a batch of the store."""
        for offset in self.dirty:
            cell = self.cells.get(offset)
            if cell is None:
                batch.delete(KEY.pack(self.number, offset))
            else:
                known = sum(1 << place for place, seen in enumerate(cell) if seen is not None)
                batch.put(KEY.pack(self.number, offset), CELL.pack(known, *(seen or 0 for seen in cell)))
        self.dirty.clear()


class Verifier:
    """Reads, joins, stores, tells, commits."""

    def __init__(self, bootstrap: str, schemas: Path, state: Path, name: str) -> None:
        self.name = name
        self.decoder = Decoder(schemas)
        self.store = Rdict(str(state / "db"), Options(raw_mode=True))
        self.producer = Producer({"bootstrap.servers": bootstrap})
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": name, "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        })  # fmt: skip
        self.consumer.subscribe([CHANGES, *RECEIPTS])
        self.partitions: dict[int, Partition] = {}
        self.paused: set[tuple[str, int]] = set()
        self.is_over = False

    def run(self) -> None:
        """Until it is told to stop."""
        is_first = True
        while not self.is_over:
            messages = self.consumer.consume(10_000, 0.2)
            if messages and is_first:
                print("reading", flush=True)
                is_first = False
            next_offsets: dict[tuple[str, int], int] = {}
            for message in messages:
                if message.error() is None:
                    self.take(message)
                    next_offsets[message.topic(), message.partition()] = message.offset() + 1
            if next_offsets:
                self.finish(next_offsets)
        self.consumer.close()
        self.producer.flush()
        self.store.close()

    def take(self, message: Message) -> None:
        """One record."""
        number = message.partition()
        part = self.partitions.get(number)
        if part is None:
            part = self.partitions[number] = Partition(number)
        if message.topic() == CHANGES:
            offset = message.offset()
            part.read = offset + 1
            self.tell(part.note(offset, 0, self.decoder.change(message.value())))
            return
        sink, offset, fingerprint = self.decoder.evidence(message.value())
        if fingerprint is None:
            part.fences[sink] = max(part.fences[sink], offset)
        else:
            part.told = offset
            self.tell(part.note(offset, SINKS.index(sink) + 1, fingerprint))

    def tell(self, verdicts: Iterator[str]) -> None:
        """Send verdicts."""
        for verdict in verdicts:
            self.producer.produce(self.name, verdict)

    def finish(self, next_offsets: dict[tuple[str, int], int]) -> None:
        """After a batch: judge, store, send, and only then commit; whoever is too far ahead waits."""
        batch = WriteBatch(raw_mode=True)
        for part in self.partitions.values():
            self.tell(part.judge())
            part.write(batch)
            self.wait(CHANGES, part.number, part.read - part.told > AHEAD)
            for topic in RECEIPTS:
                self.wait(topic, part.number, part.told - part.read > AHEAD)
        self.store.write(batch)
        self.producer.flush()
        self.consumer.commit(offsets=[TopicPartition(*place, at) for place, at in next_offsets.items()])

    def wait(self, topic: str, number: int, is_ahead: bool) -> None:
        """Pause or resume one input."""
        if is_ahead != ((topic, number) in self.paused):
            (self.consumer.pause if is_ahead else self.consumer.resume)([TopicPartition(topic, number)])
            self.paused.symmetric_difference_update({(topic, number)})

    def stop(self, *_: object) -> None:
        """On a signal."""
        self.is_over = True


if __name__ == "__main__":
    verifier = Verifier(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    signal.signal(signal.SIGTERM, verifier.stop)
    verifier.run()
