"""Style that a machine can hold: where imports may go, what the fold may not know, how long things may get.

Every rule is a function from a module's place and text to problems, and has a test of its own that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

STAGES = ("model", "decode", "evidence", "ledger", "repair", "adapters", "worker", "cli")
"""The pipeline: a stage imports what stands to its left, and itself."""

FREE = {"errors", "clock", "native"}
"""Modules of app that every stage may import."""

CONFIG_READERS = {"adapters", "worker", "cli", "config", "testing"}
"""Settings reach the other stages as plain values."""

ENGINE = {"aiokafka", "confluent_kafka", "faust", "mode", "prometheus_client", "psycopg", "pymysql", "rocksdict"}
"""What only the edges may know."""

IMPURE = {"asyncio", "datetime", "os", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
"""A fold that imports none of these can't depend on when or where it runs."""

MODULE_LINES = 400
FUNCTION_LINES = 50

MACHINE = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]", "/" + "Users/", "/" + "opt/wheels"]))
TEXT_SUFFIXES = {
    "",
    ".avsc",
    ".c",
    ".cfg",
    ".h",
    ".json",
    ".lock",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
NOT_OURS = {"build", "dist", "state"}
"""Directories that tools fill, beside those that begin with a dot."""

Rule = Callable[[Path, str], Iterator[str]]


def imported(text: str) -> Iterator[str]:
    """Every module that a text imports, by its dotted name; ``from a import b`` gives ``a.b``, which may be a name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def one_way(place: Path, text: str) -> Iterator[str]:
    """Imports go left along the pipeline; topologies see all of app but the command line, and receipts see nothing."""
    package, stage = place.parts[0], place.parts[1].removesuffix(".py")
    for name in imported(text):
        target, _, rest = name.partition(".")
        if target not in {"app", "topologies"}:
            continue
        wanted = rest.partition(".")[0]
        if package == "app" and not _is_allowed(stage, target, wanted):
            yield f"{place}: {stage} imports {name}"
        elif package == "topologies" and (target, wanted) == ("app", "cli"):
            yield f"{place}: topologies imports {name}"
        elif package == "receipts":
            yield f"{place}: receipts are installed by sinks and import {name}"


def _is_allowed(stage: str, target: str, wanted: str) -> bool:
    if stage in {"testing", "__init__"}:
        return True
    if target == "topologies":
        return stage == "cli"
    if wanted in FREE:
        return True
    if wanted == "config":
        return stage in CONFIG_READERS
    if stage == "config":
        return wanted in {"config", "model"}
    if stage not in STAGES:
        return wanted == stage
    return wanted in STAGES[: STAGES.index(stage) + 1]


def engine_at_the_edges(place: Path, text: str) -> Iterator[str]:
    """The engine's libraries are imported in app/adapters and topologies; confluent_kafka in receipts too."""
    if place.parts[:2] == ("app", "adapters") or place.parts[0] == "topologies":
        return
    allowed = {"confluent_kafka"} if place.parts[0] == "receipts" else set()
    for name in imported(text):
        if name.partition(".")[0] in ENGINE - allowed:
            yield f"{place}: imports {name}"


def pure_fold(place: Path, text: str) -> Iterator[str]:
    """The fold reads no clock, no chance and no machine."""
    if place.parts[:2] not in {("app", "ledger"), ("app", "repair")}:
        return
    for name in imported(text):
        if name.partition(".")[0] in IMPURE:
            yield f"{place}: imports {name}"


def one_screen(place: Path, text: str) -> Iterator[str]:
    """No module over 400 lines, no function over 50."""
    lines = len(text.splitlines())
    if lines > MODULE_LINES:
        yield f"{place}: has {lines} lines, {MODULE_LINES} are allowed; look for a second noun"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{place}: {node.name} has {length} lines, {FUNCTION_LINES} are allowed"


def no_machine(place: Path, text: str) -> Iterator[str]:
    """Nothing names a place that exists on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE.search(line):
            yield f"{place}:{number}: names a path of one machine: {line.strip()[:80]}"


def files(*tops: str) -> Iterator[Path]:
    """Our own text files below some directories (all of the repository without any), relative to its root."""
    for top in tops or (".",):
        for path in sorted((ROOT / top).rglob("*")):
            place = path.relative_to(ROOT)
            if (
                not any(_is_foreign(part) for part in place.parts[:-1])
                and path.is_file()
                and path.suffix in TEXT_SUFFIXES
            ):
                yield place


def _is_foreign(directory: str) -> bool:
    is_hidden = directory.startswith(".") and directory != ".ci"
    return is_hidden or directory in NOT_OURS or directory.endswith(".egg-info")


def modules(*tops: str) -> list[Path]:
    """Python modules below some directories."""
    return [place for place in files(*tops) if place.suffix == ".py" and "tests" not in place.parts]


def problems(rule: Rule, places: list[Path]) -> list[str]:
    """What a rule says of some files."""
    return [problem for place in places for problem in rule(place, (ROOT / place).read_text(encoding="utf-8"))]


@pytest.mark.parametrize("rule", [one_way, engine_at_the_edges, pure_fold, one_screen], ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    places = modules("app", "topologies", "receipts")

    assert places
    assert problems(rule, places) == []


def test_nothing_names_a_path_of_one_machine() -> None:
    assert problems(no_machine, list(files())) == []


def test_the_lock_holds_hashes_and_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()

    assert "--index-url" not in text
    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


@pytest.mark.parametrize(
    ("place", "text", "is_fine"),
    [
        ("app/ledger/fence.py", "from app.model import State", True),
        ("app/ledger/fence.py", "import app.repair.planner", False),
        ("app/ledger/fence.py", "from app import repair", False),
        ("app/ledger/fence.py", "def f():\n    from app.adapters import store", False),
        ("app/ledger/fence.py", "from app.config import load", False),
        ("app/ledger/fence.py", "from app.errors import require", True),
        ("app/errors.py", "from app.model import State", False),
        ("app/config/load.py", "from app.model import Contract", True),
        ("app/config/load.py", "from app.ledger import fence", False),
        ("app/adapters/encode.py", "from app.ledger import fence", True),
        ("app/adapters/encode.py", "import topologies", False),
        ("app/cli/main.py", "import topologies.verify", True),
        ("topologies/verify.py", "from app.repair import planner", True),
        ("topologies/verify.py", "from app.cli import main", False),
        ("receipts/cdc_receipts/emitter.py", "from app.errors import require", False),
    ],
)
def test_imports_go_one_way(place: str, text: str, is_fine: bool) -> None:
    assert (not list(one_way(Path(place), text))) == is_fine


@pytest.mark.parametrize(
    ("place", "text", "is_fine"),
    [
        ("app/adapters/store.py", "import rocksdict", True),
        ("topologies/verify.py", "import faust", True),
        ("app/ledger/fence.py", "from rocksdict import Rdict", False),
        ("app/cli/run.py", "import confluent_kafka.admin", False),
        ("receipts/cdc_receipts/emitter.py", "import confluent_kafka", True),
        ("receipts/cdc_receipts/emitter.py", "import faust", False),
    ],
)
def test_the_engine_stays_at_the_edges(place: str, text: str, is_fine: bool) -> None:
    assert (not list(engine_at_the_edges(Path(place), text))) == is_fine


@pytest.mark.parametrize(
    ("place", "text", "is_fine"),
    [
        ("app/ledger/fence.py", "import numpy as np", True),
        ("app/ledger/fence.py", "import time", False),
        ("app/repair/planner.py", "from datetime import datetime", False),
        ("app/repair/planner.py", "import os.path", False),
        ("app/adapters/metrics.py", "import time", True),
    ],
)
def test_the_fold_is_pure(place: str, text: str, is_fine: bool) -> None:
    assert (not list(pure_fold(Path(place), text))) == is_fine


def test_what_is_longer_than_one_screen_is_found() -> None:
    long_function = "def f():\n" + "    x = 1\n" * FUNCTION_LINES

    assert list(one_screen(Path("app/a.py"), "x = 1\n" * MODULE_LINES)) == []
    assert len(list(one_screen(Path("app/a.py"), "x = 1\n" * (MODULE_LINES + 1)))) == 1
    assert list(one_screen(Path("app/a.py"), long_function.replace("    x = 1\n", "", 1))) == []
    assert len(list(one_screen(Path("app/a.py"), long_function))) == 1


def test_a_path_of_one_machine_is_found() -> None:
    planted = "see /" + "home/someone/notes"

    assert list(no_machine(Path("README.md"), "see docs/notes")) == []
    assert len(list(no_machine(Path("README.md"), planted))) == 1
