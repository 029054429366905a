"""What a sink promised: the part of the configuration that verdicts depend on."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from app.model.projection import Before, Filters, Projection

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
        ignore_columns, columns, leave_out_tables, leave_out_operations: what it takes of the source, see `Projection`; sorted.
        rows, rows_out: ``table.column`` with values, sorted; before: what tells of rows that a change does not
            carry; empty where it chooses no rows.
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
    columns: tuple[str, ...] = ()
    leave_out_tables: tuple[str, ...] = ()
    leave_out_operations: tuple[str, ...] = ()
    rows: Filters = ()
    rows_out: Filters = ()
    before: Before = ""

    def projection(self) -> Projection:
        """What it takes of the source."""
        return Projection(
            ignored=frozenset(self.ignore_columns),
            listed=frozenset(self.columns),
            tables=frozenset(self.leave_out_tables),
            operations=frozenset(self.leave_out_operations),
            rows=self.rows,
            rows_out=self.rows_out,
            before=self.before,
        )

    @functools.cache  # noqa: B019 - a few contracts live as long as the process
    def digest(self) -> str:
        """SHA-256 of the contract's canonical JSON, 16 hex digits; stands in seals and checkpoints.

        A key of later versions takes part where it says something: a contract that does without keeps its digest.
        """
        told = {name: value for name, value in asdict(self).items() if value or name not in _LATER}
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


_LATER = frozenset({"columns", "leave_out_tables", "leave_out_operations", "rows", "rows_out", "before"})
"""Fields of later versions; empty, they take no part in a digest."""
