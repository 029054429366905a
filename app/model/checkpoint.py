"""Checkpoints: what a worker with an empty disk needs, as records on the compacted ledger topic (design section 4).

A checkpoint of one store (a partition number of a co-partitioned group) has a number; of a local store and a checkpoint the
higher number wins. Its payload is JSON: small, read once at a takeover, and open to what later versions add. Bad cells that
wait for repair are ledger records of their own, so that one unrepaired loss holds no retention hostage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

Payload = dict[str, Any]
"""JSON as `json.loads` gives it; typed again by the `of` of each record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """The next offset to read (or the end seen, or the next origin offset) of one log partition."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkCheckpoint:
    """Where the fold of one sink and source partition stands after its last evaluated fence.

    Attributes:
        fence: the last evaluated fence, 0 before the first; ``lane_offset``: the next lane offset after it.
        start: where judging begins; cells below it are exempt.
        skips: open SKIPs as (from, to).
        truncate: the last applied truncate's offset, -1 for none.
        at: the highest ``at`` of the marks read, ms; None before the first mark.
        counts, flags: closed cells per `State` and per bit of `Flag`; counters: everything else that is counted.
        seals, seal_hash: length of the seal chain and its last hash as hex digits.
        sealed_at: mark time of the last seal, ms; None before the first.
        contract: digest of the contract in force.
    """

    sink: str
    topic: str
    partition: int
    generation: int
    epoch: int
    fence: int
    lane_offset: int
    frontier: int
    settled_watermark: int
    verified_watermark: int
    start: int
    ended: bool
    skips: tuple[tuple[int, int], ...]
    truncate: int
    at: int | None
    counts: tuple[int, ...]
    flags: tuple[int, ...]
    counters: dict[str, int]
    seals: int
    seal_hash: str
    sealed_at: int | None
    contract: str

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Self:
        """The record of a payload; fields that this version does not know are left out."""
        known = {item.name: payload[item.name] for item in fields(cls) if item.name in payload}
        known["skips"] = tuple((int(low), int(high)) for low, high in known["skips"])
        known["counts"] = tuple(known["counts"])
        known["flags"] = tuple(known["flags"])
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """State of one store.

    Attributes:
        group: the co-partitioned group; partition: the partition number; number: rises with every checkpoint.
        inputs: per input, the position to read again from: the lowest that any open cell needs.
        epochs: per change topic, its epoch and topic id as (topic, epoch, topic id).
        ends: recorded ends that marks were capped by, in order.
        origins: per origin partition, the next origin offset (what was routed twice counts once).
    """

    group: str
    partition: int
    number: int
    sinks: tuple[SinkCheckpoint, ...] = ()
    inputs: tuple[LogPosition, ...] = ()
    epochs: tuple[tuple[str, int, str], ...] = ()
    ends: tuple[LogPosition, ...] = ()
    origins: tuple[LogPosition, ...] = ()
    extra: Payload = field(default_factory=dict)

    def payload(self) -> Payload:
        """Everything but the key and the number, as JSON-able data."""
        whole = asdict(self)
        return {name: whole[name] for name in ("sinks", "inputs", "epochs", "ends", "origins", "extra")}

    @classmethod
    def of(cls, group: str, partition: int, number: int, payload: Mapping[str, Any]) -> Self:
        """The checkpoint that `payload` came from."""
        return cls(
            group=group,
            partition=partition,
            number=number,
            sinks=tuple(SinkCheckpoint.of(sink) for sink in payload["sinks"]),
            inputs=_positions(payload, "inputs"),
            epochs=tuple((str(topic), int(epoch), str(topic_id)) for topic, epoch, topic_id in payload["epochs"]),
            ends=_positions(payload, "ends"),
            origins=_positions(payload, "origins"),
            extra=dict(payload.get("extra", {})),
        )


def _positions(payload: Mapping[str, Any], name: str) -> tuple[LogPosition, ...]:
    return tuple(
        LogPosition(topic=item["topic"], partition=item["partition"], offset=item["offset"]) for item in payload[name]
    )
