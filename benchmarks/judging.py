"""Right or wrong: what a verifier said of the load, held against what was planted in it."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import fastavro

from benchmarks.load import Fault

Decode = Callable[[bytes], Fault]
"""A record of a topic of verdicts."""


@dataclass(frozen=True, slots=True)
class Score:
    """How the found compares with the planted."""

    planted: int
    missed: int
    false: int

    @property
    def is_right(self) -> bool:
        """Everything planted was found, and nothing else."""
        return self.missed == self.false == 0

    def __str__(self) -> str:
        if self.is_right:
            return f"right ({self.planted} of {self.planted})"
        return f"WRONG ({self.missed} of {self.planted} missed, {self.false} false)"


def score(found: AbstractSet[Fault], planted: AbstractSet[Fault]) -> Score:
    """The same fault told twice is one; one with another state is missed and false."""
    return Score(len(planted), len(planted - found), len(found - planted))


def decoded_text(value: bytes) -> Fault:
    """A verdict of a peer's program: ``STATE,sink,topic,partition,offset``."""
    state, sink, topic, partition, offset = value.decode().split(",")
    return Fault(sink, topic, int(partition), int(offset), state)


SchemaOf = Callable[[int], str | None]
"""A schema's text by its id, as the registry knows it."""


def registered_decoder(schema_of: SchemaOf) -> Decode:
    """Reads the verifier's own topic of verdicts.

    Findings beside cells stand on that topic, too. None is planted, so each of them counts as a false one.
    """

    def decode(value: bytes) -> Fault:
        told = decoded_verdict(schema_of, value)
        if "state" not in told:
            return Fault("", "", -1, -1, f"finding: {told}")
        return Fault(told["sink"], told["topic"], told["partition"], told["offset"], told["state"])

    return decode


def decoded_verdict(schema_of: SchemaOf, value: bytes) -> dict[str, Any]:
    """A record of the topic of verdicts: a Verdict, or a Finding, which has no ``state``."""
    text = schema_of(int.from_bytes(value[1:5], "big"))
    told: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(value[5:]), _parsed(text or ""), None)
    return told


@functools.cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))
