"""Puts results into docs/performance.md: python -m benchmarks.page FILE...

Each file is what a benchmark wrote with ``--json``; its tables take the place of those between the page's marks of its name,
``<!-- compare -->`` and ``<!-- /compare -->``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks.machine import ROOT

PAGE = ROOT / "docs" / "performance.md"


def filled(page: str, name: str, tables: str) -> str:
    """The page with other tables at a mark.

    Raises:
        ValueError: it has no such mark.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    found, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{tables}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the page has {count} places between {begin} and {end}, and needs one")
    return found


def main(files: list[str]) -> None:
    """Fill the page with each file's tables."""
    page = PAGE.read_text(encoding="utf-8")
    for file in files:
        result = json.loads(Path(file).read_text(encoding="utf-8"))
        page = filled(page, result["benchmark"], result["markdown"])
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
