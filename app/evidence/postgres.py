"""What a PostgreSQL cell's text means: atoms of values as ``column::text`` writes them.

The session that reads them has TimeZone UTC, DateStyle ISO and IntervalStyle postgres, which is also the form of a
recording's tables. A text that its type can't read is text, as in protocol section 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from cdc_receipts import atoms, texts

Reader = Callable[[str], bytes | None]

_INTERVAL_PART = re.compile(r"([+-]?\d+) (year|mon|day)s?")
_INTERVAL_CLOCK = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,9}))?")
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)
_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|(NULL))(?:, |$)', re.DOTALL)
_MONEY = re.compile(r"(-?)(\(?)[^\d.,()-]*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?[^\d.,()-]*(\)?)", re.ASCII)
_ESCAPED = re.compile(rb"\\(\\|[0-3][0-7]{2})")
_ERA = re.compile(r"(\d{4,})(-.*) BC", re.ASCII)
_MONTHS = {"year": 12, "mon": 1}


def atom_of_text(kind: str, text: str | None) -> bytes:
    """The atom of a cell.

    Args:
        kind: the column's type by its short name, ``pg_type.typname``: ``int8``, ``bpchar``, ``_int4`` for an array.
        text: the cell's text, None for NULL.
    """
    if text is None:
        return atoms.NULL
    read = _READERS.get(kind)
    found = _array(kind[1:], text) if kind.startswith("_") else read(text) if read else None
    return atoms.text(text) if found is None else found


def read_number(kind: str, text: str) -> bytes | None:
    """A number of a type that other databases write in the same form; None where it is none."""
    return _READERS[kind](text)


def _integer(text: str) -> bytes | None:
    if not re.fullmatch(r"[+-]?\d{1,19}", text, re.ASCII):
        return None
    number = int(text)
    return atoms.integer(number) if -(1 << 63) <= number < 1 << 63 else None


def _numeric(text: str) -> bytes | None:
    """NaN and the infinities are no decimals."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    sign, digits, exponent = number.as_tuple()
    return atoms.decimal(int(Decimal((sign, digits, 0))), -int(exponent))


def _money(text: str) -> bytes | None:
    """The currency's sign may stand anywhere; brackets or a minus make it negative; a comma that is no thousand's is no number."""
    parts = _MONEY.fullmatch(text)
    if parts is None:
        return None
    minus, bracket, whole, fraction, closing = parts.groups()
    if bool(bracket) != bool(closing):
        return None
    return _numeric(("-" if minus or bracket else "") + whole.replace(",", "") + (fraction or ""))


def _double(text: str) -> bytes | None:
    try:
        return atoms.floating(float(text))
    except ValueError:
        return None


def _single(text: str) -> bytes | None:
    try:
        return atoms.floating(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    except (ValueError, OverflowError):
        return None


def _boolean(text: str) -> bytes | None:
    return {"true": b"\x01\x01", "t": b"\x01\x01", "false": b"\x01\x00", "f": b"\x01\x00"}.get(text)


def _bytea(text: str) -> bytes | None:
    """Both of ``bytea_output``: hex, and escape."""
    if not text.startswith("\\x"):
        return _escaped_bytes(text)
    try:
        return b"\x06" + bytes.fromhex(text[2:])
    except ValueError:
        return None


def _escaped_bytes(text: str) -> bytes | None:
    if not text.isascii() or "\\" in re.sub(r"\\\\|\\[0-3][0-7]{2}", "", text):
        return None
    return b"\x06" + _ESCAPED.sub(
        lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)]), text.encode()
    )


def _of_era(text: str) -> str:
    """A year before Christ as ISO 8601 counts it: 1 BC is the year 0."""
    found = _ERA.fullmatch(text)
    if found is None:
        return text
    year = int(found[1]) - 1
    return f"{'-' if year else ''}{year:04d}{found[2]}"


def _date(text: str) -> bytes | None:
    return texts.date(_of_era(text))


def _time(text: str) -> bytes | None:
    """The end of a day is a time of day here."""
    if re.fullmatch(r"24:00:00(?:\.0+)?", text):
        return b"\x0a" + struct.pack("<q", 86_400 * 10**9)
    return texts.time_of_day(text)


def _timestamp(text: str) -> bytes | None:
    return texts.local_timestamp(_of_era(text).replace(" ", "T", 1))


def _timestamptz(text: str) -> bytes | None:
    zoned = re.sub(r"([+-]\d\d)$", r"\1:00", _of_era(text).replace(" ", "T", 1))
    return texts.instant(zoned)


def _bits(text: str) -> bytes | None:
    if not re.fullmatch("[01]*", text):
        return None
    number = int(text or "0", 2)
    return b"\x0f" + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _interval(text: str) -> bytes | None:
    """The style "postgres": ``1 year 2 mons -3 days +04:05:06.7``."""
    months = days = ns = 0
    for amount, unit in _INTERVAL_PART.findall(text):
        if unit == "day":
            days += int(amount)
        else:
            months += int(amount) * _MONTHS[unit]
    rest = _INTERVAL_PART.sub("", text).strip()
    if rest or not text:
        clock = _INTERVAL_CLOCK.fullmatch(rest)
        if clock is None:
            return None
        sign, hours, minutes, seconds, fraction = clock.groups()
        whole = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 10**9 + int((fraction or "").ljust(9, "0"))
        ns = -whole if sign == "-" else whole
    try:
        return b"\x0e" + struct.pack("<iiq", months, days, ns)
    except struct.error:
        return None


def _hstore(text: str) -> bytes | None:
    at, found = 0, []
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        key, value, null = pair.groups()
        found.append((_unescaped(key).encode(), atoms.NULL if null else atoms.text(_unescaped(value))))
        at = pair.end()
    return packed_map(found)


def _array(item: str, text: str) -> bytes | None:
    """One dimension: a text with more of them, or with bounds, is left as text."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    body, at, found = text[1:-1], 0, []
    while at < len(body):
        part = _ARRAY_ITEM.match(body, at)
        if part is None:
            return None
        quoted, bare = part.groups()
        if quoted is not None:
            found.append(atom_of_text(item, _unescaped(quoted)))
        else:
            found.append(atom_of_text(item, None if bare == "NULL" else bare))
        at = part.end()
        if at < len(body):
            if body[at] != ",":
                return None
            at += 1
    return packed_list(found)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def packed_list(found: list[bytes]) -> bytes:
    """Tag 10 of some atoms."""
    return b"".join([b"\x10", _size(len(found)), *(_size(len(item)) + item for item in found)])


def packed_map(found: list[tuple[bytes, bytes]]) -> bytes:
    """Tag 11 of some keys and atoms; of a key that is there twice the last."""
    pairs = sorted(dict(found).items())
    return b"".join([b"\x11", _size(len(pairs)), *(_size(len(k)) + k + _size(len(v)) + v for k, v in pairs)])


def _size(number: int) -> bytes:
    return struct.pack("<I", number)


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), _integer),
    "numeric": _numeric,
    "money": _money,
    "float8": _double,
    "float4": _single,
    "bool": _boolean,
    "bytea": _bytea,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "date": _date,
    "time": _time,
    "uuid": texts.uuid,
    "json": texts.json_text,
    "jsonb": texts.json_text,
    "interval": _interval,
    "bit": _bits,
    "varbit": _bits,
    "hstore": _hstore,
}
