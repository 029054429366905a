"""What is planted: rows that nobody else touches, some of which a sink will lose or spoil, and records that are no changes.

A row's id says what will become of it, so that triggers in the sinks' databases can plant faults without being told.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message, Producer

from tests.stack.connectors import PARTITIONS
from tests.stack.world import Pipeline

HUNDRED_MILLION = 100_000_000
KEPT, CUT, DROPPED, PATCHED, WANDERING = (number * HUNDRED_MILLION for number in range(1, 6))
"""Where ids begin of rows that arrive, that a trigger spoils or drops, that a hand at the offsets loses, that change keys."""

MISSING, DIVERGED, REJECTED = "MISSING", "DIVERGED", "REJECTED"

TRIGGER = """
create function spoil() returns trigger language plpgsql as $$ begin
    if new.id / {million} = {dropped} then return null; end if;
    if new.id / {million} = {cut} then new.{column} := 'cut'; end if;
    return new;
end $$;
create trigger spoil before insert or update on {table} for each row execute function spoil()
"""

COLUMN = {"orders": "status", "notes": "text"}
"""The column of each table that is changed or spoiled."""

INSERT = {
    "orders": "insert into orders values (%s, 1, 'NEW', 9.99, '2026-02-01 12:00:00')",
    "notes": "insert into notes values (%s, 9.99, 'new')",
}

POISON = b"this is no Avro"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the source that a sink has not as it should; ``states`` are what may be told of its changes there."""

    sink: str
    table: str
    key: int
    states: frozenset[str]


@dataclass(slots=True)
class Planter:
    """Plants; everything random comes from ``rng``.

    Attributes:
        where: the table of each sink in which its faults are planted.
        rows: by sink, table and key.
        poisons: topic, partition and offset of every record that is no change.
        counts: what was planted so far, by kind.
    """

    pipeline: Pipeline
    rng: random.Random
    rows: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    poisons: set[tuple[str, int, int]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _kept: dict[str, list[int]] = field(default_factory=lambda: {"orders": [], "notes": []})
    _wandering: list[int] = field(default_factory=list)

    @property
    def where(self) -> Mapping[str, str]:
        return {self.pipeline.sink_a: "orders", self.pipeline.sink_b: "notes"}

    def prepare(self) -> None:
        """The triggers."""
        for sink, table in self.where.items():
            kept_as = self.pipeline.tables[sink][table]
            told = {"dropped": DROPPED // HUNDRED_MILLION, "cut": CUT // HUNDRED_MILLION, "million": HUNDRED_MILLION}
            text = TRIGGER.format(table=kept_as, column=COLUMN[table], **told)
            self.pipeline.world.postgres.sql(sink, text)

    def anything(self) -> str:
        """Plant something that needs no more than the source's database; what it was."""
        kind = self.rng.choices(("kept", "wandered", "cut", "dropped"), (4, 4, 1, 1))[0]
        sink = self.rng.choice(sorted(self.where))
        table = self.where[sink]
        match kind:
            case "kept":
                self._kept[table].append(self._insert(table, KEPT))
            case "wandered":
                self._wander()
            case "cut":
                self._plant(sink, self._insert(table, CUT), kind, DIVERGED)
            case _:
                self._plant(sink, self._insert(table, DROPPED), kind, MISSING)
        return f"{kind} in {table}"

    def poison(self) -> str:
        """A record that is no change, on a topic of the sink that has dead letters."""
        topic, partition = self.pipeline.changes["notes"], self.rng.randrange(PARTITIONS)

        def arrived(error: object, message: Message) -> None:
            assert error is None, error
            self.poisons.add((topic, partition, message.offset()))

        producer = Producer({"bootstrap.servers": self.pipeline.world.bootstrap, "log_level": 0})
        producer.produce(topic, POISON, partition=partition, on_delivery=arrived)
        assert producer.flush(60) == 0
        self._count("poison")
        return f"poison in {topic}:{partition}"

    def lose(self, sink: str) -> int:
        """Changes that the sink, which is stopped, will never read; how many records they are."""
        table, records = self.where[sink], 0
        for _ in range(self.rng.randrange(1, 6)):
            kind = self.rng.choice(("insert", "update", "delete")) if self._kept[table] else "insert"
            if kind == "insert":
                self._plant(sink, self._insert(table, PATCHED), "lost insert", MISSING)
                records += 1
                continue
            key = self._kept[table].pop(self.rng.randrange(len(self._kept[table])))
            statement = f"update {table} set {COLUMN[table]} = 'moved' where id = %s"
            if kind == "delete":
                statement = f"delete from {table} where id = %s"
            self._do(statement, key)
            self._plant(sink, key, f"lost {kind}", MISSING, DIVERGED)
            records += 1 if kind == "update" else 2  # a tombstone follows a delete
        return records

    def _wander(self) -> None:
        """A row's key changes: a delete of one key and an insert of another."""
        if self._wandering and self.rng.random() < 0.7:
            number, old = self._number(WANDERING), self._wandering.pop(self.rng.randrange(len(self._wandering)))
            self._do("update notes set id = %s where id = %s", number, old)
        else:
            number = self._insert("notes", WANDERING)
        self._wandering.append(number)

    def _plant(self, sink: str, key: int, kind: str, *states: str) -> None:
        table = self.where[sink]
        self.rows[sink, table, key] = Row(sink=sink, table=table, key=key, states=frozenset(states))
        self._count(kind)

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def _insert(self, table: str, beginning: int) -> int:
        number = self._number(beginning)
        self._do(INSERT[table], number)
        return number

    def _number(self, beginning: int) -> int:
        self._next += 1
        return beginning + self._next

    def _do(self, statement: str, *values: Any) -> None:
        self.pipeline.world.postgres.sql(self.pipeline.source, statement, values)
