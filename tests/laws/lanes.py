"""One lane of a history as the protocol reads it, row by row: what the laws compare the product with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.model import EvidenceKind, Origin, SinkTopic
from app.testing import Row
from tests.laws.histories import CONTRACTS, LANES, History, Hole, Record

NAMES = tuple(SinkTopic(contract.sink, topic, 0) for contract in CONTRACTS for topic in contract.topics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a sink stands after one mark of its lane; ``is_fence`` where the mark is a fence that is evaluated."""

    origin: Origin
    generation: int
    fence: int
    skips: tuple[tuple[int, int], ...]
    is_after_loss: bool
    is_fence: bool

    def proves(self, offset: int) -> bool:
        """Whether a cell without a receipt may be called missing here."""
        return offset < self.fence or any(lo <= offset < hi for lo, hi in self.skips)


def told_once(told: History, lane: str, upto: int | None = None) -> Iterator[Record | Hole]:
    """What stands in a lane below an offset, without what was routed again: an origin log is routed in its order."""
    furthest: dict[str, int] = {}
    for item in told.logs[lane]:
        if upto is not None and item.offset >= upto:
            return
        if isinstance(item, Record) and item.origin is not None and item.rows:
            if item.origin.offset <= furthest.get(item.origin.topic, -1):
                continue
            furthest[item.origin.topic] = item.origin.offset
        yield item


def rows_of(told: History, name: SinkTopic) -> Iterator[tuple[Origin, Row]]:
    """The rows of one lane in order, each with the coordinates of its record in its evidence log."""
    lane = LANES[name.sink]
    for item in told_once(told, lane):
        if isinstance(item, Hole):
            yield Origin(lane, 0, item.offset), Row(offset=0, kind=EvidenceKind.LOSS)
        elif item.name == name:
            yield from ((item.origin or Origin(lane, 0, item.offset), row) for row in item.rows)


def judged(told: History, name: SinkTopic) -> list[Standing]:
    """The fences of one lane that are evaluated."""
    return [standing for standing in standings(told, name) if standing.is_fence]


def standings(told: History, name: SinkTopic) -> Iterator[Standing]:
    """Where a sink stands after each of the marks that count (protocol sections 3 and 4)."""
    generation, fence, end = 0, 0, told.end(name.topic)
    skips: list[tuple[int, int]] = []
    is_after_loss = is_ended = False
    for origin, row in rows_of(told, name):
        at, is_fence = min(row.offset, end), False
        if row.kind is EvidenceKind.LOSS:
            is_after_loss = True
            continue
        if row.kind is EvidenceKind.START and row.generation > generation:
            generation, fence = row.generation, min(fence, at)
            skips = [(lo, min(hi, at)) for lo, hi in skips if lo < at]
            is_after_loss = is_ended = False
        elif (
            row.kind in (EvidenceKind.RECEIPT, EvidenceKind.WAIVER, EvidenceKind.STATUS)
            or is_ended
            or row.generation < generation
        ):
            continue
        elif row.kind is EvidenceKind.END:
            is_ended = True
        elif row.kind is EvidenceKind.SKIP:
            skips.append((at, min(row.to_offset, end)))
        elif row.kind is EvidenceKind.FENCE and at >= fence:
            fence, is_fence = at, True
        yield Standing(
            origin=origin,
            generation=generation,
            fence=fence,
            skips=tuple(skips),
            is_after_loss=is_after_loss,
            is_fence=is_fence,
        )
        is_after_loss = is_after_loss and not is_fence
