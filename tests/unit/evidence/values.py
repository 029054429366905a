"""Values as atoms, for tests of what two systems keep of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from decimal import Decimal

from hypothesis import strategies as st

from app.evidence.postgres import packed_list, packed_map
from cdc_receipts import atoms, texts
from cdc_receipts.atoms import NULL, floating, integer, text

TRUE, FALSE = b"\x01\x01", b"\x01\x00"


def decimal(written: str) -> bytes:
    """A decimal."""
    sign, digits, exponent = Decimal(written).as_tuple()
    return atoms.decimal(int(Decimal((sign, digits, 0))), -int(exponent))


def single(number: float) -> bytes:
    """A float32, widened."""
    return floating(struct.unpack("<f", struct.pack("<f", number))[0])


def data(raw: bytes) -> bytes:
    """Bytes."""
    return b"\x06" + raw


def bits(number: int) -> bytes:
    """Bits."""
    return b"\x0f" + number.to_bytes((number.bit_length() + 7) // 8, "big")


def duration(us: int) -> bytes:
    """Microseconds."""
    return b"\x0d" + struct.pack("<q", us)


def interval(months: int, days: int, ns: int) -> bytes:
    """An interval."""
    return b"\x0e" + struct.pack("<iiq", months, days, ns)


def clock(ns: int) -> bytes:
    """A time of day."""
    return b"\x0a" + struct.pack("<q", ns)


def days(number: int) -> bytes:
    """A date, by days since 1970-01-01."""
    return b"\x09" + struct.pack("<q", number)


def local(written: str) -> bytes:
    """A timestamp without zone."""
    return _read(texts.local_timestamp(written))


def instant(written: str) -> bytes:
    """A timestamp with zone."""
    return _read(texts.instant(written))


def date(written: str) -> bytes:
    """A date."""
    return _read(texts.date(written))


def uuid(written: str) -> bytes:
    """A UUID."""
    return _read(texts.uuid(written))


def json(written: str) -> bytes:
    """A JSON value."""
    return _read(texts.json_text(written))


def items(*found: bytes) -> bytes:
    """A list."""
    return packed_list(list(found))


def entries(found: Mapping[str, bytes]) -> bytes:
    """A map."""
    return packed_map([(key.encode(), atom) for key, atom in found.items()])


def _read(found: bytes | None) -> bytes:
    assert found is not None
    return found


INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
SCALARS = st.one_of(
    st.just(NULL),
    st.sampled_from([TRUE, FALSE]),
    INT64.map(integer),
    st.builds(atoms.decimal, st.integers(-(10**30), 10**30), st.integers(-20, 20)),
    st.floats().map(floating),
    st.text(max_size=20).map(text),
    st.from_regex(r"-?\d{1,12}(\.\d{1,6})?", fullmatch=True).map(text),
    st.from_regex(r"\d\d:\d\d(:\d\d)?(Z|[+-]\d\d)", fullmatch=True).map(text),
    st.binary(max_size=16).map(data),
    st.builds(lambda s, n, t: bytes([t]) + struct.pack("<qI", s, n), INT64, st.integers(0, 10**9 - 1), st.sampled_from([7, 8])),
    INT64.map(days),
    INT64.map(clock),
    st.binary(min_size=16, max_size=16).map(lambda raw: b"\x0b" + raw),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ).map(lambda value: json(_dumped(value))),
    INT64.map(duration),
    st.builds(interval, st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 31), (1 << 31) - 1), INT64),
    st.integers(0, 1 << 70).map(bits),
)  # fmt: skip
"""Atoms of every class that holds no others."""

ATOMS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: items(*found))
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(entries)
    ),
    max_leaves=6,
)
"""Atoms of every class."""


def _dumped(value: object) -> str:
    import json as library

    return library.dumps(value)
