"""What a sink promised, as the oracle reads it from a configuration (protocol section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.changes import Change

CHOICES = ("columns", "rows", "rows_out", "leave_out_tables", "leave_out_operations")
"""What of the source a contract takes; the columns that rows are chosen by are told by a delete's key alone."""
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One sink's settings, with the defaults of section 7."""

    name: str
    topics: list[str]
    evidence: str = "receipts"
    expect: str = "every-change"
    writes: str = "upsert"
    deletes: str = "apply"
    truncates: str = "ignore"
    redelivery: str = "legal"
    late_after_ms: int = 10_000
    mode: str = "dry-run"
    ignore_columns: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    rows_out: dict[str, list[str]] = field(default_factory=dict)
    leave_out_tables: list[str] = field(default_factory=list)
    leave_out_operations: list[str] = field(default_factory=list)
    placeholder: str = "__debezium_unavailable_value"

    def ignored(self, change: Change) -> list[str]:
        """Every column that takes no part in a change's fingerprint: what is ignored, and what is not listed."""
        own = [name for name in self.columns if name.rpartition(".")[0] == change.table]
        if not own:
            return self.ignore_columns
        every = [f"{change.table}.{one['name']}" for one in change.fields]
        return [name for name in every if name not in own or name in self.ignore_columns]

    def takes(self, change: Change) -> bool | None:
        """Whether a change is the sink's by its table, operation and row; None where nobody can tell."""
        if change.table in self.leave_out_tables or change.op in self.leave_out_operations:
            return False
        if change.kind not in {"upsert", "delete"}:
            return True
        answers = [
            None if held is None else held is wanted
            for choice, wanted in ((self.rows, True), (self.rows_out, False))
            for name, values in choice.items()
            if name.rpartition(".")[0] == change.table
            for held in [_holds(change, name.rpartition(".")[2], values, self.placeholder)]
        ]
        if False in answers:
            return False
        return None if None in answers else True

    def is_unreadable(self, change: Change) -> bool:
        """Whether nothing can be said of what the sink made of it."""
        return change.kind == "undecodable" or self.takes(change) is None

    def expects_nothing_of(self, change: Change) -> bool:
        """Whether the contract leaves a change out."""
        return (
            self.takes(change) is False
            or change.kind in {"tombstone", "message"}
            or (change.kind == "truncate" and self.truncates != "apply")
            or (change.kind == "delete" and self.deletes == "ignore")
        )


def _holds(change: Change, column: str, values: list[str], placeholder: str) -> bool | None:
    """Whether a column has one of some values; None where the change does not tell."""
    row = (change.row if change.kind == "upsert" else change.key) or {}
    if column not in row or row[column] == placeholder:
        return None
    value = row[column]
    text = str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
    return text in values


def milliseconds(text: str) -> int:
    """A duration.

    >>> milliseconds("1500ms"), milliseconds("10s")
    (1500, 10000)
    """
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(number) * UNITS_MS[unit]


def contracts(config: dict[str, Any], topics: list[str]) -> dict[str, Contract]:
    """Every sink's contract; ``topics`` are all that the recording holds."""
    source = config["source"]
    of_source = [topic for topic in topics if any(_names(listed, topic) for listed in source["topics"])]
    made = {}
    for name, sink in config["sinks"].items():
        listed = sink.get("topics")
        own = {
            key: sink[key]
            for key in ("expect", "writes", "deletes", "truncates", "redelivery", "mode", *CHOICES)
            if key in sink
        }
        made[name] = Contract(
            name=name,
            topics=of_source if listed is None else [t for t in of_source if any(_names(one, t) for one in listed)],
            evidence=sink.get("evidence", "receipts" if sink.get("receipts") else "progress"),
            late_after_ms=milliseconds(sink.get("late_after", "10s")),
            ignore_columns=sink.get("ignore_columns", []),
            placeholder=source.get("unavailable_value", "__debezium_unavailable_value"),
            **own,
        )
    return made


def _names(listed: str, topic: str) -> bool:
    if len(listed) > 1 and listed.startswith("/") and listed.endswith("/"):
        return re.fullmatch(listed[1:-1], topic) is not None
    return listed == topic
