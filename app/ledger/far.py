"""Evidence about a change so far below the fence that it was forgotten: the change is read again, and judged by itself.

Protocol section 4: more than 65,536 offsets below the highest fence, evidence about a closed cell is judged by its change
alone, as if it were the cell's only receipt, one record per evidence record; where the change is gone it is `too_late`.
"""

from __future__ import annotations

from dataclasses import replace

from app.ledger import rules
from app.ledger.cells import Receipt, Remark, Word
from app.ledger.changes import ChangeSegment
from app.ledger.rules import View
from app.ledger.segments import Segments
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, ReceiptStatus
from app.model.words import ANY_KIND, INDEX


def gone(sink: SinkPartition, below: int) -> None:
    """The log begins at ``below`` now: nobody can say any more what the changes before it were."""
    sink.tally.rows["too_late"] += sum(1 for _, offset in sink.far if offset < below)
    sink.far = [item for item in sink.far if item[1] >= below]


def resolve(sink: SinkPartition, segments: Segments[ChangeSegment], start: int, end: int) -> None:
    """Judge the far evidence about ``[start, end)``, which was read again into ``segments``."""
    ready = [item for item in sink.far if start <= item[1] < end]
    sink.far = [item for item in sink.far if not start <= item[1] < end]
    for receipt, offset in ready:
        segment = segments.get(offset >> SEGMENT_BITS)
        if segment is None or segment.kinds[offset & INDEX] == ChangeKind.ABSENT:
            _orphan(sink, receipt, offset)
        else:
            _judge(sink, segment, receipt, offset)


def _orphan(sink: SinkPartition, receipt: Receipt, offset: int) -> None:
    sink.tally.rows["compacted" if sink.is_compacted else "orphans"] += 1
    if not sink.is_compacted and offset not in sink.orphans:
        sink.orphans.add(offset)
        sink.remarks.append(Remark(kind="orphan", offset=offset, rank=receipt.rank))


def _judge(sink: SinkPartition, segment: ChangeSegment, receipt: Receipt, offset: int) -> None:
    sink.tally.rows["after_closing"] += 1
    if receipt.status == ANY_KIND:
        is_delete = segment.kinds[offset & INDEX] == ChangeKind.DELETE
        receipt = replace(receipt, status=ReceiptStatus.DELETED if is_delete else ReceiptStatus.APPLIED)
    terms = sink.terms.at(offset)
    view = View(beginning=sink.beginning, fence=sink.fence, skips=())
    index = offset & INDEX
    if rules.would_disagree(terms.expectations, view, segment, index, Word(), receipt) is not None:
        sink.remarks.append(Remark(kind="contradicted", offset=offset, rank=receipt.rank))
