"""Effects in the outbox: what a worker that was killed reads again is what it wrote."""

from __future__ import annotations

from dataclasses import fields

import pytest

from app.model import ChangeKind, Flag, Level, Origin, State
from app.model.effects import Seal, SinkWatermark, Verdict
from app.worker.effects import Effect, dump, load

PLACE = {"sink": "s", "generation": 1, "topic": "t", "epoch": 2, "partition": 3}
EFFECTS: list[Effect] = [
    Verdict(
        **PLACE, id="00ff", offset=5, state=State.DIVERGED, flags=Flag.LATE, change=ChangeKind.UPSERT, key_hash=bytes(16),
        expected_fingerprint=b"1" * 8, seen_fingerprint=b"2" * 8, fence=9, fence_origin=Origin("r", 1, 7), closed=True, at=3,
        reason="differs: body (placeholder)", level=Level.READ_BACK,
    ),
    Seal(
        **PLACE, number=1, segment=2, first_offset=3, last_offset=4, counts=(1,) * 10, flags=(2,) * 8, open_offsets=(5,),
        source_sum=2**64 - 1, sink_sum=6, first_ts_ms=7, last_ts_ms=8, contract="abc", at=9, previous=b"3" * 32,
        hash=b"4" * 32, levels=(1, 2, 3, 4),
    ),
    SinkWatermark(
        **PLACE, frontier=1, settled_watermark=2, verified_watermark=3, settled_ts_ms=4, verified_ts_ms=5,
        open_counts=(6,) * 10, counts=(7,) * 10, flags=(8,) * 8, seals=9, seal_hash=b"5" * 32, at=10, owner="o", beginning=11,
        next_offset=12, fence=13, fence_at=14, is_ended=True, held_from=15, rows={"cells": 16}, levels=(1, 2, 3, 4),
        bad_levels=(5, 6, 7, 8), status="FAILED", status_cause="c", rebuild_from=17,
    ),
]  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_every_field_of_an_effect_survives_the_outbox(effect: Effect) -> None:
    """Each is given, and none is empty: one that is added must be added here."""
    values = {item.name: getattr(effect, item.name) for item in fields(effect)}
    again = {item.name: getattr(load(dump(effect)), item.name) for item in fields(effect)}

    assert [name for name, value in values.items() if not value] == []
    assert again == values
    assert {name: type(value) for name, value in again.items()} == {name: type(value) for name, value in values.items()}
