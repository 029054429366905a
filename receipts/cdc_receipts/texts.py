"""What a class can read from text (protocol section 2, the table of grammars), and the atom that it gives.

Every function takes the text and returns the atom, or None where its class can't read it; the caller then takes the text
as text (tag 05). Years have four or more digits in the proleptic Gregorian calendar with a year 0, so no datetime type is
wide enough. Integers of an atom are little-endian two's complement.
"""

from __future__ import annotations

import re

from cdc_receipts.canonical_json import canonical_json

_DATE = r"([+-]?[0-9]{4,})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
_ZONE = r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"

_INSTANT = re.compile(f"{_DATE}T{_TIME}{_ZONE}")
_LOCAL = re.compile(f"{_DATE}T{_TIME}{_ZONE}?")
_DAY = re.compile(f"{_DATE}{_ZONE}?")
_CLOCK = re.compile(f"{_TIME}{_ZONE}?")
_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_INTERVAL = re.compile(
    r"P(?:(-?[0-9]+)Y)?(?:(-?[0-9]+)M)?(?:(-?[0-9]+)D)?"
    r"(T(?:(-?[0-9]+)H)?(?:(-?[0-9]+)M)?(?:(-?)([0-9]+)(?:\.([0-9]{1,9}))?S)?)?"
)

DAY_SECONDS = 86_400
HOUR_NS = 3_600 * 10**9
MOST_DIGITS = 600
"""`int` may refuse texts of 640 digits; a longer number fits no payload, so its text is text."""
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def instant(text: str) -> bytes | None:
    """Tag 08: a ZonedTimestamp, in UTC."""
    parts = _INSTANT.fullmatch(text)
    if parts is None:
        return None
    days, clock, zone = _days(*parts.group(1, 2, 3)), _clock(*parts.group(4, 5, 6, 7)), _zone(*parts.group(8, 9, 10))
    if days is None or clock is None or zone is None:
        return None
    return _stamp(b"\x08", days * DAY_SECONDS + clock[0] - zone, clock[1])


def local_timestamp(text: str) -> bytes | None:
    """Tag 07: an IsoTimestamp; a zone suffix is ignored."""
    parts = _LOCAL.fullmatch(text)
    if parts is None or _zone(*parts.group(8, 9, 10)) is None:
        return None
    days, clock = _days(*parts.group(1, 2, 3)), _clock(*parts.group(4, 5, 6, 7))
    if days is None or clock is None:
        return None
    return _stamp(b"\x07", days * DAY_SECONDS + clock[0], clock[1])


def date(text: str) -> bytes | None:
    """Tag 09: an IsoDate; a zone suffix is ignored."""
    parts = _DAY.fullmatch(text)
    if parts is None or _zone(*parts.group(4, 5, 6)) is None:
        return None
    days = _days(*parts.group(1, 2, 3))
    return None if days is None else _fitting(b"\x09", days)


def time_of_day(text: str) -> bytes | None:
    """Tag 0a: an IsoTime; a zone suffix is ignored."""
    parts = _CLOCK.fullmatch(text)
    if parts is None or _zone(*parts.group(5, 6, 7)) is None:
        return None
    clock = _clock(*parts.group(1, 2, 3, 4))
    return None if clock is None else _fitting(b"\x0a", clock[0] * 10**9 + clock[1])


def uuid(text: str) -> bytes | None:
    """Tag 0b: 16 bytes as written."""
    return b"\x0b" + bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None


def json_text(text: str) -> bytes | None:
    """Tag 0c: the canonical text."""
    canonical = canonical_json(text)
    return None if canonical is None else b"\x0c" + canonical


def interval(text: str) -> bytes | None:
    """Tag 0e: months, days, nanoseconds; nothing is carried between them."""
    parts = _INTERVAL.fullmatch(text)
    if parts is None:
        return None
    years, months, days, clock, hours, minutes, sign, seconds, fraction = parts.groups()
    if clock == "T" or all(part is None for part in (years, months, days, clock)):
        return None
    try:
        ns = _whole(hours) * HOUR_NS + _whole(minutes) * 60 * 10**9
        second_ns = _whole(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))
        return (
            b"\x0e"
            + (_whole(years) * 12 + _whole(months)).to_bytes(4, "little", signed=True)
            + _whole(days).to_bytes(4, "little", signed=True)
            + (ns - second_ns if sign else ns + second_ns).to_bytes(8, "little", signed=True)
        )
    except OverflowError:
        return None


def _whole(digits: str | None) -> int:
    """A whole number of any length, 0 where none is written; OverflowError beyond what any payload holds."""
    if digits is None or len(digits) <= MOST_DIGITS:
        return int(digits or 0)
    significant = digits.lstrip("+-").lstrip("0")
    if len(significant) > MOST_DIGITS:
        raise OverflowError(f"{len(significant)} digits")
    return int(significant or 0) * (-1 if digits.startswith("-") else 1)


def _days(year_text: str, month_text: str, day_text: str) -> int | None:
    """Days since 1970-01-01 of a real date, or None."""
    try:
        year, month, day = _whole(year_text), int(month_text), int(day_text)
    except OverflowError:
        return None
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12:
        return None
    longest = 29 if month == 2 and is_leap else _MONTH_DAYS[month - 1]
    if not 1 <= day <= longest:
        return None
    before = year - 1  # leap days of all years before this one, floor division works below year 0 too
    leap_days = before // 4 - before // 100 + before // 400
    day_of_year = sum(_MONTH_DAYS[: month - 1]) + (1 if is_leap and month > 2 else 0) + day
    return 365 * before + leap_days + day_of_year - 719_163


def _clock(hour: str, minute: str, second: str | None, fraction: str | None) -> tuple[int, int] | None:
    """Seconds since midnight and nanoseconds, or None."""
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        return None
    return int(hour) * 3600 + int(minute) * 60 + int(second or 0), int((fraction or "").ljust(9, "0"))


def _zone(sign: str | None, hour: str | None, minute: str | None) -> int | None:
    """Seconds east of UTC, 0 where no offset is written, None for one that is no time."""
    if sign is None or hour is None or minute is None:
        return 0
    if int(hour) > 23 or int(minute) > 59:
        return None
    seconds = int(hour) * 3600 + int(minute) * 60
    return -seconds if sign == "-" else seconds


def _stamp(tag: bytes, seconds: int, nanoseconds: int) -> bytes | None:
    atom = _fitting(tag, seconds)
    return None if atom is None else atom + nanoseconds.to_bytes(4, "little")


def _fitting(tag: bytes, value: int) -> bytes | None:
    try:
        return tag + value.to_bytes(8, "little", signed=True)
    except OverflowError:
        return None
