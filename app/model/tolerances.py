"""What a sink's types may do to values, by the name that a contract calls it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TOLERANCES: Mapping[str, str] = MappingProxyType(
    {
        "blanks": "blanks at the end of a text (CHAR(n) is padded)",
        "double": "a number kept as a float64, or a float64 as a decimal (numeric without a scale as double precision)",
        "float32": "a number kept as a float32, or a float32 as a decimal",
        "seconds": "times cut or rounded to whole seconds",
        "milliseconds": "times cut or rounded to whole milliseconds",
        "microseconds": "times cut or rounded to whole microseconds",
        "utc": "a time without zone kept as an instant, or the other way round, in UTC",
        "inet": "an address in any spelling, one host's with or without its length (/32, /128)",
        "empty-is-null": "an empty text kept as NULL (Oracle)",
        "case": "texts in upper or lower case",
    }
)
