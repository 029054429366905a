"""What was held back in a catch-up and still stands at its end (protocol section 4)."""

from __future__ import annotations

from app.ledger.partition import PartitionFold
from app.model.effects import Command, Verdict
from app.repair import planner
from app.worker.effects import Effect


def still_stands(fold: PartitionFold, effect: Effect, is_last: bool) -> Effect | None:
    """Commands keep what is still bad; of a cell's verdicts the last stands, unless it is open and has turned good."""
    if isinstance(effect, Command):
        return planner.still_due(fold.sinks[effect.sink, effect.topic], effect)
    if not isinstance(effect, Verdict) or not is_last:
        return None
    if effect.closed:
        return effect
    sink = fold.sinks[effect.sink, effect.topic]
    return effect if planner.is_still_bad(sink, effect.offset) else None
