"""Laws 1 and 4 to 7 of the design, and what catching up may keep back: each a function that fails where it is broken.

A law is computed from the history (`lanes`) and from what can be seen of the product: effects, counters, watermarks, cells.
"""

from __future__ import annotations

from app.ledger import watermarks
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, EvidenceKind, SinkTopic, State
from app.model.effects import Command, CommandReason, Seal, Verdict
from app.repair import reporting
from app.worker.effects import Effect
from app.worker.partition import PartitionWorker
from tests.laws.histories import LANES, SOURCES, History, Hole
from tests.laws.lanes import NAMES, Standing, judged, standings, told_once
from tests.laws.reading import How, Read, normalised, read

PLACES = (
    "cells", "after_closing", "too_late", "orphans", "compacted", "old_generation", "ended", "marks", "losses", "waivers",
    "statuses",
)  # fmt: skip
"""Where a row of evidence that reached its sink may have gone, beside the receipts that wait for their change."""


NOBODYS = ("unreadable", "unknown_sink", "judged_elsewhere", "routed_twice")
"""Where evidence that reached no sink may have gone."""


def name_of(sink: SinkPartition) -> SinkTopic:
    return SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)


# -------------------------------------------------------------------- law 1


def conservation(told: History, reading: int) -> None:
    """After every batch: each change and each lost offset is one cell, each row of evidence is counted in one place."""

    def watch(worker: PartitionWorker) -> None:
        for sink in worker.fold.sinks.values():
            assert counted_cells(sink) == read_cells(told, worker, sink)
        for lane in set(LANES.values()):
            assert counted_rows(worker, lane) == read_rows(told, lane, worker.position(lane) or 0)
        assert {place: worker.head.counters[place] for place in NOBODYS} == nobodys(told, worker)

    read(told, How(seed=reading, restart=0.1, snapshot_rows=50), watch)


def counted_cells(sink: SinkPartition) -> int:
    return sum(reporting.watermark(sink).counts)


def read_cells(told: History, worker: PartitionWorker, sink: SinkPartition) -> int:
    """Cells of what was read; the open ones leave the counts of a sink that has ended."""
    topic, position = sink.changes.topic, worker.position(sink.changes.topic) or 0
    if sink.is_ended:
        return int(sink.tally.closed.sum())
    changes = sum(change.offset < position for change in told.changes(topic))
    return changes + sum(offset < position for offset in told.lost(topic))


def counted_rows(worker: PartitionWorker, lane: str) -> dict[SinkTopic, int]:
    """Rows that the sinks of a lane account for: in one of the places, waiting for their change, or not judged by yet."""
    return {
        name_of(sink): sum(sink.tally.rows[place] for place in PLACES) + len(sink.parked) + len(sink.far) + sink.queued
        for sink in worker.fold.sinks.values()
        if LANES[sink.contract.sink] == lane and (sink.queued or sink.parked or sink.far or sink.tally.rows.total())
    }


def read_rows(told: History, lane: str, position: int) -> dict[SinkTopic, int]:
    """Rows of each sink in what was read of a lane; a lost range is one row to each."""
    found = dict.fromkeys((name for name in NAMES if LANES[name.sink] == lane), 0)
    for item in told_once(told, lane, position):
        for name in found:
            if isinstance(item, Hole):
                found[name] += 1
            elif item.name == name:
                found[name] += len(item.rows)
    return {name: count for name, count in found.items() if count}


def nobodys(told: History, worker: PartitionWorker) -> dict[str, int]:
    """Evidence that reaches no sink: unreadable, of a sink that it is not the lane for, of a topic not its own, routed before."""
    found = dict.fromkeys(NOBODYS, 0)
    for lane in set(LANES.values()):
        position = worker.position(lane) or 0
        all_of_it = [record for record in told.records(lane) if record.offset < position]
        once = [item for item in told_once(told, lane, position) if not isinstance(item, Hole)]
        found["unreadable"] += sum(record.name is None for record in all_of_it)
        strangers = [record.name.sink for record in once if record.name is not None and record.name not in NAMES]
        found["unknown_sink"] += sum(LANES.get(sink) == lane for sink in strangers)
        found["judged_elsewhere"] += sum(LANES.get(sink) != lane for sink in strangers)
        found["routed_twice"] += sum(len(record.rows) for record in all_of_it) - sum(len(r.rows) for r in once)
    return found


# -------------------------------------------------------------------- laws 4 and 5


def proof(told: History, reading: int) -> None:
    """Missing is said only below a fence or inside a SKIP that stands before; without any there is nothing missing."""
    proofs = {(name, found.origin): found for name in NAMES for found in judged(told, name)}
    whole = read(told, How(seed=reading))
    for verdict in whole.of(Verdict):
        found = proofs[SinkTopic(verdict.sink, verdict.topic, 0), verdict.fence_origin]
        assert found.generation == verdict.generation
        assert verdict.state is not State.MISSING or found.proves(verdict.offset), verdict
    last = {name: list(standings(told, name))[-1] for name in NAMES}
    for sink in whole.worker.fold.sinks.values():
        missing = [offset for offset, state, _ in watermarks.open_cells(sink) if state is State.MISSING]
        assert all(last[name_of(sink)].proves(offset) for offset in missing)

    silent = read(told.without(EvidenceKind.FENCE, EvidenceKind.SKIP), How(seed=reading))
    assert [command for command in silent.of(Command) if said_missing(command)] == []
    for sink in silent.worker.fold.sinks.values():
        assert reporting.watermark(sink).counts[State.MISSING] == 0


def said_missing(command: Command) -> bool:
    return any(item.reason is CommandReason.MISSING for item in command.items)


def ignorance(told: History, reading: int) -> None:
    """What could not be read is never delivered; what lost evidence could have spoken for is never missing."""
    found = read(told, How(seed=reading))
    for sink in found.worker.fold.sinks.values():
        unknown = set(told.lost(sink.changes.topic)) | {
            change.offset for change in told.changes(sink.changes.topic) if change.kind is ChangeKind.UNREADABLE
        }
        for offset, state, _ in (*watermarks.closed_cells(sink), *watermarks.open_cells(sink)):
            is_known = state in (State.DELIVERED, State.DUPLICATED, State.ATTEMPTED)
            assert not (is_known and offset in unknown), (name_of(sink), offset, state)
    for name in NAMES:
        mine = [v for v in found.of(Verdict) if (v.sink, v.topic) == (name.sink, name.topic)]
        fences = judged(told, name)
        for place, lossy in enumerate(fences):
            if lossy.is_after_loss:
                later = {fence.origin for fence in fences[place:] if fence.generation == lossy.generation}
                assert [v for v in mine if v.fence_origin in later and is_too_sure(v, lossy)] == []


def is_too_sure(verdict: Verdict, lossy: Standing) -> bool:
    """A word against a sink whose evidence was lost; a rejection was read, whatever else was not."""
    fair = (State.UNVERIFIABLE, State.REJECTED, State.EXEMPT)
    return verdict.generation == lossy.generation and verdict.offset < lossy.fence and verdict.state not in fair


# -------------------------------------------------------------------- law 6


def monotony(told: History, reading: int) -> None:
    """Within a generation and an epoch watermarks, closings and seals never move back; the chain of seals has no gap."""
    before: dict[tuple, tuple[list[int], dict[int, tuple]]] = {}

    def watch(worker: PartitionWorker) -> None:
        for sink in worker.fold.sinks.values():
            life = (*name_of(sink), sink.generation, sink.epoch)
            marks = [
                sink.frontier,
                sink.fence,
                watermarks.settled_watermark(sink),
                watermarks.verified_watermark(sink),
                sink.seals,
                int(sink.tally.closed.sum()),
            ]
            closed = {offset: (state, flags) for offset, state, flags in watermarks.closed_cells(sink)}
            old_marks, old_closed = before.get(life, (marks, {}))
            assert all(now >= then for now, then in zip(marks, old_marks, strict=True)), (life, old_marks, marks)
            kept = {offset: was for offset, was in old_closed.items() if offset >> 12 in sink.cells}
            assert kept.items() <= closed.items(), (life, kept.items() - closed.items())
            before[life] = (marks, closed)

    chains: dict[tuple, list[Seal]] = {}
    for seal in read(told, How(seed=reading, restart=0.1), watch).of(Seal):
        chains.setdefault((seal.sink, seal.topic), []).append(seal)
    for chain in chains.values():
        assert [seal.number for seal in chain] == list(range(len(chain)))
        assert [seal.previous for seal in chain] == [b"", *(seal.hash for seal in chain[:-1])]


# -------------------------------------------------------------------- law 7


def idempotence(told: History, reading: int) -> None:
    """An id has one meaning and a cell has one id at a fence, however it was read; what was sent twice was sent once."""
    whole = read(told)
    resent = read(told, How(seed=reading, restart=0.3, acknowledged=0.5))

    assert once(whole.emitted) == once(resent.emitted)
    verdicts = [*whole.of(Verdict), *resent.of(Verdict)]
    assert len({verdict.id for verdict in verdicts}) == len({judgement(verdict) for verdict in verdicts})
    meanings({}, [*whole.emitted, *resent.emitted])


def judgement(verdict: Verdict) -> tuple:
    """A cell and a fence."""
    return (*cell(verdict), verdict.fence_origin)


def cell(verdict: Verdict) -> tuple:
    return (verdict.sink, verdict.generation, verdict.topic, verdict.epoch, verdict.partition, verdict.offset)


def meaning(effect: Effect) -> str:
    return repr(normalised(effect)) if isinstance(effect, Command) else repr(effect)


def once(effects: list[Effect]) -> dict[str, list[str]]:
    """By source topic and sink: what a reader holds that drops what it has seen already."""
    found: dict[str, dict[str, None]] = {}
    for effect in effects:
        found.setdefault(f"{getattr(effect, 'sink', '')} {effect.topic}", {})[meaning(effect)] = None
    return {key: sorted(said) for key, said in found.items()}


def meanings(known: dict[str, str], effects: list[Effect]) -> dict[str, str]:
    """The meaning of every id; fails where one has two."""
    for effect in effects:
        if isinstance(effect, Verdict | Command):
            assert known.setdefault(effect.id, meaning(effect)) == meaning(effect)
    return known


# -------------------------------------------------------------------- catching up


def catching_up(told: History, reading: int) -> None:
    """What is emitted around catch-ups is a part of what the fold made, ends in the same open set, and repeats no id."""
    made = read(told)
    shown = read(told, How(seed=reading, restart=0.25, catches_up=True, acknowledged=0.9))

    assert {repr(verdict) for verdict in shown.of(Verdict)} <= {repr(verdict) for verdict in made.of(Verdict)}
    ends_alike(made, shown)
    meanings({}, shown.of(Verdict))
    commands_alike(made, shown)
    assert once(beside(made)) == once(beside(shown))


def ends_alike(made: Read, shown: Read) -> None:
    """Of what is open in a sink's present life the last word is the same; of an old life it may have been held back."""
    expected, found = open_alerts(made), open_alerts(shown)
    present = {(*name_of(sink), sink.generation) for sink in shown.worker.fold.sinks.values()}
    assert found.items() <= expected.items()
    assert [at for at in expected.keys() - found.keys() if (at[0], at[2], at[4], at[1]) in present] == []


def commands_alike(made: Read, shown: Read) -> None:
    """A command has fewer items perhaps; what one was sent without, a later one may name."""
    commanded = {command.id: items_of(command) for command in made.of(Command)}
    named = {at for command in made.of(Command) for at in cells_of(command)}
    for command in shown.of(Command):
        assert command.items
        assert cells_of(command) <= named
        same = commanded.get(command.id, set())
        known = {offset for offset, *_ in same}
        assert {item for item in items_of(command) if item[0] in known} <= same


def items_of(command: Command) -> set[tuple]:
    """Items without what the newest change of a key is, which depends on what was read."""
    return {(item.offset, item.reason, item.kind, item.fingerprint) for item in command.items}


def cells_of(command: Command) -> set[tuple]:
    return {(command.sink, command.generation, command.topic, item.offset) for item in command.items}


def beside(found: Read) -> list[Effect]:
    """What is never held back."""
    return [effect for effect in found.emitted if not isinstance(effect, Verdict | Command)]


def open_alerts(found: Read) -> dict[tuple, str]:
    """By cell: the last verdict, where it does not say that the cell has closed."""
    last = {cell(verdict): verdict for verdict in found.of(Verdict)}
    return {at: repr(verdict) for at, verdict in last.items() if not verdict.closed}


LAWS = (conservation, proof, ignorance, monotony, idempotence, catching_up)

assert set(SOURCES) == {name.topic for name in NAMES}
