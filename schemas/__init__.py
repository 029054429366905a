"""Avro schemas of everything the verifier writes, as package data; the rules for changing them are in README.md."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def text(name: str) -> str:
    """The schema file's text of one record, such as ``Verdict``; what is registered."""
    return resources.files(__name__).joinpath(f"{name}.avsc").read_text(encoding="utf-8")


def load(name: str) -> dict[str, Any]:
    """The schema of one record as JSON data."""
    found: dict[str, Any] = json.loads(text(name))
    return found


def names() -> list[str]:
    """Every schema there is, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(item.name.removesuffix(".avsc") for item in files if item.name.endswith(".avsc"))


__all__ = ["load", "names", "text"]
