"""Kinds of setting that only a sink's contract has."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from app.config.kinds import COLUMN, Kind, Texts


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


@dataclass(frozen=True, slots=True)
class Words(Kind):
    """A list of different words of a closed list; in the environment separated by commas, or a TOML array."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:  # type: ignore[override]  # made of the words
        return "a list of different words of " + ", ".join(f'"{word}"' for word in self.words)

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(set(map(str, value))) != len(value):
            raise self.refuse()
        if not all(isinstance(word, str) and word in self.words for word in value):
            raise self.refuse()
        return tuple(sorted(value))

    def parse(self, text: str) -> object:
        return Texts().parse(text)

    def show(self, value: object) -> str:
        return Texts().show(value)


class Values(Kind):
    """Texts by column, as ``{ "orders.region" = ["EU", "UK"] }``; in the environment an inline table."""

    allowed = 'a table of lists such as { "orders.region" = ["EU", "UK"] }, each with different texts as the values are written'

    def read(self, value: object) -> Mapping[str, tuple[str, ...]]:
        if not isinstance(value, dict) or not all(re.fullmatch(COLUMN, column) for column in value):
            raise self.refuse()
        for texts in value.values():
            if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
                raise self.refuse()
            if len(set(texts)) != len(texts):
                raise self.refuse()
        return MappingProxyType({column: tuple(sorted(texts)) for column, texts in sorted(value.items())})

    def parse(self, text: str) -> object:
        return _table(text)

    def show(self, value: object) -> str:
        found = value if isinstance(value, Mapping) else {}
        return _shown({column: json.dumps(list(texts), ensure_ascii=False) for column, texts in found.items()})


class Moments(Kind):
    """Times by column, as ``{ "orders.note" = "2026-12-01T00:00:00Z" }``, held in ms since the epoch."""

    allowed = 'a table of times with their zone, such as { "orders.note" = "2026-12-01T00:00:00Z" }'

    def read(self, value: object) -> Mapping[str, int]:
        if not isinstance(value, dict) or not all(re.fullmatch(COLUMN, column) for column in value):
            raise self.refuse()
        return MappingProxyType({column: self._moment(text) for column, text in sorted(value.items())})

    def _moment(self, value: object) -> int:
        """TOML has times of its own, which may be written without quotes."""
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            raise self.refuse() from None
        if not isinstance(found, datetime) or found.tzinfo is None:
            raise self.refuse()
        return round(found.timestamp() * 1000)

    def parse(self, text: str) -> object:
        return _table(text)

    def show(self, value: object) -> str:
        found = value if isinstance(value, Mapping) else {}
        return _shown({column: json.dumps(_written(at_ms)) for column, at_ms in found.items()})


def _written(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(values: Mapping[str, str]) -> str:
    """An inline table of values that are TOML already."""
    parts = [f"{json.dumps(name, ensure_ascii=False)} = {value}" for name, value in values.items()]
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def _table(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
