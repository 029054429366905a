"""Documentation that can't rot: each setting, metric, state, flag and finding is documented, and nothing that isn't there."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from app.adapters.shapes import METRICS
from app.cli.main import parser
from app.config import OverrideSettings, SinkSettings, keys, load
from app.config.settings import SECTIONS, described
from app.model import ChangeKind, Flag, State
from app.model.column_types import WORDS
from app.model.tolerances import TOLERANCES

FINDINGS = ("orphan", "contradicted", "unreadable", "unknown_sink")


def page(root: Path, name: str) -> str:
    path = root / "docs" / name
    if not path.exists():
        pytest.skip(f"docs/{name} is not written yet")
    return path.read_text(encoding="utf-8")


def test_every_metric_is_documented_and_every_documented_metric_exists(root: Path) -> None:
    documented = re.findall(r"^\| `(cdc_verifier_\w+)` \|", page(root, "metrics.md"), re.MULTILINE)

    assert sorted(METRICS) == sorted(documented)


def test_metrics_are_documented_with_their_labels(root: Path) -> None:
    rows = dict(re.findall(r"^\| `(cdc_verifier_\w+)` \| ([^|]*) \|", page(root, "metrics.md"), re.MULTILINE))

    assert {name: ", ".join(shape.labels) for name, shape in METRICS.items()} == {
        name: labels.strip() for name, labels in rows.items()
    }


def test_every_setting_is_documented_and_every_documented_setting_exists(root: Path) -> None:
    documented = re.findall(r"^\| `([a-z]+\.[\w<>.]+)` \|", page(root, "configuration.md"), re.MULTILINE)

    assert sorted(keys()) == sorted(documented)


def test_settings_are_documented_with_their_defaults_and_what_is_allowed(root: Path) -> None:
    """A default that depends on other settings stands there in words, and is left to the reader."""
    text = page(root, "configuration.md")
    sections = {**SECTIONS, "sinks.<name>": SinkSettings, "sinks.<name>.overrides.<topic>": OverrideSettings}
    wrong = []
    for name, section in sections.items():
        defaults = {item.name: item.default for item in fields(section)}
        for key, field, kind, about in described(section):
            default = "" if defaults[field] is None else f"`{kind.show(defaults[field])}`"
            shown = "[^|]*" if "default: " in about else re.escape(default)
            if not re.search(
                rf"^\| `{re.escape(f'{name}.{key}')}` \| {shown} \| {re.escape(kind.allowed)} \|", text, re.MULTILINE
            ):
                wrong.append(f"{name}.{key}")

    assert wrong == []


def test_every_tolerance_is_documented_and_every_documented_tolerance_exists(root: Path) -> None:
    text = page(root, "contracts.md")
    table = text[text.index("| word | allows |") : text.index("## What can't be compared")]
    words = [
        word for cell in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE) for word in re.findall(r"`([^`]+)`", cell)
    ]

    assert sorted(words) == sorted(TOLERANCES)


def test_every_key_of_rows_is_explained(root: Path) -> None:
    text = page(root, "contracts.md")
    rows = ("table_name", "tables", "renames", "ignore_columns", "tolerances", "deletes", "truncates", "sets", "expect",
            "change_log", "recorded_tables", "columns", "columns_due", "leave_out_tables", "leave_out_operations", "rows",
            "rows_out", "owner", "severity")  # fmt: skip

    assert [key for key in rows if not re.search(rf"^\| `{key}` \|", text, re.MULTILINE)] == []
    assert "`soft_delete`" in text


def test_the_example_of_a_contract_is_one(root: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", page(root, "contracts.md"), re.DOTALL)
    config = tmp_path / "verifier.toml"
    config.write_text(example)

    assert load(config, {}).sinks["europe"].rows == {"orders.region": ("EU", "UK")}


def test_every_state_flag_and_finding_is_documented(root: Path) -> None:
    text = page(root, "protocol.md")
    words = [state.word for state in State] + [word for flag in Flag for word in flag.words()] + list(FINDINGS)

    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


def test_every_kind_of_change_is_documented(root: Path) -> None:
    """What the ``changes`` command prints."""
    text = page(root, "protocol.md")

    assert [kind.word for kind in (ChangeKind.TOMBSTONE, ChangeKind.UNREADABLE) if kind.word not in text] == []


def test_every_type_of_a_column_is_documented(root: Path) -> None:
    text = page(root, "decoding.md")

    assert [word for word in WORDS if not re.search(rf"^\|[^|]*`{re.escape(word)}`", text, re.MULTILINE)] == []


def test_every_example_in_a_docstring_holds(root: Path) -> None:
    tried = 0
    for path in sorted(root.glob("app/**/*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
            result = doctest.testmod(module)
            tried += result.attempted

            assert result.failed == 0, path

    assert tried


def test_the_command_reference_is_what_help_prints():
    """docs/cli.md is made, not written: python -m app.cli.reference > docs/cli.md."""
    from app.cli.reference import reference

    assert (Path(__file__).resolve().parent.parent / "docs" / "cli.md").read_text() == reference()


def test_every_command_that_the_page_about_docker_shows_is_one(root: Path) -> None:
    """In the container of the verifier; a backslash at the end of a line goes on in the next."""
    text = page(root, "docker.md").replace("\\\n", "")
    shown = re.findall(r"^    docker compose .* exec verifier cdc-verifier (.*)$", text, re.MULTILINE)

    assert len(shown) >= 3
    for line in shown:
        assert parser().parse_args(shlex.split(line)).config == Path("/etc/cdc-verifier/cdc-verifier.toml"), line


@pytest.mark.parametrize("name", ["README.md", "docs/day-one.md"])
def test_every_command_that_a_page_shows_is_one(root: Path, name: str) -> None:
    """Whole ones, as they would be typed: those that name a configuration."""
    text = (root / name).read_text(encoding="utf-8")
    shown = re.findall(
        r"(?:^    (?:\.venv/bin/)?|`)cdc-verifier ([^`\n]*--config cdc-verifier\.toml[^`\n]*)", text, re.MULTILINE
    )

    assert len(shown) >= 5
    for line in shown:
        assert parser().parse_args(shlex.split(line)).config == Path("cdc-verifier.toml"), line
