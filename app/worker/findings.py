"""What is found beside cells: evidence of nobody, of nothing, or against what was closed (protocol section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from app.ledger.lane import RANK_BITS, LaneRows
from app.ledger.sink import SinkPartition
from app.model import Origin, SinkTopic
from app.model.effects import Contradicted, Orphan, UnknownSink
from app.worker.origins import why_unknown


def unknown(name: SinkTopic, rows: LaneRows, partition: int) -> Iterator[UnknownSink]:
    """One finding a record of a sink's own lane, which is that of ``partition``, with its coordinates."""
    for record in np.unique(rows.records).tolist():
        yield UnknownSink(
            topic=rows.logs[0][0],
            partition=rows.logs[0][1],
            offset=record,
            sink=name.sink,
            reason=why_unknown(name, partition),
        )


def remarks(sink: SinkPartition, lanes: Mapping[str, str], bases: Mapping[str, int]) -> Iterator[Orphan | Contradicted]:
    """Orphans and contradictions, with the lane coordinates of the evidence that said it; they are forgotten then.

    Args:
        lanes: the lane's topic by sink; bases: what was added to a lane's offsets, by topic.
    """
    changes = sink.changes
    for remark in sink.remarks:
        lane = lanes[sink.contract.sink]
        make = Orphan if remark.kind == "orphan" else Contradicted
        yield make(
            sink=sink.contract.sink,
            topic=changes.topic,
            partition=changes.partition,
            offset=remark.offset,
            origin=Origin(lane, changes.partition, (remark.rank >> RANK_BITS) - bases.get(lane, 0)),
        )
    sink.remarks.clear()
