"""The comparison finds what is wrong with printed lines, and the oracle's fingerprints are the protocol's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.changes import Registry
from tests.simulation.compare import command_faults, compare, product_lines
from tests.simulation.fingerprints import atom
from tests.simulation.oracle import judges, summary
from tests.simulation.world import write_world

VECTORS = Path(__file__).parents[1] / "data" / "fingerprint-vectors.json"
SEED = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any], list[dict[str, Any]]]:
    directory = tmp_path_factory.mktemp("world")
    write_world(SEED, directory)
    made, evidence = judges(directory)
    return made, summary(made, evidence), product_lines(directory)


@pytest.mark.parametrize("kind", "cell orphan contradicted unreadable unknown_sink command sink".split())
def test_a_line_that_is_left_out_is_found(kind: str, world: tuple[Any, dict[str, Any], list[dict[str, Any]]]) -> None:
    _, said, lines = world
    without = [line for line in lines if line["kind"] != kind]

    assert len(without) < len(lines)
    assert compare(said, without) != []


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("cell", "state", "pending"),
        ("cell", "flags", ["none"]),
        ("sink", "frontier", -1),
        ("sink", "settled_watermark", -1),
        ("sink", "verified_watermark", -1),
        ("sink", "counts", {}),
        ("orphan", "offset", -1),
    ],
)
def test_a_line_that_says_something_else_is_found(
    kind: str, name: str, value: Any, world: tuple[Any, dict[str, Any], list[dict[str, Any]]]
) -> None:
    _, said, lines = world
    changed = next(line for line in lines if line["kind"] == kind)

    assert compare(said, [{**line, name: value} if line is changed else line for line in lines]) != []


@pytest.mark.parametrize("name", "reason key_hash kind fingerprint newest_offset".split())
def test_a_command_s_item_that_says_something_else_is_found(
    name: str, world: tuple[Any, dict[str, Any], list[dict[str, Any]]]
) -> None:
    made, _, lines = world
    command = next(line for line in lines if line["kind"] == "command")
    first, *others = command["items"]

    assert command_faults(made, [{**command, "items": [{**first, name: -1}, *others]}]) != []


def test_atoms_are_those_of_the_vectors_for_every_type_that_the_oracle_knows() -> None:
    seen = 0
    for vector in json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]:
        schema, row = Registry({1: vector["schema"]}).read(
            b"\x00\x00\x00\x00\x01" + base64.b64decode(vector["avro_b64"])
        )
        for field in schema["fields"]:
            try:
                found = atom(field["type"], row[field["name"]])
            except NotImplementedError:
                continue
            assert found.hex() == vector["atoms"][field["name"]]
            seen += 1

    assert seen > 500
