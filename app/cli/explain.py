"""``explain``: one change's story in lane order, and the rule that decided each of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.offline import open_run
from app.errors import BadInput
from app.ledger import watermarks
from app.ledger.lane import LaneRows
from app.ledger.rules import LEFT_OUT, level_of
from app.ledger.sink import SinkPartition
from app.ledger.status import Status
from app.model import NO_TIME, ChangeKind, EvidenceKind, Flag, Ownership, ReceiptStatus, SinkTopic, State
from app.model.words import ANY_KIND, INDEX
from app.repair import reporting
from app.worker.recorded import RecordedRun

Story = dict[str, Any]

RULES = {
    State.EXEMPT: "exempt: it lies below the START, or the contract expects nothing of it",
    State.REJECTED: "rejected: the last word is REJECTED",
    State.UNVERIFIABLE: "unverifiable: the change, its log or evidence about it can't be read",
    State.DUPLICATED: "duplicated: delivered, but applied twice, which this contract calls a fault",
    State.DELIVERED: "delivered: the last word is of the expected kind and its fingerprint is equal or absent",
    State.SUPERSEDED: "superseded: a later change of its key stands for it",
    State.DIVERGED: "diverged: the last word is of the wrong kind, or its fingerprint differs",
    State.ATTEMPTED: "attempted: the sink passed it; more is not known",
    State.MISSING: "missing: no receipt, and it lies below a fence or in a SKIP",
    State.PENDING: "pending: no receipt yet, and no fence above it; lag is never loss",
}


def explain(recording: Path, config: Path | None, change: str) -> Story:
    """Everything known about one change.

    Raises:
        BadInput: the coordinates are no such thing, or nothing stands there.
    """
    topic, partition, offset = _coordinates(change)
    run = open_run(recording, config)
    run.run()
    sinks = [s for s in run.sinks() if (s.changes.topic, s.changes.partition) == (topic, partition)]
    if not sinks:
        raise BadInput(f"{topic}:{partition} is not recorded, or no sink consumes it")
    changes = sinks[0].changes
    kind = changes.kind(offset)
    if kind is ChangeKind.ABSENT:
        raise BadInput(_nothing(run, sinks, change, offset))
    segment = changes.segment_of(offset)
    index = offset & INDEX
    at = NO_TIME if segment is None else int(segment.source_ts_ms[index])
    return {
        "change": {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "kind": kind.word,
            "key_hash": key.hex() if segment is not None and (key := segment.key(index)) else None,
            "source_ts_ms": None if segment is None or at == NO_TIME else at,
            "reason": None if segment is None else segment.reasons.get(index),
        },
        "sinks": [_sink_story(run, sink, offset) for sink in sinks],
    }


def story(told: Story) -> Iterator[str]:
    """The same as text."""
    change = told["change"]
    yield f"{change['topic']}:{change['partition']}:{change['offset']}  {change['kind']}"
    at = "unknown" if change["source_ts_ms"] is None else f"{change['source_ts_ms']} ms"
    yield f"  key hash {change['key_hash'] or '(null key)'}, source time {at}"
    if change["reason"]:
        yield f"  undecodable: {change['reason']}"
    for sink in told["sinks"]:
        flags = f"  [{', '.join(sink['flags'])}]" if sink["flags"] else ""
        yield f"\n{sink['sink']}: {sink['state']}{flags}, {'closed' if sink['is_closed'] else 'open'}"
        if whose := Ownership(sink["owner"], sink["severity"]).words():
            yield f"  {', '.join(whose)}"
        for entry in sink["evidence"]:
            yield f"  {entry['at']:<40} {entry['says']}"
        by = f"; stands on evidence of level {sink['level']}" if sink["level"] else ""
        yield f"  => {sink['rule']}{by}"


def _coordinates(text: str) -> tuple[str, int, int]:
    topic, partition, offset = (["", "", "", *text.rsplit(":", 2)])[-3:]
    if not topic or not partition.isdigit() or not offset.isdigit():
        raise BadInput(f"{text!r} is no change; say TOPIC:PARTITION:OFFSET, as in shop.public.orders:0:4711")
    return topic, int(partition), int(offset)


def _sink_story(run: RecordedRun, sink: SinkPartition, offset: int) -> Story:
    closed = {cell[0]: cell for cell in watermarks.closed_cells(sink)}
    opened = {cell[0]: cell for cell in watermarks.open_cells(sink)}
    ended = (offset, State.PENDING, Flag(0))
    _, state, flags = closed.get(offset) or opened.get(offset, ended)
    name = SinkTopic(sink.contract.sink, sink.changes.topic, sink.changes.partition)
    rows = run.evidence.lanes.get(name)
    expected = _expected(sink, offset)
    return {
        "sink": name.sink,
        **run.settings.ownership(name.sink, name.topic)._asdict(),
        "state": state.word,
        "flags": flags.words(),
        "is_closed": offset in closed,
        "level": None if (level := level_of(state, sink.word(offset).bits)) is None else level.word,
        "expected_fingerprint": expected,
        "evidence": [] if rows is None else list(_evidence(rows, offset, expected)),
        "rule": RULES[state]
        + ("; it is left out by its table, its operation or its row" if sink.kind(offset) == LEFT_OUT else "")
        + ("; the sink has ended" if sink.is_ended else "")
        + (f" ({why})" if state is State.UNVERIFIABLE and (why := reporting.reason(sink, offset)) else "")
        + ("; CONTRADICTED by what was said after it closed" if _is_contradicted(sink, offset) else ""),
    }


def _is_contradicted(sink: SinkPartition, offset: int) -> bool:
    return any((remark.kind, remark.offset) == ("contradicted", offset) for remark in sink.remarks)


def _nothing(run: RecordedRun, sinks: list[SinkPartition], change: str, offset: int) -> str:
    """Why there is no story, and the evidence that names the place all the same (orphans)."""
    changes = sinks[0].changes
    told = [f"{change}: no change stands there; the log runs from {changes.first} to {changes.next - 1}"]
    for sink in sinks:
        rows = run.evidence.lanes.get(SinkTopic(sink.contract.sink, changes.topic, changes.partition))
        if rows is None:
            continue
        about = (rows.kinds == EvidenceKind.RECEIPT) & (rows.offsets == offset)
        for row in np.flatnonzero(about).tolist():
            at = "{}:{}:{}".format(*rows.origin(row))
            told.append(f"an orphan of {sink.contract.sink}: {at} {_receipt(rows, row, None)}")
    return "\n".join(told)


def _expected(sink: SinkPartition, offset: int) -> str | None:
    segment = sink.changes.segment_of(offset)
    if segment is None or sink.changes.kind(offset) is not ChangeKind.UPSERT:
        return None
    return int(segment.fingerprints[offset & INDEX, sink.terms.at(offset).projection]).to_bytes(8, "little").hex()


def _evidence(rows: LaneRows, offset: int, expected: str | None) -> Iterator[Story]:
    """Receipts of the change, and the marks that matter to it: the first fence above it, SKIPs, STARTs, END; what its connector was."""
    is_fenced = False
    about = (rows.kinds == EvidenceKind.RECEIPT) & (rows.offsets == offset)
    for row in np.flatnonzero(about | (rows.kinds > EvidenceKind.PROGRESS)).tolist():
        kind = EvidenceKind(int(rows.kinds[row]))
        at = "{}:{}:{}".format(*rows.origin(row))
        if kind is EvidenceKind.RECEIPT:
            yield {"at": at, "says": _receipt(rows, row, expected)}
        elif kind is EvidenceKind.FENCE:
            if rows.offsets[row] > offset and not is_fenced:
                is_fenced = True
                yield {"at": at, "says": f"FENCE at {rows.offsets[row]}, the first above it"}
        elif kind is EvidenceKind.STATUS:
            yield {"at": at, "says": f"the connector is {Status.of(rows, row).says()}"}
        elif kind is not EvidenceKind.SKIP or rows.offsets[row] <= offset < rows.to_offsets[row]:
            to = f" to {rows.to_offsets[row]}" if kind is EvidenceKind.SKIP else ""
            yield {"at": at, "says": f"{kind.name} at {rows.offsets[row]}{to}"}


def _receipt(rows: LaneRows, row: int, expected: str | None) -> str:
    command, error, evidence, _ = rows.texts.get(row, (None, None, None, None))
    status = int(rows.statuses[row])
    said = ["presence" if status == ANY_KIND else ReceiptStatus(status).name]
    if rows.has_fingerprint[row]:
        seen = int(rows.fingerprints[row]).to_bytes(8, "little").hex()
        said.append(f"fingerprint {seen}" + ("" if expected in (None, seen) else f", expected {expected}"))
    said.append(f"applied at {rows.applied_at[row]} ms")
    said += [f"answers {command}"] if command else []
    said += [f"error {error}"] if error else []
    said += [f"by {evidence}"] if evidence else []
    return ", ".join(said)
