"""Replay commands (protocol section 5): which bad cells a fence's commands name, and which commands still stand later.

To a sink that keeps rows only the newest bad change of a key is commanded, and none older than an applied truncate; to an
appending sink each. A cell is commanded once; a duplicated one never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from app.ledger.fence import Outcome
from app.ledger.judging import applied_truncate, judge_straggler, visible_later
from app.ledger.sink import SinkPartition
from app.ledger.stragglers import Straggler
from app.model import NO_TIME, SEGMENT_BITS, ChangeKind, State
from app.model.effects import Command, CommandAction, CommandItem, CommandKind, CommandMode, CommandReason
from app.model.identity import command_id
from app.model.words import INDEX

COMMANDED = (State.MISSING, State.DIVERGED, State.REJECTED)


def plan(sink: SinkPartition, outcome: Outcome) -> list[Command]:
    """The commands of one fence, one per segment, right after its evaluation; marks what they name as commanded.

    A sink that is only observed is commanded nothing.
    """
    if sink.contract.mode == "observe":
        return []
    due = [straggler for straggler in outcome.candidates if _is_due(sink, straggler)]
    if not due:
        return []
    newest = newest_offsets(sink, due)
    by_segment: dict[int, list[Straggler]] = {}
    for straggler in due:
        by_segment.setdefault(straggler.offset >> SEGMENT_BITS, []).append(straggler)
    commands = []
    for segment, stragglers in sorted(by_segment.items()):
        command = _command(sink, outcome, segment, [_item(sink, s, newest[s.offset]) for s in stragglers])
        for straggler in stragglers:
            straggler.command = command.id
        commands.append(command)
    return commands


def still_due(sink: SinkPartition, command: Command) -> Command | None:
    """A held command as it may be sent now (protocol section 5, held back in a catch-up); None where nothing is left.

    It keeps the items that are still bad, still the newest bad of their key, and not older than an applied truncate.
    """
    if sink.is_ended or sink.generation != command.generation or sink.contract.mode == "observe":
        return None
    items = []
    for item in command.items:
        straggler = sink.stragglers.by_offset.get(item.offset)
        if straggler is None or not _is_bad_now(sink, straggler) or not _is_newest(sink, straggler, _is_bad_now):
            continue
        if sink.contract.writes == "upsert" and item.offset < applied_truncate(sink):
            continue
        items.append(replace(item, newest_offset=newest_offsets(sink, [straggler])[item.offset]))
    return replace(command, items=tuple(items)) if items else None


def _is_due(sink: SinkPartition, straggler: Straggler) -> bool:
    if straggler.command is not None or straggler.state not in COMMANDED:
        return False
    if sink.contract.writes == "append":
        return True
    return straggler.offset >= applied_truncate(sink) and _is_newest(sink, straggler, _was_found_bad)


def _is_newest(sink: SinkPartition, straggler: Straggler, is_bad: Callable[[SinkPartition, Straggler], bool]) -> bool:
    if sink.contract.writes == "append" or straggler.key is None:
        return True
    later = (other for other in sink.stragglers.of_key(straggler.key) if other.offset > straggler.offset)
    return not any(is_bad(sink, other) for other in later)


def _was_found_bad(_: SinkPartition, straggler: Straggler) -> bool:
    return straggler.state in COMMANDED


def _is_bad_now(sink: SinkPartition, straggler: Straggler) -> bool:
    """As of all evidence read, not only as of the last fence."""
    visible = visible_later(sink, {straggler.key} if straggler.key is not None else set())
    return judge_straggler(sink, straggler, visible)[0] in COMMANDED


def newest_offsets(sink: SinkPartition, stragglers: Iterable[Straggler]) -> dict[int, int]:
    """For each straggler the newest change of its key that was read; its own offset for a null key."""
    wanted = list(stragglers)
    keys = {straggler.key for straggler in wanted if straggler.key is not None}
    above: dict[bytes, int] = {}
    for fact in sink.facts(keys, sink.fence, sink.changes.next) if keys else ():
        above[fact.key] = fact.offset
    found = {}
    for straggler in wanted:
        below = [other.offset for other in sink.stragglers.of_key(straggler.key)]
        seen = above.get(straggler.key, -1) if straggler.key is not None else -1
        found[straggler.offset] = max(straggler.offset, straggler.later.newest, seen, *below)
    return found


def _item(sink: SinkPartition, straggler: Straggler, newest: int) -> CommandItem:
    kind = ChangeKind(straggler.kind)
    segment = sink.changes.segment_of(straggler.offset)
    fingerprint = None
    if kind is ChangeKind.UPSERT and segment is not None:
        value = int(segment.fingerprints[straggler.offset & INDEX, sink.terms.at(straggler.offset).projection])
        fingerprint = value.to_bytes(8, "little")
    return CommandItem(
        offset=straggler.offset,
        reason=CommandReason.of(straggler.state),
        key_hash=straggler.key,
        kind=CommandKind.of(kind),
        fingerprint=fingerprint,
        newest_offset=newest,
    )


def _command(sink: SinkPartition, outcome: Outcome, segment: int, items: list[CommandItem]) -> Command:
    topic, partition = sink.changes.topic, sink.changes.partition
    identity = command_id(
        sink=sink.contract.sink,
        generation=sink.generation,
        topic=topic,
        epoch=sink.epoch,
        partition=partition,
        segment=segment,
        fence_origin=outcome.origin,
        attempt=1,
    )
    issued_at = 0 if sink.at == NO_TIME else sink.at
    return Command(
        id=identity,
        sink=sink.contract.sink,
        generation=sink.generation,
        incident=identity,
        topic=topic,
        partition=partition,
        items=tuple(items),
        action=CommandAction.REDELIVER,
        mode=CommandMode.of(sink.contract.mode),
        attempt=1,
        issued_at=issued_at,
        expires_at=issued_at + sink.contract.command_ttl_ms,
        trace_id=identity,
    )
