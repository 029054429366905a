"""Whose evidence is, and whether it was routed here before: routing is at least once, a record counts once by its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from app.ledger.lane import LaneRows
from app.model import EvidenceBatch, Origin, SinkTopic
from app.model.batches import Int64s
from app.worker.head import Head


def repeated(batch: EvidenceBatch, ranks: Int64s, position: int, head: Head) -> set[int]:
    """Ranks of the rows that were routed here before; the next origin offset of every origin log moves on in ``head``.

    The whole batch is walked in lane order, because one origin log may feed the lanes of several sinks.

    Args:
        ranks: ``int64[n]`` of the batch's rows; position: records below it were read before.
    """
    found: set[int] = set()
    record, is_new = -1, True
    for row in range(int(np.searchsorted(batch.records, position)), len(batch)) if batch.origins else ():
        origin = batch.origins.get(row)
        if origin is None:
            continue
        if batch.records[row] != record:
            record, log = int(batch.records[row]), f"{origin.topic}:{origin.partition}"
            is_new = origin.offset >= head.origins.get(log, 0)
            if is_new:
                head.origins[log] = origin.offset + 1
        if not is_new:
            found.add(int(ranks[row]))
    head.counters["routed_twice"] += len(found)
    return found


def why_unknown(name: SinkTopic, partition: int) -> str:
    """Why evidence of a sink in its own lane is nobody's."""
    if name.partition != partition:
        return f"it speaks of partition {name.partition} but stands on partition {partition} of the lane"
    return f"{name.topic} is not among the topics of sink {name.sink!r}"


def ends_prefix(partition: int) -> str:
    """What the keys of one partition number's recorded ends begin with."""
    return f"end|{partition}|"


def end_key(name: SinkTopic, origin: Origin) -> str:
    """The key of the end that was recorded for one record of evidence."""
    return f"{ends_prefix(name.partition)}{name.sink}|{name.topic}|{origin.topic}:{origin.partition}:{origin.offset}"


def with_ends(rows: LaneRows, name: SinkTopic, known: Mapping[str, int]) -> LaneRows:
    """Rows with the ends that an earlier reading has recorded for them; it judged by those."""
    ends = rows.ends.copy()
    for row in range(len(rows)):
        end = known.get(end_key(name, rows.origin(row)))
        if end is not None:
            ends[row] = end
    return replace(rows, ends=ends)
