"""Fences for somebody else's capture that holds none (protocol section 6, ``--grace``)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.lanes import Entry, Mark


def has_fence(lane: list[Entry]) -> bool:
    """Whether somebody wrote a fence into a lane."""
    return any(entry.mark is not None and entry.mark.kind == "FENCE" for entry in lane)


def fenced(lane: list[Entry], grace_ms: int) -> Iterator[Entry]:
    """A lane with a fence at N before the first record that is later, by the grace, than the one that first named N.

    Fences that would stand at one place are one fence, at the highest; one below an earlier one is none.
    """
    waiting: dict[int, int] = {}
    highest = -1
    for entry in lane:
        due = [offset for offset, named_at in waiting.items() if entry.timestamp - named_at >= grace_ms]
        if due and max(due) > highest:
            highest = max(due)
            yield fence_before(entry, highest)
        waiting = {offset: named_at for offset, named_at in waiting.items() if offset not in due}
        yield entry
        for offset in named_by(entry):
            if offset > highest:
                waiting.setdefault(offset, entry.timestamp)


def named_by(entry: Entry) -> list[int]:
    """The offsets below which a record lets a fence stand: progress at N, or a receipt of N-1."""
    if entry.mark is not None:
        return [entry.mark.offset] if entry.mark.kind == "PROGRESS" else []
    return [receipt.offset + 1 for receipt in entry.receipts]


def fence_before(entry: Entry, offset: int) -> Entry:
    """A fence that nobody wrote."""
    place = (entry.topic, entry.partition, -1)
    mark = Mark(kind="FENCE", offset=offset, to_offset=None, generation=0, at=entry.timestamp, record=place)
    return Entry(timestamp=entry.timestamp, topic=entry.topic, partition=entry.partition, mark=mark)
