"""What a sink promised, as the oracle reads it from a configuration (protocol section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.changes import Change

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
    placeholder: str = "__debezium_unavailable_value"

    def expects_nothing_of(self, change: Change) -> bool:
        """Whether the contract leaves a change out."""
        return (
            change.kind in {"tombstone", "message"}
            or (change.kind == "truncate" and self.truncates != "apply")
            or (change.kind == "delete" and self.deletes == "ignore")
        )


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
            key: sink[key] for key in ("expect", "writes", "deletes", "truncates", "redelivery", "mode") if key in sink
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
