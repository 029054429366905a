"""Documentation that can't rot: each setting, metric, state, flag and finding is documented, and nothing that isn't there."""

from __future__ import annotations

import doctest
import importlib
import io
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import fastavro
import pytest

import schemas
from app.adapters.brokers.embedded import EmbeddedBroker
from app.adapters.brokers.registry import EmbeddedRegistry
from app.adapters.shapes import METRICS
from app.config import SinkSettings, keys
from app.config.settings import SECTIONS, described
from app.model import ChangeKind, Flag, State
from app.model.column_types import WORDS

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
    sections = {**SECTIONS, "sinks.<name>": SinkSettings}
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


def test_the_waiver_of_the_readme_is_one_that_a_lane_can_hold(root: Path) -> None:
    code = re.search(r"```python\n(import io.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert code is not None
    with EmbeddedRegistry() as registry, EmbeddedBroker() as broker:
        broker.create_topic("receipts.warehouse", 1)
        registry.register("cdc_verifier.Waiver", schemas.text("Waiver"))
        text = code[1].replace("http://registry:8081", registry.url).replace("kafka-1:9092", broker.bootstrap)
        told: dict[str, Any] = {}
        exec(text, told)
        value = told["out"].getvalue()
        assert json.loads(registry.schema(int.from_bytes(value[1:5], "big")) or "")["name"] == "Waiver"
    schema = fastavro.parse_schema(json.loads(schemas.text("Waiver")))
    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None) == told["waiver"]
