"""What ``verify`` tells people of rows."""

from __future__ import annotations

from app.cli.report import MOST_CELLS, MOST_KEYS, summary

WHERE = {"sink": "lake", "topic": "shop.public.orders", "partition": 0}
SINK = {
    **WHERE,
    "kind": "sink",
    "counts": {"delivered": 1},
    "frontier": 1,
    "settled_watermark": 1,
    "verified_watermark": 1,
}


def cell(offset, **columns):
    return {"kind": "cell", **WHERE, "offset": offset, "state": "diverged", "flags": [], "columns": columns}


def told(*lines):
    return list(summary([*lines, SINK], None))


def test_rows_that_differ_are_named_with_their_columns():
    text = told(cell(5, body="placeholder", title="null"), cell(7))

    assert "rows that differ:" in "\n".join(text)
    assert "  lake  shop.public.orders:0:5  body (placeholder), title (null)" in text
    assert "  lake  shop.public.orders:0:7  the row is still there" in text


def test_of_many_rows_the_first_are_named_and_the_others_counted():
    text = told(*(cell(offset, body="value") for offset in range(MOST_CELLS + 3)))

    assert sum("body (value)" in line for line in text) == MOST_CELLS
    assert text[-1] == "  and 3 more; --json tells them all"


def test_nothing_is_said_where_no_row_differs():
    assert not any("rows" in line for line in told({**cell(5), "columns": None} | {"kind": "orphan"}))


def test_rows_that_cant_be_compared_have_their_reason():
    text = list(summary([{**SINK, "rows": "not compared: the store has no table orders"}], None))

    assert text[-2:] == ["\nrows that are not compared:", "  lake  shop.public.orders:0  the store has no table orders"]


def strangers(word, *keys):
    return {
        "kind": word,
        "sink": "lake",
        "topic": "shop.public.orders",
        "table": "orders",
        "count": len(keys),
        "keys": list(keys),
    }


def test_rows_that_no_change_tells_of_are_named_by_their_keys():
    text = told(strangers("foreign", {"day": "2026-01-01", "k": "7"}), strangers("unexplained", {"k": "8"}))

    assert text[-5:] == [
        "\nrows under keys that no change tells of:",
        "  lake  shop.public.orders  orders: 1 foreign",
        "    day 2026-01-01, k 7",
        "  lake  shop.public.orders  orders: 1 unexplained, since a change that is not held may have been theirs",
        "    k 8",
    ]


def test_of_many_keys_the_first_are_named_and_the_others_counted():
    text = told(strangers("foreign", *({"id": str(number)} for number in range(MOST_KEYS + 3))))

    assert sum(line.startswith("    id ") for line in text) == MOST_KEYS
    assert text[-1] == "    and 3 more; --json tells them all"
