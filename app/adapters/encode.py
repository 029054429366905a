"""Effects as Kafka records and as lines of JSON: Avro with Confluent framing, by the schemas in ``schemas/``.

    byte 0        00
    bytes 1 to 4  schema id, big-endian
    bytes 5 on    Avro body

Fingerprints stand in their 8 bytes little-endian, key hashes in 16; JSON prints both as hex digits of the bytes in order.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, assert_never

import fastavro

import schemas
from app.model import Flag, Level, Origin, Ownership, State
from app.model.effects import (
    Command,
    CommandItem,
    Contradicted,
    Finding,
    Orphan,
    Seal,
    SinkWatermark,
    UnknownSink,
    Unreadable,
    Verdict,
)

Effect = Verdict | Command | Seal | SinkWatermark | Finding
Datum = dict[str, Any]
"""One Avro record as fastavro takes it, or one line of JSON."""
Whose = Callable[[str, str], Ownership]

SCHEMA_NAMES = ("Verdict", "ReplayCommand", "Seal", "Watermark", "Finding")


class Encoder:
    """Makes record keys and values, once the registry has given every schema its id.

    Args:
        schema_ids: by schema name, each of `SCHEMA_NAMES`.
        whose: by sink and change topic, whose it is as configured now; it stands in verdicts.
    """

    def __init__(self, schema_ids: Mapping[str, int], whose: Whose = lambda *_: Ownership()) -> None:
        self._schema_ids = dict(schema_ids)
        self._whose = whose

    def value(self, effect: Effect) -> bytes:
        """The framed Avro value of an effect."""
        name = schema_name(effect)
        record = datum(effect)
        if isinstance(effect, Verdict):
            record |= self._whose(effect.sink, effect.topic)._asdict()
        return framed(name, record, self._schema_ids[name])


def framed(name: str, record: Datum, schema_id: int) -> bytes:
    """One record of ``schemas/`` with Confluent framing."""
    out = io.BytesIO()
    out.write(b"\x00" + struct.pack(">I", schema_id))
    fastavro.schemaless_writer(out, _parsed(name), record)
    return out.getvalue()


@cache
def _parsed(name: str) -> Any:
    return fastavro.parse_schema(schemas.load(name))


def schema_name(effect: Effect) -> str:
    """The name of the schema that an effect is written with."""
    match effect:
        case Verdict():
            return "Verdict"
        case Command():
            return "ReplayCommand"
        case Seal():
            return "Seal"
        case SinkWatermark():
            return "Watermark"
        case Orphan() | Contradicted() | Unreadable() | UnknownSink():
            return "Finding"
        case _:
            assert_never(effect)


def datum(effect: Effect) -> Datum:
    """An effect as its Avro record."""
    match effect:
        case Verdict():
            return encode_verdict(effect)
        case Command():
            return encode_command(effect)
        case Seal():
            return encode_seal(effect)
        case SinkWatermark():
            return encode_watermark(effect)
        case Orphan() | Contradicted() | Unreadable() | UnknownSink():
            return encode_finding(effect)
        case _:
            assert_never(effect)


def key(effect: Effect) -> bytes:
    """The record key: what keeps order on a topic, and what compaction keeps the newest of."""
    match effect:
        case Verdict() | Command() | SinkWatermark():
            parts: tuple[object, ...] = (effect.sink, effect.topic, effect.partition)
        case Seal():
            lane = (effect.sink, effect.generation, effect.topic, effect.epoch, effect.partition)
            parts = ("seal", *lane, effect.number)
        case Orphan() | Contradicted() | Unreadable() | UnknownSink():
            parts = (finding_kind(effect), effect.topic, effect.partition, effect.offset)
        case _:
            assert_never(effect)
    return "|".join(str(part) for part in parts).encode()


def encode_verdict(verdict: Verdict) -> Datum:
    """A verdict as Avro ``Verdict``; whose it is, `Encoder` knows."""
    return _coordinates(verdict) | {
        "id": verdict.id,
        "offset": verdict.offset,
        "state": verdict.state.name,
        "flags": verdict.flags.words(),
        "change": verdict.change.name,
        "key_hash": verdict.key_hash,
        "expected_fingerprint": verdict.expected_fingerprint,
        "seen_fingerprint": verdict.seen_fingerprint,
        "fence": verdict.fence,
        "fence_origin": _origin(verdict.fence_origin),
        "closed": verdict.closed,
        "at": verdict.at,
        "reason": verdict.reason,
        **Ownership()._asdict(),
        "level": None if verdict.level is None else verdict.level.word,
    }


def encode_command(command: Command) -> Datum:
    """A command as Avro ``ReplayCommand``."""
    return {
        "id": command.id,
        "sink": command.sink,
        "generation": command.generation,
        "incident": command.incident,
        "topic": command.topic,
        "partition": command.partition,
        "items": [_item(item) for item in command.items],
        "action": command.action.value,
        "mode": command.mode.value,
        "attempt": command.attempt,
        "issued_at": command.issued_at,
        "expires_at": command.expires_at,
        "trace_id": command.trace_id,
    }


def _item(item: CommandItem) -> Datum:
    return {
        "offset": item.offset,
        "reason": item.reason.value,
        "key_hash": item.key_hash,
        "kind": item.kind.value,
        "fingerprint": item.fingerprint,
        "newest_offset": item.newest_offset,
    }


def encode_seal(seal: Seal) -> Datum:
    """A seal as Avro ``Seal``."""
    return _coordinates(seal) | {
        "number": seal.number,
        "segment": seal.segment,
        "first_offset": seal.first_offset,
        "last_offset": seal.last_offset,
        "counts": list(seal.counts),
        "flags": list(seal.flags),
        "open_offsets": list(seal.open_offsets),
        "source_sum": seal.source_sum.to_bytes(8, "little"),
        "sink_sum": seal.sink_sum.to_bytes(8, "little"),
        "first_ts_ms": seal.first_ts_ms,
        "last_ts_ms": seal.last_ts_ms,
        "contract": seal.contract,
        "at": seal.at,
        "previous": seal.previous or None,
        "hash": seal.hash,
        "levels": list(seal.levels),
    }


def level_counts(levels: Sequence[int]) -> dict[str, int]:
    """Counts per `Level` by its word, those that are not zero."""
    return {Level(level).word: int(count) for level, count in enumerate(levels) if count}


def encode_watermark(watermark: SinkWatermark) -> Datum:
    """Watermarks as Avro ``Watermark``."""
    return _coordinates(watermark) | {
        "frontier": watermark.frontier,
        "settled_watermark": watermark.settled_watermark,
        "verified_watermark": watermark.verified_watermark,
        "settled_ts_ms": watermark.settled_ts_ms,
        "verified_ts_ms": watermark.verified_ts_ms,
        "open_counts": state_counts(watermark.open_counts),
        "counts": state_counts(watermark.counts),
        "flags": flag_counts(watermark.flags),
        "seals": watermark.seals,
        "seal_hash": watermark.seal_hash or None,
        "at": watermark.at,
        "owner": watermark.owner,
        "beginning": watermark.beginning,
        "next_offset": watermark.next_offset,
        "fence": watermark.fence,
        "fence_at": watermark.fence_at,
        "ended": watermark.is_ended,
        "held_from": watermark.held_from,
        "rows": dict(watermark.rows),
        "levels": level_counts(watermark.levels),
        "bad_levels": level_counts(watermark.bad_levels),
        "status": watermark.status,
        "status_cause": watermark.status_cause,
        "rebuild_from": watermark.rebuild_from,
    }


def encode_finding(finding: Finding) -> Datum:
    """Anything found beside cells as Avro ``Finding``."""
    return {
        "kind": finding_kind(finding).upper(),
        "sink": None if isinstance(finding, Unreadable) else finding.sink,
        "topic": finding.topic,
        "partition": finding.partition,
        "offset": finding.offset,
        "origin": _origin(finding.origin) if isinstance(finding, Orphan | Contradicted) else None,
        "reason": finding.reason if isinstance(finding, Unreadable | UnknownSink) else None,
    }


def finding_kind(finding: Finding) -> str:
    """The word that outputs call a finding by."""
    match finding:
        case Orphan():
            return "orphan"
        case Contradicted():
            return "contradicted"
        case Unreadable():
            return "unreadable"
        case UnknownSink():
            return "unknown_sink"
        case _:
            assert_never(finding)


def command_line(command: Command) -> Datum:
    """A command as ``verify --json`` prints it (protocol section 6)."""
    line: Datum = {"kind": "command"} | encode_command(command)
    line["items"] = [{name: _hex(value) for name, value in item.items()} for item in line["items"]]
    return line


def finding_line(finding: Finding) -> Datum:
    """A finding as ``verify --json`` prints it: a sink stands there only where the coordinates are the source's."""
    line: Datum = {"kind": finding_kind(finding)}
    if isinstance(finding, Orphan | Contradicted):
        line["sink"] = finding.sink
    return line | {"topic": finding.topic, "partition": finding.partition, "offset": finding.offset}


def state_counts(counts: tuple[int, ...]) -> dict[str, int]:
    """Counts by the word of their state, where there are any.

    >>> state_counts((0, 0, 0, 0, 7, 0, 0, 0, 1, 0))
    {'delivered': 7, 'missing': 1}
    """
    return {State(value).word: count for value, count in enumerate(counts) if count}


def flag_counts(counts: tuple[int, ...]) -> dict[str, int]:
    """Counts by the word of their flag, where there are any."""
    return {Flag(1 << bit).words()[0]: count for bit, count in enumerate(counts) if count}


def _coordinates(effect: Verdict | Seal | SinkWatermark) -> Datum:
    return {
        "sink": effect.sink,
        "generation": effect.generation,
        "topic": effect.topic,
        "epoch": effect.epoch,
        "partition": effect.partition,
    }


def _origin(origin: Origin) -> Datum:
    return {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}


def _hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
