"""Recordings: a directory that stands for a piece of Kafka (protocol section 6)."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.decode.schemas import RecordedSchemas
from app.errors import BadInput
from app.model import RawBatch, RawRecord

SUFFIX = ".jsonl.gz"
_MALFORMED = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTable:
    """One table of a sink's store: (name, short name of the type) of its columns, and its rows as PostgreSQL's text."""

    columns: list[tuple[str, str]]
    rows: list[list[str | None]]


class Recording:
    """A recording on disk.

    Raises:
        BadInput: there is no such directory.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise BadInput(f"{path} is no directory; a recording is a directory of <topic>{SUFFIX} files")
        self.path = path

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.path / "config.toml"

    def schemas(self) -> RecordedSchemas:
        """Its writer schemas."""
        return RecordedSchemas.of(self.path / "schemas.json")

    def topics(self) -> list[str]:
        """Every topic recorded, sorted."""
        return sorted(file.name.removesuffix(SUFFIX) for file in self.path.glob(f"*{SUFFIX}"))

    def tables(self, name: str) -> dict[str, RecordedTable]:
        """The tables of a sink's store in one file of the recording; raises `BadInput` where it is no such file."""
        file = self.path / name
        try:
            with gzip.open(file, "rt") as text:
                return {
                    table: RecordedTable(
                        columns=[(column["name"], column["udt"]) for column in told["columns"]],
                        rows=told["rows_as_pg_text"],
                    )
                    for table, told in json.load(text).items()
                }
        except _MALFORMED as error:
            raise BadInput(f"{file}: no tables of a store: {error}") from error

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """The offsets that a consumer group had committed at the recording's end; empty where nobody knows."""
        file = self.path / "consumer_groups.json"
        if not file.exists():
            return {}
        try:
            told = json.loads(file.read_text()).get(group, ())
            return {(one["topic"], one["partition"]): one["committed"] for one in told if one["committed"] >= 0}
        except _MALFORMED as error:
            raise BadInput(f"{file}: no committed offsets of groups: {error}") from error

    def connectors(self) -> dict[str, dict[str, Any]]:
        """What Connect answered: by connector ``config``, ``status``, ``offsets``; empty where nobody asked."""
        file = self.path / "connect.json"
        if not file.exists():
            return {}
        try:
            found: dict[str, dict[str, Any]] = json.loads(file.read_text())
        except _MALFORMED as error:
            raise BadInput(f"{file}: no answers of Connect: {error}") from error
        return found

    def partitions(self, topic: str) -> list[RawBatch]:
        """A topic's partitions, each whole, ascending; none where the topic was not recorded.

        A batch starts at its first record: what lay below a log's start at first sight is not lost. A record that was
        captured twice is one record.

        Raises:
            BadInput: a line that is no record of this topic, or two different ones of one offset.
        """
        file = self.path / f"{topic}{SUFFIX}"
        if not file.exists():
            return []
        found: dict[int, dict[int, RawRecord]] = {}
        for partition, record in _records(file, topic):
            if found.setdefault(partition, {}).setdefault(record.offset, record) != record:
                raise BadInput(f"{file.name}: two different records of partition {partition}, offset {record.offset}")
        batches = []
        for partition, by_offset in sorted(found.items()):
            records = [by_offset[offset] for offset in sorted(by_offset)]
            batches.append(RawBatch.of(topic, partition, records, records[0].offset, records[-1].offset + 1))
        return batches


def _records(file: Path, topic: str) -> Iterator[tuple[int, RawRecord]]:
    number = 0
    try:
        with gzip.open(file, "rt") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - named in the error
                yield _record(json.loads(line), topic)
    except _MALFORMED as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(f"{file.name}, line {number}: not a recorded record: {told}") from error


def _record(line: dict[str, Any], topic: str) -> tuple[int, RawRecord]:
    if line["topic"] != topic:
        raise ValueError(f"it is of topic {line['topic']!r}")
    headers = tuple((name, _bytes(value)) for name, value in line.get("headers") or ())
    timestamp = _whole(line, "timestamp", -1 << 63, 1 << 63)
    key, value = _bytes(line["key_b64"]), _bytes(line["value_b64"])
    return _whole(line, "partition", 0, 1 << 31), RawRecord(
        _whole(line, "offset", 0, 1 << 63), timestamp, key, value, headers
    )


def _whole(line: dict[str, Any], name: str, least: int, end: int) -> int:
    value = int(line[name])
    if not least <= value < end:
        raise ValueError(f"{name} {value} is not from {least} to {end - 1}")
    return value


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def write_topic(directory: Path, topic: str, records: Iterable[tuple[int, RawRecord]]) -> None:
    """Write one topic of a recording, as (partition, record)."""
    with gzip.open(directory / f"{topic}{SUFFIX}", "wt") as lines:
        for partition, record in records:
            line = {
                "topic": topic,
                "partition": partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "key_b64": _text(record.key),
                "value_b64": _text(record.value),
                "headers": [[name, _text(value)] for name, value in record.headers],
            }
            lines.write(json.dumps(line) + "\n")


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
