"""How the stack tier's tests are dealt out to processes."""

from __future__ import annotations

import re
from pathlib import Path

from tests.stack.dealing import ALONE, CONNECTED, Dealing


def test_tests_of_the_connected_world_are_one_piece_of_work_and_others_one_each() -> None:
    places = ["connected/test_a.py::test_x", "connected/test_b.py::test_y[1]", "test_a.py::test_x", "test_a.py::test_y"]
    dealt = [Dealing._split_scope(None, f"tests/stack/{place}") for place in places]  # type: ignore[arg-type]

    assert dealt[0] == dealt[1]
    assert len(set(dealt)) == 3


def test_the_longest_test_of_the_connected_world_is_dealt_by_itself(root: Path) -> None:
    """It is still called so."""
    place = next((root / CONNECTED).glob("test_stores.py"))
    (name,) = re.findall(rf"def ({ALONE}\w*)", place.read_text())

    dealt = Dealing._split_scope(None, f"{CONNECTED}{place.name}::{name}")  # type: ignore[arg-type]

    assert dealt == f"{CONNECTED}{place.name}::{name}"
