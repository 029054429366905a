"""From a TOML file and the environment to `Settings`, with every fault found on the way in one `ConfigError`.

The environment overrides the file: ``CDC_VERIFIER__SINKS__WAREHOUSE__GRACE=45s`` is ``grace`` of ``[sinks.warehouse]``.
Names are upper-case; a sink's name matches whatever its case, and every sign in it that is no letter or digit is ``_``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.config.check import folded, problems_of
from app.config.kinds import MASK, Kind
from app.config.settings import SECTIONS, OverrideSettings, Settings, SinkSettings, described
from app.errors import ConfigError

PREFIX = "CDC_VERIFIER__"
_SINK: type = SinkSettings
_OVERRIDES = "overrides"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given, and where: ``cdc-verifier.toml: sinks.warehouse.grace``."""

    value: object
    place: str


Table = dict[str, Given]


class Reader:
    """Collects what was given and every fault; used once, by `load`."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.faulty: set[str] = set()
        self.is_readable = True
        self.sections: dict[str, Table] = {name: {} for name in SECTIONS}
        self.sinks: dict[str, Table] = {}
        self.overrides: dict[str, dict[str, Table]] = {}

    def read_file(self, path: Path) -> None:
        """Take the tables of a TOML file."""
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self._give_up(f"{path.name}: can't be read: {getattr(error, 'strerror', None) or error}")
            return
        except tomllib.TOMLDecodeError as error:
            self._give_up(f"{path.name}: is no TOML: {error}")
            return
        for name, table in tree.items():
            place = f"{path.name}: {name}"
            if name == "sinks":
                self._read_sinks(table, place)
            elif name in SECTIONS:
                self.sections[name] = self._table(table, place, SECTIONS[name])
            else:
                self._unknown(place, "section", name, [*SECTIONS, "sinks"])

    def _give_up(self, problem: str) -> None:
        self.problems.append(problem)
        self.is_readable = False

    def _read_sinks(self, tables: object, place: str) -> None:
        if not isinstance(tables, dict):
            self.problems.append(f"{place}: must be tables, [sinks.<name>]")
            return
        for name, table in tables.items():
            overrides = table.pop(_OVERRIDES, {}) if isinstance(table, dict) else {}
            self.sinks[name] = self._table(table, f"{place}.{name}", SinkSettings)
            self.overrides[name] = self._overrides(overrides, f"{place}.{name}.{_OVERRIDES}")

    def _overrides(self, tables: object, place: str) -> dict[str, Table]:
        if not isinstance(tables, dict):
            self.problems.append(f'{place}: must be tables, [sinks.<name>.{_OVERRIDES}."<change topic>"]')
            return {}
        return {topic: self._table(table, f'{place}."{topic}"', OverrideSettings) for topic, table in tables.items()}

    def _table(self, table: object, place: str, section: type) -> Table:
        if not isinstance(table, dict):
            self.problems.append(f"{place}: must be a table")
            return {}
        known = {key for key, _, _, _ in described(section)}
        for key in table:
            if key not in known:
                self._unknown(f"{place}.{key}", "key", key, known)
        return {key: Given(value, f"{place}.{key}") for key, value in table.items() if key in known}

    def _unknown(self, place: str, what: str, name: str, known: Iterable[str]) -> None:
        self.problems.append(f"{place}: unknown {what}; {_meant(name, known)}")

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take the variables that begin with the prefix."""
        for name in sorted(environ):
            if name.upper().startswith(PREFIX):
                if name != name.upper():
                    self.problems.append(f"{name}: must be written in upper case")
                else:
                    self._read_variable(name, environ[name])

    def _read_variable(self, name: str, text: str) -> None:
        section, _, rest = name.removeprefix(PREFIX).lower().partition("__")
        if section == "sinks":
            sink, _, key = rest.rpartition("__")
            found = next((given for given in self.sinks if folded(given) == sink), None)
            if found is None:
                self._unknown(name, "sink", sink, sorted({folded(given) for given in self.sinks}))
                return
            table, kind_of = self.sinks[found], _SINK
        elif section in SECTIONS:
            table, kind_of, key = self.sections[section], SECTIONS[section], rest
        else:
            self._unknown(name, "section", section, [*SECTIONS, "sinks"])
            return
        kinds = {known: kind for known, _, kind, _ in described(kind_of)}
        if key not in kinds:
            self._unknown(name, "key", key, kinds)
        else:
            table[key] = Given(kinds[key].parse(text), name)

    def build(self, section: type, name: str, table: Table) -> dict[str, Any]:
        """Read every value of a section; faults are noted, and their fields left to their defaults."""
        values: dict[str, Any] = {}
        for key, field, kind, _ in described(section):
            if key in table:
                try:
                    values[field] = kind.read(table[key].value)
                except ValueError as error:
                    self.faulty.add(f"{name}.{key}")
                    shown = _shown(kind, table[key].value)
                    self.problems.append(f"{table[key].place} = {shown}: must be {error}")
        return values

    def settings(self) -> Settings:
        """The tree, as far as it could be read, with the defaults that depend on other settings filled in."""
        built = {name: section(**self.build(section, name, self.sections[name])) for name, section in SECTIONS.items()}
        source_topics = built["source"].topics
        sinks = {
            name: SinkSettings(
                name=name,
                overrides=self._built_overrides(name),
                **_with_defaults(self.build(SinkSettings, f"sinks.{name}", table), source_topics),
            )
            for name, table in self.sinks.items()
        }
        return Settings(**built, sinks=MappingProxyType(sinks))

    def _built_overrides(self, sink: str) -> Mapping[str, OverrideSettings]:
        found = {
            topic: OverrideSettings(**self.build(OverrideSettings, f'sinks.{sink}.{_OVERRIDES}."{topic}"', table))
            for topic, table in self.overrides.get(sink, {}).items()
        }
        return MappingProxyType(found)


def load(path: Path | str | None, environ: Mapping[str, str], *, is_begun: bool = True) -> Settings:
    """Read the settings once.

    Args:
        path: the TOML file, or None for the environment alone.
        environ: normally ``os.environ``.
        is_begun: whether it must be whole: without, nothing is asked of the settings together.

    Raises:
        ConfigError: with every fault of file, environment and their combination, a line each.
    """
    reader = Reader()
    if path is not None:
        reader.read_file(Path(path))
        if not reader.is_readable:
            raise ConfigError(reader.problems)
    reader.read_environment(environ)
    settings = reader.settings()
    together = [
        problem for problem in problems_of(settings) if is_begun and re.split(" =|:", problem)[0] not in reader.faulty
    ]
    if reader.problems or together:
        raise ConfigError(reader.problems + together)
    return settings


def _with_defaults(values: dict[str, Any], source_topics: tuple[str, ...]) -> dict[str, Any]:
    """Add the defaults that depend on other settings (protocol section 7)."""
    has_receipts = bool(values.get("receipts"))
    defaults: dict[str, Any] = {
        "topics": source_topics,
        "evidence": "receipts" if has_receipts else "progress",
        "fences": "emitter" if has_receipts else "progress",
    }
    if values.get("connector"):
        defaults["group"] = f"connect-{values['connector']}"
    return defaults | values


def _shown(kind: Kind, value: object) -> str:
    """The value for a message: a secret never, an address without what stands before its @."""
    if kind.is_secret:
        return MASK
    return re.sub(r"//[^/@]*@", f"//{MASK}@", repr(value))


def _meant(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is unknown."""
    words = sorted(known)
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(words)}" if words else "there are none"
