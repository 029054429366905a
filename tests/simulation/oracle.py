"""The naive judge of a recording: what a right verifier says of it, worked out cell by cell and fence by fence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.simulation.changes import Registry, read_change
from tests.simulation.contract import Contract, contracts
from tests.simulation.grace import fenced, has_fence
from tests.simulation.lanes import Entry, Evidence, LaneName, Mark, Receipt, read_evidence
from tests.simulation.recording import read
from tests.simulation.repairs import COMMANDED, is_wiped, newest_bad, still_standing, wanted
from tests.simulation.rules import BAD, SETTLED, TAIL, Cell, Life, flags_of, is_unexpected, resolved, state_of

QUIET = {"delivered", "attempted", "exempt", "superseded"}
"""States of cells that are reported only with a flag."""

FRONTIER_MARKS = {"PROGRESS", "FENCE", "SKIP"}


@dataclass(slots=True, kw_only=True)
class Finding:
    """What one evaluated fence found: the states of all open cells below it, before any of them closed."""

    mark: Mark
    fence: int
    generation: int
    states: dict[int, str]
    flags: dict[int, list[str]]
    closed: set[int]
    """Those of them that are final with it: settled, or waived."""
    read_to: int
    """Keyed questions saw the changes below this."""
    issued_at: int
    """The highest time of the marks that counted up to here."""


@dataclass(slots=True, kw_only=True)
class Judge:
    """Reads one lane to its end."""

    name: LaneName
    life: Life
    settled: int = 0
    verified: int = 0
    named: int = 0
    place: int = 0
    at: int = 0
    orphans: set[int] = field(default_factory=set)
    contradicted: list[int] = field(default_factory=list)
    doubted: set[int] = field(default_factory=set)
    too_late: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: set[int] = field(default_factory=set)
    """What some fence found bad."""
    standing: set[int] = field(default_factory=set)
    """What commands have to name, as things stand."""
    left: set[int] = field(default_factory=set)
    """What was found bad and at some time needed no command: a restart then may command it anew when it needs one again."""
    spared: set[int] = field(default_factory=set)
    """What a fence found bad below a truncate that was applied at that time."""

    def read(self, entry: Entry) -> None:
        """One evidence record."""
        if entry.mark is not None:
            self._mark(entry.mark)
        elif not self.life.is_ended:
            for receipt in entry.receipts:
                self._receipt(receipt)

    def _receipt(self, receipt: Receipt) -> None:
        life, offset = self.life, receipt.offset
        self.place += 1
        self.named = max(self.named, min(offset + 1, life.end))
        if not life.cells or offset < min(life.cells):
            self.too_late += 1
            return
        cell = life.cells.get(offset)
        if cell is None:
            if offset < life.end:
                self.orphans.add(offset)
            return
        receipt = replace(
            resolved(receipt, cell.change),
            passed=life.is_below_fence(offset) or life.is_skipped(offset),
            is_vain=cell.is_lost and cell.closed is None,
        )
        if cell.closed is None:
            cell.receipts.append((self.place, receipt))
            self.standing = still_standing(self.standing, cell, life)
            self.left |= self.found - self.standing
        else:
            self._after_closing(cell, receipt)

    def _after_closing(self, cell: Cell, receipt: Receipt) -> None:
        offset = cell.change.offset
        is_far = self.life.fence - offset > TAIL
        before = [] if is_far else cell.receipts
        alone = replace(self.life, cells={offset: cell}) if is_far else self.life
        is_lost = cell.is_lost and not is_far
        trial = Cell(change=cell.change, receipts=[*before, (self.place, receipt)], is_lost=is_lost)
        is_new = is_unexpected(trial, alone) and not is_unexpected(Cell(change=cell.change, receipts=before), alone)
        if state_of(trial, alone) not in BAD and not is_new:
            return
        if is_far or offset not in self.doubted:
            self.contradicted.append(offset)
        if not is_far:
            self.doubted.add(offset)

    def _mark(self, mark: Mark) -> None:
        life = self.life
        if mark.kind == "LOSS":
            life.is_lossy = True
            return
        if mark.kind == "WAIVER":
            self._waive(mark.offset)
            return
        mark = replace(
            mark,
            offset=min(mark.offset, life.end),
            to_offset=None if mark.to_offset is None else min(mark.to_offset, life.end),
        )
        is_rebirth = mark.kind == "START" and mark.generation > life.generation
        if mark.generation < life.generation or (life.is_ended and not is_rebirth):
            return
        self.at = max(self.at, mark.at)
        if is_rebirth:
            self._rebuild(mark)
            return
        if mark.kind in FRONTIER_MARKS:
            life.frontier = max(life.frontier, mark.to_offset or 0 if mark.kind == "SKIP" else mark.offset)
        match mark.kind:
            case "FENCE" if mark.offset >= life.fence:
                life.fence = mark.offset
                self._evaluate(mark)
            case "START":
                life.begin = max(life.begin, mark.offset)
            case "SKIP":
                life.skips.append((mark.offset, mark.to_offset or 0))
            case "END":
                life.is_ended = True

    def _waive(self, offset: int) -> None:
        if offset in self.life.cells and not self.life.is_ended:
            self.life.cells[offset].is_waived = True
            self.verified = max(self.verified, self._watermark({"unverifiable"}))

    def _rebuild(self, mark: Mark) -> None:
        life, begin = self.life, mark.offset
        life.generation, life.begin, life.is_ended = mark.generation, begin, False
        life.fence, life.frontier = min(life.fence, begin), min(life.frontier, begin)
        self.settled, self.verified = min(self.settled, begin), min(self.verified, begin)
        life.skips = [(start, min(end, begin)) for start, end in life.skips if start < begin]
        for offset, cell in life.cells.items():
            if offset >= begin:
                cell.receipts, cell.closed, cell.is_lost, cell.is_waived = [], None, False, False
        life.is_lossy = False
        self.doubted = {offset for offset in self.doubted if offset < begin}
        self.standing, self.spared = set(), set()

    def _evaluate(self, mark: Mark) -> None:
        """Every open cell below the fence; then all that are settled close together."""
        life = self.life
        open_cells = [cell for offset, cell in life.cells.items() if cell.closed is None and offset < life.fence]
        for cell in open_cells if life.is_lossy else ():
            cell.is_lost = True
        life.is_lossy = False
        found = [(cell, state_of(cell, life), flags_of(cell, life)) for cell in open_cells]
        closing = [one for one in found if one[1] in SETTLED or one[0].is_waived]
        for cell, state, flags in closing:
            cell.closed = (state, flags)
        self.settled = max(self.settled, self._watermark(set()))
        self.verified = max(self.verified, self._watermark({"unverifiable"}))
        states = {cell.change.offset: state for cell, state, _ in found}
        bad = [offset for offset, state in states.items() if state in COMMANDED]
        self.found.update(bad)
        self.spared.update(offset for offset in bad if is_wiped(offset, life, {"delivered", "duplicated"}))
        self.standing |= newest_bad(bad, life) - self.spared
        self.left |= self.found - self.standing
        self.findings.append(
            Finding(
                mark=mark,
                fence=life.fence,
                generation=life.generation,
                states=states,
                flags={cell.change.offset: flags for cell, _, flags in found},
                closed={cell.change.offset for cell, _, _ in closing},
                read_to=max(life.fence, self.named),
                issued_at=self.at,
            )
        )

    def _watermark(self, stops: set[str]) -> int:
        for offset, cell in self.life.cells.items():
            if offset >= self.life.fence:
                break
            if cell.closed is None or (cell.closed[0] in stops and not cell.is_waived):
                return offset
        return self.life.fence

    def verdicts(self) -> dict[int, tuple[str, list[str]]]:
        """State and flags of every cell that counts, by offset."""
        said = {}
        for offset, cell in self.life.cells.items():
            if cell.closed is not None:
                said[offset] = cell.closed
            elif not self.life.is_ended:
                said[offset] = (state_of(cell, self.life), flags_of(cell, self.life))
        return said


def judges(directory: Path, grace_s: float | None = None) -> tuple[list[Judge], Evidence]:
    """Every lane of a recording read to its end, and the evidence that is in none."""
    recording = read(directory)
    registry = Registry(recording.schemas)
    promised = contracts(recording.config, sorted(recording.logs))
    evidence = read_evidence(recording, registry, {name: contract.topics for name, contract in promised.items()})
    made = []
    for contract in promised.values():
        is_unfenced = not any(has_fence(lane) for name, lane in evidence.lanes.items() if name[0] == contract.name)
        for topic in contract.topics:
            for partition, records in sorted(recording.logs.get(topic, {}).items()):
                name = (contract.name, topic, partition)
                one = _judge(contract, name, [read_change(record, registry) for record in records])
                lane = evidence.lanes.get(name, [])
                for entry in lane if grace_s is None or not is_unfenced else fenced(lane, int(grace_s * 1_000)):
                    one.read(entry)
                made.append(one)
    return made, evidence


def _judge(contract: Contract, name: LaneName, changes: list[Any]) -> Judge:
    cells = {change.offset: Cell(change=change) for change in changes}
    return Judge(name=name, life=Life(contract=contract, cells=cells, end=max(cells, default=-1) + 1))


def judge(directory: Path, grace_s: float | None = None) -> dict[str, Any]:
    """What a right verifier says of a recording, in the shape of an ``expected.json``."""
    return summary(*judges(directory, grace_s))


def summary(made: list[Judge], evidence: Evidence) -> dict[str, Any]:
    """The answers of all lanes together."""
    said: dict[str, Any] = {
        "cells": [],
        "sinks": [],
        "orphans": [],
        "contradicted": [],
        "unreadable": sorted(evidence.unreadable),
        "unknown_sink": sorted(evidence.unknown_sink),
        "repair": {},
    }
    for one in made:
        verdicts = one.verdicts()
        said["cells"] += [
            (*one.name, offset, state, flags)
            for offset, (state, flags) in verdicts.items()
            if state not in QUIET or flags
        ]
        said["sinks"].append(
            {
                **dict(zip(("sink", "topic", "partition"), one.name, strict=True)),
                "counts": dict(Counter(state for state, _ in verdicts.values())),
                "frontier": one.life.frontier,
                "settled_watermark": one.settled,
                "verified_watermark": one.verified,
            }
        )
        repair = wanted(one.life, one.found, one.standing)
        if repair["may"]:
            said["repair"]["|".join(map(str, one.name))] = repair
        said["orphans"] += [(*one.name, offset) for offset in sorted(one.orphans)]
        said["contradicted"] += [(*one.name, offset) for offset in sorted(one.contradicted)]
    return said
