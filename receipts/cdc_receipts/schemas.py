"""Avro schemas as Connect writes them: prepared for decoding, and looked up by name.

``logicalType`` is removed everywhere: some Debezium decimals are illegal Avro (a scale below zero or above the precision),
and the class of a value is chosen by ``connect.name`` alone (protocol section 2).
"""

from __future__ import annotations

import json
from typing import Any

Schema = str | dict[str, Any] | list[Any]
"""An Avro schema as JSON gives it."""

_NAMED = ("record", "enum", "fixed", "error")


def stripped(schema: Any) -> Any:
    """A schema without any ``logicalType``."""
    if isinstance(schema, dict):
        return {key: stripped(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [stripped(item) for item in schema]
    return schema


def loaded(schema: str | Schema) -> Schema:
    """A schema from its JSON text (or as it is), without logical types."""
    if isinstance(schema, str) and schema.lstrip()[:1] in ("{", "["):
        schema = json.loads(schema)
    result: Schema = stripped(schema)
    return result


class NamedTypes:
    """The named types of a schema by full name."""

    def __init__(self, schema: Schema) -> None:
        self._types: dict[str, dict[str, Any]] = {}
        self._spaces: dict[int, str] = {}
        self._index(schema, "")

    def resolve(self, schema: Any, namespace: str) -> tuple[Any, str]:
        """A type with references followed and needless nesting removed, and the namespace it stands in.

        Unions are left as they are.
        """
        while True:
            if isinstance(schema, str):
                found = self._types.get(schema if "." in schema else f"{namespace}.{schema}".lstrip("."))
                found = found or self._types.get(schema)
                if found is None:
                    return {"type": schema}, namespace
                return found, self._spaces[id(found)]
            if isinstance(schema, dict) and not isinstance(schema["type"], str):
                schema = schema["type"]
                continue
            if isinstance(schema, dict) and schema["type"] not in _PRIMITIVES and schema["type"] not in _COMPLEX:
                schema = schema["type"]
                continue
            if isinstance(schema, dict) and id(schema) in self._spaces:
                return schema, self._spaces[id(schema)]
            return schema, namespace

    def branch(self, schema: Any, namespace: str) -> tuple[dict[str, Any], str, bool]:
        """The type behind a union with null, its namespace, and whether null is allowed."""
        resolved, namespace = self.resolve(schema, namespace)
        if not isinstance(resolved, list):
            return resolved, namespace, resolved["type"] == "null"
        others = [item for item in resolved if item not in ("null", {"type": "null"})]
        if not others:
            return {"type": "null"}, namespace, True
        inner, namespace = self.resolve(others[0], namespace)
        return inner, namespace, len(others) < len(resolved)

    def _index(self, schema: Any, namespace: str) -> None:
        if isinstance(schema, list):
            for item in schema:
                self._index(item, namespace)
        elif isinstance(schema, dict):
            if schema.get("type") in _NAMED:
                name = schema["name"]
                full = name if "." in name else f"{schema.get('namespace', namespace)}.{name}".lstrip(".")
                namespace = full.rpartition(".")[0]
                self._types[full] = schema
                self._spaces[id(schema)] = namespace
            for field in schema.get("fields", ()):
                self._index(field["type"], namespace)
            for part in ("items", "values"):
                if part in schema:
                    self._index(schema[part], namespace)
            if isinstance(schema.get("type"), dict | list):
                self._index(schema["type"], namespace)


_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_COMPLEX = ("record", "enum", "fixed", "array", "map", "error")
