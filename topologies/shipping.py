"""From the outbox to Kafka: an idempotent producer, and nothing is forgotten before the broker has acknowledged it."""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from app.adapters.encode import Encoder, key
from app.decode.evidence import ORIGIN_HEADERS
from app.model.effects import Command, Contradicted, Orphan, Seal, SinkWatermark, UnknownSink, Unreadable, Verdict
from app.worker.effects import Effect, Quarantined, RecordedEnd, Routed
from app.worker.partition import PartitionWorker
from app.worker.ports import SHIP_AT_ONCE

logger = logging.getLogger(__name__)

MINUTE_S = 60.0

Headers = list[tuple[str, str | bytes | None]]


class Shipper:
    """Sends what the outboxes hold; called from the event loop, callbacks come in `poll`.

    Args:
        producer: idempotent, so that an order holds and nothing is written twice by a retry.
        prefix: of our own topics.
        commands_per_minute: by sink; a command above it waits in the outbox.
        clock: seconds, monotonic; it delays sending and decides nothing.
    """

    def __init__(
        self,
        producer: Producer,
        encoder: Encoder,
        prefix: str,
        commands_per_minute: Mapping[str, int],
        clock: Callable[[], float],
        on_sent: Callable[[Effect], None] = lambda _: None,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self._producer = producer
        self._encoder = encoder
        self._prefix = prefix
        self._limits = commands_per_minute
        self._clock = clock
        self.on_sent = on_sent
        self._on_error = on_error
        self._sent: dict[str, deque[float]] = {}
        self._flights: dict[int, _Flight] = {}
        self.errors: Counter[str] = Counter()

    def ship(self, worker: PartitionWorker) -> None:
        """Send what one store's outbox holds, unless the last batch is still on its way; acknowledge what arrived."""
        flight = self._flights.get(id(worker))
        if flight is not None:
            if flight.waiting:
                return
            self._land(worker, flight)
        entries = [(number, effect) for number, effect in worker.outbox(SHIP_AT_ONCE) if self._may_go(effect)]
        if entries:
            self._flights[id(worker)] = self._start(entries)

    def send(self, effect: Effect) -> None:
        """Send what needs no outbox because it is made again at any time (watermarks)."""
        self._produce(effect, lambda *_: None)

    def is_flying(self, worker: PartitionWorker) -> bool:
        """Whether some of a store's effects are on their way."""
        flight = self._flights.get(id(worker))
        return flight is not None and flight.waiting > 0

    def poll(self) -> None:
        """Let the producer's callbacks run."""
        self._producer.poll(0)

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed: what its outbox holds is sent again by whoever opens it next."""
        self._flights.pop(id(worker), None)

    def close(self, timeout_s: float) -> None:
        """Wait for what is on its way."""
        self._producer.flush(timeout_s)

    def _start(self, entries: list[tuple[bytes, Effect]]) -> _Flight:
        flight = _Flight(len(entries))
        for number, effect in entries:
            self._produce(effect, flight.callback(number, effect))
        return flight

    def _land(self, worker: PartitionWorker, flight: _Flight) -> None:
        if flight.arrived:
            worker.acknowledge([number for number, _ in flight.arrived])
        for _, effect in flight.arrived:
            self.on_sent(effect)
        for error in flight.failed:
            self.errors[str(error.name())] += 1
            self._on_error()
            logger.warning("the broker did not take a record, it stays in the outbox: %s", error)
        del self._flights[id(worker)]

    def _produce(self, effect: Effect, done: Callable[[KafkaError | None, Any], None]) -> None:
        topic, partition, record_key, value, headers = self._record(effect)
        while True:
            try:
                self._producer.produce(topic, value, record_key, partition=partition, headers=headers, on_delivery=done)
            except BufferError:
                self._producer.poll(0.05)  # bounded: the queue drains or delivery times out
            except KafkaException as error:
                done(error.args[0], None)
                return
            else:
                return

    def _record(self, effect: Effect) -> tuple[str, int, bytes | None, bytes | None, Headers]:
        """Topic, partition (-1: by key), key, value and headers of an effect."""
        match effect:
            case Routed():
                headers = _origin(ORIGIN_HEADERS, effect.origin) if effect.origin.offset >= 0 else []
                return effect.topic, effect.partition, None, effect.value, headers
            case Quarantined():
                names = tuple(f"cdc-verifier.{part}" for part in ("topic", "partition", "offset"))
                headers = [*_origin(names, effect.origin), ("cdc-verifier.kind", effect.kind.encode())]
                headers.append(("cdc-verifier.reason", effect.reason.encode()))
                return self._own("quarantine"), -1, effect.key_bytes, effect.value, headers
            case RecordedEnd():
                name = f"end|{effect.sink}|{effect.topic}|{effect.partition}|{effect.end}"
                return self._own("ledger"), -1, name.encode(), json.dumps({"end": effect.end}).encode(), []
            case Command():
                return self._own("repair"), -1, key(effect), self._encoder.value(effect), []
            case SinkWatermark():
                return self._own("watermarks"), -1, key(effect), self._encoder.value(effect), []
            case Seal():
                return self._own("ledger"), -1, key(effect), self._encoder.value(effect), []
            case Verdict() | Orphan() | Contradicted() | Unreadable() | UnknownSink():
                return self._own("verdicts"), -1, key(effect), self._encoder.value(effect), []

    def _own(self, name: str) -> str:
        return f"{self._prefix}.{name}"

    def _may_go(self, effect: Effect) -> bool:
        """Whether a command may be sent this minute; it stays in the outbox otherwise."""
        if not isinstance(effect, Command):
            return True
        now = self._clock()
        sent = self._sent.setdefault(effect.sink, deque())
        while sent and now - sent[0] >= MINUTE_S:
            sent.popleft()
        if len(sent) >= self._limits.get(effect.sink, 60):
            return False
        sent.append(now)
        return True


class _Flight:
    """One batch of effects on its way to the broker."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.arrived: list[tuple[bytes, Effect]] = []
        self.failed: list[KafkaError] = []

    def callback(self, number: bytes, effect: Effect) -> Callable[[KafkaError | None, Any], None]:
        def done(error: KafkaError | None, _: Any) -> None:
            self.waiting -= 1
            if error is None:
                self.arrived.append((number, effect))
            else:
                self.failed.append(error)

        return done


def _origin(names: tuple[str, ...], origin: tuple[str, int, int]) -> Headers:
    return [(name, str(part).encode()) for name, part in zip(names, origin, strict=True)]
