"""``doctor``: the contracts that follow from what Connect says of its connectors, with a comment for all it can't say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.adapters.recording import RecordedTable, Recording
from app.config.settings import SinkSettings, described
from app.decode.envelope import EnvelopePlan
from app.decode.framing import schema_ids
from app.decode.images import ImageDecoder
from app.errors import BadInput, Undecodable
from app.evidence import connectors
from app.evidence.classes import Columns, columns_of, tolerances
from app.evidence.connectors import Proposal, SourceTable
from app.evidence.tables import StoreTerms

UNAVAILABLE = "__debezium_unavailable_value"


def recorded_contracts(directory: Path) -> Iterator[str]:
    """The configuration that a recording's connect.json calls for, as lines of TOML.

    Raises:
        BadInput: the recording has no answers of Connect, or no sink among them.
    """
    recording = Recording(directory)
    configs = {name: told.get("config") or {} for name, told in recording.connectors().items()}
    if not configs:
        raise BadInput(f"{directory}: it has no connect.json with connectors, and nothing to propose contracts from")
    sinks = {name: config for name, config in configs.items() if connectors.is_sink(config)}
    if not sinks:
        raise BadInput(f"{directory}/connect.json: none of {', '.join(sorted(configs))} is a sink")
    logs = _change_logs(configs)
    wanted = {topic for config in sinks.values() for topic in connectors.consumed(config, recording.topics())}
    source = _Recorded(recording, sorted(wanted), _unavailable(configs, logs))
    proposals = [connectors.propose(name, config, source.topics) for name, config in sorted(sinks.items())]
    for proposal in proposals:
        _add_stores(proposal, source, logs)
    yield from written(proposals, source.unavailable_value)


def _change_logs(configs: Mapping[str, Mapping[str, str]]) -> dict[connectors.Database, str]:
    """By database of some sink, the topic prefix of the source connector that reads it."""
    stores = {connectors.jdbc_database(c.get("connection.url", "")) for c in configs.values() if connectors.is_sink(c)}
    found = {}
    for config in configs.values():
        database = connectors.source_database(config) if connectors.is_source(config) else None
        if database is not None and database in stores:
            found[database] = config["topic.prefix"]
    return found


def _unavailable(configs: Mapping[str, Mapping[str, str]], logs: Mapping[connectors.Database, str]) -> str:
    """The placeholder's text of the sources that are no sink's change log."""
    texts = {
        config.get("unavailable.value.placeholder", UNAVAILABLE)
        for config in configs.values()
        if connectors.is_source(config) and config["topic.prefix"] not in logs.values()
    }
    return texts.pop() if len(texts) == 1 else UNAVAILABLE


class _Recorded:
    """What a recording says of its change topics."""

    def __init__(self, recording: Recording, topics: Sequence[str], unavailable_value: str) -> None:
        self.recording = recording
        self.unavailable_value = unavailable_value
        self.columns: dict[str, Columns] = {}
        self.topics: dict[str, SourceTable] = {}
        images = ImageDecoder(recording.schemas(), unavailable_value)
        for topic in topics:
            columns: dict[str, Any] = {}
            table = ""
            for raw in recording.partitions(topic):
                for number in sorted(schema_ids(raw)):
                    columns |= self._columns(number)
                table = table or next((image.table for image in images.decode(raw) if image.table), "")
            if columns and table:
                self.columns[topic] = columns
                self.topics[topic] = SourceTable(table, tuple(columns))

    def _columns(self, schema_id: int) -> Columns:
        try:
            schema = self.recording.schemas().get(schema_id)
            return columns_of(EnvelopePlan(schema, [frozenset()], self.unavailable_value))
        except (BadInput, Undecodable):
            return {}

    def tables_file(self, database: str) -> str | None:
        """The file that holds a database's tables."""
        name = f"tables_{database}.json.gz"
        return name if (self.recording.path / name).exists() else None


def _add_stores(proposal: Proposal, source: _Recorded, logs: Mapping[connectors.Database, str]) -> None:
    database = proposal.database
    if database is None:
        return
    prefix = logs.get(database)
    if prefix is not None:
        proposal.values["change_log"] = [f"/{prefix}[.].*/"]
    name = source.tables_file(database.name)
    if name is None:
        proposal.notes.append(f"the recording has no tables of {database.name}: rows can't be read back")
        return
    proposal.values["recorded_tables"] = name
    found = _tolerances(proposal, source, source.recording.tables(name))
    if found:
        proposal.values["tolerances"] = found


def _tolerances(proposal: Proposal, source: _Recorded, tables: Mapping[str, RecordedTable]) -> dict[str, list[str]]:
    """By column, what the types of the sink's table do to the source's values."""
    terms = StoreTerms(
        table_name=proposal.values.get("table_name", "${topic}"), tables=proposal.values.get("tables", {}),
        renames=proposal.values.get("renames", {}),
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for topic in proposal.values["topics"]:
        table = source.topics[topic].table
        kept = tables.get(terms.table_named(topic, "", "", table))
        if kept is None:
            proposal.notes.append(f"{topic}: its store has no table {terms.table_named(topic, '', '', table)}")
            continue
        kinds = dict(kept.columns)
        for column, what in source.columns[topic].items():
            words = list(tolerances(what, kinds.get(terms.name_in_sink(table, column), "")))
            if words:
                found[f"{table}.{column}"] = words
    return found


def written(proposals: list[Proposal], unavailable_value: str) -> Iterator[str]:
    """The configuration as TOML."""
    topics = sorted({topic for proposal in proposals for topic in proposal.values["topics"]})
    yield "# Proposed from what Connect says of its connectors. What it can't say stands in comments: read them."
    yield "[source]"
    yield f"topics = {json.dumps(topics)}"
    if unavailable_value != UNAVAILABLE:
        yield f"unavailable_value = {json.dumps(unavailable_value)}"
    kinds = {key: kind for key, _, kind, _ in described(SinkSettings)}
    for proposal in proposals:
        yield ""
        yield f"[sinks.{json.dumps(proposal.name)}]"
        for note in proposal.notes:
            yield f"# {note}"
        for key, value in proposal.values.items():
            yield f"{key} = {kinds[key].show(tuple(value) if isinstance(value, list) else value)}"
