"""``doctor --check``: what was found around an installation, as text and as JSON. It decides nothing and writes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.config.load import load
from app.evidence.installation import LEVELS, Finding, findings, is_fine

INDENT = " " * 9


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check found."""

    found: Sequence[Finding]

    @property
    def is_fine(self) -> bool:
        """Whether there is nothing to mend, and nothing that could not be asked."""
        return is_fine(self.found)

    def lines(self) -> Iterator[dict[str, Any]]:
        """One finding each, what is fine among them."""
        for one in self.found:
            yield {"kind": "finding", **asdict(one)}

    def text(self) -> Iterator[str]:
        """For people: what is not fine with its meaning and what to do, and a count at the end."""
        for one in self.found:
            if one.level == "fine":
                yield f"{one.level:9}{one.about}: {one.says}"
                continue
            yield f"{one.level:9}{one.about}: {one.place}"
            yield f"{INDENT}{one.says}"
            yield f"{INDENT}means: {one.means}"
            yield f"{INDENT}do: {one.do}"
        counts = Counter(one.level for one in self.found)
        yield ", ".join(f"{counts[level]} {level}" for level in LEVELS)


def check(config: Path) -> Checked:
    """Ask everything that a configuration names.

    Raises:
        ConfigError: the configuration itself; every fault of it.
    """
    from topologies.checking import look  # noqa: PLC0415 - help needs no Kafka

    return Checked(findings(look(load(config, os.environ))))
