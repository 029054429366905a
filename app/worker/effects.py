"""Effects as JSON: the form in which the outbox keeps them until the broker has acknowledged them.

Bytes are hex digits, enums their values. The type's name stands beside the fields, so that `load` gives the effect back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from app.model import ChangeKind, Flag, Origin, State
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

Effect = Verdict | Command | Seal | SinkWatermark | Orphan | Contradicted | Unreadable | UnknownSink

_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (Verdict, Command, Seal, SinkWatermark, Orphan, Contradicted, Unreadable, UnknownSink)
}
_BYTES = {"key_hash", "expected_fingerprint", "seen_fingerprint", "fingerprint", "seal_hash", "previous", "hash"}
_MAKE: dict[str, Callable[[Any], Any]] = {
    "state": State,
    "flags": lambda value: tuple(value) if isinstance(value, list) else Flag(value),
    "change": ChangeKind,
    "fence_origin": lambda value: Origin(*value),
    "origin": lambda value: Origin(*value),
    "action": CommandAction,
    "mode": CommandMode,
    "reason": lambda value: CommandReason(value) if value in CommandReason.__members__ else value,
    "kind": CommandKind,
    "counts": tuple,
    "open_counts": tuple,
    "open_offsets": tuple,
}


def dump(effect: Effect) -> bytes:
    """An effect as bytes."""
    return json.dumps({"type": type(effect).__name__, **_plain(effect)}, separators=(",", ":")).encode()


def load(data: bytes) -> Effect:
    """The effect that `dump` was given."""
    values = json.loads(data)
    effect: Effect = _typed(_TYPES[values.pop("type")], values)
    return effect


def _plain(record: Any) -> dict[str, Any]:
    return {item.name: _value(getattr(record, item.name)) for item in fields(record)}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return _plain(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return value


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
