"""A recording directory as plain records (protocol section 6)."""

from __future__ import annotations

import base64
import gzip
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One Kafka record; ``timestamp`` in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()

    def header(self, name: str) -> bytes | None:
        """The last header of that name."""
        return dict(self.headers).get(name)


@dataclass(slots=True, kw_only=True)
class Recording:
    """Records by topic and partition in offset order, schemas by id, and the configuration."""

    config: dict[str, Any]
    schemas: dict[int, Any]
    logs: dict[str, dict[int, list[Record]]] = field(default_factory=dict)


def unbase(text: str | None) -> bytes | None:
    """Bytes of base64, or nothing."""
    return None if text is None else base64.b64decode(text)


def base(data: bytes | None) -> str | None:
    """Base64 of bytes, or nothing."""
    return None if data is None else base64.b64encode(data).decode()


def as_line(record: Record) -> str:
    """The line of a topic's file."""
    return json.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key_b64": base(record.key),
            "value_b64": base(record.value),
            "headers": [[name, base(value)] for name, value in record.headers],
        }
    )


def of_line(line: str | bytes) -> Record:
    """The record of a line."""
    fields = json.loads(line)
    return Record(
        topic=fields["topic"],
        partition=fields["partition"],
        offset=fields["offset"],
        timestamp=fields["timestamp"],
        key=unbase(fields["key_b64"]),
        value=unbase(fields["value_b64"]),
        headers=tuple((name, unbase(value)) for name, value in fields["headers"]),
    )


def read(directory: Path) -> Recording:
    """Everything that a recording holds."""
    recording = Recording(
        config=tomllib.loads((directory / "config.toml").read_text(encoding="utf-8")),
        schemas={
            int(number): json.loads(text)
            for number, text in json.loads((directory / "schemas.json").read_text(encoding="utf-8")).items()
        },
    )
    for path in sorted(directory.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for record in map(of_line, lines):
                recording.logs.setdefault(record.topic, {}).setdefault(record.partition, []).append(record)
    for partitions in recording.logs.values():
        for records in partitions.values():
            records.sort(key=lambda record: record.offset)
    return recording


def write(directory: Path, recording: Recording, config_text: str) -> None:
    """Write a recording; ``config_text`` is the TOML that stands for its configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.toml").write_text(config_text, encoding="utf-8")
    (directory / "schemas.json").write_text(
        json.dumps({str(number): json.dumps(schema) for number, schema in recording.schemas.items()}), encoding="utf-8"
    )
    for topic, partitions in recording.logs.items():
        with gzip.open(directory / f"{topic}.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as lines:
            for records in partitions.values():
                lines.writelines(as_line(record) + "\n" for record in records)
