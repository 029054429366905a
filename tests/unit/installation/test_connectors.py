"""Connectors of an installation: sources as the configuration expects them, sinks as their contracts say, rows, stores, rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.evidence import connectors
from app.evidence.connector import Report
from app.evidence.installation import ConnectorSeen, RightSeen
from app.evidence.tables import StoreTerms
from tests.unit.installation.world import (
    COUNT,
    ITEMS,
    ORDERS,
    RUNNING,
    SINK,
    SOURCE,
    TOPICS,
    WEEK,
    bad,
    clean,
    connected,
    log,
    only,
    receipts_sink,
    store_sink,
    topic,
    with_topic,
)

DEAD = Report(state="FAILED", cause="task 0: it broke")
ROUTER, PARTITIONS = "io.debezium.transforms.ByLogicalTableRouter", "io.debezium.transforms.partitions.PartitionRouting"


def sourced(**options):
    """The clean installation with more options of the source, ``__`` standing for a dot."""
    return clean(connectors=connected({name.replace("__", "."): value for name, value in options.items()}))


def sunk(config=None, **more):
    """The clean installation with more options of the sink's connector."""
    merged = {name: value for name, value in (SINK | (config or {})).items() if value is not None}
    return clean(sinks=(store_sink(config=merged, **more), receipts_sink()))


def transformed(kind, **options):
    return {"transforms": "x", "transforms.x.type": kind} | {
        f"transforms.x.{n.replace('_', '.')}": v for n, v in options.items()
    }


# ---------------------------------------------------------------- sources


def test_a_topic_whose_source_nobody_knows():
    found = only(clean(connectors={"dw-sink": ConnectorSeen(config=SINK, report=RUNNING)}))

    assert (found.level, found.about, found.place) == ("unknown", "sources", "source.topics")
    assert f"{ORDERS}, {ITEMS}" in found.says


@pytest.mark.parametrize(("report", "level"), [(DEAD, "error"), (Report(state="PAUSED"), "warning")])
def test_a_source_that_does_not_run(report, level):
    found = only(clean(connectors=connected(report=report)))

    assert (found.level, found.about, found.place) == (level, "sources", "connector shop-source")
    assert report.state in found.says


@pytest.mark.parametrize("text", ["__unavailable", "hex:5f5f756e617661696c61626c65"])
def test_another_placeholder_than_the_configurations(text):
    found = only(sourced(unavailable__value__placeholder=text))

    assert (found.level, found.about) == ("error", "sources")
    assert found.do.startswith('source.unavailable_value = "__unavailable"')


def test_a_placeholder_that_is_written_in_hexadecimal_is_its_text():
    text = "hex:" + b"__debezium_unavailable_value".hex()

    assert bad(sourced(unavailable__value__placeholder=text)) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"decimal__handling__mode": "double"}, "decimal.handling.mode is double"),
        ({"time__precision__mode": "connect"}, "time.precision.mode is connect"),
        ({"time__precision__mode": "structured"}, "time.precision.mode is structured"),
        ({"event__processing__failure__handling__mode": "skip"}, "event.processing.failure.handling.mode is skip"),
        ({"skipped__operations": "d,t"}, "skipped.operations leaves out deletes"),
        ({"skipped__operations": "c,u"}, "skipped.operations leaves out creates, updates"),
        ({"snapshot__mode": "when_needed"}, "snapshot.mode is when_needed"),
        ({"snapshot__mode": "initial_only"}, "snapshot.mode is initial_only"),
        ({"producer__override__partitioner__class": "org.x.Own"}, "producer.override.partitioner.class is org.x.Own"),
        (
            {"transforms": "p", "transforms__p__type": PARTITIONS, "transforms__p__partition.payload.fields": "region"},
            "the transform p (PartitionRouting) chooses partitions by region",
        ),
    ],
)
def test_a_setting_of_the_source_that_weakens_verdicts(options, says):
    found = only(sourced(**options))

    assert (found.level, found.about, found.place) == ("warning", "sources", "connector shop-source")
    assert found.says.startswith(says)


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({"transforms__x__type": ROUTER, "transforms__x__key.enforce.uniqueness": "false"}, "error"),
        ({"transforms__x__type": connectors.UNWRAP}, "error"),
        ({"transforms__x__type": "org.apache.kafka.connect.transforms.RegexRouter"}, "unknown"),
        ({"transforms__x__type": ROUTER}, None),
        ({"transforms__x__type": "org.apache.kafka.connect.transforms.InsertHeader"}, None),
    ],
)
def test_a_transform_of_the_source(options, level):
    assert [(one.level, one.about) for one in bad(sourced(transforms="x", **options))] == (
        [(level, "sources")] if level else []
    )


@pytest.mark.parametrize(("skipped", "is_found"), [(None, True), ("t", True), ("none", False)])
def test_truncates_that_are_promised_and_never_come(skipped, is_found):
    sinks = (store_sink(), receipts_sink(promises={"truncates": "apply"}))
    seen = clean(sinks=sinks, connectors=connected({} if skipped is None else {"skipped.operations": skipped}))

    assert ["sinks.search promise to apply truncates" in one.means for one in bad(seen)] == [True] * is_found


def test_tombstones_that_a_compacted_topic_lacks():
    seen = with_topic(ITEMS, config={"cleanup.policy": "compact"})
    sinks = (store_sink(), receipts_sink(promises={"expect": "latest-state"}))
    found = only(replace(seen, sinks=sinks, connectors=connected({"tombstones.on.delete": "false"})))

    assert (found.level, found.about) == ("warning", "sources")
    assert ITEMS in found.says


@pytest.mark.parametrize("name", ["shop", "shop.transaction", "__debezium-heartbeat.shop"])
def test_a_topic_of_the_connector_that_holds_no_changes(name):
    topics = (topic(name, "change", WEEK, 1), *TOPICS)
    found = bad(clean(topics=topics, logs=(*clean().logs, log(name, 0, []))))

    assert [(one.level, one.about) for one in found if "hold no changes of tables" in one.says] == [
        ("error", "sources")
    ]


def test_a_source_of_other_topics_is_not_looked_at():
    other = ConnectorSeen(
        config=SOURCE | {"topic.prefix": "shop.public.orders.x", "snapshot.mode": "always"}, report=DEAD
    )

    assert bad(clean(connectors=connected() | {"other": other})) == []


# ---------------------------------------------------------------- sinks


def test_connect_was_not_asked_and_nothing_is_concluded():
    assert [one.about for one in bad(clean(connectors=None))] == []


def test_a_connector_that_connect_does_not_have():
    found = only(
        clean(
            connectors={"shop-source": connected()["shop-source"]}, sinks=(store_sink(connector=None, proposal=None),)
        )
    )

    assert (found.level, found.about, found.place) == ("error", "connectors", "connector dw-sink (sinks.dw)")
    assert "shop-source" in found.do


def test_a_connector_that_is_no_sink():
    found = only(clean(sinks=(store_sink(config=SOURCE, proposal=None),)))

    assert (found.level, found.about) == ("error", "connectors")
    assert "it is no sink" in found.says


@pytest.mark.parametrize(("report", "level"), [(DEAD, "error"), (Report(state="STOPPED"), "warning")])
def test_a_sink_that_does_not_run(report, level):
    found = only(clean(sinks=(store_sink(connector=ConnectorSeen(config=SINK, report=report)),)))

    assert (found.level, found.about) == (level, "connectors")
    assert "lag and no loss" in found.means
    assert "it broke" in found.says or report.state == "STOPPED"


def test_a_topic_that_is_promised_and_not_consumed():
    found = only(clean(consumed={"dw-sink": (ORDERS,)}))

    assert (found.level, found.about) == ("error", "connectors")
    assert f"does not consume {ITEMS}" in found.says


def test_a_topic_that_is_consumed_and_not_judged():
    found = only(
        clean(sinks=(store_sink(promises={"topics": (ORDERS,)}, readers=store_sink().readers[:COUNT]), receipts_sink()))
    )

    assert (found.level, found.about) == ("warning", "connectors")
    assert f"consumes {ITEMS}" in found.says


def test_an_expression_that_can_not_be_read_here():
    found = only(replace(sunk({"topics": None, "topics.regex": r"shop\p{Punct}.*"}), consumed={"dw-sink": ()}))

    assert (found.level, found.about) == ("unknown", "connectors")


def test_another_group_than_the_contracts():
    found = only(sunk({"consumer.override.group.id": "mine"}))

    assert (found.level, found.about, found.do) == ("error", "connectors", 'sinks.dw.group = "mine"')


LETTERS = "errors.deadletterqueue.topic.name"
HEADERS = "errors.deadletterqueue.context.headers.enable"


@pytest.mark.parametrize(
    ("config", "listed", "level", "says"),
    [
        ({LETTERS: None}, (), "warning", "errors.tolerance is all, and it has no dead letter topic"),
        ({LETTERS: None, "errors.tolerance": None}, (), None, ""),
        ({LETTERS: None, "errors.tolerance": None}, ("dlq",), "warning", "its contract lists dead letters in dlq"),
        ({}, (), "error", "its dead letters go to dlq, which its contract does not list"),
        ({HEADERS: None}, ("dlq",), "error", f"{HEADERS} is not true"),
    ],
)
def test_where_dead_letters_go(config, listed, level, says):
    found = bad(sunk(config, dead_letters=listed))

    assert [(one.level, one.about) for one in found] == ([(level, "connectors")] if level else [])
    assert all(one.says.startswith(says) and one.do for one in found)


@pytest.mark.parametrize(("source", "is_found"), [("false", True), ("true", False)])
def test_deletes_that_come_as_tombstones_alone_which_the_source_leaves_out(source, is_found):
    config = transformed(connectors.UNWRAP, drop_tombstones="false", delete_handling_mode="drop")
    seen = replace(sunk(config), connectors=connected({"tombstones.on.delete": source}))

    assert [(one.level, one.about) for one in bad(seen)] == [("error", "connectors")] * is_found


@pytest.mark.parametrize(
    ("logged", "state", "says"),
    [
        ((), "RUNNING", "no topic that we may see is its change log: /dw_log[.].*/"),
        (("dw_log.public.orders",), "FAILED", "connector log, which writes its change log, is FAILED: it is full"),
        (("dw_log.public.orders",), "RUNNING", ""),
    ],
)
def test_a_change_log_is_there_and_whoever_writes_it_runs(logged, state, says):
    writer = ConnectorSeen(
        config={"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "dw_log"},
        report=Report(state=state, cause="it is full" if state == "FAILED" else ""),
    )
    seen = sunk(change_log=("/dw_log[.].*/",), logged=logged)
    found = bad(replace(seen, connectors={**seen.connectors, "log": writer}))

    assert [one.says for one in found] == [says] * bool(says)


# ---------------------------------------------------------------- contracts


def test_a_transform_that_is_not_mirrored_is_told_by_what_the_sink_is_judged_by():
    filtered = transformed("io.debezium.transforms.Filter")
    stored = only(sunk(filtered))
    passed = only(sunk(filtered, has_store=False, tables={}))

    assert (stored.level, stored.about) == ("warning", "contracts")
    assert stored.says.startswith("the transform x (io.debezium.transforms.Filter) asks a script")
    assert "missing or diverged" in stored.means
    assert "attempted, as if it had been written" in passed.means


def test_a_sink_that_nobody_knows_is_only_warned_of_where_its_rows_are_compared():
    config = {"connector.class": "com.example.Sink"}

    assert only(sunk(config)).about == "contracts"
    assert bad(sunk(config, has_store=False, tables={})) == []


@pytest.mark.parametrize(
    ("config", "promises", "key"),
    [
        ({"delete.enabled": "false"}, {}, "deletes"),
        ({"truncate.enabled": "true"}, {}, "truncates"),
        ({}, {"expect": "every-change"}, "expect"),
        ({}, {"deletes": "soft"}, "deletes"),
    ],
)
def test_a_promise_that_is_not_what_the_configuration_calls_for(config, promises, key):
    found = [one for one in bad(sunk(config, promises=promises)) if one.about == "contracts"]

    assert [(one.level, one.do.startswith(f"sinks.dw.{key} = ")) for one in found] == [("warning", True)]


def test_a_delete_that_marks_a_row_is_one_to_a_sink_that_only_tells_its_progress():
    config = transformed(connectors.UNWRAP, **{"delete.tombstone.handling.mode": "rewrite"}) | {
        "delete.enabled": "false"
    }

    assert bad(sunk(config, has_store=False, tables={})) == []
    assert [one.about for one in bad(sunk(config))] == ["contracts"]


def test_a_sink_that_sets_every_column_and_a_contract_that_does_not_know():
    found = only(sunk(terms=StoreTerms()))

    assert (found.level, found.about, found.do) == ("warning", "contracts", 'sinks.dw.sets = "every-column"')


def test_a_table_of_another_name():
    found = bad(sunk({"collection.name.format": "${source.table}"}))

    assert [(one.level, one.about) for one in found] == [("warning", "contracts")] * 2
    assert found[0].says == f"it writes {ORDERS} to the table orders, and its contract names shop_public_orders"


def test_columns_that_the_sink_leaves_out_or_renames():
    left_out = only(sunk({"field.exclude.list": "sku"}))
    unwrap = transformed(connectors.UNWRAP)
    config = unwrap | {"transforms": "x,r", "transforms.r.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
                       "transforms.r.renames": "total:amount"}  # fmt: skip
    renamed = only(sunk(config))

    assert (left_out.about, "items.sku" in left_out.says) == ("contracts", True)
    assert (renamed.about, "orders.total to amount" in renamed.says) == ("contracts", True)


@pytest.mark.parametrize(("allowed", "is_found"), [({}, True), ({"*.total": ("double",)}, False)])
def test_a_type_of_the_store_that_the_contract_does_not_allow_for(allowed, is_found):
    sink = store_sink(terms=StoreTerms(sets_every_column=True, tolerances=allowed))
    sink.proposal.values["tolerances"] = {"orders.total": ["double"]}
    found = bad(clean(sinks=(sink, receipts_sink())))

    assert [(one.level, one.about) for one in found] == [("warning", "contracts")] * is_found
    assert all('sinks.dw.tolerances = { "orders.total" = ["double"] }' in one.do for one in found)


# ---------------------------------------------------------------- rights, registry, stores


def test_a_right_that_is_missing():
    right = RightSeen(
        kind="topic", name=ORDERS, operation="Read", purpose="judge", is_there=False, command="kafka-acls.sh --add"
    )
    found = only(clean(rights=(right,)))

    assert (found.level, found.about, found.place, found.do) == (
        "error",
        "rights",
        f"topic {ORDERS}",
        "kafka-acls.sh --add",
    )


def test_a_schema_that_the_registry_refuses():
    found = only(
        clean(refusals=("registry: subject cdc_verifier.Verdict: the registry refuses this version's schema: no",))
    )

    assert (found.level, found.about, found.place) == ("error", "registry", "subject cdc_verifier.Verdict")


def stored(**more):
    """The clean installation with the table of orders otherwise."""
    table = replace(store_sink().tables[ORDERS], **more)
    return sunk(tables={**store_sink().tables, ORDERS: table})


@pytest.mark.parametrize(
    ("more", "level", "says"),
    [
        ({"problem": "there is no such table"}, "error", "there is no such table"),
        ({"columns": ("total",)}, "error", "lacks columns of the changes' key: id"),
        ({"key": ()}, "warning", "its primary key is none, and the changes' key id"),
        ({"key": ("total",)}, "warning", "its primary key is total"),
        ({"columns": ("id",)}, "warning", "lacks columns of the source: total"),
        ({"may_write": True}, "warning", "its user may write shop_public_orders"),
    ],
)
def test_a_table_of_a_store_that_is_not_as_it_must_be(more, level, says):
    found = only(stored(**more))

    assert (found.level, found.about) == (level, "stores")
    assert found.says.startswith(says)


def test_a_column_that_the_contract_ignores_or_renames_is_not_missed():
    terms = StoreTerms(sets_every_column=True, ignore_columns=("orders.total",), renames={"orders.id": "order_id"})
    table = replace(store_sink().tables[ORDERS], columns=("order_id",), key=("order_id",))
    found = bad(sunk(terms=terms, tables={**store_sink().tables, ORDERS: table}))

    assert [one.about for one in found] == []
