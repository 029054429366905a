"""Whether a sink's value is the source's, where the two systems keep it in different types.

A change of type that loses nothing (an integer as numeric, a uuid as text, one bit as boolean) is agreed to by itself. One
that loses something is the contract's: `app.model.tolerances` names what a sink may do to a value. What two classes have in common
where none of these rules fits is not known, and then nothing is said: neither that the value is right nor that it is wrong.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import struct
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from app.decode import atoms
from app.decode.atoms import NS, Tag
from cdc_receipts import texts
from cdc_receipts.atoms import NULL
from cdc_receipts.atoms import decimal as decimal_atom
from cdc_receipts.atoms import floating as floating_atom

_UNITS_NS = {"seconds": NS, "milliseconds": 10**6, "microseconds": 10**3}
_ZONED_TIME = re.compile(
    r"([01]\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)", re.ASCII
)
_FLOAT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d{1,4})?|NaN|Infinity)", re.ASCII)
_INFINITY = {9_223_372_036_825_200_000: "infinity", -9_223_372_036_832_400_000: "-infinity"}
"""What Debezium makes of PostgreSQL's infinite timestamps, in microseconds."""

_TIMES = frozenset({Tag.LOCAL_TIMESTAMP, Tag.INSTANT, Tag.DATE, Tag.TIME_OF_DAY, Tag.INTERVAL})
"""Classes whose values have a digit in every form that they are written in, but for these words."""
_WORDS = frozenset({"infinity", "-infinity", "epoch", "allballs"})
_JSON_BEGINS = re.compile(r'\s*(?:\{\s*"|\[(?!.*\]\s*$))', re.DOTALL)
"""An object with a name in its quotes, or a list that does not end: other notations of structures have neither."""

Allowed = Collection[str]
Verdict = bool | None
"""True and False are knowledge; None is that the two can't be compared."""
_Rule = Callable[[bytes, bytes, Allowed], Verdict]


def agrees(expected: bytes, found: bytes, allowed: Allowed = ()) -> Verdict:
    """Whether a sink's value is what a change says.

    Args:
        expected, found: atoms.
        allowed: names of tolerances.
    """
    if expected == found:
        return True
    if NULL in (expected, found):
        return "empty-is-null" in allowed and {expected, found} == {NULL, b"\x05"}
    low, high = sorted((expected, found), key=lambda atom: atom[0])
    rule = _RULES.get((low[0], high[0]))
    if rule is not None:
        return rule(low, high, allowed)
    if Tag.TEXT in (low[0], high[0]):
        one, other = (low, high) if low[0] == Tag.TEXT else (high, low)
        return _as_text(one, other, allowed)
    return None


def _as_text(text: bytes, other: bytes, allowed: Allowed) -> Verdict:
    """A text, and a value of another class: read the text as that class would be written."""
    written = atoms.text(text)
    if other[0] == Tag.BYTES:
        return written in (
            atoms.written(other), other[1:].hex(), base64.b64encode(other[1:]).decode(),
            base64.urlsafe_b64encode(other[1:]).decode(),
        ) or None  # fmt: skip
    if other[0] in (Tag.LOCAL_TIMESTAMP, Tag.INSTANT) and written in _INFINITY.values():
        return _INFINITY.get(atoms.nanoseconds(other) // 1_000) == written
    if other[0] == Tag.FLOAT:
        return _text_and_float(written, other, allowed)
    read = _READ_AS.get(Tag(other[0]))
    if read is None:
        return None
    atom = read(written)
    if atom is None:
        return False if _is_no_form_of(written, Tag(other[0])) else None
    return agrees(atom, other, allowed)


def _is_no_form_of(text: str, tag: Tag) -> bool:
    """Whether nothing writes a value of a class like this, however it writes them: nothing at all, a time without a digit, cut JSON.

    A number may stand there as a word, by a transform that nobody told us of.
    """
    if tag is Tag.JSON and _JSON_BEGINS.match(text):
        return not _is_json(text)
    return not text.strip() or (tag in _TIMES and not any(map(str.isdigit, text)) and text.casefold() not in _WORDS)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _text_and_float(text: str, other: bytes, allowed: Allowed) -> Verdict:
    """A float's text is the shortest that is read as the same float; of a float32 it may be that of its own width."""
    if _FLOAT.fullmatch(text) is None:
        return False if _is_no_form_of(text, Tag.FLOAT) else None
    read = float(text)
    if floating_atom(read) == other:
        return True
    if single(read) != atoms.floating(other):
        return False
    return True if "float32" in allowed else None


def _texts(one: bytes, other: bytes, allowed: Allowed) -> bool:
    first, second = atoms.text(one), atoms.text(other)
    if "blanks" in allowed:
        first, second = first.rstrip(" "), second.rstrip(" ")
    if "case" in allowed:
        first, second = first.casefold(), second.casefold()
    if first == second:
        return True
    zoned = _zoned_time(first)
    if zoned is not None and zoned == _zoned_time(second):
        return True
    return "inet" in allowed and _network(first) is not None and _network(first) == _network(second)


def _zoned_time(text: str) -> int | None:
    """A time of day with its zone, as nanoseconds of the day in UTC."""
    parts = _ZONED_TIME.fullmatch(text)
    if parts is None:
        return None
    hour, minute, second, fraction, sign, zone_hour, zone_minute = parts.groups()
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    east = int(zone_hour or 0) * 3600 + int(zone_minute or 0) * 60
    ns = (seconds + (east if sign == "-" else -east)) * NS + int((fraction or "").ljust(9, "0"))
    return ns % (86_400 * NS)


def _network(text: str) -> object:
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


def _floats(one: bytes, other: bytes, allowed: Allowed) -> bool:
    """One of them is what a float32 keeps of the other."""
    first, second = atoms.floating(one), atoms.floating(other)
    return "float32" in allowed and (single(first) == second or first == single(second))


def single(number: float) -> float:
    """What a float32 keeps of a number."""
    try:
        found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return found


def _integer_and_decimal(one: bytes, other: bytes, _: Allowed) -> bool:
    return decimal_atom(atoms.integer(one), 0) == other


def _integer_and_float(one: bytes, other: bytes, allowed: Allowed) -> bool:
    return _is_kept_as(atoms.integer(one), atoms.floating(other), allowed)


def _decimal_and_float(one: bytes, other: bytes, allowed: Allowed) -> bool:
    return _is_kept_as(atoms.decimal(one), atoms.floating(other), allowed)


def _is_kept_as(number: int | Decimal, kept: float, allowed: Allowed) -> bool:
    """Exactly (Python compares numbers of all kinds by value), or as the nearest float of an allowed width."""
    if number == kept:
        return True
    return ("double" in allowed and float(number) == kept) or ("float32" in allowed and single(float(number)) == kept)


def _boolean_and_number(one: bytes, other: bytes, _: Allowed) -> bool:
    return atoms.integer(one) == atoms.integer(other)


def _boolean_and_decimal(one: bytes, other: bytes, _: Allowed) -> bool:
    return decimal_atom(atoms.integer(one), 0) == other


def _moments(one: bytes, other: bytes, allowed: Allowed) -> bool:
    return _is_near(atoms.nanoseconds(one), atoms.nanoseconds(other), allowed)


def _times(one: bytes, other: bytes, allowed: Allowed) -> bool:
    return _is_near(atoms.integer(one), atoms.integer(other), allowed)


def _moment_and_moment(one: bytes, other: bytes, allowed: Allowed) -> Verdict:
    return _moments(one, other, allowed) if "utc" in allowed else None


def _moment_and_date(one: bytes, other: bytes, _: Allowed) -> Verdict:
    """A date kept as the timestamp of its midnight."""
    return atoms.nanoseconds(one) == atoms.integer(other) * 86_400 * NS


def _is_near(one: int, other: int, allowed: Allowed) -> bool:
    """The same time, or one of them is whole in an allowed unit, and the other is less than that unit away."""
    units = [_UNITS_NS[name] for name in allowed if name in _UNITS_NS]
    return one == other or any(abs(one - other) < unit and 0 in (one % unit, other % unit) for unit in units)


def _duration_and_interval(one: bytes, other: bytes, _: Allowed) -> Verdict:
    months, days, ns = atoms.interval(other)
    return None if months else atoms.integer(one) * 1_000 == days * 86_400 * NS + ns


def _intervals(one: bytes, other: bytes, _: Allowed) -> Verdict:
    """A day is 24 hours in some stores and not in others: what is equal only then is not known."""
    months, days, ns = atoms.interval(one)
    other_months, other_days, other_ns = atoms.interval(other)
    is_as_long = (days - other_days) * 86_400 * NS == other_ns - ns
    return None if months == other_months and is_as_long else False


def _same_bytes(one: bytes, other: bytes, _: Allowed) -> bool:
    return one[1:] == other[1:]


def _lists(one: bytes, other: bytes, allowed: Allowed) -> Verdict:
    return _all(agrees(a, b, allowed) for a, b in _paired(atoms.items(one), atoms.items(other)))


def _maps(one: bytes, other: bytes, allowed: Allowed) -> Verdict:
    first, second = atoms.entries(one), atoms.entries(other)
    if first.keys() != second.keys():
        return False
    return _all(agrees(first[key], second[key], allowed) for key in first)


def _paired(one: list[bytes], other: list[bytes]) -> Any:
    return zip(one, other, strict=True) if len(one) == len(other) else [(b"\x01\x00", b"\x01\x01")]


def _all(found: Any) -> Verdict:
    """False where one is, else None where one can't be compared."""
    verdicts = list(found)
    return False if False in verdicts else None if None in verdicts else True


def _json_and_structure(one: bytes, other: bytes, _: Allowed) -> Verdict:
    """A map or a list that is kept as JSON; texts and nulls have one form there, of other values the form is not known."""
    try:
        written = json.dumps(atoms.plain(other), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return None
    if texts.json_text(written) == one:
        return True
    return False if _is_of_texts(other) else None


def _is_of_texts(atom: bytes) -> bool:
    """Whether a value is text or null, or made of nothing else."""
    match atoms.tag(atom):
        case Tag.LIST:
            return all(map(_is_of_texts, atoms.items(atom)))
        case Tag.MAP:
            return all(map(_is_of_texts, atoms.entries(atom).values()))
        case found:
            return found in (Tag.TEXT, Tag.NULL)


def _boolean(text: str) -> bytes | None:
    word = text.lower()
    return b"\x01\x01" if word in ("true", "t") else b"\x01\x00" if word in ("false", "f") else None


def _number(text: str) -> bytes | None:
    """Any number that text writes, as a decimal."""
    found = re.fullmatch(r"([+-]?)(\d{1,400})(?:\.(\d{1,400}))?(?:[eE]([+-]?\d{1,3}))?", text, re.ASCII)
    if found is None:
        return None
    sign, whole, fraction, exponent = found.groups()
    unscaled = int(whole + (fraction or ""))
    return decimal_atom(-unscaled if sign == "-" else unscaled, len(fraction or "") - int(exponent or 0))


def _local(text: str) -> bytes | None:
    return texts.local_timestamp(text.replace(" ", "T", 1))


def _instant(text: str) -> bytes | None:
    return texts.instant(re.sub(r"([+-]\d\d)$", r"\1:00", text.replace(" ", "T", 1)))


_READ_AS: Mapping[Tag, Callable[[str], bytes | None]] = MappingProxyType(
    {
        Tag.BOOLEAN: _boolean,
        Tag.INTEGER: _number,
        Tag.DECIMAL: _number,
        Tag.LOCAL_TIMESTAMP: _local,
        Tag.INSTANT: _instant,
        Tag.DATE: texts.date,
        Tag.TIME_OF_DAY: texts.time_of_day,
        Tag.UUID: texts.uuid,
        Tag.JSON: texts.json_text,
        Tag.INTERVAL: texts.interval,
    }
)

_RULES: Mapping[tuple[int, int], _Rule] = MappingProxyType(
    {
        (Tag.BOOLEAN, Tag.BOOLEAN): lambda one, other, _: one == other,
        (Tag.BOOLEAN, Tag.INTEGER): _boolean_and_number,
        (Tag.BOOLEAN, Tag.DECIMAL): _boolean_and_decimal,
        (Tag.BOOLEAN, Tag.BITS): _boolean_and_number,
        (Tag.INTEGER, Tag.INTEGER): lambda one, other, _: one == other,
        (Tag.INTEGER, Tag.DECIMAL): _integer_and_decimal,
        (Tag.INTEGER, Tag.FLOAT): _integer_and_float,
        (Tag.INTEGER, Tag.BITS): _boolean_and_number,
        (Tag.DECIMAL, Tag.DECIMAL): lambda one, other, _: one == other,
        (Tag.DECIMAL, Tag.FLOAT): _decimal_and_float,
        (Tag.FLOAT, Tag.FLOAT): _floats,
        (Tag.TEXT, Tag.TEXT): _texts,
        (Tag.BYTES, Tag.BYTES): lambda one, other, _: one == other,
        (Tag.BYTES, Tag.UUID): _same_bytes,
        (Tag.LOCAL_TIMESTAMP, Tag.LOCAL_TIMESTAMP): _moments,
        (Tag.LOCAL_TIMESTAMP, Tag.INSTANT): _moment_and_moment,
        (Tag.LOCAL_TIMESTAMP, Tag.DATE): _moment_and_date,
        (Tag.INSTANT, Tag.INSTANT): _moments,
        (Tag.DATE, Tag.DATE): lambda one, other, _: one == other,
        (Tag.TIME_OF_DAY, Tag.TIME_OF_DAY): _times,
        (Tag.UUID, Tag.UUID): lambda one, other, _: one == other,
        (Tag.JSON, Tag.JSON): lambda one, other, _: one == other,
        (Tag.JSON, Tag.LIST): _json_and_structure,
        (Tag.JSON, Tag.MAP): _json_and_structure,
        (Tag.DURATION, Tag.DURATION): lambda one, other, _: one == other,
        (Tag.DURATION, Tag.INTERVAL): _duration_and_interval,
        (Tag.INTERVAL, Tag.INTERVAL): _intervals,
        (Tag.BITS, Tag.BITS): lambda one, other, _: one == other,
        (Tag.LIST, Tag.LIST): _lists,
        (Tag.MAP, Tag.MAP): _maps,
    }
)
"""By the two classes, the lower tag first; values of one class that no rule finds near are different."""
