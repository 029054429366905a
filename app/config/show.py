"""The effective settings as TOML, secrets masked: what ``cdc-verifier config show`` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from app.config.settings import SECTIONS, OverrideSettings, Settings, SinkSettings, described


def show(settings: Settings) -> str:
    """Every setting with its effective value; one without a value is a comment."""
    lines: list[str] = []
    for name, section in SECTIONS.items():
        lines += [f"[{name}]", *_lines(getattr(settings, name), section), ""]
    for sink in settings.sinks.values():
        lines += [f"[sinks.{_key(sink.name)}]", *_lines(sink, SinkSettings), ""]
        for topic, override in sink.overrides.items():
            place = f"[sinks.{_key(sink.name)}.overrides.{_key(topic)}]"
            lines += [place, *_lines(override, OverrideSettings), ""]
    return "\n".join(lines)


def _lines(values: object, section: type) -> Iterator[str]:
    for key, name, kind, _ in described(section):
        value = getattr(values, name)
        yield f"# {key} is not set" if value is None else f"{key} = {kind.show(value)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
