"""The lanes of one sink and what leaves them when: receipts in order, fences once what stands before them is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from cdc_receipts.codec import Mark, MarkKind, Receipt, encode_batch, encode_mark, encode_receipt
from cdc_receipts.posting import Post
from cdc_receipts.tracking import Fate, Lane, Parcel

FULL_PAUSE_S = 0.02
"""Seconds before a full or broken client is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes together and how often; the emitter explains each. Times are in seconds."""

    batch_receipts: int
    linger_s: float
    fence_interval_s: float
    max_pending: int
    retry_s: float


class Sender:
    """The lanes of one sink, behind one lock. ``now`` is in seconds of one monotonic clock.

    The client answers in whatever thread polls it, even within a call that sends; the lock can be taken again.
    """

    def __init__(self, sink: str, generation: int, ids: Mapping[str, int], post: Post, pace: Pace) -> None:
        self._sink, self._generation, self._ids, self._post, self._pace = sink, generation, ids, post, pace
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._lock = threading.RLock()
        self.pending = 0

    def admit(self, receipt: Receipt, now: float) -> bool:
        """Take a receipt; False if there is no room for it."""
        with self._lock:
            if self.pending >= self._pace.max_pending:
                return False
            lane = self._lane(receipt.topic, receipt.partition)
            lane.hand_over(receipt, now)
            self.pending += 1
            if lane.waiting >= self._pace.batch_receipts:
                self._send(lane, now)
            return True

    def advance(self, topic: str, partition: int, offset: int) -> None:
        """Progress of one source partition."""
        with self._lock:
            self._lane(topic, partition).advance(offset)

    def forget(self, topic: str, partition: int) -> None:
        """Drop the progress of one source partition."""
        with self._lock:
            self._lane(topic, partition).forget()

    def safe(self, topic: str, partition: int) -> int | None:
        """The highest progress whose receipts are all acknowledged."""
        with self._lock:
            lane = self._lanes.get((topic, partition))
            return None if lane is None else lane.safe

    def poisoned(self) -> frozenset[tuple[str, int]]:
        """Source partitions that repeat what failed."""
        with self._lock:
            return frozenset(whose for whose, lane in self._lanes.items() if lane.poisoned)

    def left(self) -> int:
        """Receipts and fences that are due and not acknowledged."""
        with self._lock:
            fences = sum(lane.fence_flying is not None or lane.fence_due() is not None for lane in self._lanes.values())
            return self.pending + fences

    def turn(self, now: float, at: int, everything: bool) -> None:
        """Send what is due at ``now``; everything that may leave, if so asked. Marks say the time ``at``, in ms."""
        with self._lock:
            self._post.revive()
            for lane in list(self._lanes.values()):
                lane.requeue(now, self._pace.retry_s)
                since = lane.waiting_since
                if since is not None and (everything or now - since >= self._pace.linger_s):
                    self._send(lane, now)
                if everything or now >= lane.marks_at:
                    self._mark(lane, now, at)

    def _lane(self, topic: str, partition: int) -> Lane:
        found = self._lanes.get((topic, partition))
        if found is None:
            found = self._lanes[topic, partition] = Lane(topic, partition)
        return found

    def _send(self, lane: Lane, now: float) -> None:
        while not lane.failing and now >= lane.retry_at:
            parcel = lane.depart(self._pace.batch_receipts)
            if parcel is None:
                return
            if not self._post.send(lane.partition, self._encoded(parcel), partial(self._decided, lane, parcel)):
                lane.take_back(parcel, now)
                lane.retry_at = now + FULL_PAUSE_S
                return

    def _encoded(self, parcel: Parcel) -> bytes:
        if len(parcel.receipts) == 1:
            return encode_receipt(parcel.receipts[0], self._ids["DeliveryReceipt"])
        return encode_batch(parcel.receipts, self._ids["DeliveryReceiptBatch"])

    def _decided(self, lane: Lane, parcel: Parcel, fate: Fate) -> None:
        with self._lock:
            before = lane.pending
            lane.decide(parcel, fate)
            self.pending -= before - lane.pending

    def _mark(self, lane: Lane, now: float, at: int) -> None:
        """A fence where it is due, and progress where no fence tells it already."""
        fence = lane.fence_due()
        if fence is not None:
            lane.fence_flying = fence
            if self._post_mark(lane, MarkKind.FENCE, fence, at, self._fence_decided):
                lane.told = max(lane.told, fence)
            else:
                lane.fence_flying = None
            lane.marks_at = now + self._pace.fence_interval_s
        if lane.progress > lane.told and self._post_mark(lane, MarkKind.PROGRESS, lane.progress, at, _ignore):
            lane.told = lane.progress
            lane.marks_at = now + self._pace.fence_interval_s

    def _post_mark(
        self, lane: Lane, kind: MarkKind, offset: int, at: int, decided: Callable[[Lane, int, Fate], None]
    ) -> bool:
        mark = Mark(
            sink=self._sink,
            topic=lane.topic,
            partition=lane.partition,
            kind=kind,
            offset=offset,
            generation=self._generation,
            at=at,
        )
        value = encode_mark(mark, self._ids["SinkMark"])
        return self._post.send(lane.partition, value, partial(decided, lane, offset))

    def _fence_decided(self, lane: Lane, offset: int, fate: Fate) -> None:
        with self._lock:
            lane.decide_fence(offset, fate)


def _ignore(_lane: Lane, _offset: int, _fate: Fate) -> None:
    """Progress proves nothing; the next mark tells it again."""
