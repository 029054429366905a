"""Decoding with fastavro, as the Python verifiers share it; fingerprints come from the package that sinks use."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro

from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded


class Decoder:
    """Decodes the records of this benchmark.

    Args:
        schemas: a directory with every schema as ``<id>.avsc``.
    """

    def __init__(self, schemas: Path) -> None:
        texts = {int(path.stem): path.read_text(encoding="utf-8") for path in schemas.glob("*.avsc")}
        self._schemas = {number: fastavro.parse_schema(loaded(text)) for number, text in texts.items()}
        self._fence = next(number for number, text in texts.items() if json.loads(text)["name"] == "SinkMark")
        envelope = next(text for text in texts.values() if json.loads(text)["name"] == "Envelope")
        row = json.loads(envelope)["fields"][0]["type"][1]
        self._fingerprinter = RowFingerprinter(json.dumps(row))

    def change(self, value: bytes) -> int:
        """The fingerprint of the row after a change."""
        return self._fingerprinter.fingerprint_int(self._read(value)["after"])

    def evidence(self, value: bytes) -> tuple[str, int, int | None]:
        """Which sink, which offset, and of a receipt the fingerprint; None for a fence."""
        told = self._read(value)
        if int.from_bytes(value[1:5], "big") == self._fence:
            return told["sink"], told["offset"], None
        return told["sink"], told["offset"], int.from_bytes(told["fingerprint"], "little")

    def _read(self, value: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[int.from_bytes(value[1:5], "big")], None)
