"""What was held back in a catch-up and still stands at its end (protocol section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.ledger.partition import PartitionFold
from app.model.effects import Command, Verdict
from app.repair import planner
from app.worker.effects import Effect

Withdrawn = tuple[str, str, int]
"""Sink, topic and offset of a cell that a command named which was sent without it."""


def settle(fold: PartitionFold, held: Sequence[Effect]) -> tuple[list[Effect], list[Withdrawn]]:
    """What is told now, and what is withdrawn: the next fence that finds it bad commands it as if it were the first.

    Of a cell's verdicts the last stands, for as long as the cell is open: only a fence takes a fence's word back. Of a
    command's items those stand that are still bad (protocol section 5).
    """
    last = {_cell(effect): place for place, effect in enumerate(held) if isinstance(effect, Verdict)}
    kept: list[Effect] = []
    withdrawn: list[Withdrawn] = []
    for place, effect in enumerate(held):
        stands: Effect | None = None
        if isinstance(effect, Command):
            stands = _command(fold, effect)
            withdrawn += _left_out(fold, effect, stands)
        elif isinstance(effect, Verdict) and last[_cell(effect)] == place:
            stands = effect if effect.closed or _is_open(fold, effect) else None
        kept += [] if stands is None else [stands]
    return kept, withdrawn


def withdraw(fold: PartitionFold, cells: Sequence[Withdrawn]) -> None:
    """Make open cells as if no command had named them."""
    for sink, topic, offset in cells:
        fold.sinks[sink, topic].stragglers.withdraw_command(offset)


def _command(fold: PartitionFold, command: Command) -> Command | None:
    sink = fold.sinks.get((command.sink, command.topic))
    return None if sink is None else planner.still_due(sink, command)


def _left_out(fold: PartitionFold, command: Command, stands: Command | None) -> Iterator[Withdrawn]:
    sink = fold.sinks.get((command.sink, command.topic))
    if sink is None or sink.is_ended or sink.generation != command.generation:
        return
    kept = set() if stands is None else {item.offset for item in stands.items}
    for item in command.items:
        straggler = sink.stragglers.by_offset.get(item.offset)
        if item.offset not in kept and straggler is not None and straggler.command == command.id:
            yield command.sink, command.topic, item.offset


def _is_open(fold: PartitionFold, verdict: Verdict) -> bool:
    sink = fold.sinks.get((verdict.sink, verdict.topic))
    return sink is not None and sink.epoch == verdict.epoch and verdict.offset in sink.stragglers


def _cell(verdict: Verdict) -> tuple[object, ...]:
    return (verdict.sink, verdict.generation, verdict.topic, verdict.epoch, verdict.partition, verdict.offset)
