"""The hostile strings, and tests, through a kernel that is built with AddressSanitizer and UndefinedBehaviorSanitizer.

    python -m tests.kernel.sanitized --strings 1000000 --seed 1

Nothing is recovered from: the first finding ends the run. Python's own allocator is switched off, so that each buffer has
the sanitizer's guard on both sides.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "app" / "native" / "src"
FLAGS = ("-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", "-DPy_LIMITED_API=0x030B0000")  # fmt: skip

RUN = """
import importlib.util, runpy, sys
spec = importlib.util.spec_from_file_location("app.native._kernel", sys.argv.pop(1))
kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
sys.modules["app.native._kernel"] = kernel
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
"""The kernel that was built here takes the place of the installed one; then a module is run as a program."""


def lacking() -> str | None:
    """What this machine lacks, or None."""
    try:
        library = _library()
    except (OSError, subprocess.CalledProcessError):
        return "this machine has no gcc"
    return None if library.is_absolute() and library.exists() else "this machine's gcc has no AddressSanitizer"


def build(place: Path, sources: Path = SOURCES) -> Path:
    """The kernel with sanitizers; raises CalledProcessError where it can't be built."""
    target = place / "_kernel.abi3.so"
    include = sysconfig.get_path("include")
    subprocess.run(["gcc", *FLAGS, f"-I{include}", *sorted(sources.glob("*.c")), "-o", target], check=True)
    return target


def run(strings: int, seed: int, sources: Path = SOURCES) -> subprocess.CompletedProcess[str]:
    """The hostile strings in a process of their own; its output says what was found."""
    with tempfile.TemporaryDirectory() as scratch:
        progress = Path(scratch) / "progress"
        told = [f"--strings={strings}", f"--seed={seed}", f"--progress={progress}"]
        done = _run("tests.kernel.hostile", told, Path(scratch), sources)
        if done.returncode and progress.exists():
            done.stderr += f"\nthe group under way was {progress.read_text()!r}\n"
        return done


def run_tests(*paths: str) -> subprocess.CompletedProcess[str]:
    """Tests, in a process of their own."""
    with tempfile.TemporaryDirectory() as scratch:
        return _run("pytest", ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *paths], Path(scratch), SOURCES)


def _run(module: str, told: Sequence[str], scratch: Path, sources: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "LD_PRELOAD": str(_library()),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # Python itself frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, "-c", RUN, build(scratch, sources), module, *told]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False, text=True, capture_output=True)


def _library() -> Path:
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--strings", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    done = run(given.strings, given.seed)
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
