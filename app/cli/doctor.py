"""``doctor``: the contracts that follow from what Connect says of its connectors, with a comment for all it can't say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from app.adapters.recording import Recording
from app.config.load import load
from app.config.settings import SinkSettings, described
from app.errors import BadInput
from app.evidence import connectors
from app.evidence.classes import Columns, TableTypes, add_tolerances, described_topics, tolerances_of
from app.evidence.connectors import Proposal, SourceTable

UNAVAILABLE = "__debezium_unavailable_value"


Configs = Mapping[str, Mapping[str, str]]
"""Connectors' configurations by name. They may hold secrets: nothing of them is printed but what is picked out."""


class Installation(Protocol):
    """What a cluster, or a recording of one, says of its change topics and of sinks' stores."""

    @property
    def topics(self) -> Mapping[str, SourceTable]:
        """The change topics, with the source's tables."""

    @property
    def columns(self) -> Mapping[str, Columns]:
        """The columns of their rows."""

    def add_store(self, proposal: Proposal, database: connectors.Database) -> TableTypes:
        """Say in a proposal how the rows of its store are read; the types of the store's tables, as far as they are known."""


def recorded_contracts(directory: Path) -> Iterator[str]:
    """The configuration that a recording's connect.json calls for, as lines of TOML.

    Raises:
        BadInput: the recording has no answers of Connect, or no sink among them.
    """
    recording = Recording(directory)
    configs = {name: told.get("config") or {} for name, told in recording.connectors().items()}
    if not configs:
        raise BadInput(f"{directory}: it has no connect.json with connectors, and nothing to propose contracts from")
    yield from contracts(
        configs,
        recording.topics(),
        lambda topics, text: _Recorded(recording, topics, text),
        f"{directory}/connect.json",
    )


def live_contracts(config: Path) -> Iterator[str]:
    """The configuration that the connectors of a cluster call for, as lines of TOML.

    Raises:
        BadInput: the configuration names no cluster, or no connector is a sink.
        Unavailable: Kafka, the registry or Connect does not answer.
    """
    from topologies.doctoring import LiveInstallation  # noqa: PLC0415 - a recording needs no Kafka

    settings = load(config, os.environ, is_begun=False)
    installation = LiveInstallation(settings)
    yield from contracts(installation.configs(), installation.existing, installation.look, settings.connect.url or "")


def contracts(
    configs: Configs, existing: Sequence[str], look: Callable[[Sequence[str], str], Installation], where: str
) -> Iterator[str]:
    """The configuration that some connectors call for, as lines of TOML.

    Args:
        existing: every topic there is.
        look: at some change topics; its second argument is the unavailable-value placeholder.
        where: the configurations come from.

    Raises:
        BadInput: no connector is a sink.
    """
    sinks = {name: config for name, config in configs.items() if connectors.is_sink(config)}
    if not sinks:
        raise BadInput(f"{where}: none of its connectors ({', '.join(sorted(configs)) or 'it has none'}) is a sink")
    logs = _change_logs(configs)
    unavailable_value = _unavailable(configs, logs)
    wanted = {topic for config in sinks.values() for topic in connectors.consumed(config, existing)}
    source = look(sorted(wanted), unavailable_value)
    proposals = [connectors.propose(name, config, source.topics) for name, config in sorted(sinks.items())]
    for proposal in proposals:
        _add_store(proposal, source, logs)
    problems = [
        problem
        for name, config in sorted(configs.items())
        if connectors.is_source(config)
        for problem in connectors.source_problems(name, config)
    ]
    yield from written(proposals, unavailable_value, problems)


def _change_logs(configs: Configs) -> dict[connectors.Database, str]:
    """By database of some sink, the topic prefix of the source connector that reads it."""
    stores = {connectors.jdbc_database(c.get("connection.url", "")) for c in configs.values() if connectors.is_sink(c)}
    found = {}
    for config in configs.values():
        database = connectors.source_database(config) if connectors.is_source(config) else None
        if database is not None and database in stores:
            found[database] = config["topic.prefix"]
    return found


def _unavailable(configs: Configs, logs: Mapping[connectors.Database, str]) -> str:
    """The placeholder's text of the sources that are no sink's change log."""
    texts = {
        config.get("unavailable.value.placeholder", UNAVAILABLE)
        for config in configs.values()
        if connectors.is_source(config) and config["topic.prefix"] not in logs.values()
    }
    return texts.pop() if len(texts) == 1 else UNAVAILABLE


class _Recorded:
    """What a recording says."""

    def __init__(self, recording: Recording, topics: Sequence[str], unavailable_value: str) -> None:
        self.recording = recording
        raws = (raw for topic in topics for raw in recording.partitions(topic))
        self.topics, self.columns = described_topics(raws, recording.schemas(), unavailable_value)

    def add_store(self, proposal: Proposal, database: connectors.Database) -> TableTypes:
        """The tables stand in a file that is named for their database."""
        name = f"tables_{database.name}.json.gz"
        if not (self.recording.path / name).exists():
            proposal.notes.append(f"the recording has no tables of {database.name}: rows can't be read back")
            return {}
        proposal.values["recorded_tables"] = name
        return {table: dict(kept.columns) for table, kept in self.recording.tables(name).items()}


def _add_store(proposal: Proposal, source: Installation, logs: Mapping[connectors.Database, str]) -> None:
    if proposal.database is None or not proposal.is_readable:
        return
    prefix = logs.get(proposal.database)
    if prefix is not None:
        proposal.values["change_log"] = [f"/{prefix.replace('.', '[.]')}[.].*/"]
    tables = source.add_store(proposal, proposal.database)
    found = tolerances_of(proposal, source.topics, source.columns, tables) if tables else {}
    add_tolerances(proposal, found)


def written(proposals: list[Proposal], unavailable_value: str, problems: Sequence[str] = ()) -> Iterator[str]:
    """The configuration as TOML.

    Args:
        problems: of the source connectors.
    """
    topics = sorted({topic for proposal in proposals for topic in proposal.values["topics"]})
    yield "# Proposed from what Connect says of its connectors. What it can't say stands in comments: read them."
    yield from (f"# {problem}" for problem in problems)
    yield "[source]"
    yield f"topics = {json.dumps(topics)}"
    if unavailable_value != UNAVAILABLE:
        yield f"unavailable_value = {json.dumps(unavailable_value)}"
    kinds = {key: kind for key, _, kind, _ in described(SinkSettings)}
    for proposal in proposals:
        yield ""
        if not proposal.values["topics"]:
            yield f"# {proposal.name} is left out:"
            yield from (f"# {note}" for note in proposal.notes)
            continue
        yield f"[sinks.{json.dumps(proposal.name)}]"
        for note in proposal.notes:
            yield f"# {note}"
        for key, value in proposal.values.items():
            yield f"{key} = {kinds[key].show(tuple(value) if isinstance(value, list) else value)}"
