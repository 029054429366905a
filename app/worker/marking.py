"""What an operator's commands write: which mark or waiver for which source partition, and where there is nothing to do.

Pure decisions over what the cluster and the watermarks topic say; `topologies.operating` asks and writes. Two rules hold
them together: no mark may hide a loss that was judged already, and repeating a command changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import BadInput, ConfigError
from app.model.effects import SinkWatermark
from app.worker.ports import Input
from cdc_receipts.codec import Mark, MarkKind

At = Literal["committed", "earliest", "latest"]
WAIVERS_AT_ONCE = 4_096
"""Cells that one command may waive: who waives more has not looked at them."""

WAIVES = "closes the cell if it is bad or unverifiable; of any other it changes nothing"
"""What a waiver does: no command knows a cell's verdict, which is the worker's to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An operator settles one cell (``schemas/Waiver.avsc``); ``at`` is in ms since the epoch."""

    sink: str
    topic: str
    partition: int
    offset: int
    who: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one sink and source partition when a command is given.

    Attributes:
        lane: the topic of the sink's lane; the source's partition is the lane's, too.
        earliest, end: where the change partition begins and ends.
        committed: of the sink's group, None where nothing is, or nobody asked.
        told: the newest watermark, None where no worker has told any.
    """

    sink: str
    source: Input
    lane: str
    earliest: int
    end: int
    committed: int | None = None
    told: SinkWatermark | None = None

    @property
    def generation(self) -> int:
        """The sink's present generation; one that nobody has told of is in its first."""
        return 0 if self.told is None else self.told.generation

    @property
    def is_ended(self) -> bool:
        """Whether the sink was retired here."""
        return self.told is not None and self.told.is_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a command does about one source partition.

    Attributes:
        record: None where there is nothing to write.
        says: why, for people; empty where the record says it all.
    """

    standing: Standing
    record: Mark | Waiver | None
    says: str = ""


def onboard(standings: Sequence[Standing], at: At, now_ms: int, *, is_again: bool = False) -> list[Step]:
    """START of the present generation: judging begins where the sink stands, or at the log's start or end.

    A sink that has committed nothing has read nothing, so that it is judged from the log's start. A beginning that was
    set already stays where it is: to move it on would exempt what was judged, or waits, in between.

    Args:
        is_again: move it on all the same, never back.

    Raises:
        BadInput: the sink was retired.
    """
    _refuse(standings, lambda one: one.is_ended, "was retired here; use: cdc-verifier rebuild")
    return [_onboarded(one, at, now_ms, is_again=is_again) for one in standings]


def _onboarded(one: Standing, at: At, now_ms: int, *, is_again: bool) -> Step:
    offset, says = _place(one, at)
    begun = None if one.told is None else one.told.beginning
    if begun is not None and (offset <= begun or not is_again):
        rest = "" if offset <= begun else f"; --again moves it on to {offset} and exempts what is open below"
        return Step(standing=one, record=None, says=f"judging begins at {begun} already{rest}")
    return Step(standing=one, record=_mark(one, MarkKind.START, offset, now_ms, f"onboard at {at}"), says=says)


def _place(one: Standing, at: At) -> tuple[int, str]:
    match at:
        case "earliest":
            return one.earliest, ""
        case "latest":
            return one.end, ""
        case "committed" if one.committed is None:
            return one.earliest, "its group has committed nothing here, so that it is judged from the log's start"
        case _:
            return one.committed or 0, ""


def rebuild(
    standings: Sequence[Standing],
    start: Literal["earliest", "committed", "held"] | Mapping[Input, int],
    now_ms: int,
    *,
    present: int,
    generation: int | None = None,
) -> list[Step]:
    """START of a higher generation: everything from there on is judged anew, by what is said from now on.

    Args:
        start: offsets by source partition, or for all of them the log's start, the group's commits, or what is held.
        present: the highest generation that the sink has on any source partition; all of them go on to one.
        generation: the one to begin; a source partition that has it already is left alone, so that the command may be
            repeated. None: the next one.

    Raises:
        BadInput: a start that would not judge what it says, with what to do.
    """
    wanted = present + 1 if generation is None else generation
    if wanted < 1:
        raise BadInput(f"generation {wanted}: a sink begins in generation 0, a rebuild's is 1 or more")
    steps, problems = [], []
    for one in standings:
        if one.generation >= wanted:
            steps.append(Step(standing=one, record=None, says=f"it is in generation {one.generation} already"))
            continue
        offset, says = _rebuilt_from(one, start)
        if offset is None or (problem := _cant_begin(one, offset)):
            problems.append(says if offset is None else f"{_place_name(one)}: {problem}")
            continue
        mark = _mark(one, MarkKind.START, offset, now_ms, "rebuild", wanted)
        steps.append(Step(standing=one, record=mark, says=says))
    if problems:
        raise ConfigError(problems)
    return steps


def _rebuilt_from(one: Standing, start: str | Mapping[Input, int]) -> tuple[int | None, str]:
    if not isinstance(start, str):
        return start[one.source], ""
    if start == "held":
        return max(one.earliest, 0 if one.told is None else one.told.held_from), ""
    if start == "committed" and one.committed is None:
        return None, (
            f"{_place_name(one)}: the sink's group has committed nothing here; say --from earliest, or the offset"
        )
    return (one.earliest if start == "earliest" else one.committed), ""


def _cant_begin(one: Standing, offset: int) -> str:
    held = 0 if one.told is None else one.told.held_from
    if offset > one.end:
        return f"{offset} is beyond the log's end {one.end}"
    if max(offset, one.earliest) < held:
        return (
            f"the verifier holds changes from {held} on; what lies below is closed and would keep its verdict. Say --from "
            f"held to judge anew from {held}, or judge everything in an installation of its own (another verifier.prefix, "
            "verifier.application_id and state.dir)"
        )
    return ""


def retire(standings: Sequence[Standing], now_ms: int) -> list[Step]:
    """END: open cells leave the counts, and what is said later is counted and ignored."""
    return [
        Step(standing=one, record=None, says="it was retired already")
        if one.is_ended
        else Step(standing=one, record=_mark(one, MarkKind.END, 0, now_ms, "retire"))
        for one in standings
    ]


def waive(one: Standing, first: int, last: int, *, who: str, reason: str, now_ms: int) -> list[Step]:
    """Waivers of the cells at ``first`` to ``last``, both included; only of what a fence has judged.

    A cell that the fence found settled is closed, and no waiver changes it: one too many does no harm, and is told so.

    Raises:
        BadInput: no fence has judged all of them, or they are too many.
    """
    fence = 0 if one.told is None else one.told.fence
    place = _place_name(one)
    if not who.strip() or not reason.strip():
        raise BadInput("--who and --reason: must say something; they stand in the ledger's evidence for ever")
    if last < first:
        raise BadInput(f"{first}-{last}: the last offset is below the first")
    if last - first >= WAIVERS_AT_ONCE:
        raise BadInput(f"{first}-{last}: at most {WAIVERS_AT_ONCE} cells at once; look at them piece by piece")
    if one.is_ended:
        raise BadInput(f"{place}: was retired; nothing is open")
    if last >= fence:
        raise BadInput(
            f"{place}: no fence above {last} was read yet (the highest is {fence}), so that nobody knows what would be waived. "
            "Wait for its verdict; cdc-verifier status shows the fence, and whether a worker tells of it at all"
        )
    place_of = {"sink": one.sink, "topic": one.source.topic, "partition": one.source.partition}
    return [
        Step(standing=one, record=Waiver(**place_of, offset=offset, who=who, reason=reason, at=now_ms), says=WAIVES)  # type: ignore[arg-type]
        for offset in range(first, last + 1)
    ]


def _refuse(standings: Sequence[Standing], is_wrong: Callable[[Standing], bool], why: str) -> None:
    problems = [f"{_place_name(one)}: {why}" for one in standings if is_wrong(one)]
    if problems:
        raise ConfigError(problems)


def _place_name(one: Standing) -> str:
    return f"{one.sink} {one.source.topic}:{one.source.partition}"


def _mark(one: Standing, kind: MarkKind, offset: int, now_ms: int, reason: str, generation: int | None = None) -> Mark:
    return Mark(
        sink=one.sink,
        topic=one.source.topic,
        partition=one.source.partition,
        kind=kind,
        offset=offset,
        at=now_ms,
        generation=one.generation if generation is None else generation,
        reason=reason,
    )
