"""``fingerprint``: for implementers in other languages, who check their own against it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from fastavro import parse_schema, schemaless_reader

from app.errors import BadInput
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded


def fingerprint_lines(lines: Iterable[str]) -> Iterator[str]:
    """The 16 hex digits of each line ``{"schema", "avro_b64", "ignore"}``; blank lines are passed over.

    Raises:
        BadInput: a line that can't be used, with its number.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _fingerprint(json.loads(line))
            except Exception as error:  # whatever a hand-made line makes of three libraries
                raise BadInput(f"line {number}: {type(error).__name__}: {error}") from error


def _fingerprint(row: dict[str, Any]) -> str:
    schema = loaded(row["schema"])
    stream = io.BytesIO(base64.b64decode(str(row["avro_b64"]), validate=True))
    value: Any = schemaless_reader(stream, parse_schema(loaded(schema)), None)
    if stream.read(1):
        raise ValueError("bytes left over after the row")
    ignored = row.get("ignore") or []
    return RowFingerprinter(schema, list(ignored)).fingerprint(value).hex()
