"""Tells the verifier what a sink did: apply, have the receipts acknowledged, then commit.

    with ReceiptEmitter(sink="search", receipts_topic="receipts", brokers="...", registry_url="...") as emitter:
        for message in messages:
            index(message)
            emitter.applied(message.topic(), message.partition(), message.offset(), fingerprint=...)
            emitter.progress(message.topic(), message.partition(), message.offset() + 1)
        # commit emitter.safe_to_commit(topic, partition), never more

A sink that begins again reads from what it committed, so what was lost is said again: receipts are repeated, never missing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from cdc_receipts.codec import Receipt, Status, encode_receipt
from cdc_receipts.posting import Post, Producer, ids_of
from cdc_receipts.sending import Pace, Sender

_LOG = logging.getLogger(__name__)
_POLL_S = 0.02
_ERROR_CHARACTERS = 4_000


class UndeliveredError(RuntimeError):
    """The emitter was closed before ``count`` receipts and fences were acknowledged."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} receipts and fences were not acknowledged; commit no further than safe_to_commit")


class BackpressureError(TimeoutError):
    """No room for a receipt in time, and it was not taken: hand it over again before any progress above it."""


class Details(TypedDict, total=False):
    """What a receipt may say beside its coordinates; ``applied_at`` is in ms since the epoch, by default now."""

    fingerprint: bytes | None
    sequence: int | None
    command_id: str | None
    applied_at: int | None


class ReceiptEmitter:
    """Sends receipts, progress and fences of one sink; every method may be called by any thread.

    Args:
        producer_config: for ``confluent_kafka.Producer``; idempotence and ``acks=all`` are always set.
        schema_ids: ids of `SCHEMAS` by name; or ``registry_url``, where they are registered now.
        generation: the sink's life between two beginnings; it stands in every mark.
        batch_receipts: receipts that share a message at most, 1 to 50,000.
        linger_s: how long a receipt waits for others to share a message with.
        fence_interval_s: marks of one source partition come no faster, and only where progress moved.
        max_pending: receipts not acknowledged before the next one has to wait.
        max_block_s: how long it waits before `BackpressureError`.
        retry_s: pause after a delivery that failed for good, before its receipts leave again.
        clock: seconds since the epoch.
        producer: used as it is, configured idempotent by its owner.
        background: False leaves polling and lingering to `flush`, `close` and full queues.

    Raises:
        ValueError: neither brokers nor a producer, neither schema ids nor a registry, or a limit out of range.
        OSError: the registry does not answer.
    """

    def __init__(
        self,
        *,
        sink: str,
        receipts_topic: str,
        brokers: str | None = None,
        producer_config: Mapping[str, Any] | None = None,
        schema_ids: Mapping[str, int] | None = None,
        registry_url: str | None = None,
        generation: int = 0,
        batch_receipts: int = 500,
        linger_s: float = 0.1,
        fence_interval_s: float = 1.0,
        max_pending: int = 100_000,
        max_block_s: float = 300.0,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.time,
        producer: Producer | None = None,
        background: bool = True,
    ) -> None:
        if not 1 <= batch_receipts <= 50_000 or max_pending < 1:
            raise ValueError("batch_receipts is 1 to 50000, max_pending at least 1")
        self._sink, self._clock, self._max_block_s = sink, clock, max_block_s
        ids = ids_of(schema_ids, registry_url, receipts_topic)
        config = ({"bootstrap.servers": brokers} if brokers else {}) | dict(producer_config or {})
        self._post = Post(config, producer, receipts_topic)
        pace = Pace(
            batch_receipts=batch_receipts,
            linger_s=linger_s,
            fence_interval_s=fence_interval_s,
            max_pending=max_pending,
            retry_s=retry_s,
        )
        self._sender = Sender(sink, generation, ids, self._post, pace)
        self._closing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receipts-{sink}", daemon=True)
        if background:
            self._thread.start()

    def applied(self, topic: str, partition: int, offset: int, **details: Unpack[Details]) -> None:
        """The change was written; without a fingerprint only its delivery counts, its content is not judged.

        Raises (as every receipt):
            ValueError: a coordinate, time or fingerprint that a receipt can't hold.
            BackpressureError: no room within ``max_block_s``.
            RuntimeError: the emitter is closed.
        """
        self._receipt(Status.APPLIED, topic, partition, offset, None, details)

    def deleted(self, topic: str, partition: int, offset: int, **details: Unpack[Details]) -> None:
        """The change's row was deleted, or was not there."""
        self._receipt(Status.DELETED, topic, partition, offset, None, details)

    def skipped(self, topic: str, partition: int, offset: int, **details: Unpack[Details]) -> None:
        """The change was left out on purpose."""
        self._receipt(Status.SKIPPED, topic, partition, offset, None, details)

    def rejected(
        self, topic: str, partition: int, offset: int, code: str, message: str, **details: Unpack[Details]
    ) -> None:
        """The change could not be written; a long message is cut."""
        text = message[:_ERROR_CHARACTERS].encode(errors="replace").decode()
        self._receipt(Status.REJECTED, topic, partition, offset, (code, text), details)

    def progress(self, topic: str, partition: int, next_offset: int) -> None:
        """Everything below ``next_offset`` is disposed of, and every receipt about it was handed over before."""
        _require_integer("next_offset", next_offset, 63)
        self._sender.advance(topic, partition, next_offset)

    def safe_to_commit(self, topic: str, partition: int) -> int | None:
        """The highest progress whose receipts are all acknowledged; None before the first."""
        return self._sender.safe(topic, partition)

    def forget(self, topic: str, partition: int) -> None:
        """The source partition was taken away: drop its progress, but not its receipts."""
        self._sender.forget(topic, partition)

    @property
    def errors(self) -> int:
        """Deliveries that failed for good so far, each of which is repeated."""
        return self._post.errors

    @property
    def pending(self) -> int:
        """Receipts not acknowledged."""
        return self._sender.pending

    @property
    def poisoned(self) -> frozenset[tuple[str, int]]:
        """Source partitions with a failed delivery that was not repeated successfully yet; no fence passes it."""
        return self._sender.poisoned()

    def flush(self, timeout_s: float = 30.0) -> int:
        """Send all receipts and wait for their acknowledgement; the number that is left."""
        self._turn_until(lambda: not self._sender.pending, timeout_s)
        return self._sender.pending

    async def aflush(self, timeout_s: float = 30.0) -> int:
        """As `flush`, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Take no more, send all receipts and the last fences, and stop.

        Raises:
            UndeliveredError: not all of them were acknowledged in time.
        """
        self._closing = True
        self._turn_until(lambda: not self._sender.left(), timeout_s)
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        left = self._sender.left()
        if left:
            raise UndeliveredError(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except UndeliveredError as undelivered:
            if error is None:
                raise
            _LOG.error("%s", undelivered)  # noqa: TRY400  # the error under way is the one to show

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _receipt(
        self, status: Status, topic: str, partition: int, offset: int, error: tuple[str, str] | None, details: Details
    ) -> None:
        applied_at = details.get("applied_at")
        receipt = Receipt(
            sink=self._sink,
            topic=topic,
            partition=partition,
            offset=offset,
            status=status,
            fingerprint=details.get("fingerprint"),
            applied_at=self._now_ms() if applied_at is None else applied_at,
            sequence=details.get("sequence"),
            command_id=details.get("command_id"),
            error=error,
        )
        _require_sound(receipt)
        deadline = time.monotonic() + self._max_block_s
        while True:
            if self._closing:
                raise RuntimeError("the emitter is closed")
            if self._sender.admit(receipt, time.monotonic()):
                return
            if time.monotonic() >= deadline:
                raise BackpressureError(f"{self.pending} receipts wait for acknowledgement: {topic} [{partition}]")
            self._turn(everything=True)

    def _turn(self, *, everything: bool) -> None:
        self._post.poll(_POLL_S)
        self._sender.turn(time.monotonic(), self._now_ms(), everything)

    def _turn_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._sender.turn(time.monotonic(), self._now_ms(), everything=True)
        while not is_done() and time.monotonic() < deadline:
            self._turn(everything=True)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._turn(everything=False)
            except (
                Exception
            ):  # the thread is what keeps receipts moving; the error is shown and the next turn tries again
                _LOG.exception("receipts of %s are stuck", self._sink)
                self._stopped.wait(1.0)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _require_sound(receipt: Receipt) -> None:
    """Refuse here, before its caller, what could not be encoded later."""
    _require_integer("partition", receipt.partition, 31)
    _require_integer("offset", receipt.offset, 63)
    _require_integer("applied_at", receipt.applied_at, 63)
    if receipt.fingerprint is not None and len(receipt.fingerprint) != 8:
        raise ValueError(f"a fingerprint has 8 bytes, not {receipt.fingerprint!r}")
    if not receipt.is_plain:
        encode_receipt(receipt, 0)


def _require_integer(name: str, value: int, bits: int) -> None:
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise ValueError(f"{name} {value!r} is no integer of 0 to 2^{bits}")
