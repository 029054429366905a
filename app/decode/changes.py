"""The reference decoder of changes: one record at a time, behind the columnar interface.

A value is framed Avro where it begins with 00, JSON where it begins with an object; one topic may hold both.

A compiled decoder must give the same `ChangeBatch` for every input; where it reports an error, this one decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from xxhash import xxh64_intdigest

from app.decode.envelope import Decoded, EnvelopePlan, KeyOf, no_key
from app.decode.framing import is_framed, key_body, schema_ids, unframed
from app.decode.json_changes import JsonChanges, is_json
from app.decode.keys import KeyReader
from app.decode.schemas import SchemaSource, UnknownSchema
from app.decode.selection import Selection
from app.errors import BadInput, Unavailable, Undecodable
from app.model import NO_TIME, ChangeBatch, ChangeKind, LeftOut, RawBatch
from app.model.batches import UInt8s
from app.model.projection import Projections, as_projections

_TOMBSTONE = Decoded(ChangeKind.TOMBSTONE, 0, (), NO_TIME, None)
_UNREADABLE = Decoded(ChangeKind.UNREADABLE, 0, (), NO_TIME, None)
_NOTHING = (0, 0)


class ChangeDecoder(Protocol):
    """What every decoder of changes does."""

    def decode(self, raw: RawBatch) -> ChangeBatch:
        """The changes of one fetch; raises `Unavailable` where a schema can't be had now, and then decodes nothing."""

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch that were not asked for yet, so that live code fetches them ahead of `decode`."""


class ReferenceChangeDecoder:
    """Decodes Avro with fastavro, and JSON.

    Args:
        schemas: where writer schemas come from.
        projections: what contracts take; columns of ``ChangeBatch.fingerprints``.
        unavailable_value: the placeholder's text.
        column_types: type words by ``table.column``, for JSON without schemas.
    """

    def __init__(
        self,
        schemas: SchemaSource,
        projections: Projections,
        unavailable_value: str,
        column_types: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._schemas = schemas
        self._projections = as_projections(projections)
        self._asks_keys = Selection(self._projections).chooses_rows
        self._unavailable_value = unavailable_value
        self._plans: dict[int, EnvelopePlan | str] = {}
        self._json = JsonChanges(self._projections, unavailable_value, column_types)
        self._keys = KeyReader(schemas, self._json)

    def decode(self, raw: RawBatch) -> ChangeBatch:
        count = len(raw)
        reasons: dict[int, str] = {}
        decoded = [self._one(value, row, reasons, self._key_of(raw, row)) for row, value in enumerate(raw.values())]
        hashes, has_key, positions, has_position = _hashes(raw, decoded)
        fingerprints = np.zeros((count, len(self._projections)), np.uint64)
        rows = [row for row, change in enumerate(decoded) if change.kind is ChangeKind.UPSERT]
        if rows:
            fingerprints[rows] = np.array([decoded[row].fingerprints for row in rows], np.uint64)
        return ChangeBatch(
            topic=raw.topic,
            partition=raw.partition,
            start=raw.start,
            next=raw.next,
            offsets=raw.offsets,
            kinds=np.array([change.kind for change in decoded], np.uint8),
            ops=np.array([change.op for change in decoded], np.uint8),
            key_hashes=hashes,
            has_key=has_key,
            fingerprints=fingerprints,
            source_ts_ms=np.array([change.source_ts_ms for change in decoded], np.int64),
            timestamps=raw.timestamps,
            position_hashes=positions,
            has_position=has_position,
            reasons=reasons,
            left_out=_left_out(decoded, len(self._projections)),
        )

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch that were not asked for yet, so that live code fetches them ahead of `decode`."""
        found = schema_ids(raw) - self._plans.keys()
        if not self._asks_keys:
            return found
        framed = [key for key in raw.keys() if key and is_framed(key)]  # noqa: SIM118 - no dict
        return found | ({unframed(key)[0] for key in framed} - self._keys.known)

    def _key_of(self, raw: RawBatch, row: int) -> KeyOf:
        if not self._asks_keys:
            return no_key
        return lambda table: self._keys.read(raw.key(row), table)

    def _one(self, value: bytes | None, row: int, reasons: dict[int, str], key_of: KeyOf) -> Decoded:
        if value is None:
            return _TOMBSTONE
        try:
            if is_json(value):
                return self._json.decode(value, key_of) or _TOMBSTONE
            schema_id, body = unframed(value)
            return self._plan(schema_id).decode(body, key_of)
        except Undecodable as error:
            reasons[row] = str(error)
            return _UNREADABLE

    def _plan(self, schema_id: int) -> EnvelopePlan:
        plan = self._plans.get(schema_id)
        if plan is None:
            plan = self._plans[schema_id] = self._make_plan(schema_id)
        if isinstance(plan, str):
            raise Undecodable(plan)
        return plan

    def _make_plan(self, schema_id: int) -> EnvelopePlan | str:
        try:
            schema: Any = self._schemas.get(schema_id)
            return EnvelopePlan(schema, self._projections, self._unavailable_value)
        except Unavailable:
            raise
        except (UnknownSchema, BadInput) as error:
            return str(error)


def _left_out(decoded: Sequence[Decoded], projections: int) -> UInt8s | None:
    """``uint8[n, p]`` of `LeftOut`; None where nothing is left out."""
    if not any(change.left_out for change in decoded):
        return None
    nothing = [LeftOut.NO] * projections
    return np.array([change.left_out or nothing for change in decoded], np.uint8)


def _hashes(raw: RawBatch, decoded: Sequence[Decoded]) -> tuple[Any, Any, Any, Any]:
    """Key hashes and position hashes of a batch, each with its mask; a null key gives neither."""
    keys: list[tuple[int, int]] = []
    positions: list[tuple[int, int]] = []
    for key, change in zip(raw.keys(), decoded, strict=True):
        if key is None:
            keys.append(_NOTHING)
            positions.append(_NOTHING)
            continue
        body = key_body(key)
        keys.append((xxh64_intdigest(body, 0), xxh64_intdigest(body, 1)))
        if change.position is None:
            positions.append(_NOTHING)
        else:
            whole = change.position + body
            positions.append((xxh64_intdigest(whole, 0), xxh64_intdigest(whole, 1)))
    has_key = raw.key_sizes >= 0
    has_position = has_key & np.array([change.position is not None for change in decoded], np.bool_)
    shape = (len(decoded), 2)
    return (
        np.array(keys, np.uint64).reshape(shape),
        has_key,
        np.array(positions, np.uint64).reshape(shape),
        has_position,
    )
