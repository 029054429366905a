"""What a sink promised: the part of the configuration that verdicts depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

Mode = Literal["observe", "dry-run", "apply"]
MODES: tuple[Mode, ...] = ("observe", "dry-run", "apply")
"""What is made of bad cells: verdicts alone, commands to be looked at, commands to be carried out; each more than the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One sink's contract (protocol section 7); contracts are data of the fold.

    Attributes:
        topics: change topics whose changes this sink consumes.
        connector: the Connect connector's name, or None.
        late_after_ms, command_ttl_ms: milliseconds.
        ignore_columns: ``table.column`` texts, sorted.
        mode: one of `MODES`.
        commands_per_minute: limit of sending; it changes no verdict and no command.
    """

    sink: str
    topics: tuple[str, ...]
    connector: str | None = None
    start: Literal["earliest", "committed", "latest"] = "earliest"
    evidence: Literal["receipts", "progress"] = "receipts"
    fences: Literal["emitter", "progress", "receipts"] = "emitter"
    expect: Literal["every-change", "latest-state"] = "every-change"
    writes: Literal["upsert", "append"] = "upsert"
    late_after_ms: int = 10_000
    deletes: Literal["apply", "ignore", "soft"] = "apply"
    truncates: Literal["apply", "ignore"] = "ignore"
    redelivery: Literal["legal", "fault"] = "legal"
    ignore_columns: tuple[str, ...] = ()
    mode: Mode = "dry-run"
    commands_per_minute: int = 60
    command_ttl_ms: int = 3_600_000

    def digest(self) -> str:
        """SHA-256 of the contract's canonical JSON, 16 hex digits; stands in seals and checkpoints."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
