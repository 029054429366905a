"""The types of a writer schema as a tree of nodes, with the class of each atom (protocol section 2).

The classes are those of `cdc_receipts.atoms`, whose tables are its own; a test holds the two equal value by value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from cdc_receipts.atoms import CONNECT, DEBEZIUM, DECIMAL
from cdc_receipts.schemas import NamedTypes

MOST_DEPTH = 16
"""The kernel recurses as deep as the tree is; rows of databases are flat but for a list or a point."""
MOST_NODES = 8_192
"""Named types are written out wherever they are named, so that a small schema may be a large tree."""

_INT32 = range(-(1 << 31), 1 << 31)


class Refused(Exception):
    """The kernel can't read this schema: the reference does."""


class Kind(IntEnum):
    """What a value is in Avro; numbers as in the kernel's walk.h."""

    NOTHING = 0
    BOOLEAN = 1
    INTEGER = 2
    FLOAT = 3
    DOUBLE = 4
    BYTES = 5
    STRING = 6
    FIXED = 7
    ENUM = 8
    ARRAY = 9
    MAP = 10
    RECORD = 11
    UNION = 12


class AtomClass(IntEnum):
    """How an atom is made of it; numbers as in the kernel's walk.h."""

    PLAIN = 0
    TIMESTAMP = 1
    DATE = 2
    TIME = 3
    DURATION = 4
    NANO_DURATION = 5
    DECIMAL = 6
    VARIABLE_DECIMAL = 7
    BITS = 8
    INSTANT = 9
    LOCAL_TIMESTAMP = 10
    ISO_DATE = 11
    ISO_TIME = 12
    UUID = 13
    JSON = 14
    INTERVAL = 15
    REFUSED = 16


class Action(IntEnum):
    """What is done with a field; numbers as in the kernel's walk.h."""

    SKIP = 0
    SLOT = 1
    DESCEND = 2
    ROW = 3
    COLUMN = 4


@dataclass(slots=True, kw_only=True)
class Node:
    """One type.

    Attributes:
        children: of a union its branches, of a record its fields, of arrays and maps the one of an item.
        names: of a record its fields', of an enum its symbols.
        size: of a fixed.
        atom, number: the class, and its number (units a second, nanoseconds a unit, a scale).
        action, slot: what is done with it where it is a field; the slot or the column.
    """

    kind: Kind
    children: list[Node] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    size: int = 0
    atom: AtomClass = AtomClass.PLAIN
    number: int = 0
    action: Action = Action.SKIP
    slot: int = 0

    def least_bytes(self) -> int:
        """The fewest bytes that a value has."""
        match self.kind:
            case Kind.NOTHING:
                return 0
            case Kind.FIXED:
                return self.size
            case Kind.RECORD:
                return sum(child.least_bytes() for child in self.children)
            case Kind.FLOAT:
                return 4
            case Kind.DOUBLE:
                return 8
        return 1

    def valued(self) -> Node:
        """What stands behind a union with null: the branch that the class speaks of, or itself."""
        if self.kind is not Kind.UNION:
            return self
        return next(
            (child for child in self.children if child.atom is not AtomClass.REFUSED and not child.is_null), self
        )

    @property
    def is_null(self) -> bool:
        """Whether it is null alone."""
        return self.kind is Kind.NOTHING


_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "null": Kind.NOTHING,
        "boolean": Kind.BOOLEAN,
        "int": Kind.INTEGER,
        "long": Kind.INTEGER,
        "float": Kind.FLOAT,
        "double": Kind.DOUBLE,
        "bytes": Kind.BYTES,
        "string": Kind.STRING,
        "fixed": Kind.FIXED,
        "enum": Kind.ENUM,
        "array": Kind.ARRAY,
        "map": Kind.MAP,
        "record": Kind.RECORD,
    }
)

_MILLIS, _MICROS, _NANOS = 10**3, 10**6, 10**9
_INTEGERS: Mapping[str, tuple[AtomClass, int]] = MappingProxyType(
    {
        DEBEZIUM + "time.Timestamp": (AtomClass.TIMESTAMP, _MILLIS),
        CONNECT + "Timestamp": (AtomClass.TIMESTAMP, _MILLIS),
        DEBEZIUM + "time.MicroTimestamp": (AtomClass.TIMESTAMP, _MICROS),
        DEBEZIUM + "time.NanoTimestamp": (AtomClass.TIMESTAMP, _NANOS),
        DEBEZIUM + "time.Date": (AtomClass.DATE, 0),
        CONNECT + "Date": (AtomClass.DATE, 0),
        DEBEZIUM + "time.Time": (AtomClass.TIME, _NANOS // _MILLIS),
        CONNECT + "Time": (AtomClass.TIME, _NANOS // _MILLIS),
        DEBEZIUM + "time.MicroTime": (AtomClass.TIME, _NANOS // _MICROS),
        DEBEZIUM + "time.NanoTime": (AtomClass.TIME, 1),
        DEBEZIUM + "time.MicroDuration": (AtomClass.DURATION, 0),
        DEBEZIUM + "time.NanoDuration": (AtomClass.NANO_DURATION, 0),
    }
)
_TEXTS: Mapping[str, AtomClass] = MappingProxyType(
    {
        DEBEZIUM + "time.ZonedTimestamp": AtomClass.INSTANT,
        DEBEZIUM + "time.IsoTimestamp": AtomClass.LOCAL_TIMESTAMP,
        DEBEZIUM + "time.IsoDate": AtomClass.ISO_DATE,
        DEBEZIUM + "time.IsoTime": AtomClass.ISO_TIME,
        DEBEZIUM + "data.Uuid": AtomClass.UUID,
        DEBEZIUM + "data.Json": AtomClass.JSON,
        DEBEZIUM + "time.Interval": AtomClass.INTERVAL,
    }
)


class Shapes:
    """Makes nodes of the types of one schema; each call counts toward the bound of nodes.

    Args:
        names: its named types.
    """

    def __init__(self, names: NamedTypes) -> None:
        self._names = names
        self._count = 0

    def of(self, schema: Any, namespace: str, depth: int = 0) -> Node:
        """The node of a type, with classes.

        Raises:
            Refused: the kernel can't read it.
        """
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_NODES:
            raise Refused(f"types nested deeper than {MOST_DEPTH}, or more than {MOST_NODES}")
        inner, namespace = self._names.resolve(schema, namespace)
        if isinstance(inner, list):
            return self._union(inner, namespace, depth)
        kind = _KINDS.get(inner["type"])
        if kind is None:
            raise Refused(f"a type {inner['type']!r}")
        if str(inner.get("name")).rpartition(".")[2] in _KINDS:
            raise Refused("a named type by a primitive's name, of which readers think differently")
        node = Node(kind=kind)
        self._fill(node, inner, namespace, depth)
        _classify(node, inner)
        return node

    def _fill(self, node: Node, inner: Mapping[str, Any], namespace: str, depth: int) -> None:
        """What a node of its kind has."""
        match node.kind:
            case Kind.FIXED:
                node.size = int(inner["size"])
            case Kind.ENUM:
                node.names = [symbol.encode() for symbol in inner["symbols"]]
            case Kind.ARRAY:
                node.children = [self.of(inner["items"], namespace, depth + 1)]
                if node.children[0].least_bytes() == 0:
                    raise Refused("items of no bytes, of which a few bytes may count any number")
            case Kind.MAP:
                node.children = [self.of(inner["values"], namespace, depth + 1)]
            case Kind.RECORD:
                self._fill_record(node, inner, namespace, depth)

    def _union(self, branches: list[Any], namespace: str, depth: int) -> Node:
        """The first branch that is not null has the class; what stands in another one is not the kernel's."""
        node = Node(kind=Kind.UNION)
        has_value = False
        for branch in branches:
            child = self.of(branch, namespace, depth + 1)
            if child.kind is Kind.UNION:
                raise Refused("a union in a union")
            if not child.is_null:
                child.atom = AtomClass.REFUSED if has_value else child.atom
                has_value = True
            node.children.append(child)
        return node

    def _fill_record(self, node: Node, inner: Mapping[str, Any], namespace: str, depth: int) -> None:
        names = [item["name"] for item in inner["fields"]]
        if len(set(names)) != len(names):
            raise Refused("a field twice")
        node.names = [name.encode() for name in names]
        node.children = [self.of(item["type"], namespace, depth + 1) for item in inner["fields"]]


def _classify(node: Node, inner: Mapping[str, Any]) -> None:
    """The class by ``connect.name``; one that can't be made is refused only where its atom is asked for."""
    name = inner.get("connect.name", "")
    match node.kind:
        case Kind.INTEGER:
            node.atom, node.number = _INTEGERS.get(name, (AtomClass.PLAIN, 0))
        case Kind.STRING | Kind.ENUM:
            node.atom = _TEXTS.get(name, AtomClass.PLAIN)
        case Kind.BYTES | Kind.FIXED if name == DECIMAL:
            node.atom, node.number = _decimal(inner)
        case Kind.BYTES | Kind.FIXED if name == DEBEZIUM + "data.Bits":
            node.atom = AtomClass.BITS
        case Kind.RECORD if name == DEBEZIUM + "data.VariableScaleDecimal":
            is_usual = node.names == [b"scale", b"value"] and [child.kind for child in node.children] == [
                Kind.INTEGER,
                Kind.BYTES,
            ]
            node.atom = AtomClass.VARIABLE_DECIMAL if is_usual else AtomClass.REFUSED


def _decimal(inner: Mapping[str, Any]) -> tuple[AtomClass, int]:
    scale = inner.get("connect.parameters", {}).get("scale", inner.get("scale"))
    try:
        places = int(scale)
    except (TypeError, ValueError):
        return AtomClass.REFUSED, 0
    return (AtomClass.DECIMAL, places) if places in _INT32 else (AtomClass.REFUSED, 0)
