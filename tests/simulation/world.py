"""A seeded world: tables, sinks and everything they said, written as a recording directory.

The same seed gives the same bytes of every record. ``planted`` counts what was done wrong on purpose, by kind; what a right
verifier has to say of it is the oracle's business.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.avro import EVIDENCE, Encoder
from tests.simulation.changes import Registry
from tests.simulation.faults import WEIGHTS
from tests.simulation.lane_events import Lane
from tests.simulation.lane_marks import Course
from tests.simulation.recording import Recording, write
from tests.simulation.routing import Router
from tests.simulation.sinks import Sink, make_sinks
from tests.simulation.source import Partition, Table, read_back
from tests.simulation.writing import EvidenceWriter

CHANGES = 34
"""About how many changes a partition has; several sinks see each."""


KINDS = (
    *WEIGHTS,
    "END",
    "SKIP",
    "START forward",
    "below the log",
    "beyond the end",
    "done though exempt",
    "evidence at the tail's edge",
    "evidence far below",
    "evidence lost",
    "lying record timestamp",
    "mark of an old life",
    "message",
    "offset gap",
    "orphan",
    "outage",
    "placeholder",
    "progress without receipts",
    "rebuild",
    "regressing fence",
    "routed twice",
    "source duplicate",
    "the tail's edge",
    "tombstone",
    "truncate",
    "undecodable",
    "undecodable at a sink",
    "unknown sink",
    "unreadable evidence",
    "waiver",
)
"""Everything that worlds plant, by the name under which it is counted."""


def write_world(seed: int, directory: Path) -> Counter[str]:
    """Write the world of a seed; returns what was planted, by kind."""
    return World(seed).write(directory)


BEFORE = 'before = "key"'
"""What tells the row of a delete, by which contracts of these worlds choose."""


class World:
    """Everything that a seed stands for.

    Args:
        seed: which world.
        is_clean: no faults at all, but outages, tombstones, truncates, messages, gaps and lying clocks.
        is_unfenced: no sink has a fence, as in somebody else's capture.
        size: about how many changes a partition has.
        suffix: of every topic's name, for worlds that share a broker, where the verifier itself routes evidence.
    """

    def __init__(
        self, seed: int, *, is_clean: bool = False, is_unfenced: bool = False, size: int = CHANGES, suffix: str = ""
    ) -> None:
        self.seed = seed
        self.size = size
        self.suffix = suffix
        self.is_clean = is_clean
        self.rng = random.Random(seed)
        self.planted: Counter[str] = Counter()
        self.tables = list(self._tables())
        schemas = dict(EVIDENCE)
        for table in self.tables:
            schemas.update(table.schemas())
        self.recording = Recording(config={}, schemas=schemas)
        self.encoder = Encoder(schemas)
        self.registry = Registry(schemas)
        self._fill_tables()
        self.sinks = make_sinks(self.rng, self.tables, is_clean=is_clean, suffix=suffix)
        for sink in self.sinks:
            sink.has_fences = not is_unfenced
            sink.is_routed = not (is_unfenced or is_clean or suffix) and self.rng.random() < 0.3
        self._fill_evidence()

    def write(self, directory: Path) -> Counter[str]:
        """Write the recording; returns what was planted, by kind."""
        write(directory, self.recording, "\n".join(self._toml()) + "\n")
        return self.planted

    def _tables(self) -> Iterator[Table]:
        for number in range(self.rng.randrange(1, 4)):
            yield Table(
                topic=f"shop.public.t{number}{self.suffix}",
                name=f"t{number}",
                partitions=self.rng.randrange(1, 4),
                is_keyed=number == 0 or self.rng.random() < 0.7,
                first_id=100 + 10 * number,
            )

    def _toml(self) -> Iterator[str]:
        topics = ", ".join(f'"{table.topic}"' for table in self.tables)
        yield "[source]"
        yield f"topics = [{topics}]" if self.rng.random() < 0.7 else 'topics = ["/shop[.]public[.].*/"]'
        yield BEFORE
        for sink in self.sinks:
            yield from sink.toml()

    def _fill_tables(self) -> None:
        for table in self.tables:
            logs = self.recording.logs.setdefault(table.topic, {})
            for number in range(table.partitions):
                partition = Partition(
                    table=table,
                    number=number,
                    rng=self.rng,
                    encoder=self.encoder,
                    planted=self.planted,
                    is_clean=self.is_clean,
                )
                logs[number] = partition.fill(self.rng.randrange(self.size // 2, self.size * 3 // 2))

    def _fill_evidence(self) -> None:
        router = Router(
            rng=self.rng,
            planted=self.planted,
            sinks={sink.name for sink in self.sinks if sink.is_routed},
            counts={table.topic: table.partitions for table in self.tables},
        )
        writer = EvidenceWriter(
            rng=self.rng,
            encoder=self.encoder,
            planted=self.planted,
            sinks=self.sinks,
            is_clean=self.is_clean,
            router=router,
        )
        for sink in self.sinks:
            for table in self._tables_of(sink):
                for number, records in self.recording.logs[table.topic].items():
                    lane = Lane(
                        sink=sink,
                        changes=read_back(records, self.registry),
                        rng=self.rng,
                        planted=self.planted,
                    )
                    lane.clock_lie_ms = lane.lie() if self.rng.random() < 0.15 and not self.is_clean else 0
                    Course(lane, is_clean=self.is_clean).run()
                    writer.take(lane, table.topic, number)
        self.recording.logs.update(writer.logs())
        self.recording.logs.update(router.lanes())

    def _tables_of(self, sink: Sink) -> list[Table]:
        return [table for table in self.tables if table.topic in sink.contract.topics]
