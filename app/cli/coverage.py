"""How ``status`` and ``verify`` tell which share of the changes was judged by which evidence, per sink and topic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from app.model.coverage import Coverage
from app.model.effects import SinkWatermark

Line = dict[str, Any]

INDENT = "    "


def coverage_lines(told: Iterable[SinkWatermark]) -> Iterator[Line]:
    """One object for each sink and topic, sorted."""
    parts: dict[tuple[str, str], list[SinkWatermark]] = {}
    for one in told:
        parts.setdefault((one.sink, one.topic), []).append(one)
    for (sink, topic), found in sorted(parts.items()):
        yield {"kind": "coverage", "sink": sink, "topic": topic, **Coverage.of(found).datum()}


def coverage_text(line: Line) -> Iterator[str]:
    """The same for people: what was judged by state and level with its share, then what of the rows read back was right."""
    if not line["judged"]:
        return
    said = [f"{one['count']} {_named(one)} ({percent(one['share'])})" for one in line["cells"]]
    yield f"{INDENT}judged {line['judged']}: {', '.join(said)}"
    read_back = line["read_back"]
    if read_back["cells"]:
        yield f"{INDENT}read back: {read_back['equal']} of {read_back['cells']} equal"


def percent(share: float) -> str:
    """A share of 0 to 1, cut and not rounded: only what is all is 100 %, only what is nothing is 0 %.

    >>> percent(1.0), percent(0.9999), percent(0.0004), percent(0.0)
    ('100%', '99.9%', '<0.1%', '0%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    tenths = math.floor(share * 1000 + 1e-9) / 10
    return f"{tenths:.1f}%" if tenths else "<0.1%"


def _named(cells: Line) -> str:
    """The state, and the evidence where that says more."""
    level = cells["level"]
    return str(cells["state"]) if level in (None, cells["state"]) else f"{cells['state']} by {level}"
