"""Deliberate mistakes in the fold, each of which the suite must catch: a suite that lets one live proves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "tests" / "mutants" / "check.py"

MUTANTS = [
    ("a fence is ignored", "app/ledger/sink.py", "        return offset, rows.origin(row)\n", "        return None\n"),
    ("a fence reaches one change too far", "app/ledger/rules.py", "passed = offsets < view.fence", "passed = offsets <= view.fence"),
    ("lag is loss", "app/ledger/rules.py", "State.MISSING, State.PENDING)", "State.MISSING, State.MISSING)"),
    ("presence replaces content", "app/ledger/cells.py", "        if self.is_replaced_by(receipt):", "        if True:"),
    ("the first word counts, not the last", "app/ledger/cells.py", "        if self.is_replaced_by(receipt):",
     "        if not self.bits & Bit.HAS_RECEIPT:"),
    ("all null keys are one key", "app/decode/changes.py", "has_key = raw.key_sizes >= 0", "has_key = raw.key_sizes >= -1"),
    ("an orphan counts as a cell", "app/ledger/hearing.py", "absent = kinds == ChangeKind.ABSENT", "absent = kinds == 99"),
    ("cells close before their fence", "app/ledger/fence.py", "in stretches(sink, before, fence):",
     "in stretches(sink, before, sink.horizon):"),
    ("lost evidence is silence", "app/ledger/sink.py", "            self.is_evidence_lost = True\n", "            pass\n"),
    ("fingerprints are combined by XOR", "receipts/cdc_receipts/fingerprint.py",
     "return sum([hash_of(row[name]) for name, hash_of in self._hashes]) & _MASK",
     "import functools, operator; return functools.reduce(operator.xor, [c.hash(row[c.name]) for c in self.columns], 0)"),
    ("timestamps order evidence", "app/ledger/merging.py", "        return np.arange(len(logs[0]))\n",
     "        return np.argsort(logs[0].timestamps, kind='stable')\n"),
    ("a command's answer counts as a redelivery", "app/ledger/cells.py", "            if not receipt.names_command:", "            if True:"),
    ("rejected is delivered where a receipt was good before", "app/ledger/cells.py",
     "    bits &= ~(Bit.GOOD | Bit.WORD_HAS_FINGERPRINT | Bit.WORD_NAMES_COMMAND | Bit.READ_BACK)",
     "    bits &= ~(Bit.WORD_HAS_FINGERPRINT | Bit.WORD_NAMES_COMMAND | Bit.READ_BACK)"),
    ("every bad change of a key is commanded", "app/repair/planner.py", 'if sink.contract.writes == "append" or straggler.key is None:',
     "if True:"),
    ("a closed cell is judged again", "app/ledger/hearing.py", "closed = cells.closed[index] > 0", "closed = cells.closed[index] > 99"),
    ("a mark beyond the end is believed", "app/ledger/sink.py", "        return min(offset, end)\n", "        return offset\n"),
    ("a mark of an old life is believed", "app/ledger/sink.py", "if int(rows.generations[row]) >= self.generation:", "if True:"),
    ("what retention took leaves no cell", "app/ledger/changes.py", "= ChangeKind.LOST\n", "= ChangeKind.ABSENT\n"),
    ("a new life forgets what waited, uncounted", "app/ledger/sink.py", "+= waiting - len(self.parked) - len(self.far)", "+= 0"),
    ("what was routed twice counts twice", "app/worker/origins.py", "        if not is_new:\n", "        if False:\n"),
    ("a SKIP reaches one change too far", "app/ledger/rules.py", "max(end - base - lo, 0)] = True", "max(end + 1 - base - lo, 0)] = True"),
    ("a sink whose evidence was lost is still accused", "app/ledger/rules.py",
     "(unreadable & (heard | passed)) | ((bits & Bit.LOST) != 0)]", "unreadable & (heard | passed)]"),
    ("what a contract leaves out is asked for", "app/ledger/rules.py", "np.where(left_out == LeftOut.YES, LEFT_OUT,",
     "np.where(left_out == LeftOut.YES, kinds,"),
    ("what nobody can tell is asked for", "app/ledger/rules.py", "np.where(unknown, UNCHOSEN, kinds)", "kinds"),
    ("a row that is unknown is left out", "app/decode/selection.py", "return LeftOut.UNKNOWN if None in found else LeftOut.NO",
     "return LeftOut.YES if None in found else LeftOut.NO"),
    ("a START of the same life begins it anew", "app/ledger/sink.py", "if generation <= self.generation:", "if generation < self.generation:"),
    ("a cell has one id at all fences", "app/model/identity.py", "partition, offset, *fence_origin]", "partition, offset]"),
    ("a fence has one command for all segments", "app/model/identity.py", "partition, segment, *fence_origin", "partition, *fence_origin"),
    ("nothing stands after a catch-up", "app/worker/standing.py",
     "stands = effect if effect.closed or _is_open(fold, effect) else None", "stands = effect if effect.closed else None"),
    ("positions are forgotten at a restart", "app/worker/partition.py", "Head.load(store.get(SNAPSHOT_HEAD))", "Head()"),
]  # fmt: skip


def run(product: Path, kernel: str = "off") -> subprocess.CompletedProcess[str]:
    """The check over a copy of the product; by default without the kernel, since the mistakes are in Python."""
    path = os.pathsep.join([str(product), str(product / "receipts")])
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "CDC_VERIFIER_KERNEL": kernel}
    return subprocess.run(
        [sys.executable, "-S", "-c", _MAIN], env=environ, capture_output=True, text=True, timeout=300, check=False
    )


_MAIN = f"""
import site, sys
paths = list(sys.path)
site.main()
sys.path[:0] = [p for p in paths if p]  # the copy before the installed product
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__name__", type(f).__name__).lower()]
import runpy
runpy.run_path({str(CHECK)!r}, run_name="__main__")
"""


def copied(directory: Path) -> Path:
    """The product without its tests."""
    for part in ("app", "receipts", "schemas", "topologies"):
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return directory


@pytest.mark.parametrize("kernel", ["on", "off"])
def test_the_check_finds_nothing_wrong_with_the_product_itself(kernel: str, tmp_path: Path) -> None:
    found = run(copied(tmp_path), kernel)

    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "nothing is wrong"), found.stderr[-2000:]


@pytest.mark.parametrize(("file", "right", "wrong"), [mutant[1:] for mutant in MUTANTS], ids=[m[0] for m in MUTANTS])
def test_a_mistake_is_caught(file: str, right: str, wrong: str, tmp_path: Path) -> None:
    product = copied(tmp_path)
    text = (product / file).read_text()
    assert text.count(right) == 1, f"{file} no longer holds what this mutant changes"
    (product / file).write_text(text.replace(right, wrong))

    found = run(product)

    assert found.returncode == 1, f"the mutant lives: {found.stdout[-500:]} {found.stderr[-500:]}"
