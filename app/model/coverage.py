"""Which share of a sink's changes was judged by which evidence: sums of watermarks, never sums of shares.

A change is *judged* when a fence has passed it and the contract expects something of it: its cell is closed, or open and
bad. An exempt one is not, nor is one that waits. A superseded one stands on no evidence of its own, an unverifiable one on none
at all, a missing one on silence: they have no level, and count in the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.model.effects import SinkWatermark
from app.model.words import BAD, Level, State

BY_WORD = (State.DELIVERED, State.ATTEMPTED)
"""States whose closed cells are counted by `Level`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Cells of one state that rest on evidence of one level, or on none.

    Attributes:
        share: of all that were judged, 0 to 1.
    """

    state: State
    level: Level | None
    cells: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One sink's judged changes, of one topic or of any number of source partitions.

    Attributes:
        judged: how many.
        shares: they by state and level, those that are not zero, strongest first; their cells sum up to ``judged``.
        read_back: cells that the sink's store was looked into for, and said something of; equal: those that it held.
    """

    judged: int
    shares: tuple[Share, ...]
    read_back: int
    equal: int

    @classmethod
    def of(cls, told: Iterable[SinkWatermark]) -> Coverage:
        """The coverage of everything that some watermarks stand for."""
        whole = read_back = equal = 0
        cells: dict[tuple[State, Level | None], int] = {}
        for one in told:
            whole += judged_cells(one)
            for name, count in _cells(one).items():
                cells[name] = cells.get(name, 0) + count
            equal += _at(one.levels, Level.READ_BACK)
            read_back += _at(one.levels, Level.READ_BACK) + _at(one.bad_levels, Level.READ_BACK)
        shares = tuple(
            Share(state=state, level=level, cells=count, share=count / whole)
            for (state, level), count in sorted(cells.items(), key=_strongest_first)
            if count
        )
        return cls(judged=whole, shares=shares, read_back=read_back, equal=equal)

    def datum(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "judged": self.judged,
            "cells": [
                {
                    "state": one.state.word,
                    "level": None if one.level is None else one.level.word,
                    "count": one.cells,
                    "share": round(one.share, 6),
                }
                for one in self.shares
            ],
            "read_back": {"cells": self.read_back, "equal": self.equal},
        }


def judged_cells(told: SinkWatermark) -> int:
    """Closed cells that the contract expects something of, and open ones that are bad."""
    closed = sum(told.counts) - sum(told.open_counts) - _closed(told, State.EXEMPT)
    return closed + sum(told.open_counts[state] for state in BAD)


def _cells(told: SinkWatermark) -> dict[tuple[State, Level | None], int]:
    """By state and level, every state but exempt; what an older version closed without counting its level has none."""
    cells: dict[tuple[State, Level | None], int] = {}
    for state in State:
        if state is not State.EXEMPT:
            cells[state, None] = _closed(told, state) + (told.open_counts[state] if state in BAD else 0)
    for level in Level:
        state = State.ATTEMPTED if level is Level.ATTEMPTED else State.DELIVERED
        cells[state, level] = _at(told.levels, level)
        cells[state, None] -= cells[state, level]
    return cells


def _closed(told: SinkWatermark, state: State) -> int:
    return told.counts[state] - told.open_counts[state]


def _at(levels: tuple[int, ...], level: Level) -> int:
    return levels[level] if level < len(levels) else 0


def _strongest_first(cell: tuple[tuple[State, Level | None], int]) -> tuple[int, int]:
    (state, level), _ = cell
    return 1 if level is None else -level, int(state)
