"""Records that don't go to the fold as they are: evidence on its way into a lane, and what goes to quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from app.adapters.encode import framed
from app.model import EvidenceBatch, EvidenceKind, Origin, RawBatch, ReceiptStatus
from app.model.effects import UnknownSink
from app.model.words import ANY_KIND
from app.worker.effects import Quarantined, Routed
from app.worker.layout import Layout
from cdc_receipts.codec import Receipt, Status, encode_receipt


class Router:
    """Evidence of sinks whose lane is an internal topic; at least once, and counted once by its origin.

    Args:
        schema_ids: by record name, of the evidence we write.
    """

    def __init__(self, layout: Layout, schema_ids: Mapping[str, int]) -> None:
        self._layout = layout
        self._schema_ids = schema_ids
        self._lanes = {
            (contract.sink, topic): group.lanes[contract.sink]
            for group in layout.groups.values()
            for contract in group.contracts
            for topic in contract.topics
        }

    def routed(self, raw: RawBatch, batch: EvidenceBatch) -> Iterator[Routed]:
        """Of one batch of an evidence log, the records that belong into an internal lane."""
        sinks = self._layout.routed.get(raw.topic)
        if not sinks:
            return
        rows = np.searchsorted(raw.offsets, batch.records)
        seen: set[int] = set()
        for place, row in enumerate(rows.tolist()):
            name = batch.names[int(batch.name_index[place])]
            lane = self._lanes.get((name.sink, name.topic))
            if row in seen or name.sink not in sinks or lane is None:
                continue
            if not 0 <= name.partition < self._layout.inputs[lane]:
                continue
            seen.add(row)
            origin = Origin(raw.topic, raw.partition, int(raw.offsets[row]))
            yield Routed(topic=lane, partition=name.partition, origin=origin, value=self._value(raw, batch, place, row))

    def losses(self, topic: str, partition: int, start: int, end: int) -> Iterator[Routed]:
        """A hole in a routed log: told to every lane that the log feeds, since nobody knows of whom it spoke.

        It carries no origin, as a mark does: several stand for one hole in one lane, and one too many is ignorance only.
        """
        origin = Origin(topic, partition, -1)
        for (sink, source), lane in self._lanes.items():
            for number in range(self._layout.inputs[lane]) if sink in self._layout.routed.get(topic, ()) else ():
                lost = {"origin_topic": topic, "origin_partition": partition, "from_offset": start, "to_offset": end}
                record = {"sink": sink, "topic": source, "partition": number, **lost, "at": 0}
                value = framed("EvidenceLoss", record, self._schema_ids["EvidenceLoss"])
                yield Routed(topic=lane, partition=number, origin=origin, value=value)

    def unroutable(self, raw: RawBatch, batch: EvidenceBatch) -> Iterator[Quarantined | UnknownSink]:
        """Records that are nobody's: of sinks that don't list the topic, or about topics that are not the sink's.

        Of a sink whose lane the topic is, the partition that judges it tells as much.
        """
        listed = self._layout.routed.get(raw.topic, frozenset())
        direct = {
            sink for group in self._layout.groups.values() for sink, lane in group.lanes.items() if lane == raw.topic
        }
        for number, name in enumerate(batch.names):
            lane = self._lanes.get((name.sink, name.topic))
            if name.sink in direct or (
                name.sink in listed and lane is not None and 0 <= name.partition < self._layout.inputs[lane]
            ):
                continue
            reason = f"{name.sink!r} about {name.topic}:{name.partition}"
            theirs = (batch.name_index == number) & (batch.kinds != EvidenceKind.LOSS)
            for record in np.unique(batch.records[theirs]).tolist():
                yield quarantined(raw, record, "unknown_sink", reason)
                yield UnknownSink(
                    topic=raw.topic, partition=raw.partition, offset=record, sink=name.sink, reason=reason
                )

    def _value(self, raw: RawBatch, batch: EvidenceBatch, place: int, row: int) -> bytes:
        """A record of ours goes on as it is; a dead letter or success record becomes a receipt."""
        if place not in batch.evidence or batch.kinds[place] != EvidenceKind.RECEIPT or place in batch.commands:
            return raw.value(row) or b""
        name = batch.names[int(batch.name_index[place])]
        status = int(batch.statuses[place])
        receipt = Receipt(
            sink=name.sink,
            topic=name.topic,
            partition=name.partition,
            offset=int(batch.offsets[place]),
            status=Status(ReceiptStatus.APPLIED if status == ANY_KIND else status),
            fingerprint=None,
            applied_at=int(batch.applied_at[place]),
            error=batch.errors.get(place),
            evidence=batch.evidence[place],
        )
        return encode_receipt(receipt, self._schema_ids["DeliveryReceipt"])


def quarantined(raw: RawBatch, offset: int, kind: str, reason: str) -> Quarantined:
    """One record of a batch with its original bytes."""
    row = int(np.searchsorted(raw.offsets, offset))
    origin = Origin(raw.topic, raw.partition, offset)
    return Quarantined(origin=origin, kind=kind, reason=reason, key_bytes=raw.key(row), value=raw.value(row))


def unreadable(raw: RawBatch, batch: EvidenceBatch) -> Iterator[Quarantined]:
    """The unreadable records of a batch."""
    for offset, reason in batch.unreadable:
        yield quarantined(raw, offset, "unreadable", reason)
