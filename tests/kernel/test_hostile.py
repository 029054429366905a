"""No bytes make the kernel read what is not the record's, or tell of a record what the reference does not."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.native import kernel, missing
from tests.kernel import hostile, random_rows, sanitized
from tests.kernel.guarded import Guarded

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")

STRINGS = int(os.environ.get("CDC_VERIFIER_HOSTILE_STRINGS", "20000"))
SANITIZED_STRINGS = STRINGS // 5

FAILED_ROWS: tuple[str, ...] = ()
FAILED_STRINGS: tuple[str, ...] = ()
"""Seeds of runs that found something, and find nothing any more; `random_rows` and `hostile` print them."""

needs_sanitizers = pytest.mark.skipif(sanitized.lacking() is not None, reason=str(sanitized.lacking()))


def test_no_read_goes_past_a_record_and_what_is_decoded_is_the_references() -> None:
    """In a process of its own: a read past the end would end this one."""
    command = [sys.executable, "-m", "tests.kernel.hostile", f"--strings={STRINGS}", "--seed=1"]
    done = subprocess.run(command, cwd=sanitized.ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "decoded and alike" in done.stdout


@pytest.mark.parametrize("seed", ["changes/1/0", "receipts/1/4", *FAILED_STRINGS])
def test_a_group_of_strings_is_repeated_by_its_seed(seed: str) -> None:
    assert hostile.one(seed, Guarded(hostile.GROUP)) > 0


@pytest.mark.parametrize("seed", ["1/0", *FAILED_ROWS])
def test_a_table_of_rows_is_repeated_by_its_seed(seed: str) -> None:
    assert random_rows.one(seed) < random_rows.ROWS_A_TABLE


@needs_sanitizers
def test_the_sanitizers_find_nothing() -> None:
    done = sanitized.run(SANITIZED_STRINGS, seed=random.Random(1).randrange(1000))

    assert done.returncode == 0, done.stderr
    assert "decoded and alike" in done.stdout


@needs_sanitizers
def test_the_sanitizers_find_nothing_where_the_kernel_works_on_the_folds_arrays() -> None:
    names = ("ledger/test_kernel.py", "ledger/test_columns.py", "ledger/test_repeats.py", "decode/test_framing.py")
    done = sanitized.run_tests(*(f"tests/unit/{name}" for name in names))

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@needs_sanitizers
def test_the_sanitizers_find_a_bound_that_was_taken_away(tmp_path: Path) -> None:
    shutil.copytree(sanitized.SOURCES, tmp_path / "src")
    source = tmp_path / "src" / "avro.h"
    bound = "    if (size > in->end - in->at)\n        return TRUNCATED;\n"
    text = source.read_text()
    source.write_text(text.replace(bound, ""))

    done = sanitized.run(SANITIZED_STRINGS, seed=1, sources=tmp_path / "src")

    assert text.count(bound) == 1
    assert done.returncode != 0
    assert "the group under way was" in done.stderr
