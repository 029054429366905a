"""Whose a change topic of a sink is: told with what is found of it, decides nothing."""

from __future__ import annotations

from typing import NamedTuple


class Ownership(NamedTuple):
    """Who is to be told, and how bad it is where changes don't arrive; None where the configuration says nothing."""

    owner: str | None = None
    severity: str | None = None

    def words(self) -> list[str]:
        """What is known of it, for people.

        >>> Ownership("ada", "high").words(), Ownership().words()
        (['owner ada', 'severity high'], [])
        """
        return [f"{name} {text}" for name, text in zip(self._fields, self, strict=True) if text]
