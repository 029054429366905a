"""The compiled decoder of changes: the same `ChangeBatch` as the reference's, without an object for each record.

The kernel reads what is framed Avro of a schema and a table that it has a program for. JSON, unknown schemas, bytes that are
no record of their schema, tables whose rows are chosen by their values, and whatever the kernel reports a code for, are the
reference's: its answers take these rows' places. Rows of one batch may be of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from app.decode.changes import ReferenceChangeDecoder
from app.decode.compiled.envelopes import EnvelopeCompiler, Program
from app.decode.compiled.shapes import Refused
from app.decode.compiled.tables import DECODED, OTHER_TABLE, UNTOUCHED
from app.decode.framing import rows_by_schema
from app.decode.schemas import SchemaSource, UnknownSchema
from app.errors import BadInput, Unavailable
from app.model import NO_TIME, ChangeBatch, ChangeKind, RawBatch
from app.model.batches import Int64s, UInt8s
from app.model.projection import Projections, as_projections

MOST_TABLES = 64
"""Tables of one schema that have programs; Debezium's schemas are of one each, but for topics that were routed together."""


class CompiledChangeDecoder:
    """Decodes with the kernel, and leaves what it can't read to the reference.

    Args:
        kernel: the extension.
        Others: as the reference's.

    Attributes:
        reference: what decides about the rest.
        left: how many records it has decided about.
    """

    def __init__(
        self,
        kernel: Any,
        schemas: SchemaSource,
        projections: Projections,
        unavailable_value: str,
        column_types: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._kernel = kernel
        self._schemas = schemas
        self._projections = as_projections(projections)
        self._unavailable_value = unavailable_value
        self.reference = ReferenceChangeDecoder(schemas, projections, unavailable_value, column_types)
        self._plans: dict[int, _SchemaPlan | None] = {}
        self.left = 0

    def decode(self, raw: RawBatch) -> ChangeBatch:
        found, left = self.tried(raw)
        self.left += len(left)
        if len(left) == len(raw):
            return self.reference.decode(raw)
        return found.batch(left, self.reference.decode(some(raw, left)) if len(left) else None)

    def tried(self, raw: RawBatch) -> tuple[Found, Int64s]:
        """What the kernel decodes of a batch, and ``int64[m]``, the rows that it leaves to the reference."""
        found = Found(self._kernel, raw, len(self._projections))
        for schema_id, rows in rows_by_schema(raw):
            plan = self._plan(schema_id)
            if plan is not None:
                plan.decode(found, rows)
        return found, np.flatnonzero(found.codes != DECODED)

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids of a batch that were not asked for yet, so that live code fetches them ahead of `decode`."""
        return self.reference.missing(raw) - self._plans.keys()

    def _plan(self, schema_id: int) -> _SchemaPlan | None:
        if schema_id not in self._plans:
            self._plans[schema_id] = self._make_plan(schema_id)
        return self._plans[schema_id]

    def _make_plan(self, schema_id: int) -> _SchemaPlan | None:
        try:
            compiler = EnvelopeCompiler(self._schemas.get(schema_id), self._projections, self._unavailable_value)
            return _SchemaPlan(compiler, compiler.program(None))
        except Unavailable:
            raise
        except (UnknownSchema, BadInput, Refused):
            return None


class _SchemaPlan:
    """The programs of one writer schema, by table.

    Args:
        scout: the program that finds out of which table each change is.
    """

    def __init__(self, compiler: EnvelopeCompiler, scout: Program) -> None:
        self._compiler = compiler
        self._programs: dict[str | None, tuple[Program, bool]] = {None: (scout, False)}
        self._table: str | None = None

    def decode(self, found: Found, rows: Int64s) -> None:
        """Rows of this schema: by the program of the table that was seen last, then of those that are found to be others'."""
        table = self._table
        while len(rows) and (table in self._programs or len(self._programs) <= MOST_TABLES):
            program, is_refused = self._program(table)
            found.run(program, rows)
            if is_refused:
                found.codes[rows[found.codes[rows] == DECODED]] = UNTOUCHED
            rows = rows[found.codes[rows] == OTHER_TABLE]
            if len(rows):
                table = found.table(int(rows[0]))
        self._table = table if table in self._programs else None

    def _program(self, table: str | None) -> tuple[Program, bool]:
        """A table's program; of one that the kernel can't read, a program that tells its changes from those of others."""
        found = self._programs.get(table)
        if found is None:
            try:
                found = self._compiler.program(table), False
            except Refused:
                found = self._compiler.program(table, is_scout=True), True
            self._programs[table] = found
        return found


class Found:
    """What was found of one batch; filled with what a record without a value has.

    Attributes:
        codes: ``uint8[n]``: why the kernel leaves a row to the reference, or DECODED.
    """

    def __init__(self, kernel: Any, raw: RawBatch, projections: int) -> None:
        count = len(raw)
        self._kernel = kernel
        self._raw = raw
        is_null = raw.value_sizes < 0
        self.codes = np.where(is_null, DECODED, UNTOUCHED).astype(np.uint8)
        self._kinds = np.where(is_null, ChangeKind.TOMBSTONE, 0).astype(np.uint8)
        self._ops = np.zeros(count, np.uint8)
        self._fingerprints = np.zeros((count, projections), np.uint64)
        self._source_ts_ms = np.full(count, NO_TIME, np.int64)
        self._positions = np.zeros((count, 2), np.uint64)
        self._has_position = np.zeros(count, np.bool_)
        self._tables = np.zeros((count, 2), np.int64)
        self._left_out: UInt8s | None = None
        self._where = tuple(
            map(np.ascontiguousarray, (raw.value_starts, raw.value_sizes, raw.key_starts, raw.key_sizes))
        )

    def run(self, program: Program, rows: Int64s) -> None:
        """Decode some rows by a program, as far as the kernel can."""
        self._kernel.changes(
            *program.arrays(), self._raw.buffer, *self._where, rows, self.codes, self._kinds, self._ops,
            self._fingerprints, self._source_ts_ms, self._positions, self._has_position, self._tables,
        )  # fmt: skip
        if program.left_out is not None:
            done = rows[self.codes[rows] == DECODED]
            self._leave_out(done, program.left_out[self._ops[done]])

    def table(self, row: int) -> str:
        """The table of a row that is another's than its program's."""
        start, size = self._tables[row].tolist()
        return str(self._raw.buffer[start : start + size], "utf-8")

    def batch(self, left: Int64s, decided: ChangeBatch | None) -> ChangeBatch:
        """The batch, with what the reference decided about the rows that are left to it."""
        raw, reasons = self._raw, {}
        if decided is not None:
            for column in (
                (self._kinds, decided.kinds), (self._ops, decided.ops), (self._fingerprints, decided.fingerprints),
                (self._source_ts_ms, decided.source_ts_ms), (self._positions, decided.position_hashes),
                (self._has_position, decided.has_position),
            ):  # fmt: skip
                column[0][left] = column[1]
            if decided.left_out is not None:
                self._leave_out(left, decided.left_out)
            reasons = {int(left[row]): why for row, why in decided.reasons.items()}
        hashes, has_key = np.zeros((len(raw), 2), np.uint64), np.zeros(len(raw), np.bool_)
        self._kernel.key_hashes(raw.buffer, *self._where[2:], hashes, has_key)
        has_some = self._left_out is not None and bool(self._left_out.any())
        return ChangeBatch(
            topic=raw.topic,
            partition=raw.partition,
            start=raw.start,
            next=raw.next,
            offsets=raw.offsets,
            kinds=self._kinds,
            ops=self._ops,
            key_hashes=hashes,
            has_key=has_key,
            fingerprints=self._fingerprints,
            source_ts_ms=self._source_ts_ms,
            timestamps=raw.timestamps,
            position_hashes=self._positions,
            has_position=self._has_position,
            reasons=reasons,
            left_out=self._left_out if has_some else None,
        )

    def _leave_out(self, rows: Int64s, found: UInt8s) -> None:
        if self._left_out is None:
            self._left_out = np.zeros(self._fingerprints.shape, np.uint8)
        self._left_out[rows] = found


def some(raw: RawBatch, rows: Int64s) -> RawBatch:
    """Some rows of a batch, in the same buffer."""
    columns = ("offsets", "timestamps", "key_starts", "key_sizes", "value_starts", "value_sizes")
    return replace(raw, headers={}, **{name: getattr(raw, name)[rows] for name in columns})
