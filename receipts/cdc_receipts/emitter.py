"""`ReceiptEmitter`: what a sink calls after it has applied changes.

    with ReceiptEmitter("warehouse", "receipts.warehouse", brokers="kafka:9092", registry_url="http://registry:8081") as emit:
        for change in poll():
            store.apply(change)
            emit.applied(change.topic, change.partition, change.offset, fingerprint=...)
            emit.progress(change.topic, change.partition, change.offset + 1)
        commit(emit.safe_to_commit(topic, partition))

Receipts are batched, go to the partition with the source partition's number, and survive broker restarts: the producer is
idempotent and waits for a broker that is away as long as it takes, a delivery that fails for good is handed over again in
its order, and no fence passes it. Thread-safe; a thread of its own sends what waits, so that the last change of a quiet topic
is fenced, too.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from cdc_receipts.codec import Mark, MarkKind, Receipt, Status, can_batch, encode_batch, encode_mark, encode_receipt
from cdc_receipts.lanes import Lane, Sent
from cdc_receipts.registry import register_schemas

logger = logging.getLogger(__name__)

POLL_S = 0.02
RETRY_S = 0.5
FINGERPRINT_BYTES = 8


class ClosedError(RuntimeError):
    """A receipt was handed over after `close`: it would never be sent."""


class BlockedError(RuntimeError):
    """The broker has not taken receipts for so long that the emitter holds as many as it may; nothing was dropped."""


class BrokenError(RuntimeError):
    """The client has failed for good and sends nothing more; close the emitter and make a new one.

    Nothing above `safe_to_commit` may be committed: its receipts may not have arrived.
    """


class UndeliveredError(RuntimeError):
    """The emitter was closed while the broker did not have every receipt; those below `safe_to_commit` it has."""


class ReceiptEmitter:
    """Writes one sink's receipts and fences.

    Args:
        sink: the sink's name in the verifier's configuration.
        receipts_topic: as many partitions as the source topics.
        brokers: host:port list; or ``producer_config``, librdkafka's own properties.
        schema_ids: ids by record name; or ``registry_url``, where the schemas are registered.
        generation: of the sink's life; a rebuild from scratch begins another.
        batch_receipts: receipts of one source partition that go out as one record at the most.
        linger_s: how long a receipt may wait for company; fence_interval_s: how often a source partition is fenced.
        max_pending: receipts that the broker does not have; above it a call waits, nothing is dropped.
        block_s: how long such a call may wait before it raises `BlockedError`.
    """

    def __init__(
        self,
        sink: str,
        receipts_topic: str,
        *,
        brokers: str | None = None,
        producer_config: Mapping[str, Any] | None = None,
        schema_ids: Mapping[str, int] | None = None,
        registry_url: str | None = None,
        generation: int = 0,
        batch_receipts: int = 500,
        linger_s: float = 0.1,
        fence_interval_s: float = 1.0,
        max_pending: int = 100_000,
        block_s: float = 300.0,
        producer: Any = None,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self.sink = sink
        self.topic = receipts_topic
        self.generation = generation
        self.errors = 0
        self._ids = dict(schema_ids) if schema_ids is not None else register_schemas(registry_url or "")
        self._producer = producer if producer is not None else Producer(_config(brokers, producer_config))
        self._batch_receipts = batch_receipts
        self._linger_s = linger_s
        self._fence_interval_s = fence_interval_s
        self._max_pending = max_pending
        self._block_s = block_s
        self._clock = clock
        self._wall_ms = wall_ms
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._broken: str | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receipts-{sink}", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------- what a sink says

    def applied(self, topic: str, partition: int, offset: int, **receipt: Any) -> None:
        """The change was applied; keywords: fingerprint (8 bytes), sequence, command_id, applied_at (ms)."""
        self._receipt(topic, partition, offset, Status.APPLIED, **receipt)

    def deleted(self, topic: str, partition: int, offset: int, **receipt: Any) -> None:
        """The row was deleted."""
        self._receipt(topic, partition, offset, Status.DELETED, **receipt)

    def skipped(self, topic: str, partition: int, offset: int, **receipt: Any) -> None:
        """The change was left out on purpose; with ``command_id``: the sink holds something newer."""
        self._receipt(topic, partition, offset, Status.SKIPPED, **receipt)

    def rejected(self, topic: str, partition: int, offset: int, code: str, message: str, **receipt: Any) -> None:
        """The change can't be applied, and why."""
        self._receipt(topic, partition, offset, Status.REJECTED, error=(code, message), **receipt)

    def progress(self, topic: str, partition: int, next_offset: int) -> None:
        """Everything below ``next_offset`` is disposed of, and every receipt about it was handed over before."""
        with self._lock:
            self._lane(topic, partition).declare(next_offset)

    def safe_to_commit(self, topic: str, partition: int) -> int | None:
        """The highest progress whose receipts the broker has; None before the first."""
        with self._lock:
            lane = self._lanes.get((topic, partition))
            return None if lane is None else lane.safe

    def flush(self, timeout_s: float = 10.0) -> int:
        """Send what waits and wait for the broker; returns how many receipts it does not have."""
        deadline = self._clock() + timeout_s
        while (left := self._pending()) and self._clock() < deadline:
            self.pump(is_final=True)
            self._producer.poll(POLL_S)
        return left

    async def aflush(self, timeout_s: float = 10.0) -> int:
        """`flush`, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Flush, write the last fences, stop; the emitter takes nothing afterwards.

        Raises:
            UndeliveredError: the broker does not have all receipts, or not the last fences.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True  # under the lock: what was taken before is flushed, and nothing is taken after
        deadline = self._clock() + timeout_s
        try:
            left = self.flush(timeout_s)
            marks = self._flush_marks(deadline)
        finally:
            self._stopped.set()
            self._thread.join()
            self._producer.flush(timeout_s)
        if left or marks:
            raise UndeliveredError(
                f"{left} receipts and {marks} fences of sink {self.sink} did not reach the broker in {timeout_s:g} s"
            )

    def _flush_marks(self, deadline: float) -> int:
        """Write the last fences and wait for them; returns how many source partitions lack theirs."""
        while True:
            with self._lock:
                now = self._clock()
                for lane in self._lanes.values():
                    if lane.retry_at <= now:
                        self._try(lane, partial(self._fence, lane, now, is_final=True))
                left = sum(1 for lane in self._lanes.values() if lane.marks_flying or (lane.safe or 0) > lane.fenced)
            if not left or self._clock() >= deadline:
                return left
            self._producer.poll(POLL_S)

    # ---------------------------------------------------------------- sending

    def pump(self, *, is_final: bool = False) -> None:
        """One round: receipts that waited long enough or are many, then fences; its own thread calls it."""
        now = self._clock()
        with self._lock:
            for lane in self._lanes.values():
                if lane.retry_at <= now:
                    self._try(lane, partial(self._serve, lane, now, is_final=is_final))
        self._producer.poll(0)

    def _serve(self, lane: Lane, now: float, *, is_final: bool) -> None:
        if lane.has_failed:
            if not lane.is_decided:
                return
            lane.take_back()
        is_due = is_final or now - lane.waiting_since >= self._linger_s
        if lane.waiting and (is_due or len(lane.waiting) >= self._batch_receipts):
            self._send(lane)
        lane.settle()
        self._fence(lane, now, is_final=False)

    def _try(self, lane: Lane, work: Callable[[], None]) -> None:
        """One source partition that the broker refuses must not hold the others back; it is tried again later."""
        try:
            work()
        except (KafkaException, BufferError) as error:
            self._failed(lane, error.args[0] if error.args else error)
            logger.warning("receipts of %s:%d wait: %s", lane.topic, lane.partition, error)

    def _failed(self, lane: Lane, error: Any) -> None:
        """Try this source partition again later; a client that is broken never."""
        self.errors += 1
        lane.retry_at = self._clock() + RETRY_S
        if isinstance(error, KafkaError) and error.fatal():
            self._broken = str(error)

    def _run(self) -> None:
        while not self._stopped.wait(POLL_S):
            try:
                self.pump()
            except Exception:  # the thread must live as long as the emitter
                self.errors += 1
                logger.exception("receipts of sink %s wait", self.sink)

    def _receipt(self, topic: str, partition: int, offset: int, status: Status, **receipt: Any) -> None:
        self._check()
        fingerprint, applied_at = receipt.pop("fingerprint", None), receipt.pop("applied_at", None)
        if fingerprint is not None and len(fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"a fingerprint has {FINGERPRINT_BYTES} bytes, this one {len(fingerprint)}")
        made = Receipt(
            sink=self.sink,
            topic=topic,
            partition=partition,
            offset=offset,
            status=status,
            fingerprint=fingerprint,
            applied_at=self._wall_ms() if applied_at is None else applied_at,
            **receipt,
        )
        encode_receipt(made, 0)  # a receipt that can't be encoded is the caller's mistake, and is told to the caller
        deadline = self._clock() + self._block_s
        while self._pending() >= self._max_pending:
            if self._clock() >= deadline:
                raise BlockedError(f"{self._pending()} receipts of sink {self.sink} wait for the broker")
            self._check()
            self.pump(is_final=True)
            self._producer.poll(POLL_S)
        with self._lock:
            self._check()
            self._lane(topic, partition).hand_over(made, self._clock())

    def _check(self) -> None:
        if self._closed:
            raise ClosedError(f"the emitter of sink {self.sink} is closed")
        if self._broken is not None:
            raise BrokenError(f"the client of sink {self.sink} has failed for good: {self._broken}")

    def _send(self, lane: Lane) -> None:
        """Hand waiting receipts to the producer, in order: runs of plain ones as batches, the others one by one."""
        while lane.waiting:
            run = _run_of(lane.waiting, self._batch_receipts)
            value = (
                encode_batch(run, self._ids["DeliveryReceiptBatch"])
                if len(run) > 1
                else encode_receipt(run[0], self._ids["DeliveryReceipt"])
            )
            sent = Sent(run)
            self._produce(lane, value, partial(self._landed, lane, sent))
            del lane.waiting[: len(run)]
            lane.flying.append(sent)

    def _landed(self, lane: Lane, sent: Sent, error: object, _: object) -> None:
        with self._lock:
            if error is None:
                sent.is_acknowledged = True
                lane.settle()
            else:
                self._failed(lane, error)
                sent.is_failed = True
                logger.warning(
                    "receipts of %s:%d did not arrive, they are sent again: %s", lane.topic, lane.partition, error
                )

    def _fence(self, lane: Lane, now: float, *, is_final: bool) -> None:
        """A PROGRESS and a FENCE at what is safe, where it moved and the interval has passed."""
        if lane.safe is None or lane.safe <= lane.fenced or lane.marks_flying:
            return
        if not is_final and now - lane.fenced_at < self._fence_interval_s:
            return
        for kind in (MarkKind.PROGRESS, MarkKind.FENCE):
            mark = Mark(
                sink=self.sink, topic=lane.topic, partition=lane.partition, kind=kind, offset=lane.safe,
                at=self._wall_ms(), generation=self.generation,
            )  # fmt: skip
            self._produce(lane, encode_mark(mark, self._ids["SinkMark"]), partial(self._marked, lane))
            lane.marks_flying += 1
        lane.fenced, lane.fenced_at = lane.safe, now

    def _marked(self, lane: Lane, error: object, _: object) -> None:
        """A mark that did not arrive is written again with the next round."""
        with self._lock:
            lane.marks_flying -= 1
            if error is not None:
                self._failed(lane, error)
                lane.fenced = 0

    def _produce(self, lane: Lane, value: bytes, done: Callable[[Any, Any], None]) -> None:
        self._producer.produce(self.topic, value, partition=lane.partition, on_delivery=done)

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition)
        return lane

    def _pending(self) -> int:
        with self._lock:
            return sum(lane.pending for lane in self._lanes.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


def _run_of(waiting: list[Receipt], most: int) -> list[Receipt]:
    """The longest head that fits into one record."""
    first = waiting[0]
    run = [first]
    for receipt in waiting[1:most]:
        is_alike = receipt.is_plain and (receipt.fingerprint is None) == (first.fingerprint is None)
        if not (first.is_plain and is_alike):
            break
        run.append(receipt)
    return run if can_batch(run) else [first]


def _config(brokers: str | None, given: Mapping[str, Any] | None) -> dict[str, Any]:
    config: dict[str, Any] = {"bootstrap.servers": brokers} if brokers else {}
    # Without an end to a delivery's time, receipts can't be given up one by one and so overtaken by later ones.
    return config | {
        "linger.ms": 5,
        "message.timeout.ms": 0,
        **(given or {}),
        "enable.idempotence": True,
        "acks": "all",
    }
