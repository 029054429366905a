"""A simulated world on a real broker, and what the oracle has to say of everything that a verifier told about it."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.adapters.brokers.registry import EmbeddedRegistry
from cdc_receipts.codec import SCHEMAS
from tests.simulation.lanes import LaneName
from tests.simulation.oracle import Finding, Judge, judges, summary
from tests.simulation.recording import Record, write
from tests.simulation.rules import BAD
from tests.simulation.source import DAY_MS, START_MS
from tests.simulation.world import BEFORE, World
from tests.simulation.writing import PARTITIONS
from tests.stack.placing import Logs, Placer
from tests.stack.reading import Telling, Told, captured

WAITING_MS = 2 * 3_600_000
"""Records are spread over so much time, and the last is of now."""

UNLIMITED = 1_000_000
"""Commands per minute: the limit is none of this."""


class Simulated:
    """One world: its topics, its sinks' settings, and its recording once it was read.

    Args:
        name: of its topics; differs between the worlds of one broker.
        size: about how many changes a partition has.
    """

    def __init__(self, bootstrap: str, registry: EmbeddedRegistry, name: str, seed: int, size: int) -> None:
        self.bootstrap = bootstrap
        self.world = World(seed, size=size, suffix=f".{name}")
        self.recording = self.world.recording
        for number, schema in self.recording.schemas.items():
            registry.register(f"{name}-{number}", json.dumps(schema), number)
        routers = {registry.register(f"cdc_verifier.{name}", text): json.loads(text) for name, text in SCHEMAS.items()}
        self.recording.schemas |= routers
        self.recording.logs = waiting_since(self.recording.logs, int(time.time() * 1000))
        for sink in self.world.sinks:
            sink.settings |= {"fences": "emitter", "commands_per_minute": UNLIMITED}
        self._judged: tuple[list[Judge], dict[str, Any]] | None = None
        self.placer = Placer(bootstrap, name)
        self._create()

    @property
    def topics(self) -> list[str]:
        """The change topics."""
        return [table.topic for table in self.world.tables]

    @property
    def sinks_toml(self) -> str:
        """The sinks' part of a configuration."""
        return "\n".join(line for sink in self.world.sinks for line in sink.toml()) + "\n"

    @property
    def changes(self) -> Logs:
        return {topic: self.recording.logs[topic] for topic in self.topics}

    @property
    def evidence(self) -> Logs:
        return {topic: logs for topic, logs in self.recording.logs.items() if topic not in self.topics}

    def _create(self) -> None:
        """All topics, and the changes."""
        counts = {table.topic: table.partitions for table in self.world.tables}
        for sink in self.world.sinks:
            counts |= dict.fromkeys(sink.evidence_topics, PARTITIONS)
            counts |= {topic: 2 for topic in (sink.dead_topic, sink.success_topic) if topic}
        self.placer.create(counts)
        self.placer.begin(self.recording.logs)
        for _ in self.placer.place(self.changes):
            pass

    def speak(self) -> Iterator[None]:
        """All evidence, piece by piece."""
        yield from self.placer.place(self.evidence)

    def judged(self, directory: Path, prefix: str) -> tuple[list[Judge], dict[str, Any]]:
        """What the oracle says: of what was written, with the internal lanes in the order that the router gave them.

        The recording is left in ``directory``. It is judged anew when the lanes hold more.
        """
        widths = {table.partitions for table in self.world.tables}
        lanes = {f"{prefix}.lane.{width}" for width in widths} & created(self.placer)
        logs = {topic: captured(self.bootstrap, topic) for topic in lanes}
        if self._judged is None or any(self.recording.logs.get(topic) != log for topic, log in logs.items()):
            self.recording.logs |= logs
            topics = json.dumps(self.topics)
            config = f'[verifier]\nprefix = "{prefix}"\n[source]\ntopics = {topics}\n{BEFORE}\n{self.sinks_toml}'
            write(directory, self.recording, config)
            made, evidence = judges(directory)
            self._judged = made, summary(made, evidence)
        return self._judged


def created(placer: Placer) -> set[str]:
    """Every topic of the broker."""
    return set(placer.admin.list_topics(timeout=30).topics)


def waiting_since(logs: Logs, now_ms: int) -> dict[str, dict[int, list[Record]]]:
    """The records with times over the last two hours; what lies by days goes on lying."""
    honest = [
        record.timestamp
        for partitions in logs.values()
        for records in partitions.values()
        for record in records
        if abs(record.timestamp - START_MS) < DAY_MS / 2
    ]
    first, last = min(honest), max(honest)

    def moved(record: Record) -> Record:
        share = (record.timestamp - last) / (last - first)
        lie = record.timestamp - last if abs(record.timestamp - START_MS) >= DAY_MS / 2 else round(share * WAITING_MS)
        return replace(record, timestamp=now_ms + lie)

    return {
        topic: {number: [moved(record) for record in records] for number, records in partitions.items()}
        for topic, partitions in logs.items()
    }


def faults(made: list[Judge], said: dict[str, Any], telling: Telling) -> list[str]:
    """Everything that a verifier told, at any time, otherwise than the oracle; a line each."""
    by_name = {one.name: one for one in made}
    return [
        *verdict_faults(by_name, [told for told in telling.verdicts() if lane_of(told) in by_name]),
        *finding_faults(said, telling.findings()),
        *watermark_faults(made, said, telling.watermarks()),
        *command_faults(by_name, said, [told for told in telling.commands() if lane_of(told) in by_name]),
    ]


def lane_of(told: Told) -> LaneName:
    return told["sink"], told["topic"], told["partition"]


# -------------------------------------------------------------------- verdicts

Cell = tuple[LaneName, int, int]
"""Lane, generation, offset."""
Word = tuple[str, list[str], bool]
"""State, flags, and whether the cell closed so."""


def verdict_faults(by_name: dict[LaneName, Judge], verdicts: list[Told]) -> Iterator[str]:
    """Each is what the fence that it names found; the last of a cell is what the last fence found, and none is wanting."""
    found = {(one.name, finding.mark.record): finding for one in by_name.values() for finding in one.findings}
    last: dict[Cell, Word] = {}
    for told in verdicts:
        origin = told["fence_origin"]
        finding = found.get((lane_of(told), (origin["topic"], origin["partition"], origin["offset"])))
        word = told["state"].lower(), told["flags"], told["closed"]
        if finding is None or word != word_of(finding, told["offset"]) or finding.generation != told["generation"]:
            expected = None if finding is None else word_of(finding, told["offset"])
            yield f"verdict: {told} is not {expected} in generation {finding and finding.generation}"
        last[lane_of(told), told["generation"], told["offset"]] = word
    for one in by_name.values():
        for cell, word in last_words(one).items():
            if is_of_this_life(one, cell) and last.get(cell) != word:
                yield f"verdict: {cell} was last told to be {last.get(cell)}, not {word}"


def word_of(finding: Finding, offset: int) -> Word | None:
    """What a fence found of a cell."""
    if offset not in finding.states:
        return None
    return finding.states[offset], finding.flags[offset], offset in finding.closed


def last_words(one: Judge) -> dict[Cell, Word]:
    """Of every cell that a fence found bad or unverifiable, what the last fence that judged it found."""
    last: dict[Cell, Word] = {}
    for finding in one.findings:
        for offset, state in finding.states.items():
            cell = (one.name, finding.generation, offset)
            if cell in last or state in BAD or state == "unverifiable":
                last[cell] = word_of(finding, offset) or ("", [], False)
    return last


def is_of_this_life(one: Judge, cell: Cell) -> bool:
    """What was held back while a store caught up need not be told of an old life."""
    return cell[1] == one.life.generation and not one.life.is_ended


# -------------------------------------------------------------------- beside cells


def finding_faults(said: dict[str, Any], findings: list[Told]) -> Iterator[str]:
    """Orphans, contradictions, and evidence that is nobody's."""
    told: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for one in findings:
        place = one["topic"], one["partition"], one["offset"]
        told[one["kind"]].add((one["sink"], *place) if one["kind"] in {"ORPHAN", "CONTRADICTED"} else place)
    topics = {sink["topic"] for sink in said["sinks"]}
    for kind, name in (
        ("ORPHAN", "orphans"),
        ("CONTRADICTED", "contradicted"),
        ("UNREADABLE", "unreadable"),
        ("UNKNOWN_SINK", "unknown_sink"),
    ):
        expected = {tuple(one) for one in said[name]}
        mine = {one for one in told[kind] if kind in {"UNREADABLE", "UNKNOWN_SINK"} or one[1] in topics}
        if mine != expected:
            yield f"{kind}: only told: {sorted(mine - expected)}, only expected: {sorted(expected - mine)}"


def watermark_faults(made: list[Judge], said: dict[str, Any], watermarks: dict[LaneName, Told]) -> Iterator[str]:
    """Counts of all cells by state, flags of the closed ones, frontier and both watermarks."""
    for one, sink in zip(made, said["sinks"], strict=True):
        told = watermarks.get(one.name)
        if told is None:
            yield f"watermark: nothing was told of {one.name}"
            continue
        expected = {name: sink[name] for name in ("frontier", "settled_watermark", "verified_watermark")}
        expected["counts"] = dict(Counter(states_told(one)))
        closed = [cell.closed for cell in one.life.cells.values() if cell.closed is not None]
        expected["flags"] = dict(Counter(flag for _, flags in closed for flag in flags))
        got = {name: counted(told[name]) for name in expected}
        if got != expected:
            yield f"watermark: {one.name}: told {got}, expected {expected}"


def states_told(one: Judge) -> Iterator[str]:
    """The states of all cells; those that a fence has passed as the last one found them, which is what verdicts say."""
    found: dict[int, str] = {}
    for finding in one.findings:
        found |= finding.states
    for offset, (state, _) in one.verdicts().items():
        is_open = one.life.cells[offset].closed is None
        yield found.get(offset, state) if is_open and one.life.is_below_fence(offset) else state


def counted(value: Any) -> Any:
    """Counts without those that are 0."""
    return {name.lower(): count for name, count in value.items() if count} if isinstance(value, dict) else value


# -------------------------------------------------------------------- commands


def command_faults(by_name: dict[LaneName, Judge], said: dict[str, Any], commands: list[Told]) -> Iterator[str]:
    """Each names what one fence found bad, a cell stands under one id while it is bad, and what must be commanded is."""
    ids: dict[Cell, str] = {}
    by_id: dict[str, Told] = {}
    for told in commands:
        one = by_name[lane_of(told)]
        yield from (f"command: {told['id']} of {one.name}: {fault}" for fault in unfounded(one, told))
        yield from same_meaning(by_id.setdefault(told["id"], told), told)
        for item in told["items"]:
            cell = (one.name, told["generation"], item["offset"])
            if ids.setdefault(cell, told["id"]) != told["id"] and item["offset"] not in one.left:
                yield f"command: {cell} is named by {ids[cell]} and {told['id']}"
    for name, one in by_name.items():
        repair = said["repair"].get("|".join(map(str, name)), {"must": []})
        wanting = [offset for offset in repair["must"] if (name, one.life.generation, offset) not in ids]
        if wanting:
            yield f"command: {name} names none of {wanting}"


def unfounded(one: Judge, told: Told) -> Iterator[str]:
    """What no fence could have commanded."""
    makers = [
        finding
        for finding in one.findings
        if finding.generation == told["generation"]
        and finding.issued_at == told["issued_at"]
        and all(finding.states.get(item["offset"], "").upper() == item["reason"] for item in told["items"])
    ]
    if not makers or not told["items"]:
        yield f"no fence found {told['items']}"
    if len({item["offset"] >> 12 for item in told["items"]}) > 1:
        yield "spans segments"
    if told["mode"] != one.life.contract.mode.upper().replace("-", "_"):
        yield f"mode {told['mode']}"


def same_meaning(first: Told, told: Told) -> Iterator[str]:
    """What is sent again under an id may have lost items and know newer changes of their keys; no more."""

    def items(command: Told) -> dict[int, Any]:
        return {item["offset"]: {**item, "newest_offset": None} for item in command["items"]}

    before, now = items(first), items(told)
    if {**first, "items": None} != {**told, "items": None}:
        yield f"command: {told['id']} is {first} and {told}"
    if any(now[offset] != before[offset] for offset in now.keys() & before.keys()):
        yield f"command: items of {told['id']} are {before} and {now}"
    if not (now.keys() <= before.keys() or before.keys() <= now.keys()):
        yield f"command: {told['id']} names {sorted(before)} and {sorted(now)}"
