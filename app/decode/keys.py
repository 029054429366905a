"""Record keys as atoms by column: Avro with fastavro, and JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from app.decode import atoms
from app.decode.atoms import Tag
from app.decode.framing import unframed
from app.decode.json_changes import JsonChanges, is_json
from app.decode.schemas import SchemaSource, UnknownSchema
from app.errors import BadInput, Unavailable, Undecodable
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded

FRAMING_BYTES = 5
_VALUES: Mapping[Tag, Callable[[bytes], Any]] = MappingProxyType(
    {
        Tag.BOOLEAN: lambda atom: bool(atoms.integer(atom)),
        Tag.INTEGER: atoms.integer,
        Tag.DATE: atoms.integer,
        Tag.TEXT: atoms.text,
        Tag.UUID: atoms.written,
    }
)
"""Classes that one value of Avro's stands for."""


class KeyReader:
    """Reads record keys.

    Args:
        schemas: where writer schemas come from.
        rows: how JSON is read.
    """

    def __init__(self, schemas: SchemaSource, rows: JsonChanges) -> None:
        self._schemas = schemas
        self._json = rows
        self._plans: dict[int, _KeyPlan | None] = {}

    @property
    def known(self) -> set[int]:
        """Schema ids that were asked for already."""
        return set(self._plans)

    def read(self, key: bytes | None, table: str = "") -> dict[str, bytes] | None:
        """The columns of a record key of a table; None for a null key, and for one that is no record.

        Raises:
            Unavailable: its schema can't be had now.
        """
        if key is None:
            return None
        try:
            if is_json(key):
                return self._json.key(key, table)
            schema_id, body = unframed(key)
            plan = self._plan(schema_id)
            return None if plan is None else plan.read(body)
        except Undecodable:
            return None

    def write(self, like: bytes, columns: Mapping[str, bytes]) -> bytes | None:
        """A key of some columns with the framing and the schema of another; None where it can't be told: JSON, odd classes.

        What is written must read as it was asked for, and the other key must be written as it is.
        """
        own = None if is_json(like) else self.read(like)
        plan = None if own is None else self._plan(unframed(like)[0])
        if plan is None or own is None or own.keys() != columns.keys():
            return None
        found, again = plan.write(columns), plan.write(own)
        if found is None or again != like[FRAMING_BYTES:] or plan.read(found) != dict(columns):
            return None
        return like[:FRAMING_BYTES] + found

    def _plan(self, schema_id: int) -> _KeyPlan | None:
        if schema_id not in self._plans:
            try:
                self._plans[schema_id] = _KeyPlan(self._schemas.get(schema_id))
            except Unavailable:
                raise
            except (UnknownSchema, BadInput):
                self._plans[schema_id] = None
            except Exception:  # noqa: BLE001 - fastavro raises many kinds for a schema that is none
                self._plans[schema_id] = None
        return self._plans[schema_id]


class _KeyPlan:
    """How record keys of one writer schema are read."""

    def __init__(self, schema: Any) -> None:
        bare = loaded(schema)
        self._parsed = parse_schema(bare)
        self._maker = RowFingerprinter(bare, unavailable_value="\0")

    def write(self, columns: Mapping[str, bytes]) -> bytes | None:
        """The body of a key; None where a column's class is written in more than one way."""
        out = io.BytesIO()
        try:
            schemaless_writer(
                out, self._parsed, {name: _VALUES[atoms.tag(atom)](atom) for name, atom in columns.items()}
            )
        except Exception:  # noqa: BLE001 - fastavro raises many kinds for values that do not fit
            return None
        return out.getvalue()

    def read(self, body: bytes) -> dict[str, bytes]:
        try:
            record: Any = schemaless_reader(io.BytesIO(body), self._parsed, None)
            return self._maker.atoms(record)
        except Exception as error:  # whatever hostile bytes make of a decoder
            raise Undecodable(f"the key is no record of its schema: {type(error).__name__}: {error}") from error
