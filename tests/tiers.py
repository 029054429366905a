"""Run the test tiers in order, each timed, and end with one line `N passed, N failed` that sums them.

    python tests/tiers.py [tier ...]        REQUIRE_ALL=1: a tier that is skipped is a failure

A tier whose parts the machine lacks is skipped by name with the reason. A tier that nobody has written yet is said to be
empty, which is never a failure. Exit status: 0 nothing failed, 1 something did, 2 no such tier.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIER_S = 1_200
"""A tier that hangs is a failure, not a wait for ever."""

PROCESSES = 4
"""No more at once: each that runs the stack tier has a broker of its own."""

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One tier: commands to run (lint), or directories and files for pytest.

    Attributes:
        needs: programs.
        asks: a module that prints what else this machine lacks, and then ends with status 1.
        processes: how many of pytest's at once, at most; no more than processors, unless ``waits``.
        waits: its tests wait more than they work, so that more of them at once are quicker.
        without_kernel: they run as where no C compiler was.
    """

    name: str
    paths: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    asks: str = ""
    processes: int = PROCESSES
    waits: bool = False
    without_kernel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a tier came to; ``note`` says why it was skipped or is empty."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""

    def line(self) -> str:
        """One row of the summary."""
        if self.note:
            return f"{self.name:<12} {self.note}"
        rest = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.name:<12} {self.seconds:7.1f} s   {self.passed} ok, {self.failed} wrong{rest}"


WITHOUT_KERNEL = tuple(
    f"tests/engine/test_{name}.py" for name in ("transport", "moved", "routing", "stopping", "choosing", "brokers")
)
"""Rebalances, holes, retention and stops: the engine's tests that say nothing of how records are read."""

TIERS = (
    Tier(
        name="lint",
        commands=(("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)),
    ),
    Tier(name="unit", paths=("tests/unit", "tests/kernel", "tests/test_tidy.py", "tests/test_docs.py")),
    Tier(name="laws", paths=("tests/laws",)),
    Tier(name="recordings", paths=("tests/recordings",)),
    Tier(name="mutants", paths=("tests/mutants",)),
    Tier(name="simulation", paths=("tests/simulation",)),
    Tier(name="engine", paths=("tests/engine",)),
    Tier(name="reference", paths=WITHOUT_KERNEL, without_kernel=True),
    Tier(name="stores", paths=("tests/stores",), needs=("postgres", "mariadbd", "mariadb-install-db")),
    Tier(name="stack", paths=("tests/stack",), needs=("java", "mvn"), processes=3, waits=True),
    Tier(name="docker", paths=("tests/docker",), asks="tests.docker.engine", processes=1),  # one engine
)


def main(wanted: Sequence[str]) -> int:
    """Run the tiers named, or all; return the exit status."""
    unknown = sorted(set(wanted) - {tier.name for tier in TIERS})
    if unknown:
        print(f"no such tier: {', '.join(unknown)}; there are: {', '.join(tier.name for tier in TIERS)}")
        return 2
    require_all = os.environ.get("REQUIRE_ALL") == "1"
    outcomes = [run(tier, require_all=require_all) for tier in TIERS if not wanted or tier.name in wanted]
    print("\n" + "\n".join(outcome.line() for outcome in outcomes))
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def run(tier: Tier, *, require_all: bool) -> Outcome:
    """Run one tier, unless its parts are missing or nobody has written it yet."""
    print(f"\n== {tier.name}", flush=True)
    if missing := lacking(tier):
        reason = f"skipped: {missing}"
        print(reason, flush=True)
        return Outcome(name=tier.name, failed=int(require_all), note=reason)
    paths = [path for path in tier.paths if has_tests(ROOT / path)]
    if not tier.commands and not paths:
        return Outcome(name=tier.name, note="empty: nothing written yet")
    began = time.monotonic()
    passed, failed, skipped = run_commands(tier.commands) if tier.commands else run_pytest(paths, tier)
    seconds = time.monotonic() - began
    print(f"tier {tier.name} took {seconds:.1f} s", flush=True)
    return Outcome(name=tier.name, passed=passed, failed=failed, skipped=skipped, seconds=seconds)


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or where Debian keeps servers, which ordinary users don't have on theirs."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(name, path=os.pathsep.join(places))


def lacking(tier: Tier) -> str | None:
    """What this machine lacks for a tier, or None."""
    missing = [need for need in tier.needs if program(need) is None]
    if missing:
        return f"this machine has no {' and no '.join(missing)}"
    if not tier.asks:
        return None
    asked = subprocess.run(
        [sys.executable, "-m", tier.asks], cwd=ROOT, check=False, capture_output=True, text=True, timeout=TIER_S
    )
    return (asked.stdout + asked.stderr).strip() if asked.returncode else None


def has_tests(path: Path) -> bool:
    """Whether ``path`` is a test file, or a directory with one somewhere in it."""
    return path.is_file() or any(path.rglob("test_*.py"))


def run_commands(commands: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """Run each command from the environment's own programs; each is one thing passed or failed."""
    programs = Path(sys.executable).parent
    failed = 0
    for program, *arguments in commands:
        print("$", program, *arguments, flush=True)
        failed += subprocess.run([programs / program, *arguments], cwd=ROOT, check=False).returncode != 0
    return len(commands) - failed, failed, 0


def run_pytest(paths: Sequence[str], tier: Tier) -> tuple[int, int, int]:
    """Run pytest on ``paths``; return how many tests passed, failed (errors too) and were skipped."""
    environ = os.environ | ({"CDC_VERIFIER_KERNEL": "off"} if tier.without_kernel else {})
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        at_once = tier.processes if tier.waits else min(os.cpu_count() or 1, tier.processes)
        dealt = ["-n", str(at_once), "--dist", "worksteal"]
        command = [sys.executable, "-m", "pytest", "--quiet", "--durations=3", f"--junitxml={report}", *dealt, *paths]
        try:
            status = subprocess.run(command, cwd=ROOT, env=environ, check=False, timeout=TIER_S).returncode
        except subprocess.TimeoutExpired:
            print(f"the tier did not end in {TIER_S} s and was stopped")
            status = 1
        passed, failed, skipped = counts(report.read_text()) if report.exists() else (0, 0, 0)
    return passed, max(failed, int(status != 0)), skipped


def counts(report: str) -> tuple[int, int, int]:
    """Passed, failed and skipped of a JUnit report.

    >>> counts('<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>')
    (2, 2, 1)
    """
    tests = failed = skipped = 0
    for suite in ET.fromstring(report).iter("testsuite"):
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return tests - failed - skipped, failed, skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
