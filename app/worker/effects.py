"""Effects as JSON: the form in which the outbox keeps them until the broker has acknowledged them.

Bytes are hex digits, enums their values. The type's name stands beside the fields, so that `load` gives the effect back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from app.model import ChangeKind, Flag, Level, Origin, State
from app.model.effects import (
    Command,
    CommandAction,
    CommandItem,
    CommandKind,
    CommandMode,
    CommandReason,
    Contradicted,
    Orphan,
    Seal,
    SinkWatermark,
    UnknownSink,
    Unreadable,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """One record of evidence on its way into a lane; ``origin`` is where it was first written."""

    topic: str
    partition: int
    origin: Origin
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record that can't be used, with its original bytes, coordinates and the reason."""

    origin: Origin
    kind: str
    reason: str
    key_bytes: bytes | None
    value: bytes | None


Effect = (
    Verdict | Command | Seal | SinkWatermark | Orphan | Contradicted | Unreadable | UnknownSink | Routed | Quarantined
)

_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Verdict,
        Command,
        Seal,
        SinkWatermark,
        Orphan,
        Contradicted,
        Unreadable,
        UnknownSink,
        Routed,
        Quarantined,
    )
}
_BYTES = {
    "value",
    "key_bytes",
    "key_hash",
    "expected_fingerprint",
    "seen_fingerprint",
    "fingerprint",
    "seal_hash",
    "previous",
    "hash",
}
_MAKE: dict[str, Callable[[Any], Any]] = {
    "state": State,
    "flags": lambda value: tuple(value) if isinstance(value, list) else Flag(value),
    "change": ChangeKind,
    "fence_origin": lambda value: Origin(*value),
    "origin": lambda value: Origin(*value),
    "action": CommandAction,
    "mode": CommandMode,
    "reason": lambda value: CommandReason(value) if value in CommandReason.__members__ else value,
    "kind": lambda value: CommandKind(value) if value in CommandKind.__members__ else value,
    "counts": tuple,
    "open_counts": tuple,
    "open_offsets": tuple,
    "level": Level,
    "levels": tuple,
    "bad_levels": tuple,
}


def dump(effect: Effect) -> bytes:
    """An effect as bytes."""
    values = {"type": type(effect).__name__, **_fields(effect)}
    return json.dumps(values, separators=(",", ":"), default=_plain).encode()


def load(data: bytes) -> Effect:
    """The effect that `dump` was given."""
    values = json.loads(data)
    effect: Effect = _typed(_TYPES[values.pop("type")], values)
    return effect


def _fields(record: Any) -> dict[str, Any]:
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _plain(value: Any) -> Any:
    """What JSON does not know: bytes, enums that are no numbers, records inside of records."""
    if isinstance(value, bytes):
        return value.hex()
    return value.value if isinstance(value, Enum) else _fields(value)


def _typed(kind: type, values: dict[str, Any]) -> Any:
    made: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            made[name] = None
        elif name in _BYTES:
            made[name] = bytes.fromhex(value)
        elif name == "items":
            made[name] = tuple(_typed(CommandItem, item) for item in value)
        elif name in _MAKE:
            made[name] = _MAKE[name](value)
        else:
            made[name] = value
    return kind(**made)
