"""JSON change events as Connect's JsonConverter writes them, with a schema beside each payload or with none.

    {"schema": {...}, "payload": {"before": ..., "after": ..., "source": ..., "op": ...}}     schemas.enable=true
    {"before": ..., "after": ..., "source": ..., "op": ...}                                   schemas.enable=false
    {"payload": {...}}, {"schema": null, "payload": {...}}                                    the same, still wrapped
    {"schema": ..., "payload": null}, null                                                    no value: a tombstone

Numbers are read as int and `Decimal`, so that none loses a digit. Of a key that an object has twice the last one holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from app.decode.envelope import MALFORMED, Decoded, KeyOf, change_of, chosen, kind_of, no_key, table_of
from app.decode.json_rows import PlainRows, Rows, SchemaRows, keep
from app.decode.selection import Atoms, Selection
from app.errors import Undecodable
from app.model import NO_TIME, ChangeKind
from app.model.projection import Projections, as_projections

_SPACE = b" \t\r\n"
_FIRST = b"{n" + _SPACE
_PAYLOAD = ',"payload":'
"""Where JsonConverter's schema ends. A text can't hold it, because its quotes would be escaped."""
_INT64 = range(-(1 << 63), 1 << 63)

_DECODER = json.JSONDecoder(parse_float=Decimal)
"""Made once: `json.loads` makes one a call."""


class Images(NamedTuple):
    """A change's rows as atoms by column; None where the envelope has none. MongoDB's document is a column ``after``."""

    table: str
    before: dict[str, bytes] | None
    after: dict[str, bytes] | None


class Whole(NamedTuple):
    """A change's op, its source block, ``after`` as atoms by column beside the columns that are unavailable, and ``before``."""

    op: str
    source: Mapping[str, Any]
    row: dict[str, bytes] | None
    unavailable: frozenset[str]
    before: dict[str, bytes] | None = None


def is_json(value: bytes) -> bool:
    """Whether a record's value is to be read as JSON: an object, or the word null, perhaps after JSON's whitespace."""
    if value[:1] not in _FIRST:  # decided by one byte for everything that is framed
        return False
    stripped = value.strip(_SPACE)
    return stripped[:1] == b"{" or stripped == b"null"


class JsonChanges:
    """Reads JSON change events.

    Args:
        projections: what contracts take.
        unavailable_value: the placeholder's text.
        column_types: the contract's type word by ``table.column``, for events without a schema.
    """

    def __init__(self, projections: Projections, unavailable_value: str, column_types: Mapping[str, str]) -> None:
        self._projections = as_projections(projections)
        self._selection = Selection(self._projections)
        self._unavailable_value = unavailable_value
        self._plain = PlainRows(column_types, self._projections, unavailable_value)
        self._rows: dict[str, Rows | str] = {}

    def decode(self, value: bytes, key_of: KeyOf = no_key) -> Decoded | None:
        """One record's value; None where it says that there is no value.

        Args:
            key_of: asked where rows are chosen by their values.

        Raises:
            Undecodable: it is no JSON, no envelope, or its row contradicts its types.
        """
        with _reading():
            envelope, rows = self._envelope(value)
            if envelope is None:
                return None

            def fingerprints_of(table: str, row: Any) -> list[int]:
                return rows.plan("after", table, row).fingerprints(row)

            def atoms_of(side: str, table: str, row: Any, only: frozenset[str]) -> Atoms:
                return rows.plan(side, table, row).atoms(row, only)

            change = change_of(envelope, fingerprints_of)
            if self._selection.chooses:
                change = chosen(change, envelope, self._selection, atoms_of, key_of)
        is_time = type(change.source_ts_ms) is int and change.source_ts_ms in _INT64
        return change if is_time else change._replace(source_ts_ms=NO_TIME)

    def images(self, value: bytes) -> Images | None:
        """The rows of one record's value, as atoms; None where it says that there is no value.

        Raises:
            Undecodable: as `decode`.
        """
        with _reading():
            envelope, rows = self._envelope(value)
            if envelope is None:
                return None
            table = table_of(envelope.get("source") or {})
            before, after = (
                None if row is None else rows.plan(side, table, row).atoms(row)
                for side, row in (("before", envelope.get("before")), ("after", envelope.get("after")))
            )
        return Images(table, before, after)

    def whole(self, value: bytes, *, reads_before: bool = False) -> Whole | None:
        """One change with its row; None where it says that there is no value; raises as `decode`."""
        with _reading():
            envelope, rows = self._envelope(value)
            if envelope is None:
                return None
            op, source = envelope["op"], envelope.get("source") or {}
            row = envelope.get("after") if kind_of(op) is ChangeKind.UPSERT else None
            before = _before(rows, table_of(source), envelope) if reads_before else None
            if row is None:
                return Whole(op, source, None, frozenset(), before)
            plan = rows.plan("after", table_of(source), row)
            atoms = plan.atoms(row)
            return Whole(op, source, atoms, frozenset(c.name for c in plan.columns if c.name not in atoms), before)

    def key(self, key: bytes, table: str) -> dict[str, bytes] | None:
        """The atoms of a JSON key's columns; None for a key that is no object.

        Raises:
            Undecodable: it is no JSON, or contradicts its types.
        """
        with _reading():
            payload, schema = _unwrapped(_DECODER.decode(key.decode()))
            if not isinstance(payload, dict):
                return None
            rows: Rows = self._plain
            if schema is not None:
                rows = SchemaRows({"fields": [{**schema, "field": "key"}]}, self._projections, self._unavailable_value)
            return rows.plan("key", table, payload).atoms(payload)

    def _envelope(self, value: bytes) -> tuple[dict[str, Any] | None, Rows]:
        """The envelope's fields, None for no value, and how its rows are read."""
        payload, rows = self._parsed(value.decode())
        if payload is None:
            return None, self._plain
        if not isinstance(payload, dict) or "op" not in payload or payload.keys().isdisjoint(_BESIDE_OP):
            raise Undecodable("no envelope: no object with op and source")
        if isinstance(rows, str):
            raise Undecodable(rows)
        return payload, rows

    def _parsed(self, text: str) -> tuple[Any, Rows | str]:
        """The payload, and how its rows are read: by the text of the schema, where JsonConverter wrote it."""
        at = text.find(_PAYLOAD)
        rows = self._rows.get(text[:at]) if at > 0 else None
        if rows is not None:
            rest = _DECODER.decode("{" + text[at + 1 :])
            if rest.keys() == {"payload"}:
                return rest["payload"], rows
        payload, schema = _unwrapped(_DECODER.decode(text))
        if schema is None:
            return payload, self._plain
        name = text[:at] if _is_schema_then_payload(text, at) else json.dumps(schema, default=repr)
        rows = self._rows.get(name)
        if rows is None:
            rows = self._make(schema)
            keep(self._rows, name, rows)
        return payload, rows

    def _make(self, schema: Any) -> Rows | str:
        try:
            return SchemaRows(schema, self._projections, self._unavailable_value)
        except Undecodable as error:
            return str(error)


def _before(rows: Rows, table: str, envelope: Mapping[str, Any]) -> dict[str, bytes] | None:
    """It is no content: what can't be read of it is not there."""
    row = envelope.get("before")
    try:
        return None if row is None else rows.plan("before", table, row).atoms(row)
    except (Undecodable, *MALFORMED):
        return None


_BESIDE_OP = ("source", "before", "after")
_WRAPPING = {"schema", "payload"}


def _unwrapped(value: Any) -> tuple[Any, Any]:
    """The payload and the schema, None where there is none."""
    if isinstance(value, dict) and "payload" in value and value.keys() <= _WRAPPING:
        return value["payload"], value.get("schema")
    return value, None


def _is_schema_then_payload(text: str, at: int) -> bool:
    """Whether the schema and nothing else stands before a place, and the payload behind it: its text may stand for it."""
    if at <= 0:
        return False
    try:
        first, then = _DECODER.decode(text[:at] + "}"), _DECODER.decode("{" + text[at + 1 :])
    except ValueError:
        return False
    return bool(first.keys() == {"schema"} and then.keys() == {"payload"})


@contextmanager
def _reading() -> Iterator[None]:
    """Every way in which bytes can be no change, as `Undecodable`."""
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Undecodable(f"no JSON that can be read: {error}") from error
    except RecursionError as error:
        raise Undecodable("no JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise Undecodable(f"it contradicts its types: {error}") from error
    except MALFORMED as error:
        raise Undecodable(f"no envelope of Debezium's: {type(error).__name__}: {error}") from error
