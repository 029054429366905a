"""Where writer schemas come from: a registry, or a recording's schemas.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from app.errors import BadInput

Schema = dict[str, Any] | list[Any] | str


class UnknownSchema(BadInput):
    """The registry knows no schema of this id: what was written with it is undecodable."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"unknown schema id {schema_id}")


class SchemaSource(Protocol):
    """Answers schema ids; answers are final and may be kept."""

    def get(self, schema_id: int) -> Schema:
        """The writer schema of an id.

        Raises:
            UnknownSchema: there is none.
            Unavailable: nobody answers now; the caller waits and asks again.
        """


class RecordedSchemas:
    """The schemas of a recording: ``{"<id>": "<Avro JSON text>"}``."""

    def __init__(self, texts: dict[int, str]) -> None:
        self._texts = texts

    @classmethod
    def of(cls, path: Path) -> RecordedSchemas:
        """Those of a schemas.json, none where it is absent: a recording of JSON may need none.

        Raises:
            BadInput: the file holds something else.
        """
        try:
            found = {int(number): text for number, text in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            return cls({})
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise BadInput(f"{path}: not a map from schema ids to Avro schemas: {error}") from error
        for number, text in found.items():
            if not isinstance(text, str):
                raise BadInput(f"{path}: schema id {number} is not the schema's JSON as text")
        return cls(found)

    def items(self) -> list[tuple[int, str]]:
        """Every schema by id, ascending."""
        return sorted(self._texts.items())

    def get(self, schema_id: int) -> Schema:
        text = self._texts.get(schema_id)
        if text is None:
            raise UnknownSchema(schema_id)
        try:
            schema: Schema = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"schema id {schema_id} is no JSON: {error}") from error
        return schema
