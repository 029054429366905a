"""Kinds of setting that only a sink's contract has."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.kinds import Kind


@dataclass(frozen=True, slots=True)
class Label(Kind):
    """A short text of one line, for people and for labels of metrics."""

    most: int = 100
    """Characters: every series of the metric that bears it repeats it."""

    @property
    def allowed(self) -> str:  # type: ignore[override]  # made of the bound
        return f"a text of one line, 1 to {self.most} characters"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > self.most:
            raise self.refuse()
        return value
