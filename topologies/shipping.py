"""From the outbox to Kafka: an idempotent producer, and nothing is forgotten before the broker has acknowledged it."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from app.adapters.encode import Encoder, key
from app.decode.evidence import ORIGIN_HEADERS
from app.model.effects import Command, Contradicted, Orphan, Seal, SinkWatermark, UnknownSink, Unreadable, Verdict
from app.worker.effects import Effect, Quarantined, Routed
from app.worker.partition import PartitionWorker
from app.worker.ports import SHIP_AT_ONCE

logger = logging.getLogger(__name__)

MINUTE_S = 60.0

Headers = list[tuple[str, str | bytes | None]]
_Record = tuple[str, int, bytes | None, bytes | None, Headers]
"""Topic, partition (-1: by key), key, value and headers."""
QUARANTINED_BYTES = 900_000
"""A larger value is left out of its record in quarantine, which names the log where it stands."""


class Shipper:
    """Sends what the outboxes hold; called from the event loop, callbacks come in `poll`.

    Args:
        producer: idempotent, so that an order holds and nothing is written twice by a retry; it waits for a broker that is
            away as long as it takes, because a record that was given up would be overtaken.
        prefix: of our own topics.
        ledger_partitions: of our ledger topic.
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
        ledger_partitions: int,
        on_sent: Callable[[Effect], None] = lambda _: None,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self._producer = producer
        self._encoder = encoder
        self._prefix = prefix
        self._limits = commands_per_minute
        self._clock = clock
        self._ledger_partitions = ledger_partitions
        self.on_sent = on_sent
        self._on_error = on_error
        self._sent: dict[str, deque[float]] = {}
        self._flights: dict[int, _Flight] = {}
        self._empty_at: dict[int, int] = {}
        self.errors: Counter[str] = Counter()
        self._fatal: KafkaError | None = None

    def ship(self, worker: PartitionWorker, *, is_news: bool = False) -> None:
        """Send what one store's outbox holds, unless the last batch is still on its way; acknowledge what arrived.

        Args:
            is_news: only where something was made since the outbox was found empty, so that asking often costs little.
        """
        flight = self._flights.get(id(worker))
        if flight is not None:
            if flight.waiting:
                return
            self._land(worker, flight)
        made = worker.effects.next
        if is_news and self._empty_at.get(id(worker)) == made:
            return
        entries = [(number, effect) for number, effect in worker.outbox(SHIP_AT_ONCE) if self._may_go(effect)]
        if entries:
            self._flights[id(worker)] = self._start(entries)
        else:
            self._empty_at[id(worker)] = made

    @property
    def is_waiting(self) -> bool:
        """Whether the broker has something of an outbox that it has not acknowledged."""
        return bool(self._flights)

    def send(self, effect: Effect) -> bool:
        """Send what needs no outbox because it is made again at any time (watermarks, marks); False where it was refused."""
        return self._produce(self._record(effect), lambda *_: None)

    def put(self, number: int, records: Sequence[tuple[str, bytes | None]], answer: Callable[[bool], None]) -> None:
        """Write records of one partition number to the ledger topic; ``answer`` is told once whether all arrived."""
        waiting, failed = len(records), False

        def done(error: KafkaError | None, _: Any) -> None:
            nonlocal waiting, failed
            waiting -= 1
            failed = failed or error is not None
            if error is not None:
                self._failed(error)
            if not waiting:
                answer(not failed)

        place = number % self._ledger_partitions
        for name, value in records:
            self._produce((self._own("ledger"), place, name.encode(), value, []), done)

    def poll(self) -> None:
        """Let the producer's callbacks run; raises `KafkaException` where the producer has failed for good."""
        self._producer.poll(0)
        if self._fatal is not None:
            raise KafkaException(self._fatal)

    def forget(self, worker: PartitionWorker) -> None:
        """A store is closed: what its outbox holds is sent again by whoever opens it next."""
        self._flights.pop(id(worker), None)
        self._empty_at.pop(id(worker), None)

    def close(self, timeout_s: float) -> None:
        """Wait for what is on its way."""
        self._producer.flush(timeout_s)

    def _start(self, entries: list[tuple[bytes, Effect]]) -> _Flight:
        """Hand entries to the producer in their order; what finds no room waits in the outbox, and all that follows it."""
        flight = _Flight()
        for number, effect in entries:
            flight.waiting += 1
            if not self._produce(self._record(effect), flight.callback(number, effect)):
                break
        return flight

    def _land(self, worker: PartitionWorker, flight: _Flight) -> None:
        if flight.arrived:
            worker.acknowledge([number for number, _ in flight.arrived])
        for _, effect in flight.arrived:
            self.on_sent(effect)
        for error in flight.failed:
            self._failed(error)
            self._empty_at[id(worker)] = worker.effects.next  # again at the next tick, not at once
        del self._flights[id(worker)]

    def _failed(self, error: KafkaError) -> None:
        self.errors[str(error.name())] += 1
        self._on_error()
        if error.fatal():
            self._fatal = error
        logger.warning("the broker did not take a record, it stays where it was: %s", error)

    def _produce(self, record: _Record, done: Callable[[KafkaError | None, Any], None]) -> bool:
        """Hand a record over; False where it was refused, of which ``done`` is told, too."""
        topic, partition, record_key, value, headers = record
        try:
            self._producer.produce(topic, value, record_key, partition=partition, headers=headers, on_delivery=done)
        except BufferError:
            done(KafkaError(KafkaError._QUEUE_FULL), None)  # noqa: SLF001 - its public name for this error
            return False
        except KafkaException as error:
            done(error.args[0], None)
            return False
        return True

    def _record(self, effect: Effect) -> _Record:
        """Topic, partition (-1: by key), key, value and headers of an effect."""
        match effect:
            case Routed():
                headers = _origin(ORIGIN_HEADERS, effect.origin) if effect.origin.offset >= 0 else []
                return effect.topic, effect.partition, None, effect.value, headers
            case Quarantined():
                names = tuple(f"cdc-verifier.{part}" for part in ("topic", "partition", "offset"))
                headers = [*_origin(names, effect.origin), ("cdc-verifier.kind", effect.kind.encode())]
                headers.append(("cdc-verifier.reason", effect.reason.encode()))
                value = effect.value
                if value is not None and len(value) > QUARANTINED_BYTES:
                    headers.append(("cdc-verifier.left-out", b"%d bytes" % len(value)))
                    value = None
                return self._own("quarantine"), -1, effect.key_bytes, value, headers
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

    def __init__(self) -> None:
        self.waiting = 0
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
