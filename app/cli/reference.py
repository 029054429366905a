"""docs/cli.md, made from ``--help``: ``python -m app.cli.reference > docs/cli.md``; a test compares them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from app.cli.main import parser

STATUSES = """
Exit status of `verify`: 0 nothing wrong; 1 something is bad, orphaned, contradicted, unverifiable, unexpected, unreadable
or of an unknown sink; 2 bad input or configuration. Of `run`: 0 stopped by a signal; 2 configuration; 70 a broken
invariant; 71 topics that belong together were assigned apart; 74 the disk. Of `status`: 0 nothing bad; 1 a configured sink
has bad cells, or unverifiable ones that nobody waived. Of `readiness`: 0 every sink is ready; 1 one is not. Of these two and
of `onboard`, `rebuild`, `retire` and `waive`: 2 bad input, a right that is missing, no answer from a broker or the registry.
"""


def reference() -> str:
    """The page's text."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Commands", STATUSES.strip()]
    for name, command in _commands("cdc-verifier", parser()):
        parts.append(f"## {name}\n\n```\n{command.format_help().strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _commands(name: str, command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, command
    for action in command._actions:  # noqa: SLF001 - argparse has no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for word, inner in action.choices.items():
                yield from _commands(f"{name} {word}", inner)


if __name__ == "__main__":
    print(reference(), end="")
