"""A recording read by the same fold that runs live (protocol section 6).

One reading is one long catch-up: commands are held to the end, and those that still stand are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.adapters.encode import command_line, level_counts
from app.adapters.recording import Recording
from app.config.settings import Settings
from app.decode.decoders import change_decoder, evidence_decoder
from app.ledger import watermarks
from app.ledger.far import resolve
from app.ledger.graced import with_fences
from app.ledger.lane import LaneRows, concatenate, lane_ranks, split
from app.ledger.merging import followed, merge, without_repeats
from app.ledger.partition import PartitionFold, projections_of
from app.ledger.rules import level_of
from app.ledger.sink import SinkPartition
from app.model import ChangeBatch, EvidenceKind, ReceiptStatus, SinkTopic, State
from app.model.effects import Command
from app.repair import planner, reporting
from app.worker.lanes import owners, reader_of
from app.worker.recorded_stores import RecordedStores, StoreEvidence
from app.worker.recorded_strangers import Strangers

Line = dict[str, Any]

FINE = (State.DELIVERED, State.ATTEMPTED, State.EXEMPT, State.SUPERSEDED)


@dataclass(slots=True)
class Evidence:
    """The evidence of a recording: lanes by whom they speak of, and what could not be given to a lane.

    ``logs`` are what those lanes were merged from that the recording does not hold itself.
    """

    lanes: dict[SinkTopic, LaneRows] = field(default_factory=dict)
    logs: dict[SinkTopic, list[LaneRows]] = field(default_factory=dict)
    unreadable: list[tuple[str, int, int, str]] = field(default_factory=list)
    unknown: list[tuple[str, int, int, str]] = field(default_factory=list)


class RecordedRun:
    """Reads a recording to its end.

    Args:
        settings: sinks and source; the sections of live parts are not needed.
        grace_ms: where a sink has no fences, stand fences that long behind what was named; None for never.
    """

    def __init__(self, settings: Settings, recording: Recording, grace_ms: int | None = None) -> None:
        self.settings = settings
        self.recording = recording
        existing = recording.topics()
        self.contracts = settings.contracts(existing)
        self.source_topics = settings.source_topics(existing)
        self.changes = self._read_changes()
        self.ends = {(batch.topic, batch.partition): batch.next for batch in self.changes}
        self.evidence = self._read_evidence()
        self.stores = self._add_stores()
        self.graced: list[SinkTopic] = [] if grace_ms is None else self._add_fences(grace_ms)
        self.folds: dict[int, PartitionFold] = {}
        self.commands: list[tuple[SinkPartition, Command]] = []

    def run(self) -> None:
        """Judge everything."""
        for batch in self.changes:
            self._fold(batch.partition).take_changes(batch)
        for name, rows in sorted(self.evidence.lanes.items()):
            fold = self.folds.get(name.partition)
            if fold is not None and name.topic in fold.changes:
                fold.take_evidence(name, rows)
        for fold in self.folds.values():
            for sink, outcome in fold.judge():
                self.commands.extend((sink, command) for command in planner.plan(sink, outcome))
                reporting.seals(sink)
            for sink in fold.sinks.values():
                resolve(sink, sink.changes.segments, 0, sink.changes.next)  # a recording forgets no change
                watermarks.conserved(sink)

    def sinks(self) -> Iterator[SinkPartition]:
        """Every (sink, source partition), sorted."""
        found = [sink for fold in self.folds.values() for sink in fold.sinks.values()]
        yield from sorted(found, key=lambda s: (s.contract.sink, s.changes.topic, s.changes.partition))

    def lines(self) -> Iterator[Line]:
        """The lines of ``verify --json``."""
        for sink in self.sinks():
            name = SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)
            where = name._asdict()
            for offset, state, flags in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink)):
                if state not in FINE or flags:
                    level = level_of(state, sink.word(offset).bits)
                    line = {"kind": "cell", **where, "offset": offset, "state": state.word, "flags": flags.words()}
                    line["level"] = None if level is None else level.word
                    columns = self.stores.columns.get((name, offset)) if state is State.DIVERGED else None
                    yield line | ({} if columns is None else {"columns": columns})
            for remark in sink.remarks:
                yield {"kind": remark.kind, **where, "offset": remark.offset}
        for kind, found in (("unreadable", self.evidence.unreadable), ("unknown_sink", self.evidence.unknown)):
            for topic, partition, offset, reason in sorted(found):
                yield {"kind": kind, "topic": topic, "partition": partition, "offset": offset, "reason": reason}
        yield from map(_strangers_line, self.stores.strangers)
        for sink, command in self.commands:
            standing = planner.still_due(sink, command)
            if standing is not None:
                yield {"kind": "command", **command_line(standing)}
        for sink in self.sinks():
            yield self._sink_line(sink)
            where = SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)._asdict()
            yield {"kind": "evidence", **where, "counts": level_counts(sink.tally.levels.tolist())}

    def _sink_line(self, sink: SinkPartition) -> Line:
        counts = sink.tally.closed.copy()
        for _, state, _ in watermarks.open_cells(sink):
            counts[state] += 1
        name = SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)
        line: Line = {
            "kind": "sink",
            **name._asdict(),
            "counts": {State(state).word: int(count) for state, count in enumerate(counts) if count},
            "frontier": sink.frontier,
            "settled_watermark": watermarks.settled_watermark(sink),
            "verified_watermark": watermarks.verified_watermark(sink),
        }
        if name in self.stores.lanes:
            problem = self.stores.problems.get(name)
            line |= {} if problem is None else {"rows": f"not compared: {problem}"}
            is_fenced = self.settings.sinks[name.sink].fences == "progress"
            return line | ({"fences": "by the recorded progress"} if is_fenced else {})
        return line | ({"fences": "by --grace"} if name in self.graced else {})

    # ---------------------------------------------------------------- reading

    def _fold(self, partition: int) -> PartitionFold:
        fold = self.folds.get(partition)
        if fold is None:
            fold = self.folds[partition] = PartitionFold(self.contracts, partition, self.ends)
        return fold

    def _read_changes(self) -> list[ChangeBatch]:
        source = self.settings.source
        decoder = change_decoder(
            self.recording.schemas(),
            projections_of(self.contracts),
            source.unavailable_value,
            dict(source.column_types),
        )
        return [decoder.decode(raw) for topic in self.source_topics for raw in self.recording.partitions(topic)]

    def _read_evidence(self) -> Evidence:
        found = Evidence()
        logs: dict[SinkTopic, list[LaneRows]] = {}
        receipts = evidence_decoder(self.recording.schemas()).decode
        for topic in sorted(self.settings.evidence_topics()):
            listed = owners(self.settings, topic)
            read = reader_of(self.settings, topic, receipts)
            for raw in self.recording.partitions(topic):
                batch = read(raw)
                found.unreadable += [(topic, raw.partition, offset, why) for offset, why in batch.unreadable]
                for name, rows in split(batch, np.arange(len(batch)), self.ends).items():
                    if name.sink in listed and name.topic in self._topics_of(name.sink):
                        logs.setdefault(name, []).append(rows)
                    else:
                        found.unknown += [(topic, raw.partition, int(at), name.sink) for at in np.unique(rows.records)]
        routed = self._read_lanes(receipts, found)
        found.logs = {name: parts for name, parts in logs.items() if name not in routed}
        found.lanes = {name: merge(parts) for name, parts in found.logs.items()} | routed
        return found

    def _add_stores(self) -> StoreEvidence:
        """What change logs say is merged with the sink's other logs; what rows say follows everything else."""
        topics = {contract.sink: contract.topics for contract in self.contracts}
        heard = {name: _applied(rows) for name, rows in self.evidence.lanes.items()}
        lanes = self.evidence.lanes
        fenced = {name for name, rows in lanes.items() if (rows.kinds == EvidenceKind.FENCE).any()}
        latest = max((int(batch.timestamps.max()) for batch in self.changes if len(batch)), default=0)
        stores = RecordedStores(self.settings, self.recording, topics, self.ends, latest, heard, fenced).read()
        for name, rows in stores.logs.items():
            if name in self.evidence.logs or name not in lanes:
                lanes[name] = merge([*self.evidence.logs.get(name, ()), rows])
            else:  # the recording holds the internal lane: nothing is merged into it
                lanes[name] = followed(lanes[name], rows)
        for name, rows in stores.lanes.items():
            lanes[name] = followed(lanes[name], rows) if name in lanes else rows
        return stores

    def _read_lanes(self, receipts: Any, found: Evidence) -> dict[SinkTopic, LaneRows]:
        """The internal lanes, where the recording holds them: they are read, and nothing is merged."""
        prefix = f"{self.settings.verifier.prefix}.lane."
        parts: dict[SinkTopic, list[LaneRows]] = {}
        for topic in self.recording.topics():
            for raw in self.recording.partitions(topic) if topic.startswith(prefix) else ():
                batch = receipts(raw)
                found.unreadable += [(topic, raw.partition, offset, why) for offset, why in batch.unreadable]
                for name, rows in split(batch, lane_ranks(batch), self.ends).items():
                    parts.setdefault(name, []).append(rows)
        return {name: without_repeats(concatenate(rows)) for name, rows in parts.items()}

    def _topics_of(self, sink: str) -> tuple[str, ...]:
        return next((contract.topics for contract in self.contracts if contract.sink == sink), ())

    def _add_fences(self, grace_ms: int) -> list[SinkTopic]:
        graced = []
        for name, rows in self.evidence.lanes.items():
            fenced = with_fences(rows, grace_ms)
            if fenced is not None:
                self.evidence.lanes[name] = fenced
                graced.append(name)
        return graced


def _strangers_line(found: Strangers) -> Line:
    return {
        "kind": found.word,
        "sink": found.sink,
        "topic": found.topic,
        "table": found.table,
        "count": len(found.keys),
        "keys": [dict(key) for key in found.keys],
    }


def _applied(rows: LaneRows) -> dict[int, int]:
    """Of each change that a sink says it applied, when, ms: what it said first."""
    is_applied = (rows.kinds == EvidenceKind.RECEIPT) & (rows.statuses <= ReceiptStatus.DELETED)
    found: dict[int, int] = {}
    for offset, at in zip(rows.offsets[is_applied].tolist(), rows.applied_at[is_applied].tolist(), strict=True):
        found.setdefault(offset, at)
    return found
