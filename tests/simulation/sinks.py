"""The sinks of a world: random contracts over every setting, and where each keeps its evidence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.contract import Contract, milliseconds
from tests.simulation.source import Table

SHARED = "evidence.shared"
SHARED_DEAD = "dlq.shared"
IGNORABLE = ("updated_at", "email", "tags")


@dataclass(slots=True, kw_only=True)
class Sink:
    """One sink: its settings as the configuration has them, and its habits, of which no configuration speaks."""

    name: str
    settings: dict[str, Any]
    contract: Contract
    batches: bool
    numbers: bool
    """Whether its receipts carry a sequence."""
    scatters: bool
    """Whether receipts of a source partition lie on any evidence partition."""
    has_fences: bool = True
    is_routed: bool = False
    """Whether the recording holds all its evidence in an internal topic too, which is then read instead."""
    evidence_topics: list[str] = field(default_factory=list)
    dead_topic: str | None = None
    success_topic: str | None = None

    @property
    def has_one_log(self) -> bool:
        """Whether nothing but offsets orders its evidence."""
        others = self.dead_topic or self.success_topic
        return len(self.evidence_topics) == 1 and not others and not self.scatters

    def toml(self) -> Iterator[str]:
        """Its part of a configuration."""
        yield f"\n[sinks.{self.name}]"
        for key, value in self.settings.items():
            yield f"{key} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """A text, a number, a list of texts, or a table of those.

    >>> toml_value("a"), toml_value(7), toml_value(["a", "b"]), toml_value({"t.c": ["a"]})
    ('"a"', '7', '["a", "b"]', '{ "t.c" = ["a"] }')
    """
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{name}" = {toml_value(inner)}' for name, inner in value.items()) + " }"
    return "[" + ", ".join(map(toml_value, value)) + "]" if isinstance(value, list) else f'"{value}"'


def make_sinks(rng: random.Random, tables: list[Table], *, is_clean: bool, suffix: str = "") -> list[Sink]:
    """Two to four sinks; every table has at least one. ``suffix`` ends the names of their evidence topics."""
    sinks = []
    for number in range(rng.randrange(2, 5)):
        wanted = [table for table in tables if rng.random() < 0.6] or [rng.choice(tables)]
        sinks.append(
            make_sink(rng, f"sink{number}", tables if number == 0 else wanted, is_clean=is_clean, suffix=suffix)
        )
    return sinks


def make_sink(rng: random.Random, name: str, tables: list[Table], *, is_clean: bool, suffix: str) -> Sink:
    """One sink of any contract."""
    topics = [table.topic for table in tables]
    choices = {
        "evidence": rng.choice(["receipts", "receipts", "receipts", "progress"]),
        "expect": rng.choice(["every-change", "latest-state"]),
        "writes": rng.choice(["upsert", "upsert", "append"]),
        "deletes": rng.choice(["apply", "apply", "ignore"]),
        "truncates": rng.choice(["apply", "ignore"]),
        "redelivery": rng.choice(["legal", "fault"]),
        "mode": rng.choice(["dry-run", "apply"]),
        "late_after": rng.choice(["5s", "10s", "1m"]),
    }
    ignored = [f"{table.name}.{column}" for table in tables for column in IGNORABLE if rng.random() < 0.25]
    own = {key: choices[key] for key in ("evidence", "expect", "writes", "deletes", "truncates", "redelivery", "mode")}
    chosen = {} if is_clean else choice(random.Random(f"{name} {rng.getstate()}"), tables)
    contract = Contract(
        name=name,
        topics=topics,
        late_after_ms=milliseconds(choices["late_after"]),
        ignore_columns=ignored,
        **own,
        **chosen,
    )
    settings: dict[str, Any] = {
        **choices,
        "topics": topics,
        "grace": "30s",
        "fences": rng.choice(["emitter", "progress", "receipts"]),
        "connector": f"{name}-connector",
        "ignore_columns": ignored,
        **chosen,
    }
    topics_of = rng.choice([[SHARED], [SHARED], [f"receipts.{name}"], [f"receipts.{name}.a", f"receipts.{name}.b"]])
    evidence = settings["receipts"] = [f"{topic}{suffix}" for topic in topics_of]
    sink = Sink(
        name=name,
        settings=settings,
        contract=contract,
        batches=rng.random() < 0.5,
        numbers=rng.random() < 0.35,
        scatters=rng.random() < 0.15,
        evidence_topics=evidence,
    )
    if rng.random() < 0.45 and not is_clean:
        sink.dead_topic = rng.choice([SHARED_DEAD, f"dlq.{name}"]) + suffix
        settings["dead_letters"] = [sink.dead_topic]
    if rng.random() < 0.3:
        sink.success_topic = f"success.{name}{suffix}"
        settings["success_topics"] = [sink.success_topic]
    return sink


VALUES = {
    "id": ["0", "1", "2", "3", "1000", "1001", "1002", "2000", "2001"],
    "email": ["x", ""],
    "is_open": ["true"],
    "body": ["long text"],
    "tier": ["3", "7"],
}
"""By column, what rows are chosen by: some are told by every change, some by none that deletes, some only by later schemas."""


def choice(rng: random.Random, tables: list[Table]) -> dict[str, Any]:
    """What of the source a sink takes, for some; by a chance of its own, so that all the rest is as it was without."""
    found: dict[str, Any] = {}
    for table in tables:
        dice = rng.random()
        if dice < 0.2:
            column = rng.choice(["id", "id", *VALUES])
            found.setdefault(rng.choice(["rows", "rows_out"]), {})[f"{table.name}.{column}"] = VALUES[column]
        elif dice < 0.3:
            listed = rng.sample(["id", "email", "amount", "payload", "tags", "body", "tier"], 4)
            found.setdefault("columns", []).extend(f"{table.name}.{column}" for column in listed)
        elif dice < 0.33:
            found.setdefault("leave_out_tables", []).append(table.name)
    if rng.random() < 0.1:
        found["leave_out_operations"] = rng.choice([["r"], ["c", "r"], ["d"]])
    return found
