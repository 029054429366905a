"""Retention overtakes a stopped worker on a real broker: what it took is unverifiable, by number, and is never missing."""

from __future__ import annotations

from pathlib import Path

from app.adapters.brokers.registry import EmbeddedRegistry
from tests.stack.broker import Broker
from tests.stack.deployment import Deployment
from tests.stack.load import Load, forget
from tests.stack.reading import ends
from tests.stack.worker import until

SOME_CHANGES, ALL_CHANGES, EVIDENCE, NOTHING = range(4)
"""What each partition loses of what was written while the worker was stopped."""

Cells = dict[tuple[int, int], str]


def test_what_retention_takes_of_changes_and_of_evidence_is_unverifiable_and_the_rest_is_as_planted(
    broker: Broker, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(broker, registry, tmp_path, "retention", seed=11)
    load, telling = deployment.load, deployment.telling
    with deployment.worker("only") as worker:
        worker.start()
        _write(load, 4)
        until(deployment.is_load_judged, [worker])
        until(lambda: telling.is_all_read([load.topic, load.receipts]), [worker])
        worker.stop()
        before = ends(broker.bootstrap, [load.topic, load.receipts])
        _write(load, 6)
        after = ends(broker.bootstrap, [load.topic, load.receipts])

        low = (before[load.topic, SOME_CHANGES] + after[load.topic, SOME_CHANGES]) // 2
        expired = {
            SOME_CHANGES: range(before[load.topic, SOME_CHANGES], low),
            ALL_CHANGES: range(before[load.topic, ALL_CHANGES], load.truth.ends[ALL_CHANGES]),
        }
        unheard = (before[load.receipts, EVIDENCE] + after[load.receipts, EVIDENCE]) // 2
        taken = [(load.topic, partition, offsets.stop) for partition, offsets in expired.items()]
        forget(broker.bootstrap, [*taken, (load.receipts, EVIDENCE, unheard)])
        worker.start()
        until(deployment.is_load_judged, [worker])
        worker.stop()

        fence = next(offset for record, offset in load.truth.fences[EVIDENCE] if record >= unheard)
        verdicts = telling.verdicts()
        ever_missing = {(one["partition"], one["offset"]) for one in verdicts if one["state"] == "MISSING"}
        assert ever_missing <= {place for place, state in load.truth.bad.items() if state == "missing"}
        last = {(one["partition"], one["offset"]): one["state"].lower() for one in verdicts}
        assert last == {
            **load.truth.bad,
            **_told_of_expired(load, expired),
            **_told_of_unheard(load, before[load.receipts, EVIDENCE], unheard, fence),
        }
        reasons = {one["reason"] for one in verdicts if one["state"] == "UNVERIFIABLE"}
        assert reasons == {"expired", "evidence_lost"}
        read = sum(offset not in expired.get(p, ()) for p, found in load.truth.offsets.items() for offset in found)
        assert deployment.counted() == read + sum(map(len, expired.values()))


def _write(load: Load, steps: int) -> None:
    for _ in load.steps(steps):
        pass
    load.fence_all()


def _told_of_expired(load: Load, expired: dict[int, range]) -> Cells:
    """Every offset, for nobody knows which of them were changes; a refusal is known all the same."""
    places = [(partition, offset) for partition, offsets in expired.items() for offset in offsets]
    return {place: "rejected" if place in load.truth.said else "unverifiable" for place in places}


def _told_of_unheard(load: Load, heard: int, unheard: int, fence: int) -> Cells:
    """What the lost evidence could have spoken of: the cells that were open below the next fence.

    Args:
        heard, unheard: the evidence between was lost.
    """
    closed_below = max(offset for record, offset in load.truth.fences[EVIDENCE] if record < heard)
    cells: Cells = {}
    for offset in load.truth.offsets[EVIDENCE]:
        place = (EVIDENCE, offset)
        if offset < fence and (offset >= closed_below or place in load.truth.bad):
            is_refused = place in load.truth.said and not heard <= load.truth.said[place] < unheard
            cells[place] = "rejected" if is_refused else "unverifiable"
    return cells
