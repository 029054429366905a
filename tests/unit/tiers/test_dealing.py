"""How the stack tier's tests are dealt out to processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.stack.dealing import ALONE, CONNECTED, Dealing


def test_tests_of_the_connected_world_are_one_piece_of_work_and_others_one_each() -> None:
    places = ["connected/test_a.py::test_x", "connected/test_b.py::test_y[1]", "test_a.py::test_x", "test_a.py::test_y"]
    dealt = [Dealing._split_scope(None, f"tests/stack/{place}") for place in places]  # type: ignore[arg-type]

    assert dealt[0] == dealt[1]
    assert len(set(dealt)) == 3


@pytest.mark.parametrize("start", ALONE)
def test_the_longest_tests_of_the_connected_world_are_dealt_by_themselves(root: Path, start: str) -> None:
    """They are still called so."""
    texts = {place.name: place.read_text() for place in (root / CONNECTED).glob("test_*.py")}
    ((place, name),) = [
        (place, name) for place, text in texts.items() for name in re.findall(rf"def ({start}\w*)", text)
    ]

    dealt = Dealing._split_scope(None, f"{CONNECTED}{place}::{name}")  # type: ignore[arg-type]

    assert dealt == f"{CONNECTED}{place}::{name}"
