"""The page of results is filled at its marks, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page

TEXT = "a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\nc\n"


def test_a_marks_tables_take_the_place_of_the_old_ones():
    once = page.filled(TEXT, "one", "| new |")

    assert once == TEXT.replace("\nold\n", "\n\n| new |\n\n")
    assert page.filled(once, "one", "| new |") == once


def test_a_mark_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="three"):
        page.filled(TEXT, "three", "")


@pytest.mark.parametrize("name", ["compare", "scaling", "recovery", "tail"])
def test_every_benchmark_has_its_place(name):
    text = (Path(__file__).parents[3] / "docs" / "performance.md").read_text(encoding="utf-8")

    assert "| x |" in page.filled(text, name, "| x |")
