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
    """A text, a number or a list of texts.

    >>> toml_value("a"), toml_value(7), toml_value(["a", "b"])
    ('"a"', '7', '["a", "b"]')
    """
    if isinstance(value, int):
        return str(value)
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
    contract = Contract(
        name=name,
        topics=topics,
        late_after_ms=milliseconds(choices["late_after"]),
        ignore_columns=ignored,
        **own,
    )
    settings: dict[str, Any] = {
        **choices,
        "topics": topics,
        "grace": "30s",
        "fences": rng.choice(["emitter", "progress", "receipts"]),
        "connector": f"{name}-connector",
        "ignore_columns": ignored,
    }
    chosen = rng.choice([[SHARED], [SHARED], [f"receipts.{name}"], [f"receipts.{name}.a", f"receipts.{name}.b"]])
    evidence = settings["receipts"] = [f"{topic}{suffix}" for topic in chosen]
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
