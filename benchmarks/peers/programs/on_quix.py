"""on_quix.py BOOTSTRAP SCHEMAS STATE NAME: the same verifier on Quix Streams 3.

Three topics are concatenated into one stateful function. Keys are left out, so that a change and its receipts meet in
one state of their partition; Quix keeps it in RocksDB with a changelog topic. It has no timers and no ranges, so what lies below
the fences is looked up offset by offset.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

from quixstreams import Application, State, message_context
from quixstreams.models.serializers import Deserializer
from records import Decoder
from topics import CHANGES, RECEIPTS, SINKS

CELL = struct.Struct(">BQQQ")
NOTHING = (0, 0, 0, 0)
KNOWN = 0b111
"""Change and both receipts."""


class NoKey(Deserializer):
    """No key for any record: receipts have none, and Quix keeps a state for each key."""

    def __call__(self, *_: Any, **__: Any) -> None:
        return None


class Partition:
    """How far everybody has come with one source partition."""

    def __init__(self) -> None:
        self.read = self.judged = 0
        self.fences = dict.fromkeys(SINKS, 0)


class Verifier:
    """The functions of the dataframe."""

    def __init__(self, schemas: Path) -> None:
        self.decoder = Decoder(schemas)
        self.partitions: dict[int, Partition] = {}
        self.is_first = True

    def change(self, value: bytes) -> tuple[int, int, int]:
        """A change as (place, offset, fingerprint); the place is 0."""
        if self.is_first:
            print("reading", flush=True)
            self.is_first = False
        return 0, message_context().offset, self.decoder.change(value)

    def evidence(self, value: bytes) -> tuple[int, int, int | None]:
        """A receipt likewise, its place being 1 or 2; a fence has no fingerprint."""
        sink, offset, fingerprint = self.decoder.evidence(value)
        return SINKS.index(sink) + 1, offset, fingerprint

    def join(self, event: tuple[int, int, int | None], *rest: Any) -> list[str]:
        """Take one event; the verdicts that follow from it. ``rest`` is key, timestamp, headers and state."""
        state: State = rest[-1]
        place, offset, fingerprint = event
        number = message_context().partition
        part = self.partitions.setdefault(number, Partition())
        if place == 0:
            part.read = offset + 1
        if fingerprint is None:
            part.fences[SINKS[place - 1]] = offset
            verdicts = []
        else:
            verdicts = list(self.note(state, number, offset, place, fingerprint))
        end = min(part.read, *part.fences.values())
        if end > part.judged:
            for below in range(part.judged, end):
                verdicts += self.judge(state, number, below)
            part.judged = end
        return verdicts

    def note(self, state: State, number: int, offset: int, place: int, fingerprint: int) -> list[str]:
        """Put a fingerprint into its cell; a cell that is complete is forgotten."""
        known, *seen = CELL.unpack(state.get_bytes(offset, CELL.pack(*NOTHING)))
        known |= 1 << place
        seen[place] = fingerprint
        wrong = []
        if known & 1:
            for other in (1, 2) if place == 0 else (place,):
                if known >> other & 1 and seen[other] != seen[0]:
                    wrong.append(f"DIVERGED,{SINKS[other - 1]},{CHANGES},{number},{offset}")
        if known == KNOWN:
            state.delete(offset)
        else:
            state.set_bytes(offset, CELL.pack(known, *seen))
        return wrong

    def judge(self, state: State, number: int, offset: int) -> list[str]:
        """A cell below both fences that is there still lacks a receipt."""
        cell = state.get_bytes(offset)
        if cell is None:
            return []
        state.delete(offset)
        return [
            f"MISSING,{sink},{CHANGES},{number},{offset}"
            for place, sink in enumerate(SINKS, 1)
            if not cell[0] >> place & 1
        ]


def main(bootstrap: str, schemas: Path, state: Path, name: str) -> None:
    """Build the dataframe and run it until a signal."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir=state / "quix",
        loglevel="ERROR",
    )
    verifier = Verifier(schemas)

    def topic(topic_name: str) -> Any:
        return app.topic(topic_name, key_deserializer=NoKey(), value_deserializer="bytes")

    events = app.dataframe(topic(CHANGES)).apply(verifier.change)
    for receipts in RECEIPTS:
        events = events.concat(app.dataframe(topic(receipts)).apply(verifier.evidence))
    told = events.apply(verifier.join, stateful=True, metadata=True, expand=True)
    told.to_topic(app.topic(name, value_serializer="string", key_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
