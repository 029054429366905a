"""Picks the decoders: the compiled ones where there is a kernel, else the reference; both give the same batches."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.decode.changes import ChangeDecoder, ReferenceChangeDecoder
from app.decode.compiled.changes import CompiledChangeDecoder
from app.decode.compiled.receipts import ReceiptColumns
from app.decode.evidence import EvidenceDecoder
from app.decode.schemas import SchemaSource
from app.model.projection import Projections
from app.native import kernel, missing


def change_decoder(
    schemas: SchemaSource,
    projections: Projections,
    unavailable_value: str,
    column_types: Mapping[str, str] = MappingProxyType({}),
) -> ChangeDecoder:
    """A decoder of changes; arguments as `ReferenceChangeDecoder` takes them."""
    if kernel is None:
        return ReferenceChangeDecoder(schemas, projections, unavailable_value, column_types)
    return CompiledChangeDecoder(kernel, schemas, projections, unavailable_value, column_types)


def evidence_decoder(schemas: SchemaSource) -> EvidenceDecoder:
    """A decoder of evidence, with plain receipts as columns where there is a kernel."""
    return EvidenceDecoder(schemas, None if kernel is None else ReceiptColumns(kernel).read)


def described() -> str:
    """Which decoders `change_decoder` and `evidence_decoder` give, for a log."""
    why = missing()
    return "decoding with the kernel" if why is None else f"decoding with the reference, which is slower: {why}"
