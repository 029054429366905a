"""What our own topics tell, read back: the inverse of `app.adapters.encode`, for commands that need no worker.

Every record is read by its writer's schema and resolved to ours, so that a command reads what other versions wrote.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import fastavro

import schemas
from app.adapters.encode import Datum
from app.decode.framing import unframed
from app.decode.schemas import SchemaSource
from app.errors import BadInput
from app.model import ChangeKind, Flag, Level, Origin, State
from app.model.effects import Contradicted, Finding, Orphan, SinkWatermark, UnknownSink, Unreadable, Verdict

Told = SinkWatermark | Verdict | Finding

_PLACE = ("sink", "generation", "topic", "epoch", "partition")
_SAME = (
    "frontier", "settled_watermark", "verified_watermark", "settled_ts_ms", "verified_ts_ms", "seals", "at", "owner",
    "beginning", "next_offset", "fence", "fence_at", "held_from", "rows", "status", "status_cause", "rebuild_from",
)  # fmt: skip
_VERDICT_SAME = (
    "id",
    "offset",
    "key_hash",
    "expected_fingerprint",
    "seen_fingerprint",
    "fence",
    "closed",
    "at",
    "reason",
)


class ToldReader:
    """Reads records of our own topics.

    Args:
        writers: schemas by id, fetched ahead.
    """

    def __init__(self, writers: SchemaSource) -> None:
        self._writers = writers
        self._plans: dict[int, tuple[Any, str]] = {}

    def told(self, value: bytes | None) -> Told:
        """What one record tells.

        Raises:
            BadInput: it is none of ours; the caller adds the coordinates.
        """
        if value is None:
            raise BadInput("a null value")
        number, body = unframed(value)
        writer, name = self._plan(number)
        if name not in _READERS:
            raise BadInput(f"a record named {name!r}")
        try:
            datum: Any = fastavro.schemaless_reader(io.BytesIO(body), writer, _ours(name))
        except Exception as error:  # whatever foreign bytes make of a decoder
            raise BadInput(f"no {name}: {type(error).__name__}: {error}") from error
        told: Told = _READERS[name](datum)
        return told

    def _plan(self, number: int) -> tuple[Any, str]:
        if number not in self._plans:
            schema: Any = self._writers.get(number)
            name = schema.get("name", "") if isinstance(schema, dict) else ""
            self._plans[number] = (fastavro.parse_schema(schema) if name in _READERS else None, name)
        return self._plans[number]


@cache
def _ours(name: str) -> Any:
    return fastavro.parse_schema(schemas.load(name))


def watermark_of(datum: Datum) -> SinkWatermark:
    """Where a sink stands, of an Avro ``Watermark``."""
    return SinkWatermark(
        **{name: datum[name] for name in (*_PLACE, *_SAME)},
        open_counts=_counts(datum["open_counts"]),
        counts=_counts(datum["counts"]),
        flags=tuple(datum["flags"].get(Flag(1 << bit).words()[0], 0) for bit in range(8)),
        seal_hash=datum["seal_hash"] or b"",
        is_ended=datum["ended"],
        levels=_levels(datum["levels"]),
        bad_levels=_levels(datum["bad_levels"]),
    )


def verdict_of(datum: Datum) -> Verdict:
    """What a fence found about one cell, of an Avro ``Verdict``."""
    return Verdict(
        **{name: datum[name] for name in (*_PLACE, *_VERDICT_SAME)},
        state=State[datum["state"]],
        flags=Flag(sum(Flag[word.upper()] for word in datum["flags"] if word.upper() in Flag.__members__)),
        change=ChangeKind[datum["change"]],
        fence_origin=_origin(datum["fence_origin"]),
        level=_level(datum["level"]),
    )


def finding_of(datum: Datum) -> Finding:
    """What was found beside cells, of an Avro ``Finding``."""
    place = {name: datum[name] for name in ("topic", "partition", "offset")}
    match datum["kind"]:
        case "ORPHAN":
            return Orphan(sink=datum["sink"], origin=_origin(datum["origin"]), **place)
        case "CONTRADICTED":
            return Contradicted(sink=datum["sink"], origin=_origin(datum["origin"]), **place)
        case "UNKNOWN_SINK":
            return UnknownSink(sink=datum["sink"] or "", reason=datum["reason"] or "", **place)
        case _:
            return Unreadable(reason=datum["reason"] or "", **place)


def _counts(told: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(told.get(state.word, 0) for state in State)


def _levels(told: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(told.get(level.word, 0) for level in Level)


def _level(word: str | None) -> Level | None:
    """None, too, for the word of a later version."""
    return next((level for level in Level if level.word == word), None)


def _origin(told: Datum) -> Origin:
    return Origin(told["topic"], told["partition"], told["offset"])


_READERS: Mapping[str, Any] = {"Watermark": watermark_of, "Verdict": verdict_of, "Finding": finding_of}
