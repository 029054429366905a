"""Row fingerprints, version 1 (protocol section 2).

    fingerprint(row) = sum over its columns of xxh64(atom(value), seed = xxh64(column name, seed = 0))   mod 2**64

A sum, so that a projection is a subtraction. Null columns take part, absent ones and unavailable ones do not.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from xxhash import xxh64_intdigest

from cdc_receipts.atoms import Atom, atom_of
from cdc_receipts.schemas import NamedTypes, Schema, loaded

UNAVAILABLE_VALUE = "__debezium_unavailable_value"
_MASK = (1 << 64) - 1

Row = Mapping[str, Any]


class Placeholder:
    """Debezium's unavailable-value placeholder in all its forms.

    Args:
        text: the connector's ``unavailable.value.placeholder``.
    """

    def __init__(self, text: str = UNAVAILABLE_VALUE) -> None:
        data = text.encode()
        digest = hashlib.md5(data, usedforsecurity=False).digest()  # Java's nameUUIDFromBytes is MD5, version 3
        self.text, self.data = text, data
        self.lists: tuple[Any, ...] = ([text], [data], [str(uuid.UUID(bytes=digest, version=3))], list(data))
        self.maps: tuple[Any, ...] = ({text: text},)

    def check_of(self, kind: str) -> Callable[[Any], bool] | None:
        """What tells the placeholder among values of an Avro type; None where it can't stand."""
        match kind:
            case "string" | "enum":
                return (self.text,).__contains__
            case "bytes" | "fixed":
                return (self.data,).__contains__
            case "array":
                return self.lists.__contains__
            case "map":
                return self.maps.__contains__
        return None


class Column:
    """One column of a row: its name, how its atoms are made, and ``hash``.

    ``hash`` is the value's part of the sum, 0 for the placeholder, which takes no part; compiled, since every change of
    every table goes through it.
    """

    __slots__ = ("atom", "hash", "is_unavailable", "name")

    def __init__(self, name: str, atom: Atom, is_unavailable: Callable[[Any], bool] | None) -> None:
        self.name = name
        self.atom = atom
        self.is_unavailable = is_unavailable
        self.hash = _hash_of(atom, xxh64_intdigest(name.encode(), 0), is_unavailable)


def _hash_of(atom: Atom, seed: int, is_unavailable: Callable[[Any], bool] | None) -> Callable[[Any], int]:
    if is_unavailable is None:
        return lambda value: xxh64_intdigest(atom(value), seed)
    return lambda value: 0 if is_unavailable(value) else xxh64_intdigest(atom(value), seed)


class RowFingerprinter:
    """Fingerprints of rows of one schema.

    Args:
        schema: the row's Avro record (an envelope's ``Value``) as JSON text or as loaded JSON, with Connect's properties.
        ignore: columns that the contract ignores.
        unavailable_value: the placeholder's text.
        names: the named types of the schema that the record is a part of; it is then taken as it stands there. By
            default it stands alone.

    Raises:
        NoScale: a Decimal column without a scale.
        ValueError: the schema is no record.
    """

    def __init__(
        self,
        schema: str | Schema,
        ignore: Collection[str] = (),
        unavailable_value: str = UNAVAILABLE_VALUE,
        names: NamedTypes | None = None,
    ) -> None:
        record = loaded(schema) if names is None else schema
        known = NamedTypes(record) if names is None else names
        inner, namespace, _ = known.branch(record, "")
        if inner["type"] != "record":
            raise ValueError(f"a row is an Avro record, this schema is of type {inner['type']!r}")
        placeholder = Placeholder(unavailable_value)
        self.columns = [
            Column(
                field["name"],
                atom_of(field["type"], known, namespace),
                placeholder.check_of(known.branch(field["type"], namespace)[0]["type"]),
            )
            for field in inner["fields"]
            if field["name"] not in ignore
        ]
        self._hashes = [(column.name, column.hash) for column in self.columns]

    def atoms(self, row: Row) -> dict[str, bytes]:
        """The atoms of the columns that take part, by column."""
        return {
            column.name: column.atom(row[column.name])
            for column in self.columns
            if column.is_unavailable is None or not column.is_unavailable(row[column.name])
        }

    def fingerprint_int(self, row: Row) -> int:
        """The fingerprint as a number below 2**64."""
        return sum([hash_of(row[name]) for name, hash_of in self._hashes]) & _MASK

    def fingerprint(self, row: Row) -> bytes:
        """The fingerprint as it travels: 8 bytes, little-endian."""
        return self.fingerprint_int(row).to_bytes(8, "little")
