"""How the stack tier's tests are dealt out to processes."""

from __future__ import annotations

from tests.stack.dealing import Dealing


def test_tests_of_the_connected_world_are_one_piece_of_work_and_others_one_each() -> None:
    places = ["connected/test_a.py::test_x", "connected/test_b.py::test_y[1]", "test_a.py::test_x", "test_a.py::test_y"]
    dealt = [Dealing._split_scope(None, f"tests/stack/{place}") for place in places]  # type: ignore[arg-type]

    assert dealt[0] == dealt[1]
    assert len(set(dealt)) == 3
