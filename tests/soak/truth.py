"""Whether everything that was planted was told, and nothing else at any moment: the verdicts topic read whole.

The truth about rows is a comparison of the sinks' databases with the source's at the end: what is not as it should be there
must be told of the newest change of its key.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.soak.planted import DIVERGED, REJECTED, Planter
from tests.stack.reading import Telling, Told, read_records
from tests.stack.world import UNAVAILABLE, Pipeline

BAD = frozenset({"MISSING", "DIVERGED", "REJECTED", "DUPLICATED"})
WRONG = BAD | {"UNVERIFIABLE"}

Place = tuple[str, int, int]
"""A change: topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Change:
    """One record of a change topic; ``key`` is the first column's value, None where it has none."""

    place: Place
    key: Any
    has_value: bool
    is_placeholder: bool


class Truth:
    """What may be told, and what must.

    Args:
        reader: every record of a change topic.
    """

    def __init__(
        self, pipeline: Pipeline, planter: Planter, telling: Telling, reader: Callable[[str], Iterable[Change]]
    ) -> None:
        self.pipeline = pipeline
        self.planter = planter
        self.telling = telling
        self._reader = reader
        self._changes: dict[str, dict[Place, Change]] = {}

    def false_alarms(self) -> list[Told]:
        """Verdicts that nothing that was planted accounts for."""
        return [one for one in self.telling.verdicts() if not self._may_be_told(one)]

    def untold(self) -> Iterator[str]:
        """What must be told and is not, as the last word of its cell."""
        last = {(one["sink"], _place(one)): one for one in self.telling.verdicts()}
        for sink, place, states in self._due():
            told = last.get((sink, place))
            if told is None:
                yield f"{sink} {place}: nothing was told, one of {sorted(states)} was planted"
            elif told["closed"] or told["state"] not in states:
                yield f"{sink} {place}: last told {told['state']} (closed: {told['closed']}), planted {sorted(states)}"

    def due(self) -> int:
        """How much must be told."""
        return len(list(self._due()))

    def miscounted(self) -> Iterator[str]:
        """Law 1 at the end: every record is one cell; what is open and bad is what verdicts say, and no more."""
        for topics in (self.pipeline.topics(sink) for sink in self.pipeline.sinks):
            for topic in topics:
                self._read(topic)
        records: Counter[tuple[str, int]] = Counter()
        for changes in self._changes.values():
            records.update((place[0], place[1]) for place in changes)
        open_bad: Counter[tuple[str, str, int]] = Counter()
        last = {(one["sink"], _place(one)): one for one in self.telling.verdicts()}
        for (sink, place), one in last.items():
            open_bad[sink, place[0], place[1]] += not one["closed"] and one["state"] in BAD
        for name, told in self.telling.watermarks().items():
            cells = sum(told["counts"].values())
            if cells != records[name[1:]]:
                yield f"{name}: {records[name[1:]]} records and {cells} cells"
            bad = sum(count for state, count in told["open_counts"].items() if state.upper() in BAD)
            if bad != open_bad[name]:
                yield f"{name}: {bad} open bad cells, and verdicts of {open_bad[name]}"

    def strangers(self) -> dict[str, list[object]]:
        """Rows of a sink that are not as they should be though nobody planted it, by sink and table."""
        found = defaultdict(list)
        for sink in self.pipeline.sinks:
            for table, rows in self.pipeline.differences(sink).items():
                found[f"{sink}.{table}"] += [row for row in rows if (sink, table, row[0]) not in self.planter.rows]
        return {where: rows for where, rows in found.items() if rows}

    def _may_be_told(self, one: Told) -> bool:
        place, sink = _place(one), one["sink"]
        if sink == self.pipeline.sink_b and place in self.planter.poisons:
            return one["state"] == REJECTED
        change = self._change(place)
        if change is None:
            return False
        if place[0] == self.pipeline.changes["documents"]:
            return change.is_placeholder and one["state"] not in WRONG - {DIVERGED}
        row = self.planter.rows.get((sink, self._table(place[0]), change.key))
        return row is not None and (one["state"] in row.states or one["state"] not in WRONG)

    def _due(self) -> Iterator[tuple[str, Place, frozenset[str]]]:
        """Sink, change and states of everything that must be told."""
        for place in sorted(self.planter.poisons):
            yield self.pipeline.sink_b, place, frozenset({REJECTED})
        for sink, table in self.planter.where.items():
            newest = self._newest(table)
            for (key,) in sorted(self.pipeline.differences(sink).get(table, {})):
                if row := self.planter.rows.get((sink, table, key)):
                    yield sink, newest[key], row.states
        newest = self._newest("documents")
        for (key,) in self.pipeline.rows(self.pipeline.source, "documents"):
            if uuid.UUID(str(key)) in self.pipeline.shop.untouched:
                yield self.pipeline.sink_a, newest[str(key)], frozenset({DIVERGED})

    def _newest(self, table: str) -> dict[Any, Place]:
        """By key, the newest change that is no tombstone."""
        changes = self._read(self.pipeline.changes[table])
        return {one.key: one.place for one in sorted(changes.values(), key=lambda one: one.place) if one.has_value}

    def _table(self, topic: str) -> str:
        return topic.rpartition(".")[2]

    def _change(self, place: Place) -> Change | None:
        """Read again where it is not known yet."""
        known = self._changes.get(place[0], {})
        return known.get(place) or self._read(place[0]).get(place)

    def _read(self, topic: str) -> dict[Place, Change]:
        self._changes[topic] = {change.place: change for change in self._reader(topic)}
        return self._changes[topic]


def changes_of(pipeline: Pipeline, telling: Telling, topic: str) -> Iterator[Change]:
    """Every record of a change topic."""
    for message in read_records(pipeline.world.bootstrap, topic):
        value, key = message.value(), None
        if message.key() is not None:
            _, columns = telling.decoded(message.key())
            key = next(iter(columns.values()))
        place = (topic, message.partition(), message.offset())
        yield Change(place, key, value is not None, value is not None and UNAVAILABLE.encode() in value)


def _place(one: Told) -> Place:
    return one["topic"], one["partition"], one["offset"]
