"""Evidence records as receipts and marks, and the one order in which each lane is read (protocol section 3)."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.changes import Registry, Undecodable
from tests.simulation.recording import Record, Recording

STATUSES = ("APPLIED", "DELETED", "SKIPPED", "REJECTED")
LANE_PREFIX = "cdc-verifier.lane."

EXPECTED = "EXPECTED"
"""The status of a success record: whatever kind its change expects."""

ERRORS = "__connect.errors."
INPUT = "input_record_"
ORIGIN = "cdc-verifier.origin."
"""What the headers of a routed record begin with."""

LaneName = tuple[str, str, int]
"""Sink, source topic, source partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One receipt; ``applied_at`` in milliseconds, ``record`` the coordinates of the evidence record."""

    offset: int
    status: str
    applied_at: int
    fingerprint: bytes | None = None
    sequence: int | None = None
    command_id: str | None = None
    passed: bool = False
    """Whether a fence above its cell or a SKIP over it had been read before."""
    is_vain: bool = False
    """Whether evidence about its cell was known to be lost when it was read: nothing delivers that cell any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One mark; ``record`` is its own place: topic, partition, offset."""

    kind: str
    offset: int
    to_offset: int | None
    generation: int
    at: int
    record: tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One evidence record in a lane: a mark, or the receipts that it stands for."""

    timestamp: int
    topic: str
    partition: int
    mark: Mark | None = None
    receipts: tuple[Receipt, ...] = ()


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Every lane in its order, and the records that belong in none, by their own coordinates."""

    lanes: dict[LaneName, list[Entry]] = field(default_factory=dict)
    unreadable: list[tuple[str, int, int]] = field(default_factory=list)
    unknown_sink: list[tuple[str, int, int]] = field(default_factory=list)


def read_evidence(recording: Recording, registry: Registry, topics_of: dict[str, list[str]]) -> Evidence:
    """All evidence of a recording; ``topics_of`` gives each sink's change topics."""
    evidence = Evidence()
    sinks = recording.config["sinks"]
    logs: dict[LaneName, dict[tuple[str, int], list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for topic, reader in _readers(sinks, registry).items():
        for records in recording.logs.get(topic, {}).values():
            for record in records:
                place = (record.topic, record.partition, record.offset)
                try:
                    (sink, source, partition), entry = reader(record)
                except Undecodable:
                    evidence.unreadable.append(place)
                    continue
                if sink not in sinks or source not in topics_of[sink] or not _lists(sinks[sink], record.topic):
                    evidence.unknown_sink.append(place)
                    continue
                logs[sink, source, partition][record.topic, record.partition].append(entry)
    evidence.lanes = {name: list(merged(list(parts.values()))) for name, parts in logs.items()}
    evidence.lanes |= routed_lanes(recording, registry)
    return evidence


def routed_lanes(recording: Recording, registry: Registry) -> dict[LaneName, list[Entry]]:
    """The internal lanes, where a recording holds them: in their own order, and what was routed again counts once."""
    prefix = recording.config.get("verifier", {}).get("prefix", "cdc-verifier") + ".lane."
    lanes: dict[LaneName, list[Entry]] = defaultdict(list)
    for topic, partitions in recording.logs.items():
        for records in partitions.values() if topic.startswith(prefix) else ():
            known: set[tuple[str, int, int]] = set()
            for record in records:
                name, entry = _own_word(record, registry)
                origin = _coordinates(record, ORIGIN) if record.header(f"{ORIGIN}topic") else None
                if origin in known:
                    continue
                if origin is not None:
                    known.add(origin)
                    if entry.mark is not None:
                        entry = replace(entry, mark=replace(entry.mark, record=origin))
                lanes[name].append(entry)
    return lanes


def merged(logs: list[list[Entry]]) -> Iterator[Entry]:
    """Logs as one lane: again and again the log whose head has the smallest (timestamp, topic, partition)."""
    waiting = [list(log) for log in logs]
    while any(waiting):
        log = min((log for log in waiting if log), key=lambda log: (log[0].timestamp, log[0].topic, log[0].partition))
        yield log.pop(0)


def _lists(sink: dict[str, Any], topic: str) -> bool:
    """Whether a sink's configuration names an evidence topic; what stands elsewhere in its name is nobody's."""
    return any(topic in sink.get(kind, ()) for kind in ("receipts", "dead_letters", "success_topics"))


def _readers(sinks: dict[str, Any], registry: Registry) -> dict[str, Any]:
    readers: dict[str, Any] = {}
    for name, sink in sinks.items():
        for topic in sink.get("receipts", ()):
            readers[topic] = lambda record: _own_word(record, registry)
        for topic in sink.get("success_topics", ()):
            readers[topic] = lambda record, name=name: _success(record, name)
    for topic in {topic for sink in sinks.values() for topic in sink.get("dead_letters", ())}:
        owners = [name for name, sink in sinks.items() if topic in sink.get("dead_letters", ())]
        by_connector = {sinks[name].get("connector", name): name for name in owners}
        readers[topic] = lambda record, owners=by_connector: _dead_letter(record, owners)
    return readers


def _own_word(record: Record, registry: Registry) -> tuple[LaneName, Entry]:
    if record.value is None:
        raise Undecodable("null")
    schema, value = registry.read(record.value)
    entry = Entry(timestamp=record.timestamp, topic=record.topic, partition=record.partition)
    match schema["name"]:
        case "DeliveryReceipt":
            entry = replace(entry, receipts=(_single(value),))
        case "DeliveryReceiptBatch":
            entry = replace(entry, receipts=tuple(_batched(value)))
        case "SinkMark":
            place = (record.topic, record.partition, record.offset)
            if value["kind"] == "SKIP" and value["to_offset"] is None:
                raise Undecodable("a SKIP with no end")
            names = ("kind", "offset", "to_offset", "generation", "at")
            entry = replace(entry, mark=Mark(record=place, **{name: value[name] for name in names}))
        case "EvidenceLoss":
            place = (record.topic, record.partition, record.offset)
            lost = Mark(kind="LOSS", offset=0, to_offset=None, generation=0, at=value["at"], record=place)
            entry = replace(entry, mark=lost)
        case "Waiver":
            place = (record.topic, record.partition, record.offset)
            waived = Mark(
                kind="WAIVER", offset=value["offset"], to_offset=None, generation=0, at=value["at"], record=place
            )
            entry = replace(entry, mark=waived)
        case other:
            raise Undecodable(other)
    return (value["sink"], value["topic"], value["partition"]), entry


def _single(value: dict[str, Any]) -> Receipt:
    return Receipt(
        offset=value["offset"],
        status=EXPECTED if value.get("evidence") == "success-topic" else value["status"],
        fingerprint=value["fingerprint"],
        applied_at=value["applied_at"],
        sequence=value.get("sequence"),
        command_id=value.get("command_id"),
    )


def _batched(value: dict[str, Any]) -> Iterator[Receipt]:
    size = len(value["statuses"])
    prints = value["fingerprints"]
    lengths = {len(value["offset_deltas"]) / 4, len(value["applied_at_deltas"]) / 4, size}
    if prints is not None:
        lengths.add(len(prints) / 8)
    if len(lengths) > 1 or any(status >= len(STATUSES) for status in value["statuses"]):
        raise Undecodable("arrays")
    offsets = struct.unpack(f"<{size}I", value["offset_deltas"])
    times = struct.unpack(f"<{size}I", value["applied_at_deltas"])
    for index, status in enumerate(value["statuses"]):
        yield Receipt(
            offset=value["base_offset"] + offsets[index],
            status=STATUSES[status],
            fingerprint=None if prints is None else prints[8 * index : 8 * index + 8],
            applied_at=value["base_applied_at"] + times[index],
        )


def _coordinates(record: Record, prefix: str) -> tuple[str, int, int]:
    topic, partition, offset = (record.header(prefix + name) for name in ("topic", "partition", "offset"))
    if topic is None or not all(re.fullmatch(rb"\d+", number or b"") for number in (partition, offset)):
        raise Undecodable("no coordinates")
    return topic.decode(), int(partition or b""), int(offset or b"")


def _from_headers(record: Record, prefix: str, status: str) -> tuple[str, int, Entry]:
    topic, partition, offset = _coordinates(record, prefix)
    receipt = Receipt(offset=offset, status=status, applied_at=record.timestamp)
    entry = Entry(timestamp=record.timestamp, topic=record.topic, partition=record.partition, receipts=(receipt,))
    return topic, partition, entry


def _dead_letter(record: Record, owners: dict[str, str]) -> tuple[LaneName, Entry]:
    topic, partition, entry = _from_headers(record, ERRORS, "REJECTED")
    connector = record.header(ERRORS + "connector.name")
    if connector is not None:
        return (owners.get(connector.decode(), ""), topic, partition), entry
    return (next(iter(owners.values())) if len(owners) == 1 else "", topic, partition), entry


def _success(record: Record, sink: str) -> tuple[LaneName, Entry]:
    topic, partition, entry = _from_headers(record, INPUT, EXPECTED)
    return (sink, topic, partition), entry
