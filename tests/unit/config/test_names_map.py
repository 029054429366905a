"""Lists of names by name: what is allowed, and that it is shown as it is read."""

from __future__ import annotations

import pytest

from app.config.names_map import NamesMap


def test_lists_of_names_are_read_in_their_order_and_shown_as_toml():
    found = NamesMap().read({"orders": ["tenant", "number"], "items": ["id"]})

    assert dict(found) == {"items": ("id",), "orders": ("tenant", "number")}
    assert NamesMap().show(found) == '{ "items" = ["id"], "orders" = ["tenant", "number"] }'
    assert NamesMap().parse('{ "orders" = ["id"] }') == {"orders": ["id"]}


@pytest.mark.parametrize(
    "value", ["id", ["id"], {"orders": "id"}, {"orders": []}, {"orders": ["id", "id"]}, {"orders": [""]}]
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="lists of different names"):
        NamesMap().read(value)
