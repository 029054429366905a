"""Settings: defaults, the environment, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Secret, Settings, live_problems, load, show
from app.errors import ConfigError

EVERY_KEY = """
[kafka]
brokers = ["localhost:9092"]
[registry]
url = "http://localhost:8081"
[connect]
url = "http://localhost:8083"
[state]
dir = "state"

[source]
topics = ["shop.public.orders"]
unavailable_value = "__debezium_unavailable_value"

[sinks.warehouse]
topics = ["shop.public.orders"]
receipts = ["receipts.warehouse"]
dead_letters = ["dlq.warehouse"]
success_topics = []
connector = "warehouse-sink"
group = "connect-warehouse-sink"
start = "earliest"
evidence = "receipts"
fences = "emitter"
expect = "every-change"
writes = "upsert"
grace = "30s"
late_after = "10s"
deletes = "apply"
truncates = "ignore"
redelivery = "legal"
ignore_columns = ["orders.updated_at"]
mode = "dry-run"
commands_per_minute = 60
command_ttl = "1h"
"""

SMALL = """
[source]
topics = ["orders", "/shop[.]public[.].*/"]
[sinks.data-lake]
connector = "lake"
[sinks.warehouse]
receipts = ["receipts"]
"""


def read(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "verifier.toml"
    path.write_text(text)
    return load(path, environ)


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    return caught.value.problems


def test_every_key_of_the_protocol_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, EVERY_KEY)
    sink = settings.sinks["warehouse"]

    assert settings.kafka.brokers == ("localhost:9092",)
    assert settings.connect.url == "http://localhost:8083"
    assert (sink.grace_ms, sink.late_after_ms, sink.command_ttl_ms) == (30_000, 10_000, 3_600_000)
    assert sink.ignore_columns == ("orders.updated_at",)
    assert live_problems(settings) == []


def test_the_protocols_example_says_the_defaults(tmp_path: Path) -> None:
    given = read(tmp_path, EVERY_KEY).sinks["warehouse"]
    text = '[source]\ntopics = ["shop.public.orders"]\n[sinks.warehouse]\nreceipts = ["receipts.warehouse"]\n'
    default = read(tmp_path, text).sinks["warehouse"]
    chosen = {"dead_letters", "connector", "group", "ignore_columns"}

    for name in set(given.__dataclass_fields__) - chosen:
        assert getattr(default, name) == getattr(given, name), name


def test_defaults_depend_on_receipts_connector_and_source(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALL)
    lake, warehouse = settings.sinks["data-lake"], settings.sinks["warehouse"]

    assert (lake.evidence, lake.fences, lake.group) == ("progress", "progress", "connect-lake")
    assert (warehouse.evidence, warehouse.fences, warehouse.group) == ("receipts", "emitter", None)
    assert lake.topics == settings.source.topics


def test_a_recordings_configuration_needs_no_kafka_and_no_sink(tmp_path: Path) -> None:
    settings = read(tmp_path, '[source]\ntopics = ["orders"]\n')

    assert settings.contracts() == []
    assert [problem.partition(":")[0] for problem in live_problems(settings)] == [
        "kafka.brokers",
        "registry.url",
        "sinks",
    ]


def test_column_types_come_from_a_table_or_from_the_environment(tmp_path: Path) -> None:
    table = SMALL + '[source.column_types]\n"orders.total" = "decimal(2)"\norders.at = "date"\n'
    pairs = (("orders.at", "date"), ("orders.total", "decimal(2)"))
    variable = {"CDC_VERIFIER__SOURCE__COLUMN_TYPES": '{ "orders.total" = "decimal(2)", orders.at = "date" }'}

    assert read(tmp_path, table).source.column_types == pairs
    assert read(tmp_path, SMALL, **variable).source.column_types == pairs
    assert 'column_types = { "orders.at" = "date", "orders.total" = "decimal(2)" }' in show(read(tmp_path, table))
    assert "no type 'money'" in faults(tmp_path, table.replace('"date"', '"money"'))[0]


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("recordings/*/config.toml")), ids=str)
def test_every_recordings_configuration_loads(path: Path) -> None:
    assert load(path, {}).source.topics


def test_a_live_sink_needs_somebody_who_writes_its_fences(tmp_path: Path) -> None:
    text = EVERY_KEY + '[sinks.a]\n[sinks.b]\nfences = "emitter"\n[sinks.c]\ngroup = "g"\nstart = "committed"\n'

    assert [problem.partition(":")[0] for problem in live_problems(read(tmp_path, text))] == [
        'sinks.a.fences = "progress"',
        'sinks.b.fences = "emitter"',
    ]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        SMALL,
        CDC_VERIFIER__SINKS__DATA_LAKE__GRACE="45s",
        CDC_VERIFIER__SINKS__WAREHOUSE__TOPICS="orders, shop.public.a",
        CDC_VERIFIER__METRICS__PORT="9000",
        CDC_VERIFIER__KAFKA__BROKERS='["a:1", "b:2"]',
        PATH="is not ours",
    )

    assert settings.sinks["data-lake"].grace_ms == 45_000
    assert settings.sinks["warehouse"].topics == ("orders", "shop.public.a")
    assert settings.metrics.port == 9000
    assert settings.kafka.brokers == ("a:1", "b:2")


def test_the_environment_alone_can_be_enough() -> None:
    assert load(None, {"CDC_VERIFIER__SOURCE__TOPICS": "orders"}).source_topics() == ["orders"]


def test_every_fault_is_reported_at_once_with_place_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = """
        [sorce]
        [source]
        topics = ["orders"]
        [kafka]
        brokerz = ["a"]
        [sinks.a]
        grace = "30x"
        expect = "every"
        topics = ["x"]
        [sinks.A]
        evidence = "receipts"
        commands_per_minute = 0
    """
    found = faults(tmp_path, text, CDC_VERIFIER__SINKS__B__GRACE="1s", CDC_VERIFIER__METRICS__PORT="x")

    assert found == [
        "verifier.toml: sorce: unknown section; did you mean source?",
        "verifier.toml: kafka.brokerz: unknown key; did you mean brokers?",
        "CDC_VERIFIER__SINKS__B__GRACE: unknown sink; there are: a",
        "CDC_VERIFIER__METRICS__PORT = 'x': must be a whole number from 0 to 65535",
        'verifier.toml: sinks.a.expect = \'every\': must be one of "every-change", "latest-state"',
        "verifier.toml: sinks.a.grace = '30x': must be a duration such as \"30s\": a whole number and one of ms, s, m, h, d",
        "verifier.toml: sinks.A.commands_per_minute = 0: must be a whole number from 1 to 1000000",
        'sinks."A": differs from "a" only in case, or in signs such as - and _',
        'sinks.a.topics: "x" is none of source.topics (orders)',
        'sinks.A.evidence = "receipts": must be "progress", or receipts (or success_topics) must list topics',
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("receipts = 'one'", "receipts"),
        ("receipts = ['a', 'a']", "receipts"),
        ("receipts = ['']", "receipts"),
        ("topics = ['/(/']", "topics"),
        ("topics = ['a/b']", "topics"),
        ("connector = 5", "connector"),
        ("connector = ' '", "connector"),
        ("grace = 30", "grace"),
        ("grace = '-1s'", "grace"),
        ("grace = '1.5s'", "grace"),
        ("grace = '30'", "grace"),
        ("command_ttl = '0s'", "command_ttl"),
        ("commands_per_minute = true", "commands_per_minute"),
        ("commands_per_minute = 1.0", "commands_per_minute"),
        ("ignore_columns = ['updated_at']", "ignore_columns"),
        ("deletes = 'Apply'", "deletes"),
    ],
)
def test_a_value_that_is_not_allowed_is_one_fault(tmp_path: Path, line: str, key: str) -> None:
    found = faults(tmp_path, f'[source]\ntopics = ["o"]\n[sinks.a]\n{line}\n')

    assert len(found) == 1
    assert found[0].startswith(f"verifier.toml: sinks.a.{key} = ")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "source.topics: must name"),
        ("[source]\ntopics = []\n", "source.topics: must name"),
        ("[source\n", "verifier.toml: is no TOML"),
        ("source = 5\n", "verifier.toml: source: must be a table"),
        ('sinks = 5\n[source]\ntopics = ["o"]\n', "verifier.toml: sinks: must be tables"),
        ('[source]\ntopics = ["o"]\n[sinks]\na = 5\n', "verifier.toml: sinks.a: must be a table"),
        ('[source]\ntopics = ["o"]\n[sinks.""]\n', 'sinks."": a sink\'s name must not be empty'),
        (
            '[source]\ntopics = ["o"]\n[sinks.a]\nreceipts = ["o"]\n',
            'sinks.a.receipts, dead_letters, success_topics: "o"',
        ),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, text: str, start: str) -> None:
    assert faults(tmp_path, text)[0].startswith(start)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: can't be read: No such file"):
        load(tmp_path / "gone.toml", {})


@pytest.mark.parametrize(
    "name",
    ["CDC_VERIFIER__KAFKA__BROKER", "CDC_VERIFIER__KAFK__BROKERS", "CDC_VERIFIER__X", "Cdc_Verifier__Kafka__Brokers"],
)
def test_a_variable_that_means_nothing_is_a_fault(tmp_path: Path, name: str) -> None:
    assert faults(tmp_path, SMALL, **{name: "a"})[0].startswith(f"{name}: ")


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, EVERY_KEY, CDC_VERIFIER__KAFKA__SASL_PASSWORD="hush")

    assert settings.kafka.sasl_password == Secret("hush")
    assert settings.kafka.sasl_password.reveal() == "hush"
    assert "hush" not in f"{settings} {settings!r} {show(settings)} {settings.kafka.sasl_password}"
    assert 'sasl_password = "***"' in show(settings)


def test_faulty_secrets_are_never_shown(tmp_path: Path) -> None:
    text = '[source]\ntopics = ["o"]\n[registry]\nurl = "http://me:hush@host"\npassword = 1234\n'
    found = faults(tmp_path, text)

    assert len(found) == 2
    assert "hush" not in str(found)
    assert "1234" not in str(found)


def test_what_is_shown_loads_again_and_means_the_same(tmp_path: Path) -> None:
    settings = read(tmp_path, EVERY_KEY + '[sinks."a b"]\n')

    assert read(tmp_path, show(settings)) == settings


def test_patterns_are_matched_whole_against_what_exists(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALL)
    existing = [
        "shop.public.a",
        "shop.public.b",
        "xshop.public.a",
        "receipts",
        "__consumer_offsets",
        "cdc-verifier.lane.3",
    ]

    assert settings.source_topics() == ["orders"]
    assert settings.source_topics(existing) == ["orders", "shop.public.a", "shop.public.b"]


def test_a_pattern_never_means_evidence_or_topics_of_its_own(tmp_path: Path) -> None:
    settings = read(tmp_path, '[source]\ntopics = ["/.*/"]\n[sinks.a]\nreceipts = ["receipts"]\n')

    assert settings.source_topics(["a", "receipts", "__x", "cdc-verifier.repair"]) == ["a"]


def test_a_contract_names_topics_of_the_source_only(tmp_path: Path) -> None:
    text = SMALL + '[sinks.some]\ntopics = ["/.*[.]a/", "orders"]\n'
    contract = read(tmp_path, text).contract("some", ["shop.public.a", "shop.public.b", "other.a"])

    assert contract.topics == ("orders", "shop.public.a")
    assert contract.late_after_ms == 10_000


ROWS = """
[source]
topics = ["/shop[.]public[.].*/"]
[sinks.lake]
connector = "lake"
table_name = "${source.table}"
deletes = "soft"
sets = "every-column"
change_log = ["/lake[.]public[.].*/"]
recorded_tables = "tables_lake.json.gz"
renames = { "orders.total" = "amount" }
[sinks.lake.tables]
"shop.public.orders" = "all_orders"
[sinks.lake.tolerances]
"*" = ["blanks"]
"orders.total" = ["double", "float32"]
"""


def test_how_a_sink_keeps_its_rows_is_read_and_shown_and_read_again(tmp_path: Path) -> None:
    settings = read(tmp_path, ROWS)
    lake = settings.sinks["lake"]

    assert lake.tables == {"shop.public.orders": "all_orders"}
    assert lake.renames == {"orders.total": "amount"}
    assert lake.tolerances == {"*": ("blanks",), "orders.total": ("double", "float32")}
    assert (lake.deletes, lake.soft_delete, lake.sets) == ("soft", "__deleted", "every-column")
    assert read(tmp_path, show(settings)) == settings


def test_tables_of_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    settings = read(
        tmp_path, ROWS, CDC_VERIFIER__SINKS__LAKE__RENAMES='{ "orders.note" = "remark" }',
        CDC_VERIFIER__SINKS__LAKE__TOLERANCES='{ "*.code" = ["case"] }',
    )  # fmt: skip

    assert settings.sinks["lake"].renames == {"orders.note": "remark"}
    assert settings.sinks["lake"].tolerances == {"*.code": ("case",)}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('tolerances = { "total" = ["double"] }', "sinks.lake.tolerances"),
        ('tolerances = { "orders.total" = ["twice"] }', "sinks.lake.tolerances"),
        ('renames = { "total" = "amount" }', "sinks.lake.renames"), ("tables = { shop.public.orders = 1 }", "sinks.lake.tables"),
        ('writes = "append"\nrecorded_tables = "t.json.gz"', 'sinks.lake.writes = "append"'),
        ('change_log = ["orders"]', 'sinks.lake.change_log: "orders" is a change topic'),
    ],
)  # fmt: skip
def test_a_contract_of_rows_that_would_silently_do_nothing_is_a_fault(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f'[source]\ntopics = ["orders"]\n[sinks.lake]\n{line}\n')

    assert any(told in problem for problem in error.value.problems)


def test_a_pattern_never_means_a_sinks_change_log(tmp_path: Path) -> None:
    text = ROWS.replace("/shop[.]public[.].*/", "/.*[.]public[.].*/")

    assert read(tmp_path, text).source_topics(["shop.public.orders", "lake.public.orders"]) == ["shop.public.orders"]
