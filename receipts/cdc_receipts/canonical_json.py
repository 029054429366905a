"""The canonical text of a JSON value (protocol section 2, tag 0c).

Numbers have no bounds: ``<integer>e<exponent>`` after stripping trailing zeros, worked out on the digits. The standard
library reads what its stack can hold, since it is quick; what nests deeper is read again without recursion. A test holds the
two readers equal.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_PLAIN_STRING = re.compile(r'"[^"\\\x00-\x1f]*"')
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile(r'["\\\x00-\x1f]')
_LITERALS = {"t": "true", "f": "false", "n": "null"}


class _BadJson(ValueError):
    """The text is no RFC 8259 text."""


def canonical_json(text: str) -> bytes | None:
    """The canonical text as UTF-8, or None where the text can't be read.

    >>> canonical_json(' {"b": 1.50, "a": [true, 0.0]}')
    b'{"a":[true,0e0],"b":15e-1}'
    """
    try:
        return _canonical(_DECODER.decode(text)).encode()
    except RecursionError:
        return read_deep(text)
    except ValueError:  # no JSON, or a lone surrogate, which UTF-8 can't hold
        return None


class _Number(str):
    """A number's canonical text, told apart from a string's."""

    __slots__ = ()


def _parsed_integer(text: str) -> _Number:
    digits = text.rstrip("0")
    return _Number("0e0" if digits in ("", "-") else f"{digits}e{len(text) - len(digits)}")


def _parsed_number(text: str) -> _Number:
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise _BadJson
    return _Number(_number(*number.groups()))


def _refused(text: str) -> str:
    """NaN and Infinity are no JSON."""
    raise _BadJson(text)


_DECODER = json.JSONDecoder(parse_int=_parsed_integer, parse_float=_parsed_number, parse_constant=_refused)
"""Made once: `json.loads` makes one a call."""


def _canonical(value: object) -> str:
    if isinstance(value, str):
        return value if isinstance(value, _Number) else _quoted(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_quoted(key)}:{_canonical(value[key])}" for key in sorted(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_canonical(item) for item in value]) + "]"
    return "null" if value is None else "true" if value else "false"


def read_deep(text: str) -> bytes | None:
    """`canonical_json` without recursion, for texts that nest deeper than the stack reaches."""
    try:
        value, at = _value(text, _skip(text, 0))
        if _skip(text, at) != len(text):
            return None
        return value.encode()
    except _BadJson:
        return None
    except UnicodeEncodeError:
        return None


class _Open:
    """An object or array whose end has not been read; ``key`` is the member being read."""

    __slots__ = ("items", "key", "members")

    def __init__(self, *, is_object: bool) -> None:
        self.members: dict[str, str] | None = {} if is_object else None
        self.items: list[str] = []
        self.key = ""

    def add(self, value: str) -> None:
        if self.members is None:
            self.items.append(value)
        else:
            self.members[self.key] = value  # of a duplicate key the last one wins

    def text(self) -> str:
        if self.members is None:
            return "[" + ",".join(self.items) + "]"
        return "{" + ",".join(f"{_quoted(key)}:{self.members[key]}" for key in sorted(self.members)) + "}"


def _value(text: str, at: int) -> tuple[str, int]:
    """One value that begins at ``at``: its canonical text and the place after it."""
    stack: list[_Open] = []
    while True:
        first = text[at : at + 1]
        done: str | None
        if first in ("{", "["):
            opened = _Open(is_object=first == "{")
            at = _skip(text, at + 1)
            if text[at : at + 1] == ("}" if first == "{" else "]"):
                done, at = opened.text(), at + 1
            else:
                stack.append(opened)
                at = _key(text, at, opened)
                continue
        else:
            done, at = _scalar(text, at, first)
        while done is not None:
            if not stack:
                return done, at
            done, at = _after(text, _skip(text, at), stack, done)


def _after(text: str, at: int, stack: list[_Open], done: str) -> tuple[str | None, int]:
    """A value inside a container is complete: on to the next one, or the container is complete itself."""
    container = stack[-1]
    container.add(done)
    mark = text[at : at + 1]
    if mark == ",":
        return None, _key(text, _skip(text, at + 1), container)
    if mark == ("]" if container.members is None else "}"):
        stack.pop()
        return container.text(), at + 1
    raise _BadJson


def _key(text: str, at: int, container: _Open) -> int:
    """In an object, reads the key and the colon; returns where the value begins."""
    if container.members is None:
        return at
    if text[at : at + 1] != '"':
        raise _BadJson
    container.key, at = _string(text, at)
    at = _skip(text, at)
    if text[at : at + 1] != ":":
        raise _BadJson
    return _skip(text, at + 1)


def _scalar(text: str, at: int, first: str) -> tuple[str, int]:
    if first == '"':
        plain = _PLAIN_STRING.match(text, at)
        if plain is not None:  # nothing to unescape or to escape: it is canonical as it stands
            return plain.group(), plain.end()
        value, at = _string(text, at)
        return _quoted(value), at
    literal = _LITERALS.get(first)
    if literal is not None:
        if not text.startswith(literal, at):
            raise _BadJson
        return literal, at + len(literal)
    number = _NUMBER.match(text, at)
    if number is None:
        raise _BadJson
    return _number(*number.groups()), number.end()


def _number(sign: str, whole: str, fraction: str | None, exponent: str | None) -> str:
    """Digits and exponent as texts, since neither has a bound."""
    digits = (whole + (fraction or "")).lstrip("0")
    if not digits:
        return "0e0"
    stripped = digits.rstrip("0")
    shift = len(digits) - len(stripped) - len(fraction or "")
    return f"{sign}{stripped}e{_plus(exponent or '0', shift)}"


def _plus(text: str, shift: int) -> str:
    """The sum of an integer of any length, as text, and a small one; `int` refuses very long texts."""
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) < 4_000:
        return str((-1 if text.startswith("-") else 1) * int(digits) + shift)
    is_negative = text.startswith("-")
    head, tail = digits[:-3_000], digits[-3_000:]
    total = int(tail) + (-shift if is_negative else shift)
    base = 10**3_000
    carry, rest = divmod(total, base)
    return ("-" if is_negative else "") + _carry(head, carry) + str(rest).rjust(3_000, "0")


def _carry(head: str, carry: int) -> str:
    """A long decimal text plus -1, 0 or 1."""
    if carry == 0:
        return head
    edge, fill = ("9", "0") if carry > 0 else ("0", "9")
    kept = head.rstrip(edge)
    moved = str(int(kept[-1]) + carry) if kept else "1"
    return ((kept[:-1] if kept else "") + moved + fill * (len(head) - len(kept))).lstrip("0")


def _string(text: str, at: int) -> tuple[str, int]:
    """A string that begins at ``at``, unescaped, and the place after its closing quote."""
    whole = _PLAIN_STRING.match(text, at)
    if whole is not None:
        return whole.group()[1:-1], whole.end()
    parts = []
    at += 1
    while True:
        plain = _PLAIN.match(text, at)
        if plain is not None:
            parts.append(plain.group())
            at = plain.end()
        mark = text[at : at + 1]
        if mark == '"':
            return _joined("".join(parts)), at + 1
        escape = _ESCAPE.match(text, at)
        if escape is None:
            raise _BadJson
        short, code = escape.groups()
        parts.append(_ESCAPES[short] if short else chr(int(code, 16)))
        at = escape.end()


def _joined(text: str) -> str:
    """Surrogate pairs of escapes become their character; a lone one makes the text unreadable."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise _BadJson from error


def _quoted(text: str) -> str:
    quoted = encode_basestring(text)  # in C; what it escapes it may write in another way than we do
    return quoted if "\\" not in quoted else '"' + _UNSAFE.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    return "\\" + char if char in '"\\' else f"\\u{ord(char):04x}"


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()
