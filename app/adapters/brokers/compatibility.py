"""Whether a reader with one Avro schema can read what was written with another, as the embedded registry answers it.

The rules are those of Avro's "Schema Resolution": names must be equal (aliases are not looked at, nothing of ours has any),
numbers and texts may be promoted, a field that the writer lacks needs a default, an enum's unknown symbol needs one too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""What a writer's type may be read as, beside itself."""

Named = dict[str, Any]
"""Schemas by full name, so far as they were defined."""


def refusals(level: str, new: str, versions: Sequence[str]) -> list[str]:
    """Why a schema may not follow a subject's versions at a compatibility level; empty where it may.

    Args:
        level: one of NONE, BACKWARD, FORWARD, FULL, and the last three with ``_TRANSITIVE``.
        new: the schema; versions: those before it, oldest first.
    """
    against = list(versions) if level.endswith("_TRANSITIVE") else list(versions[-1:])
    kind = level.removesuffix("_TRANSITIVE")
    found: list[str] = []
    for old in against:
        if kind in {"BACKWARD", "FULL"}:
            found += [f"the new schema can't read the old one's data: {why}" for why in clashes(new, old)]
        if kind in {"FORWARD", "FULL"}:
            found += [f"the old schema can't read the new one's data: {why}" for why in clashes(old, new)]
    return list(dict.fromkeys(found))


def clashes(reader: str, writer: str) -> list[str]:
    """Where a reader can't resolve a writer's data, a line each.

    >>> clashes('"long"', '"int"'), clashes('"int"', '"long"')
    ([], ['/: the writer has long, the reader int'])
    """
    return list(_Resolution().clashes(json.loads(reader), json.loads(writer), "/"))


class _Resolution:
    """One walk down two schemas; names are known from their definition on."""

    def __init__(self) -> None:
        self._readers: Named = {}
        self._writers: Named = {}
        self._seen: set[tuple[str, str]] = set()

    def clashes(self, reader: Any, writer: Any, path: str) -> Iterator[str]:
        reader, writer = _known(self._readers, reader), _known(self._writers, writer)
        if isinstance(writer, list):
            for branch in writer:
                yield from self.clashes(reader, branch, path)
        elif isinstance(reader, list):
            tried = [list(self.clashes(branch, writer, path)) for branch in reader]
            if all(tried):
                yield f"{path}: the reader has no branch for the writer's {_kind(writer)}"
        else:
            yield from self._one(reader, writer, path)

    def _one(self, reader: Any, writer: Any, path: str) -> Iterator[str]:
        kind, written = _kind(reader), _kind(writer)
        if kind != written:
            if kind not in PROMOTED.get(written, ()):
                yield f"{path}: the writer has {written}, the reader {kind}"
        elif kind in {"record", "enum", "fixed"}:
            yield from self._named(kind, reader, writer, path)
        elif kind in {"array", "map"}:
            inner = "items" if kind == "array" else "values"
            yield from self.clashes(reader[inner], writer[inner], f"{path}{inner}/")

    def _named(self, kind: str, reader: Any, writer: Any, path: str) -> Iterator[str]:
        if _name(reader) != _name(writer):
            yield f"{path}: the writer has {kind} {_name(writer)}, the reader {kind} {_name(reader)}"
        elif kind == "fixed" and reader["size"] != writer["size"]:
            yield f"{path}: the writer has {writer['size']} bytes, the reader {reader['size']}"
        elif kind == "enum" and "default" not in reader:
            for symbol in writer["symbols"]:
                if symbol not in reader["symbols"]:
                    yield f"{path}: the reader's {_name(reader)} has no symbol {symbol}, and no default for it"
        elif kind == "record":
            yield from self._fields(reader, writer, path)

    def _fields(self, reader: Any, writer: Any, path: str) -> Iterator[str]:
        pair = (json.dumps(reader), json.dumps(writer))
        if pair in self._seen:  # a record that holds itself
            return
        self._seen.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            name = field["name"]
            if name in written:
                yield from self.clashes(field["type"], written[name]["type"], f"{path}{name}/")
            elif "default" not in field:
                yield f"{path}{name}: the writer has no such field, and the reader no default for it"


def _known(names: Named, schema: Any) -> Any:
    """A schema, where only its name stands the one of that name; definitions are noted."""
    if isinstance(schema, str):
        return names.get(schema.rpartition(".")[2], schema)
    if isinstance(schema, dict) and "name" in schema:
        names[_name(schema)] = schema
    return schema


def _kind(schema: Any) -> str:
    """Its type's name; ``{"type": "long"}`` is long."""
    while isinstance(schema, dict):
        schema = schema["type"]
    return str(schema)


def _name(schema: Any) -> str:
    """Avro compares the names without their namespaces."""
    return str(schema["name"]).rpartition(".")[2]
