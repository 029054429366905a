"""What a fence's outcome becomes outside: verdict records, seals, watermarks, findings."""

from __future__ import annotations

from app.ledger import rules, watermarks
from app.ledger.cells import Bit
from app.ledger.fence import Finding, Outcome
from app.ledger.rules import level_of
from app.ledger.sealing import ClosedRange, due_ranges
from app.ledger.sink import SinkPartition
from app.model import NO_TIME, SEGMENT_BITS, ChangeKind
from app.model.effects import Seal, SinkWatermark, Verdict
from app.model.identity import sealed, verdict_id
from app.model.words import INDEX

UNCHOSEN = (
    "whether the contract takes this change is not known: nothing tells a value that its rows are chosen by, or the change was "
    "read before the contract"
)
"""Of a delete whose key lacks the column, an unavailable value, a column that the row does not have."""


def verdicts(sink: SinkPartition, outcome: Outcome) -> list[Verdict]:
    """One record for each cell that the fence found bad or unverifiable, and for each that closed after having been bad."""
    return [_verdict(sink, outcome, finding) for finding in outcome.findings]


def _verdict(sink: SinkPartition, outcome: Outcome, finding: Finding) -> Verdict:
    offset, changes = finding.offset, sink.changes
    segment = changes.segment_of(offset)
    word = sink.word(offset)
    kind = changes.kind(offset)
    expected = None
    if segment is not None and kind is ChangeKind.UPSERT:
        expected = int(segment.fingerprints[offset & INDEX, sink.terms.at(offset).projection]).to_bytes(8, "little")
    return Verdict(
        id=verdict_id(
            sink=sink.contract.sink,
            generation=sink.generation,
            topic=changes.topic,
            epoch=sink.epoch,
            partition=changes.partition,
            offset=offset,
            fence_origin=outcome.origin,
        ),
        sink=sink.contract.sink,
        generation=sink.generation,
        topic=changes.topic,
        epoch=sink.epoch,
        partition=changes.partition,
        offset=offset,
        state=finding.state,
        flags=finding.flags,
        change=kind,
        key_hash=None if segment is None else segment.key(offset & INDEX),
        expected_fingerprint=expected,
        seen_fingerprint=word.fingerprint.to_bytes(8, "little") if word.bits & Bit.WORD_HAS_FINGERPRINT else None,
        fence=outcome.fence,
        fence_origin=outcome.origin,
        closed=finding.is_closed,
        at=mark_time(sink),
        reason=outcome.reason or reason(sink, offset),
        level=level_of(finding.state, word.bits),
    )


def reason(sink: SinkPartition, offset: int) -> str | None:
    """Why a cell is unverifiable, or what a receipt says is wrong, where that is known."""
    if sink.word(offset).bits & Bit.LOST:
        return "evidence_lost"
    if offset in sink.errors:
        return sink.errors[offset]
    segment = sink.changes.segment_of(offset)
    if segment is None:
        return None
    if segment.kinds[offset & INDEX] == ChangeKind.LOST:
        return "expired"
    if sink.kind(offset) == rules.UNCHOSEN:
        return UNCHOSEN
    return segment.reasons.get(offset & INDEX)


def mark_time(sink: SinkPartition) -> int:
    """The highest ``at`` of the lane's marks, 0 before the first."""
    return 0 if sink.at == NO_TIME else sink.at


def seals(sink: SinkPartition, *, is_final: bool = False) -> list[Seal]:
    """The seals due after a fence, appended to the chain of this sink and source partition; ``is_final`` seals all."""
    made = []
    for closed in due_ranges(sink, is_final=is_final):
        seal = _seal(sink, closed)
        sink.seals += 1
        sink.seal_hash = seal.hash
        sink.sealed_at = sink.at
        made.append(seal)
    return made


def _seal(sink: SinkPartition, closed: ClosedRange) -> Seal:
    return sealed(
        Seal(
            sink=sink.contract.sink,
            generation=sink.generation,
            topic=sink.changes.topic,
            epoch=sink.epoch,
            partition=sink.changes.partition,
            number=sink.seals,
            segment=closed.segment,
            first_offset=closed.first_offset,
            last_offset=closed.last_offset,
            counts=closed.counts,
            flags=closed.flags,
            levels=closed.levels,
            open_offsets=closed.open_offsets,
            source_sum=closed.source_sum,
            sink_sum=closed.sink_sum,
            first_ts_ms=closed.first_ts_ms,
            last_ts_ms=closed.last_ts_ms,
            contract=sink.terms.at(closed.last_offset).contract.digest(),
            at=mark_time(sink),
            previous=sink.seal_hash,
        )
    )


def watermark(sink: SinkPartition, owner: str = "") -> SinkWatermark:
    """Where the sink stands on its source partition."""
    settled, verified = watermarks.settled_watermark(sink), watermarks.verified_watermark(sink)
    opened = watermarks.open_counts(sink)
    status = sink.status
    return SinkWatermark(
        sink=sink.contract.sink,
        generation=sink.generation,
        topic=sink.changes.topic,
        epoch=sink.epoch,
        partition=sink.changes.partition,
        frontier=sink.frontier,
        settled_watermark=settled,
        verified_watermark=verified,
        settled_ts_ms=watermarks.source_time(sink, settled),
        verified_ts_ms=watermarks.source_time(sink, verified),
        open_counts=tuple(opened.tolist()),
        counts=tuple((sink.tally.closed + opened).tolist()),
        flags=tuple(sink.tally.flags.tolist()),
        levels=tuple(sink.tally.levels.tolist()),
        bad_levels=tuple(watermarks.bad_levels(sink).tolist()),
        seals=sink.seals,
        seal_hash=sink.seal_hash,
        at=mark_time(sink),
        owner=owner,
        beginning=sink.beginning if sink.is_begun else None,
        next_offset=sink.changes.next,
        fence=sink.fence,
        fence_at=None if sink.fence_at == NO_TIME else sink.fence_at,
        is_ended=sink.is_ended,
        held_from=max(sink.changes.first, sink.changes.forgotten, 0),
        rows={name: count for name, count in sink.tally.rows.items() if count},
        status=None if status is None else status.state,
        status_cause=None if status is None else status.cause,
        rebuild_from=None if status is None else status.rebuild_from,
    )


__all__ = ["SEGMENT_BITS", "mark_time", "reason", "seals", "verdicts", "watermark"]
