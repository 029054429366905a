"""What ``verify`` and ``changes`` print for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from app.cli.coverage import coverage_text
from app.evidence.receipts import described

Line = dict[str, Any]

MOST_CELLS = 20
"""So many cells are listed with their columns: a person reads no more of them at once."""
MOST_KEYS = 20
"""The same of keys of one table."""
STRANGERS = {"foreign": "", "unexplained": ", since a change that is not held may have been theirs"}
"""Kinds of lines about rows that no change tells of, and what is to be said of each."""


def summary(lines: Sequence[Line], grace_s: float | None) -> Iterator[str]:
    """One row per sink and source partition, then everything that is wrong, by kind."""
    head = ("sink", "source partition", "frontier", "settled", "verified", "cells")
    rows = [head, *(_sink_row(line) for line in lines if line["kind"] == "sink")]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]])
    graced = [line for line in lines if line.get("fences") == "by --grace"]
    if graced:
        yield f"\n{len(graced)} of these have no fences of their own; theirs stand {grace_s:g} s behind, by --grace."
    yield ""
    yield from _covered(lines)
    found = Counter(_wrong(line) for line in lines)
    for what, count in sorted(found.items()):
        if what:
            yield f"{count:6}  {what}"
    yield from _cells(lines)
    yield from _strangers(lines)
    yield from _uncompared(lines)


def _cells(lines: Sequence[Line]) -> Iterator[str]:
    """The first cells whose rows differ, with what is wrong with their columns."""
    found = [line for line in lines if line["kind"] == "cell" and "columns" in line]
    if found:
        yield "\nrows that differ:"
    for line in found[:MOST_CELLS]:
        place = f"{line['topic']}:{line['partition']}:{line['offset']}"
        yield f"  {line['sink']}  {place}  {described(line['columns'])}"
    if len(found) > MOST_CELLS:
        yield f"  and {len(found) - MOST_CELLS} more; --json tells them all"


def _strangers(lines: Sequence[Line]) -> Iterator[str]:
    """Rows that no change tells of, with the first of their keys."""
    found = [line for line in lines if line["kind"] in STRANGERS]
    if found:
        yield "\nrows under keys that no change tells of:"
    for line in found:
        yield f"  {line['sink']}  {line['topic']}  {line['table']}: {line['count']} {line['kind']}{STRANGERS[line['kind']]}"
        for key in line["keys"][:MOST_KEYS]:
            yield "    " + ", ".join(f"{column} {text}" for column, text in key.items())
        if line["count"] > MOST_KEYS:
            yield f"    and {line['count'] - MOST_KEYS} more; --json tells them all"


def _uncompared(lines: Sequence[Line]) -> Iterator[str]:
    """Whose rows could not be compared, and why."""
    found = [line for line in lines if line["kind"] == "sink" and "rows" in line]
    if found:
        yield "\nrows that are not compared:"
    for line in found:
        yield f"  {line['sink']}  {line['topic']}:{line['partition']}  {line['rows'].removeprefix('not compared: ')}"


def _covered(lines: Sequence[Line]) -> Iterator[str]:
    """Of each sink and topic, which evidence its changes were judged by."""
    for line in lines:
        if line["kind"] == "coverage" and line["judged"]:
            yield f"{line['sink']}  {line['topic']}"
            yield from coverage_text(line)
    if any(line["kind"] == "coverage" for line in lines):
        yield ""


def _sink_row(line: Line) -> tuple[str, ...]:
    counts = ", ".join(f"{count} {state}" for state, count in line["counts"].items())
    place = f"{line['topic']}:{line['partition']}"
    marks = (str(line[name]) for name in ("frontier", "settled_watermark", "verified_watermark"))
    return (line["sink"], place, *marks, counts)


def _wrong(line: Line) -> str:
    match line["kind"]:
        case "cell":
            flags = f" ({', '.join(line['flags'])})" if line["flags"] else ""
            return f"{line['sink']}: {line['state']}{flags}"
        case "orphan" | "contradicted":
            return f"{line['sink']}: {line['kind']}"
        case "unreadable" | "unknown_sink":
            return f"{line['topic']}: {line['kind']}"
        case "command":
            return f"{line['sink']}: commands"
        case _:
            return ""


def change_row(line: Line) -> str:
    """One change as a row of text."""
    place = f"{line['topic']}:{line['partition']}:{line['offset']}"
    rest = line["fingerprint"] or line["reason"] or ""
    return f"{place:<44} {line['kind']:<10} {line['op'] or '-'}  {rest}"
