"""``verify`` and ``changes``: a recording judged by the fold that runs live (protocol section 6)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.adapters.recording import Recording
from app.cli.coverage import coverage_lines
from app.config.load import load
from app.decode.decoders import change_decoder
from app.decode.listing import change_lines
from app.errors import BadInput
from app.model import State
from app.repair import reporting
from app.worker.recorded import RecordedRun

Line = dict[str, Any]

WRONG_STATES = frozenset(
    state.word for state in (State.MISSING, State.DIVERGED, State.REJECTED, State.DUPLICATED, State.UNVERIFIABLE)
)
WRONG_KINDS = frozenset({"orphan", "contradicted", "unreadable", "unknown_sink"})


def open_run(recording: Path, config: Path | None = None, grace_s: float | None = None) -> RecordedRun:
    """A recording with its configuration, read but not judged.

    Raises:
        BadInput: the recording or the configuration can't be used.
    """
    found = Recording(recording)
    settings = load(config or found.config, os.environ)
    if not settings.sinks:
        raise BadInput(f"{config or found.config}: no [sinks.<name>] is configured, so that nothing would be judged")
    return RecordedRun(settings, found, None if grace_s is None else round(grace_s * 1000))


def verify_lines(recording: Path, config: Path | None = None, grace_s: float | None = None) -> list[Line]:
    """The objects that ``verify --json`` prints, in its order."""
    run = open_run(recording, config, grace_s)
    run.run()
    return [*run.lines(), *coverage_lines(map(reporting.watermark, run.sinks()))]


def is_wrong(lines: Iterable[Line]) -> bool:
    """Whether something is bad, orphaned, contradicted, unverifiable, unexpected, unreadable or of an unknown sink."""
    return any(
        line["kind"] in WRONG_KINDS
        or (line["kind"] == "cell" and (line["state"] in WRONG_STATES or "unexpected" in line["flags"]))
        for line in lines
    )


def recorded_changes(recording: Path, config: Path | None = None) -> Iterator[Line]:
    """The objects that ``changes --json`` prints: every record of the source's topics, no column ignored."""
    found = Recording(recording)
    settings = load(config or found.config, os.environ)
    source = settings.source
    decoder = change_decoder(found.schemas(), [frozenset()], source.unavailable_value, dict(source.column_types))
    for topic in settings.source_topics(found.topics()):
        for raw in found.partitions(topic):
            yield from change_lines(decoder.decode(raw))
