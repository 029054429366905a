"""Kinds of setting: how a value of TOML or of the environment is read, what is allowed, how it is shown.

`read` takes what TOML gives and raises ValueError with what is allowed; `parse` turns an environment variable's text into
what TOML would have given; `show` prints a value as TOML, secrets masked.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from app.model.column_types import connect_type

MASK = "***"
_COLUMN = r"[^.]+(\.[^.]+)+"
DURATION_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SIZE_UNITS_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


class Secret:
    """A text that no repr, message or page shows; `reveal` is called where it is handed to a client, nowhere else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"


class Kind:
    """Base of all kinds; ``allowed`` is the text that a fault is reported with."""

    allowed = "a text"
    is_secret = False

    def read(self, value: object) -> object:
        """The setting's value; raises ValueError where ``value`` is not allowed."""
        raise NotImplementedError

    def parse(self, text: str) -> object:
        """What TOML would have given for an environment variable's text."""
        return text

    def show(self, value: object) -> str:
        """The value as TOML."""
        return json.dumps(value, ensure_ascii=False)

    def refuse(self) -> ValueError:
        """The error for a value that is not allowed."""
        return ValueError(self.allowed)


class Text(Kind):
    """A text that is not empty."""

    allowed = "a text that is not empty"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.refuse()
        return value


class Url(Text):
    """An http or https address without credentials in it."""

    allowed = "http://host:port or https://host:port (credentials go into username and password)"

    def read(self, value: object) -> str:
        text = super().read(value)
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise self.refuse()
        return text.rstrip("/")


class StoreUrl(Text):
    """The address of a SQL database, with a user and without a password."""

    allowed = "postgresql://user@host:port/database or mysql://user@host:port/database (its password goes into store_password)"

    def read(self, value: object) -> str:
        text = super().read(value)
        parts = urlsplit(text)
        is_whole = parts.hostname and parts.username and parts.path.strip("/")
        if parts.scheme not in {"postgresql", "mysql"} or not is_whole or parts.password is not None:
            raise self.refuse()
        return text


class Share(Kind):
    """A part of a whole, 0 to 1."""

    allowed = "a number from 0 to 1"

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.refuse()
        return float(value)

    def parse(self, text: str) -> object:
        return _toml(text)


class SecretText(Kind):
    """A text that is never shown."""

    allowed = "a text"
    is_secret = True

    def read(self, value: object) -> Secret:
        if not isinstance(value, str):
            raise self.refuse()
        return Secret(value)

    def show(self, value: object) -> str:
        return json.dumps(str(value))


class Directory(Text):
    """A path of this machine."""

    allowed = "a directory's path"

    def read(self, value: object) -> Path:  # type: ignore[override]  # every kind has its own type of value
        return Path(super().read(value))

    def show(self, value: object) -> str:
        return json.dumps(str(value))


class Texts(Kind):
    """A list of different texts; in the environment separated by commas, or a TOML array."""

    allowed = "a list of different texts, none empty"

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.refuse()
        if len(set(value)) != len(value):
            raise self.refuse()
        return tuple(value)

    def parse(self, text: str) -> object:
        if text.lstrip().startswith("["):
            return _toml(text)
        return [item.strip() for item in text.split(",")] if text.strip() else []

    def show(self, value: object) -> str:
        return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


class Topics(Texts):
    """Topic names; between slashes regular expressions, matched whole."""

    allowed = 'a list of different topic names, or regular expressions between slashes ("/shop[.]public[.].*/")'

    def read(self, value: object) -> tuple[str, ...]:
        topics = super().read(value)
        for topic in topics:
            if is_pattern(topic):
                try:
                    re.compile(topic[1:-1])
                except re.error as error:
                    raise ValueError(f"regular expressions between slashes, and {topic} is none: {error}") from error
            elif "/" in topic:
                raise self.refuse()
        return topics


COLUMN = r"[^.]+(\.[^.]+)+"
"""``table.column``."""
PLACE = rf"\*|{COLUMN}"
"""``table.column``, ``*.column`` or ``*``."""


class Columns(Texts):
    """Columns as ``table.column``; kept sorted."""

    allowed = 'a list of different "table.column" texts'

    def read(self, value: object) -> tuple[str, ...]:
        columns = super().read(value)
        if not all(re.fullmatch(COLUMN, column) for column in columns):
            raise self.refuse()
        return tuple(sorted(columns))


@dataclass(frozen=True, slots=True)
class TextMap(Kind):
    """A table of texts, as ``{ "orders.total" = "amount" }``; in the environment an inline table.

    ``names`` is what the names must match, ``example`` a line of such a table.
    """

    names: str = ".+"
    example: str = '"orders.total" = "amount"'

    @property
    def allowed(self) -> str:  # type: ignore[override]  # computed from the example
        return f"a table of texts such as {{ {self.example} }}"

    def read(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict) or not all(isinstance(text, str) and text.strip() for text in value.values()):
            raise self.refuse()
        if not all(re.fullmatch(self.names, name) for name in value):
            raise self.refuse()
        return MappingProxyType(dict(sorted(value.items())))

    def parse(self, text: str) -> object:
        return _toml(text)

    def show(self, value: object) -> str:
        return _inline(value)


@dataclass(frozen=True, slots=True)
class WordsMap(Kind):
    """A table of lists of words of a closed list, as ``{ "*" = ["blanks"] }``; in the environment an inline table."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:  # type: ignore[override]  # computed from the words
        return (
            'a table of lists such as { "orders.total" = ["double"], "*.total" = [], "*" = [] }, the words being '
            + ", ".join(self.words)
        )

    def read(self, value: object) -> Mapping[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            raise self.refuse()
        for name, words in value.items():
            if not re.fullmatch(PLACE, name) or not isinstance(words, list):
                raise self.refuse()
            if not all(isinstance(word, str) and word in self.words for word in words):
                raise self.refuse()
        return MappingProxyType({name: tuple(words) for name, words in sorted(value.items())})

    def parse(self, text: str) -> object:
        return _toml(text)

    def show(self, value: object) -> str:
        return _inline(value)


class ColumnTypes(Kind):
    """Type words by column, as ``"table.column" = "word"`` or as a table for each table; held as sorted pairs."""

    allowed = 'a table of "table.column" = "type", the types being those of decoding.md'

    def read(self, value: object) -> tuple[tuple[str, str], ...]:
        found = dict(self._flat(value, ""))
        if not all(re.fullmatch(_COLUMN, column) for column in found):
            raise self.refuse()
        for column, word in found.items():
            try:
                connect_type(word)
            except ValueError as error:
                raise ValueError(f"{self.allowed}; {column}: {error}") from error
        return tuple(sorted(found.items()))

    def _flat(self, value: object, prefix: str) -> Iterator[tuple[str, str]]:
        """TOML reads an unquoted ``orders.total`` as a table in a table."""
        if not isinstance(value, dict):
            raise self.refuse()
        for name, inner in value.items():
            if isinstance(inner, str):
                yield f"{prefix}{name}", inner
            else:
                yield from self._flat(inner, f"{prefix}{name}.")

    def parse(self, text: str) -> object:
        return _toml(text)

    def show(self, value: object) -> str:
        given = value if isinstance(value, tuple) else ()
        pairs = [f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(word)}" for name, word in given]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"


@dataclass(frozen=True, slots=True)
class OneOf(Kind):
    """One word of a closed list."""

    words: Sequence[str]

    @property
    def allowed(self) -> str:  # type: ignore[override]  # made of the words
        return "one of " + ", ".join(f'"{word}"' for word in self.words)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise self.refuse()
        return value


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number from ``low`` to ``high``, both allowed."""

    low: int
    high: int

    @property
    def allowed(self) -> str:  # type: ignore[override]  # made of the range
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise self.refuse()
        return value

    def parse(self, text: str) -> object:
        return int(text) if re.fullmatch(r"[+-]?\d+", text.strip()) else text


@dataclass(frozen=True, slots=True)
class Amount(Kind):
    """A text of a whole number and a unit, held as a number of the smallest unit."""

    units: dict[str, int]
    what: str
    low: int = 0

    @property
    def allowed(self) -> str:  # type: ignore[override]  # made of the units
        least = f", at least {self.low} {next(iter(self.units))}" if self.low else ""
        return f"{self.what}: a whole number and one of {', '.join(self.units)}{least}"

    def read(self, value: object) -> int:
        match = re.fullmatch(r"(\d+) ?([A-Za-z]+)", value, re.ASCII) if isinstance(value, str) else None
        if match is None or match[2] not in self.units:
            raise self.refuse()
        amount = int(match[1]) * self.units[match[2]]
        if not self.low <= amount < 1 << 62:
            raise self.refuse()
        return amount

    def show(self, value: object) -> str:
        """The amount in the largest unit that it stays whole in."""
        if not isinstance(value, int):
            raise self.refuse()
        unit, size = [item for item in self.units.items() if value % item[1] == 0 and (value or item[1] == 1)][-1]
        return f'"{value // size}{unit}"'


def duration(low_ms: int = 0) -> Amount:
    """A duration such as ``"30s"``, held in milliseconds."""
    return Amount(DURATION_UNITS_MS, 'a duration such as "30s"', low_ms)


def size(low_bytes: int = 0) -> Amount:
    """A size such as ``"20GiB"``, held in bytes."""
    return Amount(SIZE_UNITS_BYTES, 'a size such as "20GiB"', low_bytes)


def is_pattern(topic: str) -> bool:
    """Whether a topic's setting is a regular expression: it stands between slashes."""
    return len(topic) > 2 and topic.startswith("/") and topic.endswith("/")


def _inline(value: object) -> str:
    """A mapping as an inline table of TOML."""
    found = value if isinstance(value, Mapping) else {}
    parts = [
        f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(list(v) if isinstance(v, tuple) else v, ensure_ascii=False)}"
        for name, v in found.items()
    ]
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def _toml(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
