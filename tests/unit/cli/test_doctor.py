"""What ``doctor`` prints of connectors: a configuration that loads, with a comment for all that nobody but a person knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from app.cli.doctor import contracts
from app.config.load import load
from app.config.settings import Settings
from app.decode.atoms import Tag
from app.errors import BadInput
from app.evidence.classes import Columns
from app.evidence.connectors import Database, Proposal, SourceTable
from tests.unit.evidence.sinks import DEBEZIUM, JDBC, KAFKA, KINDS, TYPED, configured, unwrap

SOURCE = {
    "connector.class": DEBEZIUM + "connector.postgresql.PostgresConnector", "topic.prefix": "shop",
    "database.hostname": "src", "database.dbname": "shop",
}  # fmt: skip
SINK = JDBC | {"topics": ",".join(TYPED)}


class Small:
    """An installation whose store has one table."""

    columns: Mapping[str, Columns] = {"shop.public.things": {"total": (Tag.DECIMAL, ""), "code": (Tag.TEXT, "")}}

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics: Mapping[str, SourceTable] = {topic: TYPED[topic] for topic in topics}

    def add_store(self, proposal: Proposal, database: Database) -> Mapping[str, Mapping[str, str]]:
        proposal.values["store"] = f"postgresql://reader@{database.host}:{database.port}/{database.name}"
        return {"shop_public_things": {"total": "float8", "label": "bpchar"}}


def printed(configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    return list(contracts(configs, list(TYPED), lambda topics, _: Small(topics), "connect"))


def comments(lines: Sequence[str]) -> list[str]:
    return [line for line in lines[1:] if line.startswith("#")]


def loaded(lines: Sequence[str], tmp_path) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text("\n".join(lines))
    return load(file, {})


def test_what_a_chain_comes_to_is_a_configuration_that_loads(tmp_path):
    chain = configured(
        SINK | {"primary.key.mode": "record_value", "primary.key.fields": "label", "delete.enabled": "false"},
        unwrap(),
        ("r", {"type": KAFKA + "ReplaceField$Value", "renames": "code:label"}),
        ("c", {"type": KAFKA + "Cast$Value", "spec": "total:float32,id:int8"}),
    )
    lines = printed({"sink": chain, "source": SOURCE})
    sink = loaded(lines, tmp_path).sinks["sink"]

    assert dict(sink.keys) == {"things": ("code",)}
    assert dict(sink.renames) == {"things.code": "label"}
    assert sink.ignore_columns == ("things.id",)
    assert dict(sink.tolerances) == {"things.code": ("blanks",), "things.total": ("float32", "double")}
    assert any("things.id is cast to int8" in line for line in comments(lines))
    assert sink.store == "postgresql://reader@db:5433/store"


def test_a_sink_that_can_t_be_foreseen_gets_no_store(tmp_path):
    lines = printed({"sink": configured(SINK, unwrap(), ("f", {"type": DEBEZIUM + "transforms.Filter"}))})

    assert loaded(lines, tmp_path).sinks["sink"].store is None
    assert any("rows or rows_out" in line for line in comments(lines))


def test_a_source_whose_topics_hold_no_changes_is_told_first(tmp_path):
    source = configured(SOURCE, ("outbox", {"type": DEBEZIUM + "transforms.outbox.EventRouter"}))
    lines = printed({"sink": SINK, "outbox-source": source})

    assert comments(lines)[0].startswith(
        "# outbox-source: its transform outbox is io.debezium.transforms.outbox.EventRouter: "
    )
    assert loaded(lines, tmp_path)


def test_types_of_tables_that_a_value_names_are_not_looked_at(tmp_path):
    lines = printed({"sink": configured(SINK, unwrap(route_by_field="code"))})
    found = loaded(lines, tmp_path).sinks["sink"]

    assert dict(found.tables) == {"shop.public.things": "${column.code}"}
    assert dict(found.tolerances) == {}
    assert any("named after a value of each row" in line for line in comments(lines))


def test_a_filtered_sink_is_left_out():
    lines = printed({"sink": configured(SINK, ("f", {"type": KAFKA + "Filter"}))})

    assert "# sink is left out:" in lines
    assert any("drops every record of shop.public.things" in line for line in lines)


def test_an_installation_without_sinks_has_nothing_to_propose():
    with pytest.raises(BadInput, match="none of its connectors"):
        printed({"source": SOURCE})


def test_every_known_column_has_a_type():
    assert set(TYPED["shop.public.things"].columns) == set(KINDS)
