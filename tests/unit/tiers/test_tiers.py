"""The runner of the tiers: what it counts, and what a missing part means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import tiers
from tests.tiers import Tier


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository without any test."""
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *wanted: Tier) -> int:
    monkeypatch.setattr(tiers, "TIERS", wanted)
    return tiers.main([])


def test_the_last_line_sums_every_tier(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (nothing / "one").mkdir()
    (nothing / "one" / "test_one.py").write_text("def test_a(): pass\ndef test_b(): raise ValueError\n")
    (nothing / "two").mkdir()
    (nothing / "two" / "test_two.py").write_text("def test_c(): pass\n")

    status = run(monkeypatch, Tier(name="one", paths=("one",)), Tier(name="two", paths=("two",)))
    printed = capfd.readouterr().out

    assert status == 1
    assert printed.splitlines()[-1] == "2 passed, 1 failed"
    assert "tier one took" in printed


def test_a_missing_part_skips_the_tier_by_name(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status = run(monkeypatch, Tier(name="stack", paths=("stack",), needs=("no-such-program",)))

    assert status == 0
    assert "stack        skipped: this machine has no no-such-program" in capfd.readouterr().out


def test_a_tier_that_asks_is_skipped_with_the_answer(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (nothing / "asked.py").write_text("import sys\nprint('no engine answers')\nsys.exit(1)\n")
    status = run(monkeypatch, Tier(name="docker", paths=("docker",), asks="asked"))

    assert status == 0
    assert "docker       skipped: no engine answers" in capfd.readouterr().out


def test_a_tier_that_lacks_nothing_runs(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing / "asked.py").write_text("")
    (nothing / "one").mkdir()
    (nothing / "one" / "test_one.py").write_text("def test_a(): raise ValueError\n")

    assert run(monkeypatch, Tier(name="docker", paths=("one",), asks="asked", processes=1)) == 1


def test_a_missing_part_fails_where_all_are_required(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    status = run(monkeypatch, Tier(name="stack", paths=("stack",), needs=("no-such-program",)))

    assert status == 1
    assert capfd.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"


def test_a_tier_that_nobody_wrote_is_no_failure(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")

    assert run(monkeypatch, Tier(name="laws", paths=("laws",))) == 0


def test_a_command_that_fails_is_one_failure(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    python = Path(sys.executable).name
    commands = ((python, "-c", "pass"), (python, "-c", "raise SystemExit(3)"))

    assert run(monkeypatch, Tier(name="lint", commands=commands)) == 1
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"


def test_a_tier_that_does_not_exist_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert tiers.main(["unti"]) == 2
    assert "no such tier: unti" in capfd.readouterr().out


def test_a_broken_collection_is_a_failure(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing / "one").mkdir()
    (nothing / "one" / "test_one.py").write_text("import no_such_module\n")

    assert run(monkeypatch, Tier(name="one", paths=("one",))) == 1
