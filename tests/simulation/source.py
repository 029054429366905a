"""The source's side of a world: tables, and the change records of each partition, some of them strange."""

from __future__ import annotations

import random
import struct
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.avro import COLUMNS, TIER, Encoder, envelope, key
from tests.simulation.changes import Change, Registry, read_change
from tests.simulation.recording import Record

PLACEHOLDER = "__debezium_unavailable_value"
START_MS = 1_760_000_000_000
DAY_MS = 86_400_000
TAIL = 65_536
"""Offsets: how far back source duplicates are seen, and closed cells remembered."""

HUGE_GAPS = (30_000, 65_480, 70_000)
"""Offsets: less than closed cells are remembered, about as many, and more."""

BROKEN = "QQQQ"
"""Text that is replaced, after encoding, by bytes that are not UTF-8."""


@dataclass(slots=True, kw_only=True)
class Table:
    """One table and its topic; ``first_id`` is the first of its three schema ids (key, envelope, later envelope)."""

    topic: str
    name: str
    partitions: int
    is_keyed: bool
    first_id: int

    def schemas(self) -> dict[int, Any]:
        """What the registry knows of it."""
        return {
            self.first_id: key(self.topic),
            self.first_id + 1: envelope(self.topic, COLUMNS),
            self.first_id + 2: envelope(self.topic, [*COLUMNS, TIER]),
        }


@dataclass(slots=True, kw_only=True)
class Partition:
    """Makes the records of one partition in offset order."""

    table: Table
    number: int
    rng: random.Random
    encoder: Encoder
    planted: Counter[str]
    is_clean: bool
    records: list[Record] = field(default_factory=list)
    offset: int = 0
    lsn: int = 10_000_000
    keys: list[int] = field(default_factory=list)
    lie_ms: int = 0

    def fill(self, size: int) -> list[Record]:
        """About ``size`` records."""
        rng = self.rng
        self.offset = rng.choice([0, rng.randrange(1, 5_000)])
        self.keys = [self.number * 1_000 + index for index in range(rng.randrange(4, 10))]
        self.lie_ms = rng.choice([0, 0, -3 * DAY_MS, 2 * DAY_MS])
        huge_at = rng.randrange(size // 4, size // 2) if rng.random() < 0.5 else -1
        while len(self.records) < size:
            self._gap(is_huge=0 <= huge_at <= len(self.records))
            huge_at = -1 if 0 <= huge_at <= len(self.records) else huge_at
            self._next()
        if rng.random() < 0.75:
            self._edge()
        return self.records

    def _edge(self) -> None:
        """The last record stands as far behind an early one as is remembered, give or take one; it may repeat it."""
        near = [record for record in self.records if record.offset + TAIL - 2 >= self.offset]
        early = self.rng.choice(near[: max(len(near) // 2, 1)])
        self.offset = early.offset + TAIL - 1 + self.rng.randrange(-1, 3)
        self.planted["the tail's edge"] += 1
        if early.value and early.key and self.rng.random() < 0.5:
            self._append(early.key, early.value)
        else:
            self._row()

    def _gap(self, *, is_huge: bool) -> None:
        if is_huge:
            self.offset += self.rng.choice(HUGE_GAPS) + self.rng.randrange(80)
            self.planted["offset gap"] += 1
        elif self.rng.random() < 0.1:
            self.offset += self.rng.randrange(1, 6)
            self.planted["offset gap"] += 1

    def _next(self) -> None:
        strange: list[tuple[float, Callable[[], None]]] = [
            (0.05, self._undecodable),
            (0.035, self._truncate),
            (0.04, self._message),
            (0.06, self._source_duplicate),
            (0.02, self._near_duplicate),
        ]
        dice = self.rng.random()
        for chance, make in strange:
            if dice < chance and not (self.is_clean and make == self._undecodable):
                make()
                return
            dice -= chance
        self._row()

    def _row(self) -> None:
        identity = self.rng.choice(self.keys)
        op = self.rng.choices("crud", (3, 1, 5, 2))[0]
        self._put(op, identity, None if op == "d" else self._values(identity))
        if op == "d" and self.table.is_keyed and self.rng.random() < 0.8:
            self.planted["tombstone"] += 1
            self._append(self._key(identity), None)

    def _values(self, identity: int) -> dict[str, Any]:
        rng = self.rng
        values: dict[str, Any] = {
            "id": identity,
            "email": rng.choice([None, f"ä{rng.randrange(99)}@example.org", "", "x"]),
            "amount": rng.choice([None, struct.pack(">h", rng.randrange(-9_000, 9_000)), b"\x00"]),
            "payload": rng.choice([None, '{"b": 1.50, "a": [1, 2e3, "\\u00e9"]}', "[]", "no json {", '{"a":1,"a":0}']),
            "updated_at": rng.choice([None, rng.randrange(-(10**12), 2 * 10**15)]),
            "born": rng.choice([None, rng.randrange(-9_000, 30_000)]),
            "token": rng.choice([None, str(uuid.UUID(int=rng.getrandbits(128))), "no uuid"]),
            "is_open": rng.choice([None, True, False]),
            "weight": rng.choice([None, -0.0, 1.25, float("nan"), rng.random()]),
            "body": rng.choice([None, "long text"]),
            "scan": rng.choice([None, b"\x00\xff"]),
            "tags": rng.choice([None, [], ["a", None]]),
            "tier": rng.choice([None, 3, 7]),
        }
        if rng.random() < 0.1:
            self.planted["placeholder"] += 1
            column, text = rng.choice([("body", PLACEHOLDER), ("scan", PLACEHOLDER.encode()), ("tags", [PLACEHOLDER])])
            values[column] = text
        return values

    def _source(self) -> dict[str, Any]:
        self.lsn += self.rng.randrange(1, 900)
        is_placed = self.rng.random() > 0.03
        return {
            "version": "3.7.0.Final",
            "connector": "postgresql",
            "name": "shop",
            "ts_ms": self._now() if self.is_clean or self.rng.random() > 0.03 else None,
            "db": "shop",
            "schema": "public",
            "table": self.table.name,
            "txId": self.lsn // 1_000 if is_placed else None,
            "lsn": self.lsn if is_placed else None,
        }

    def _now(self) -> int:
        return START_MS + len(self.records) * 250

    def _key(self, identity: int) -> bytes | None:
        return self.encoder.encode(self.table.first_id, {"id": identity}) if self.table.is_keyed else None

    def _envelope(self, op: str, after: dict[str, Any] | None, source: dict[str, Any] | None = None) -> bytes:
        number = self.table.first_id + self.rng.choice([1, 1, 2])
        return self.encoder.encode(
            number, {"before": None, "after": after, "source": source or self._source(), "op": op, "ts_ms": self._now()}
        )

    def _put(self, op: str, identity: int, after: dict[str, Any] | None) -> None:
        self._append(self._key(identity), self._envelope(op, after))

    def _append(self, record_key: bytes | None, value: bytes | None) -> None:
        timestamp = self._now() + self.lie_ms + self.rng.randrange(50)
        self.records.append(
            Record(
                topic=self.table.topic,
                partition=self.number,
                offset=self.offset,
                timestamp=timestamp,
                key=record_key,
                value=value,
            )
        )
        self.offset += 1

    def _truncate(self) -> None:
        self.planted["truncate"] += 1
        self._append(None, self._envelope("t", None))

    def _message(self) -> None:
        self.planted["message"] += 1
        self._append(None, self._envelope("m", None))

    def _source_duplicate(self) -> None:
        """The source repeats some of what it said lately."""
        repeated = [record for record in self.records[-6:] if record.value and record.key]
        for record in repeated[: self.rng.randrange(1, 4)]:
            self.planted["source duplicate"] += 1
            self._append(record.key, record.value)

    def _near_duplicate(self) -> None:
        """The same position but another key, as in a snapshot, or another operation: no duplicate."""
        values, source = self._values(self.keys[0]), self._source()
        value = self._envelope("r", values, source)
        self._append(self._key(self.keys[0]), value)
        self._append(self._key(self.keys[1]), value)
        self._append(self._key(self.keys[0]), self._envelope("u", values, source))

    def _undecodable(self) -> None:
        self.planted["undecodable"] += 1
        identity = self.rng.choice(self.keys)
        good = self._envelope("c", self._values(identity))
        broken = self._envelope("c", {**self._values(identity), "email": BROKEN})
        value = self.rng.choice(
            [
                good[: -self.rng.randrange(1, 4)],
                b"\x05" + good[1:],
                good[:1] + (9_999).to_bytes(4, "big") + good[5:],
                good + b"\x00",
                self._envelope("x", self._values(identity)),
                self._envelope("u", None),
                self.encoder.encode(self.table.first_id, {"id": 7}),
                broken.replace(BROKEN.encode(), b"\xff\xfe\xff\xfe"),
                b"",
                good[:3],
            ]
        )
        self._append(self._key(identity), value)


def read_back(records: list[Record], registry: Registry) -> list[Change]:
    """The changes as sinks see them."""
    return [read_change(record, registry) for record in records]
