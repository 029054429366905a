"""A sink's events as evidence records: routed to topics, stamped, batched, mixed with others' and with rubbish."""

from __future__ import annotations

import random
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.avro import BATCH_ID, LOSS_ID, MARK_ID, RECEIPT_ID, STATUSES, WAIVER_ID, Encoder
from tests.simulation.lane_events import Event, Lane
from tests.simulation.lanes import ERRORS, EXPECTED, INPUT, LaneName
from tests.simulation.recording import Headers, Record
from tests.simulation.routing import Router
from tests.simulation.sinks import Sink

PARTITIONS = 3
"""Of every evidence topic; as many as a source topic has at most."""

Place = tuple[str, int]
"""An evidence topic and partition."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """An evidence record that has no offset yet."""

    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    whose: LaneName | None = None
    """Sink, source topic and source partition that it speaks of; None for rubbish."""
    receipt: bytes | None = None
    """What a router makes of a dead letter or a success record."""


@dataclass(slots=True, kw_only=True)
class EvidenceWriter:
    """Collects every lane's records and lays them into logs, each lane's own order kept."""

    rng: random.Random
    encoder: Encoder
    planted: Counter[str]
    sinks: list[Sink]
    is_clean: bool
    router: Router
    streams: dict[Place, list[list[Draft]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, lane: Lane, topic: str, partition: int) -> None:
        """All events of a lane."""
        events = sorted(lane.events, key=lambda event: event.at)
        may_lie = lane.sink.has_one_log and lane.sink.has_fences
        is_lying = may_lie and self.rng.random() < 0.5
        is_coarse = self.rng.random() < 0.3 and not self.is_clean
        drafts: dict[Place, list[Draft]] = defaultdict(list)
        for group in self._groups(lane, events):
            timestamp = lane.now_ms(group[0].at)
            if is_coarse:
                timestamp -= timestamp % 2_000
            if is_lying and self.rng.random() < 0.3:
                timestamp += lane.lie()
                self.planted["lying record timestamp"] += 1
            place = self._place(lane.sink, group[0], partition)
            draft = self._draft(lane.sink, group, topic, partition, timestamp)
            drafts[place].append(replace(draft, whose=(lane.sink.name, topic, partition)))
        for place, stream in drafts.items():
            self.streams[place].append(stream)

    def _groups(self, lane: Lane, events: list[Event]) -> Iterator[list[Event]]:
        """Events as records: one each, or neighbours that a batch can hold."""
        group: list[Event] = []
        limit = self.rng.randrange(2, 12)
        for event in events:
            if group and (len(group) >= limit or not (lane.sink.batches and _go_together(group, event))):
                yield group
                group = []
            group.append(event)
        if group:
            yield group

    def _place(self, sink: Sink, event: Event, partition: int) -> Place:
        if event.via == "dead-letter":
            return sink.dead_topic or "", self.rng.randrange(2)
        if event.via == "success":
            return sink.success_topic or "", 0
        topic = self.rng.choice(sink.evidence_topics)
        return topic, self.rng.randrange(PARTITIONS) if sink.scatters else partition

    def _draft(self, sink: Sink, group: list[Event], topic: str, partition: int, timestamp: int) -> Draft:
        event = group[0]
        who = {"sink": sink.name, "topic": topic, "partition": partition}
        if event.via != "own":
            return self._headed(sink, event, topic, partition, timestamp)
        if event.mark == "LOSS":
            log = {"origin_topic": "gone", "origin_partition": 0, "from_offset": 1, "to_offset": 9, "at": timestamp}
            return Draft(timestamp=timestamp, value=self.encoder.encode(LOSS_ID, {**who, **log}))
        if event.mark == "WAIVER":
            why = {"offset": event.offset, "who": "an operator", "reason": "known", "at": timestamp}
            return Draft(timestamp=timestamp, value=self.encoder.encode(WAIVER_ID, {**who, **why}))
        if event.mark is not None:
            mark = {
                "kind": event.mark,
                "offset": event.offset,
                "to_offset": event.to_offset,
                "generation": event.generation,
                "at": timestamp,
                "reason": None,
            }
            return Draft(timestamp=timestamp, value=self.encoder.encode(MARK_ID, {**who, **mark}))
        if len(group) > 1 or (sink.batches and _may_be_batched(event) and self.rng.random() < 0.5):
            return Draft(timestamp=timestamp, value=self.encoder.encode(BATCH_ID, {**who, **batch_of(group)}))
        return Draft(timestamp=timestamp, value=self.encoder.encode(RECEIPT_ID, {**who, **receipt_of(event)}))

    def _headed(self, sink: Sink, event: Event, topic: str, partition: int, timestamp: int) -> Draft:
        is_dead = event.via == "dead-letter"
        prefix = ERRORS if is_dead else INPUT
        headers: list[tuple[str, bytes | None]] = [
            (f"{prefix}topic", topic.encode()),
            (f"{prefix}partition", str(partition).encode()),
            (f"{prefix}offset", str(event.offset).encode()),
        ]
        if is_dead:
            headers += [(f"{ERRORS}connector.name", sink.settings["connector"].encode()), (f"{ERRORS}stage", None)]
        said = {
            **receipt_of(event),
            "status": "APPLIED" if event.status == EXPECTED else event.status,
            "fingerprint": None,
            "applied_at": timestamp,
            "evidence": "dead-letter" if is_dead else "success-topic",
        }
        who = {"sink": sink.name, "topic": topic, "partition": partition}
        routed = self.encoder.encode(RECEIPT_ID, {**who, **said})
        return Draft(timestamp=timestamp, key=b"k", value=b"v", headers=tuple(headers), receipt=routed)

    def logs(self) -> dict[str, dict[int, list[Record]]]:
        """Every evidence topic's records with their offsets."""
        made: dict[str, dict[int, list[Record]]] = defaultdict(dict)
        for (topic, partition), streams in self.streams.items():
            if not self.is_clean:
                streams.append(list(self._rubbish(topic)))
            offset = self.rng.choice([0, self.rng.randrange(1_000)])
            records = made[topic].setdefault(partition, [])
            for draft in self._mixed(streams):
                record = Record(
                    topic=topic,
                    partition=partition,
                    offset=offset,
                    timestamp=draft.timestamp,
                    key=draft.key,
                    value=draft.value,
                    headers=draft.headers,
                )
                records.append(record)
                if draft.whose is not None:
                    self.router.take(draft.whose, record, draft.receipt or draft.value)
                offset += 1 if self.rng.random() < 0.95 else self.rng.randrange(2, 5)
        return dict(made)

    def _mixed(self, streams: list[list[Draft]]) -> Iterator[Draft]:
        waiting = [list(reversed(stream)) for stream in streams if stream]
        while waiting:
            stream = self.rng.choices(waiting, [len(stream) for stream in waiting])[0]
            yield stream.pop()
            waiting = [stream for stream in waiting if stream]

    def _rubbish(self, topic: str) -> Iterator[Draft]:
        """Evidence that can't be read, or that nobody wrote who is known."""
        timestamp = 1_760_000_000_000 + self.rng.randrange(20_000)
        for _ in range(self.rng.randrange(5)):
            self.planted["unreadable evidence"] += 1
            yield self._unreadable(topic, timestamp)
        for _ in range(self.rng.randrange(5)):
            self.planted["unknown sink"] += 1
            yield self._unknown(topic, timestamp)

    def _good(self, **more: Any) -> dict[str, Any]:
        sink = self.rng.choice(self.sinks)
        event = Event(at=0, offset=3, status="APPLIED", applied_at=1)
        where = {"sink": sink.name, "topic": sink.contract.topics[0], "partition": 0}
        return {**where, **receipt_of(event), **more}

    def _unreadable(self, topic: str, timestamp: int) -> Draft:
        if topic.startswith(("dlq.", "success.")):
            prefix = ERRORS if topic.startswith("dlq.") else INPUT
            headers = self.rng.choice([(), ((f"{prefix}topic", b"t"), (f"{prefix}partition", b"x"))])
            return Draft(timestamp=timestamp, value=b"v", headers=headers)
        good = self.encoder.encode(RECEIPT_ID, self._good())
        events = [Event(at=0, offset=3 + number, status="APPLIED", applied_at=1) for number in range(3)]
        batch = {**self._good(), **batch_of(events)}
        mark = {
            **self._good(),
            "kind": "SKIP",
            "offset": 1,
            "to_offset": None,
            "generation": 0,
            "at": 1,
            "reason": None,
        }
        values = [
            None,
            b"",
            b"\x00\x00",
            good + b"\x00",
            good[:-1],
            b"\x07" + good[1:],
            good[:1] + (777).to_bytes(4, "big") + good[5:],
            self.encoder.encode(100, {"id": 1}),
            self.encoder.encode(BATCH_ID, {**batch, "statuses": b"\x00"}),
            self.encoder.encode(BATCH_ID, {**batch, "offset_deltas": b"\x00" * 11}),
            self.encoder.encode(BATCH_ID, {**batch, "fingerprints": b"\x00" * 8}),
            self.encoder.encode(BATCH_ID, {**batch, "applied_at_deltas": b""}),
            self.encoder.encode(BATCH_ID, {**batch, "statuses": b"\x00\x09\x00"}),
            self.encoder.encode(MARK_ID, mark),
        ]
        return Draft(timestamp=timestamp, value=self.rng.choice(values))

    def _unknown(self, topic: str, timestamp: int) -> Draft:
        if topic.startswith("dlq."):
            whose = [(b"shop.public.t0", b"nobody"), (b"shop.public.none", self.sinks[0].name.encode() + b"-connector")]
            name, connector = self.rng.choice(whose)
            coordinates = ((f"{ERRORS}topic", name), (f"{ERRORS}partition", b"0"), (f"{ERRORS}offset", b"1"))
            headers = (*coordinates, (f"{ERRORS}connector.name", connector))
            return Draft(timestamp=timestamp, value=b"v", headers=headers)
        if topic.startswith("success."):
            coordinates = ((f"{INPUT}topic", b"none"), (f"{INPUT}partition", b"0"), (f"{INPUT}offset", b"1"))
            return Draft(timestamp=timestamp, value=b"v", headers=coordinates)
        whose = [{"sink": "nobody"}, {"topic": "shop.public.none"}, {"sink": ""}, *self._strangers(topic)]
        value = self._good(**self.rng.choice(whose))
        return Draft(timestamp=timestamp, value=self.encoder.encode(RECEIPT_ID, value))

    def _strangers(self, topic: str) -> Iterator[dict[str, Any]]:
        """Known sinks that keep no evidence in a topic, and yet something stands there in their name."""
        for sink in self.sinks:
            if topic not in sink.evidence_topics:
                yield {"sink": sink.name, "topic": sink.contract.topics[0]}


def _may_be_batched(event: Event) -> bool:
    is_own_receipt = event.mark is None and event.via == "own"
    return is_own_receipt and event.command_id is None and event.sequence is None


def _go_together(group: list[Event], other: Event) -> bool:
    """Whether one batch can hold all: nothing that only a single receipt can say, and content of every APPLIED or none."""
    together = [*group, other]
    contents = {event.fingerprint is None for event in together if event.status == "APPLIED"}
    return len(contents) <= 1 and all(map(_may_be_batched, together))


def receipt_of(event: Event) -> dict[str, Any]:
    """The fields of a single receipt beside whose it is."""
    return {
        "offset": event.offset,
        "status": event.status,
        "fingerprint": event.fingerprint,
        "applied_at": event.applied_at,
        "sequence": event.sequence,
        "command_id": event.command_id,
        "error": {"code": "E1", "message": "refused"} if event.status == "REJECTED" else None,
        "evidence": None,
    }


def batch_of(events: list[Event]) -> dict[str, Any]:
    """The fields of a batch beside whose it is."""
    base_offset = min(event.offset for event in events)
    base_time = min(event.applied_at for event in events)
    has_prints = any(event.fingerprint is not None for event in events if event.status == "APPLIED")
    prints = b"".join(event.fingerprint or bytes(8) for event in events)
    return {
        "base_offset": base_offset,
        "offset_deltas": struct.pack(f"<{len(events)}I", *(event.offset - base_offset for event in events)),
        "statuses": bytes(STATUSES.index(event.status) for event in events),
        "fingerprints": prints if has_prints else None,
        "base_applied_at": base_time,
        "applied_at_deltas": struct.pack(f"<{len(events)}I", *(event.applied_at - base_time for event in events)),
    }
