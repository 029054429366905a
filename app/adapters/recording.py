"""Recordings: a directory that stands for a piece of Kafka (protocol section 6)."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.decode.schemas import RecordedSchemas
from app.errors import BadInput
from app.model import RawBatch, RawRecord

SUFFIX = ".jsonl.gz"


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

    def partitions(self, topic: str) -> list[RawBatch]:
        """A topic's partitions, each whole, ascending; none where the topic was not recorded.

        A batch starts at its first record: what lay below a log's start at first sight is not lost.
        """
        file = self.path / f"{topic}{SUFFIX}"
        if not file.exists():
            return []
        found: dict[int, list[RawRecord]] = {}
        for partition, record in _records(file, topic):
            found.setdefault(partition, []).append(record)
        batches = []
        for partition, records in sorted(found.items()):
            records.sort(key=lambda record: record.offset)
            batches.append(RawBatch.of(topic, partition, records, records[0].offset, records[-1].offset + 1))
        return batches


def _records(file: Path, topic: str) -> Iterator[tuple[int, RawRecord]]:
    number = 0
    try:
        with gzip.open(file, "rt") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - named in the error
                yield _record(json.loads(line), topic)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file.name}, line {number}: not a recorded record: {error}") from error


def _record(line: dict[str, Any], topic: str) -> tuple[int, RawRecord]:
    if line["topic"] != topic:
        raise ValueError(f"it is of topic {line['topic']!r}")
    headers = tuple((name, _bytes(value)) for name, value in line.get("headers") or ())
    record = RawRecord(
        int(line["offset"]), int(line["timestamp"]), _bytes(line["key_b64"]), _bytes(line["value_b64"]), headers
    )
    return int(line["partition"]), record


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
