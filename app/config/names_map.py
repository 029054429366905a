"""A setting that lists names by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.config.kinds import TextMap


class NamesMap(TextMap):
    """A table of lists of names, as ``{ "orders" = ["tenant", "number"] }``; in the environment an inline table."""

    @property
    def allowed(self) -> str:  # type: ignore[override]  # the base's is computed, too
        return 'a table of lists of different names such as { "orders" = ["tenant", "number"] }, none empty'

    def read(self, value: object) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]  # lists, not texts
        if not isinstance(value, dict) or not all(_is_list_of_names(items) for items in value.values()):
            raise self.refuse()
        return MappingProxyType({name: tuple(items) for name, items in sorted(value.items())})


def _is_list_of_names(items: object) -> bool:
    if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
        return False
    return bool(items) and len(set(items)) == len(items)
