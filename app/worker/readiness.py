"""Whether an installation that observes is ready for alerts and commands: every reason why not, and what to do.

Pure decisions over what our own topics tell and where the change topics end; `topologies.operating` reads them. What is not
known is never taken for ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.model import BAD, Contract, Flag, State
from app.model.effects import Contradicted, Finding, Orphan, SinkWatermark, UnknownSink, Unreadable, Verdict
from app.worker.ports import Input

SILENCE_MS = 120_000
"""A worker tells its watermarks every second, or a little more seldom where millions of cells are open."""
PLACES_SHOWN = 100
"""Coordinates that one point names; it counts all of them."""

Level = Literal["blocks", "note"]
Cell = tuple[str, int, str, int, int, int]
"""Sink, generation, topic, epoch, partition and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as ready; times in ms.

    Attributes:
        within_ms: changes that wait for a fence wait no longer than this.
        window_ms: how far back findings, and verdicts that were taken back, count.
        late_share: of all cells that were expected, how many may be late.
        is_bad_accepted: open bad cells were looked at, and commands are to mend them.
    """

    within_ms: int = 600_000
    window_ms: int = 86_400_000
    late_share: float = 0.05
    is_bad_accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One source partition of a sink: where its log is, and what was told of it when (ms since the epoch)."""

    source: Input
    earliest: int
    end: int
    told: SinkWatermark | None = None
    told_at_ms: int = 0
    is_suspended: bool = False

    @property
    def name(self) -> str:
        """Topic and partition."""
        return f"{self.source.topic}:{self.source.partition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing to know, with coordinates; ``count`` is of all of them, ``places`` names the first ones."""

    level: Level
    what: str
    says: str
    do: str
    count: int = 1
    places: tuple[str, ...] = ()


@dataclass(slots=True)
class History:
    """What the verdicts topic holds, folded: cells that are bad and open, and what was said beside cells of late.

    Args:
        since_ms: what is older counts only as far as it is open still.
        listeners: the sinks that an evidence topic may speak for.
    """

    since_ms: int
    listeners: Mapping[str, frozenset[str]]
    open: dict[Cell, Verdict] = field(default_factory=dict)
    taken_back: list[Verdict] = field(default_factory=list)
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """Sink, kind and coordinates."""

    def note(self, told: Verdict | Finding, at_ms: int) -> None:
        """Take one record, in the order of its partition."""
        match told:
            case Verdict():
                self._verdict(told, at_ms)
            case Orphan() | Contradicted() if at_ms >= self.since_ms:
                self.findings.append((told.sink, type(told).__name__.lower(), _place(told)))
            case Unreadable() | UnknownSink() if at_ms >= self.since_ms:
                word = "unreadable" if isinstance(told, Unreadable) else "unknown_sink"
                for sink in sorted(self.listeners.get(told.topic, ())):
                    self.findings.append((sink, word, _place(told)))

    def _verdict(self, verdict: Verdict, at_ms: int) -> None:
        cell = (verdict.sink, verdict.generation, verdict.topic, verdict.epoch, verdict.partition, verdict.offset)
        if not verdict.closed:
            self.open[cell] = verdict
            return
        before = self.open.pop(cell, None)
        came_by_itself = verdict.state in {State.DELIVERED, State.DUPLICATED} and not verdict.flags & Flag.REPAIRED
        if before is not None and before.state in BAD and came_by_itself and at_ms >= self.since_ms:
            self.taken_back.append(verdict)


def points(contract: Contract, sources: Sequence[Seen], history: History, limits: Limits, now_ms: int) -> list[Point]:
    """Everything to know about one sink, what blocks first."""
    judged = [one for one in sources if one.told is None or not one.told.is_ended]
    found = [
        *_told(judged, now_ms),
        *_fenced(contract, judged, limits, now_ms),
        *_unverifiable(judged),
        *_bad(contract.sink, judged, history, limits),
        *_taken_back(contract, history, limits),
        *_findings(contract.sink, history, limits),
        *_late(judged, limits),
        *_notes(contract, sources),
    ]
    return sorted(found, key=lambda point: point.level)  # "blocks" stands before "note"


def is_ready(found: Sequence[Point]) -> bool:
    """Whether nothing blocks."""
    return not any(point.level == "blocks" for point in found)


def _told(sources: Sequence[Seen], now_ms: int) -> Iterator[Point]:
    suspended = [one.name for one in sources if one.is_suspended]
    if suspended:
        yield _point(
            "blocks", "suspended", "the partition count has changed, and nothing is judged", suspended,
            'See README.md, "When a topic\'s partition count changes".',
        )  # fmt: skip
    sources = [one for one in sources if not one.is_suspended]
    untold = [one.name for one in sources if one.told is None and one.end > one.earliest]
    if untold:
        yield _point(
            "blocks", "untold", "no worker has told anything of these source partitions", untold,
            "Start cdc-verifier run with this configuration, and wait until it has caught up.",
        )  # fmt: skip
    silent = [one for one in sources if one.told is not None and now_ms - one.told_at_ms > SILENCE_MS]
    if silent:
        old = age(now_ms - min(one.told_at_ms for one in silent))
        yield _point(
            "blocks", "silent", f"the last that a worker told is up to {old} old", [one.name for one in silent],
            "See whether cdc-verifier run is up, and whether it is still catching up.",
        )  # fmt: skip
    known = [one.told for one in sources if one.told is not None]
    if sources and not sum(sum(told.counts) - sum(told.open_counts) for told in known):
        yield _point(
            "blocks", "unjudged", "nothing was judged yet, so that nothing speaks for its evidence", [],
            "Let it observe until fences were read.",
        )  # fmt: skip


def _fenced(contract: Contract, sources: Sequence[Seen], limits: Limits, now_ms: int) -> Iterator[Point]:
    never, late = [], []
    for one in sources:
        told = one.told
        if told is None or one.is_suspended or not (told.open_counts[State.PENDING] or told.next_offset < one.end):
            continue
        if told.fence_at is None:
            never.append(one.name)
        elif now_ms - told.fence_at > limits.within_ms:
            late.append(
                f"{one.name} ({told.open_counts[State.PENDING]} wait, fenced {age(now_ms - told.fence_at)} ago)"
            )
    do = {
        "emitter": "See whether the sink runs, and whether it writes fences, once its receipts were acknowledged.",
        "progress": "See whether the sink runs and commits, and that the probe may look at its group.",
        "receipts": "See whether the sink runs and writes receipts.",
    }[contract.fences]
    if never:
        yield _point("blocks", "unfenced", "changes wait, and no fence was ever read", never, do)
    if late:
        limit = age(limits.within_ms)
        yield _point("blocks", "unfenced", f"changes wait, and the newest fence is older than {limit}", late, do)


def _unverifiable(sources: Sequence[Seen]) -> Iterator[Point]:
    places = [
        f"{one.name}:{one.told.verified_watermark}"
        for one in sources
        if one.told is not None and one.told.verified_watermark < one.told.settled_watermark
    ]
    if places:
        yield _point(
            "blocks", "unverifiable", "the proof stands still at a change that nobody can verify, the first of each", places,
            "Look at the row in the store, then cdc-verifier waive it.",
        )  # fmt: skip


def _bad(sink: str, sources: Sequence[Seen], history: History, limits: Limits) -> Iterator[Point]:
    known = {one.source: one.told for one in sources if one.told is not None}
    count = sum(told.open_counts[state] for told in known.values() for state in BAD)
    if not count:
        return
    places = []
    for verdict in history.open.values():
        told = known.get(Input(verdict.topic, verdict.partition)) if verdict.sink == sink else None
        if told is None or (told.generation, told.epoch) != (verdict.generation, verdict.epoch):
            continue
        if verdict.state in BAD and verdict.offset >= told.settled_watermark:
            places.append(f"{_place(verdict)} {verdict.state.word}")
    yield _point(
        "note" if limits.is_bad_accepted else "blocks", "bad", "cells are bad and open", sorted(places),
        "Look at each: if it is true, mend it or leave it to a command (--accept-bad); if the evidence is wrong, mend that.",
        count,
    )  # fmt: skip


def _taken_back(contract: Contract, history: History, limits: Limits) -> Iterator[Point]:
    places = [_place(verdict) for verdict in history.taken_back if verdict.sink == contract.sink]
    if places:
        do = "Let its emitter fence only when its receipts were acknowledged"
        if contract.fences != "emitter":
            do = "Raise grace: the probe fences before all that the sink has to say is there"
        do += ". If somebody has mended the sink by hand, nothing is to be done."
        yield _point(
            "blocks",
            "taken_back",
            f"verdicts of the last {age(limits.window_ms)} were taken back by themselves",
            places,
            do,
        )


_DO = {
    "unreadable": "Look at the quarantine topic; mend its writer or the registry.",
    "unknown_sink": "Compare names and topics in the evidence with the configuration.",
    "orphan": "The sink names coordinates that hold no change: mend it.",
    "contradicted": "The sink says otherwise than before its fence: look at its evidence, and mend the sink.",
}


def _findings(sink: str, history: History, limits: Limits) -> Iterator[Point]:
    for word, do in _DO.items():
        places = [place for of, kind, place in history.findings if (of, kind) == (sink, word)]
        if places:
            says = f"{word} was found in the last {age(limits.window_ms)}"
            yield _point("blocks", word, says, list(dict.fromkeys(places)), do)


def _late(sources: Sequence[Seen], limits: Limits) -> Iterator[Point]:
    known = [one.told for one in sources if one.told is not None]
    expected = sum(sum(told.counts) - told.counts[State.EXEMPT] for told in known)
    late = sum(told.flags[Flag.LATE.bit_length() - 1] for told in known)
    if expected and late / expected > limits.late_share:
        yield _point(
            "blocks", "late", f"{late / expected:.1%} of its cells are late (limit {limits.late_share:.1%})", [],
            "Raise late_after to what the sink promises, or look at its latency.", late,
        )  # fmt: skip


def _notes(contract: Contract, sources: Sequence[Seen]) -> Iterator[Point]:
    if contract.evidence == "progress":
        yield _point(
            "note", "progress_only", 'it has no receipts: "attempted" says that the sink passed a change, not that it arrived',
            [], "Give it receipts where that is not enough.",
        )  # fmt: skip
    ended = [one.name for one in sources if one.told is not None and one.told.is_ended]
    if ended:
        yield _point(
            "note", "retired", "it was retired or its topic was made again, and is not judged", ended,
            "Take it out of the configuration, or cdc-verifier rebuild it.",
        )  # fmt: skip
    old = [one.name for one in sources if one.told is not None and one.told.rows.get("old_generation")]
    if old:
        yield _point(
            "note", "old_generation", "marks or receipts of an older generation were ignored", old,
            "If this goes on, the sink's emitter still says the generation before its rebuild.",
        )  # fmt: skip


def _point(level: Level, what: str, says: str, places: Sequence[str], do: str, count: int | None = None) -> Point:
    total = max(len(places), 1) if count is None else count
    return Point(level=level, what=what, says=says, do=do, count=total, places=tuple(places[:PLACES_SHOWN]))


def _place(told: Verdict | Finding) -> str:
    return f"{told.topic}:{told.partition}:{told.offset}"


def age(ms: int) -> str:
    """A duration in its largest whole unit.

    >>> [age(ms) for ms in (900, 59_000, 600_000, 7_300_000, 90_000_000, 200_000_000)]
    ['0s', '59s', '10m', '2h', '25h', '2d']
    """
    seconds = ms // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
