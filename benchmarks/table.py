"""Results as they are shown: one table, as text for a terminal or as Markdown for docs/performance.md, and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is called, and the measurement that it shows."""

    title: str
    name: str


def shown(value: object) -> str:
    """A cell of a table: numbers as one reads them, nothing for what was not measured."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value < 100:
        return f"{value:.2f}"
    if isinstance(value, int | float):
        return f"{value:,.0f}"
    return str(value)


def as_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """A table for a terminal."""
    lines = [[column.title for column in columns]]
    lines += [[shown(row.get(column.name)) for column in columns] for row in rows]
    widths = [max(map(len, line)) for line in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def as_markdown(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The same for a page."""
    lines = [[column.title for column in columns], ["---"] * len(columns)]
    lines += [[shown(row.get(column.name)) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def arguments(about: str) -> argparse.ArgumentParser:
    """A command line with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there, too")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/performance.md has it")
    return parser


def report(
    told: argparse.Namespace,
    name: str,
    result: Mapping[str, Any],
    tables: Sequence[tuple[Sequence[Column], Sequence[Row]]],
) -> None:
    """Print the machine and the tables; write the JSON where one was asked for, the tables as Markdown with it.

    Args:
        name: of the benchmark, as docs/performance.md marks its place; see `benchmarks.page`.
    """
    line = f"{command_line(name, told)}: {machine_line(result['machine'])}"
    shown_tables = [(columns, rows) for columns, rows in tables if rows]
    markdown = "\n\n".join([line + ".", *(as_markdown(columns, rows) for columns, rows in shown_tables)])
    text = "\n\n".join([line, *(as_text(columns, rows) for columns, rows in shown_tables)])
    print(markdown if told.markdown else text)
    if told.json is not None:
        written = {"benchmark": name, "command": command_line(name, told), **result, "markdown": markdown}
        told.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def command_line(name: str, told: argparse.Namespace) -> str:
    """What to type to measure the same again."""
    chosen = {key: value for key, value in vars(told).items() if key not in {"json", "markdown"}}
    options = [f"--{key.replace('_', '-')} {value}" for key, value in chosen.items()]
    return f"`{' '.join([f'python -m benchmarks.{name}', *options])}`"


def progress(line: str) -> None:
    """Say what is under way, beside the results."""
    print(line, file=sys.stderr, flush=True)


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine in one line."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['date']}, cdc-verifier {machine['version']}, its kernel in C: {machine['kernel_in_c']}; "
        f"{machine['cpus']} cores ({machine['cpu']}), {machine['memory_mb']} MB, Linux {machine['linux']}, Python {machine['python']}, {packages}"
    )
