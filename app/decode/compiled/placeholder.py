"""How Debezium's unavailable-value placeholder looks in a record's bytes.

The reference compares values (`cdc_receipts.fingerprint.Placeholder`). The kernel refuses any number that is not in its
shortest form, and arrays and maps of more than one block, so that a value has one encoding, and equal values equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from app.decode.compiled.shapes import Kind, Node, Refused
from cdc_receipts.fingerprint import Placeholder

_UNSAFE = range(2)
"""Characters that numbers of other types equal, too: 0 is -0.0 and false, 1 is true."""


def forms(node: Node, placeholder: Placeholder) -> list[bytes]:
    """The placeholder's forms as values of a type, without the branch of a nullable one.

    Raises:
        Refused: it is a text whose forms are not told by their bytes alone.
    """
    data = placeholder.data
    if not data or any(byte in _UNSAFE for byte in data):
        raise Refused("an unavailable_value that is empty or has control characters")
    match node.kind:
        case Kind.STRING | Kind.BYTES | Kind.FIXED | Kind.ENUM:
            return _texts(node, data)
        case Kind.ARRAY:
            return _lists(node.children[0], placeholder)
        case Kind.MAP:
            values = _items(node.children[0], lambda item: _texts(item, data) if _is_text(item) else [])
            return [_long(1) + _sized(data) + value + _long(0) for value in values]
    return []


def _is_text(node: Node) -> bool:
    return node.kind in (Kind.STRING, Kind.ENUM)


def _texts(node: Node, data: bytes) -> list[bytes]:
    """Bytes as a value of a text or of bytes."""
    match node.kind:
        case Kind.FIXED:
            return [data] if node.size == len(data) else []
        case Kind.ENUM:
            return [_long(symbol) for symbol, name in enumerate(node.names) if name == data]
    return [_sized(data)]


def _lists(item: Node, placeholder: Placeholder) -> list[bytes]:
    """Lists of only the text, of only its bytes, of only its UUID, and of its bytes' numbers."""
    _, _, (uuid,), _ = placeholder.lists
    found = _items(item, lambda inner: [*_texts(inner, placeholder.data)] if _is_text_or_bytes(inner) else [])
    found += _items(item, lambda inner: _texts(inner, uuid.encode()) if _is_text(inner) else [])
    whole = [_long(1) + one + _long(0) for one in found]
    numbers = [_items(item, lambda inner, number=byte: _number(inner, number)) for byte in placeholder.data]  # type: ignore[misc]
    if all(numbers):
        whole.append(_long(len(numbers)) + b"".join(one for (one,) in numbers) + _long(0))
    return whole


def _is_text_or_bytes(node: Node) -> bool:
    return _is_text(node) or node.kind in (Kind.BYTES, Kind.FIXED)


def _items(item: Node, encode: Callable[[Node], Iterable[bytes]]) -> list[bytes]:
    """An item, with its branch where it stands in a union; of others than the first that is not null nothing is read."""
    valued = item.valued()
    branch = b"" if valued is item else _long(next(at for at, one in enumerate(item.children) if one is valued))
    return [branch + one for one in encode(valued)]


def _number(node: Node, number: int) -> list[bytes]:
    match node.kind:
        case Kind.INTEGER:
            return [_long(number)]
        case Kind.FLOAT:
            return [struct.pack("<f", number)]
        case Kind.DOUBLE:
            return [struct.pack("<d", number)]
    return []


def _sized(data: bytes) -> bytes:
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """A number that is not negative, as Avro writes it."""
    rest, found = number << 1, bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)
