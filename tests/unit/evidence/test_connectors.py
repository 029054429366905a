"""What a connector's configuration says of its sink's contract, and what it leaves open."""

from __future__ import annotations

import pytest

from app.evidence import connectors
from app.evidence.connectors import Database, consumed, jdbc_database, propose, source_database, source_problems
from tests.unit.evidence.sinks import CONFLUENT, JDBC, TOPICS, chain, noted, router, unwrap


def proposed(**options):
    """The JDBC sink with some options, ``__`` standing for a dot."""
    return propose("s", JDBC | {name.replace("__", "."): value for name, value in options.items()}, TOPICS)


def test_a_plain_jdbc_sink_keeps_the_newest_state_of_each_row():
    found = proposed()

    assert found.values == {
        "topics": ["shop.public.orders", "shop.public.items"], "connector": "s", "expect": "latest-state",
        "deletes": "apply", "sets": "every-column", "table_name": "${topic}",
    }  # fmt: skip
    assert (noted(found), found.is_readable, found.database) == ([], True, Database("postgresql", "db", 5433, "store"))


def test_what_the_jdbc_sink_does_not_do_is_not_expected():
    found = proposed(delete__enabled="false", truncate__enabled="TRUE")

    assert found.values["deletes"] == "ignore"
    assert found.values["truncates"] == "apply"
    assert noted(found) == ["deletes don't reach its store: rows that the source deleted stay there, by this contract"]


@pytest.mark.parametrize(
    ("mode", "is_enabled", "deletes"),
    [
        ("drop", "true", "ignore"), ("tombstone", "true", "apply"), ("tombstone", "false", "ignore"),
        ("rewrite", "true", "soft"), ("rewrite", "false", "soft"), ("rewrite-with-tombstone", "true", "apply"),
        ("rewrite-with-tombstone", "false", "soft"), ("delete-to-tombstone", "true", "apply"),
    ],
)  # fmt: skip
def test_deletes_come_to_what_unwrapping_and_the_sink_make_of_them(mode, is_enabled, deletes):
    found = chain(unwrap(delete_tombstone_handling_mode=mode), **{"delete.enabled": is_enabled})

    assert found.values["deletes"] == deletes
    assert found.is_readable


@pytest.mark.parametrize(
    ("mode", "drops", "deletes"),
    [
        ("drop", "true", "ignore"), ("drop", "false", "apply"), ("none", "true", "apply"), ("rewrite", "true", "soft"),
        ("rewrite", "false", "apply"),
    ],
)  # fmt: skip
def test_the_older_options_of_unwrapping_are_read_too(mode, drops, deletes):
    assert chain(unwrap(delete_handling_mode=mode, drop_tombstones=drops)).values["deletes"] == deletes


def test_unwrapping_drops_truncates():
    assert "truncates" not in chain(unwrap(), **{"truncate.enabled": "true"}).values
    assert chain(unwrap()).values["deletes"] == "apply"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (proposed(), ""),
        (chain(unwrap()), ""),
        (propose("s", CONFLUENT, TOPICS), ""),
        (
            chain(unwrap(), **{"truncate.enabled": "true"}),
            ", whatever truncate.enabled says: unwrapping drops them",
        ),
    ],
)
def test_a_sink_that_truncates_dont_reach_keeps_its_rows_and_that_is_told(found, why):
    note = f"truncates don't reach its store{why}: rows that the source truncated stay there, by this contract"

    assert found.notes == [note]
    assert found.is_readable


def test_a_sink_that_applies_truncates_is_told_nothing_of_them():
    assert proposed(truncate__enabled="true").notes == []


def test_a_router_gives_tables_their_names():
    found = chain(router(r"shop\.public\.(.*)", "dw.$1"), unwrap())

    assert found.values["tables"] == {"shop.public.orders": "dw_orders", "shop.public.items": "dw_items"}
    assert "table_name" not in found.values
    assert found.is_readable


def test_a_router_does_not_move_tables_that_are_named_after_the_source():
    found = chain(router(".*", "all"), **{"collection.name.format": "${source.schema}_${source.table}"})

    assert found.values["table_name"] == "${source.schema}_${source.table}"
    assert found.is_readable


def test_topics_that_a_router_leads_into_one_table_cant_be_told_apart():
    found = chain(router(".*", "all"))

    assert found.values["tables"] == {"shop.public.orders": "all", "shop.public.items": "all"}
    assert not found.is_readable
    assert noted(found) == ["2 of its topics are kept in the table all: whose a row is can't be told"]


def test_a_router_whose_expression_is_java_s_alone_is_doubted():
    assert not chain(router(r"shop\p{Punct}.*", "x")).is_readable
    assert not chain(router("(shop).*", "$2")).is_readable


@pytest.mark.parametrize(("unique", "is_readable"), [("true", False), ("false", True)])
def test_a_logical_table_router_may_add_a_column_to_the_key(unique, is_readable):
    name = "io.debezium.transforms.ByLogicalTableRouter"
    given = {
        "type": name,
        "topic.regex": r"(.*)\.orders",
        "topic.replacement": "$1.all",
        "key.enforce.uniqueness": unique,
    }

    found = chain(("route", given))

    assert found.values["tables"]["shop.public.orders"] == "shop_public_all"
    assert found.is_readable is is_readable


REPLACE = "org.apache.kafka.connect.transforms.ReplaceField$Value"


def test_columns_that_are_replaced_are_ignored_or_renamed():
    found = chain(unwrap(), ("r", {"type": REPLACE, "exclude": "note", "renames": "total:amount, sku:code"}))

    assert found.values["ignore_columns"] == ["orders.note"]
    assert found.values["renames"] == {"items.sku": "code", "orders.total": "amount"}
    assert found.is_readable


def test_a_later_transform_sees_the_names_that_an_earlier_one_gave():
    found = chain(
        unwrap(), ("a", {"type": REPLACE, "renames": "total:amount"}), ("b", {"type": REPLACE, "renames": "amount:sum"}),
        ("c", {"type": REPLACE, "include": "id,sum"}),
    )  # fmt: skip

    assert found.values["renames"] == {"orders.total": "sum"}
    assert found.values["ignore_columns"] == ["items.sku", "orders.note"]


def test_replacing_fields_of_an_envelope_says_nothing_of_columns():
    found = chain(("r", {"type": REPLACE, "include": "after"}), unwrap())

    assert "ignore_columns" not in found.values
    assert not found.is_readable


def test_masked_and_moved_columns_are_ignored():
    kafka = "org.apache.kafka.connect.transforms."
    found = chain(
        unwrap(), ("m", {"type": kafka + "MaskField$Value", "fields": "note"}),
        ("h", {"type": kafka + "HeaderFrom$Value", "fields": "sku", "operation": "move"}),
        ("c", {"type": kafka + "HeaderFrom$Value", "fields": "total", "operation": "copy"}),
    )  # fmt: skip

    assert found.values["ignore_columns"] == ["items.sku", "orders.note"]


def test_the_lists_of_the_jdbc_sink_name_columns_of_all_or_of_one_topic():
    found = proposed(field__exclude__list="note,shop.public.items:sku")
    assert found.values["ignore_columns"] == ["items.sku", "orders.note"]

    found = proposed(field__include__list="id,total")
    assert found.values["ignore_columns"] == ["items.sku", "orders.note"]


def test_the_lists_come_after_the_transforms():
    found = chain(
        router(r".*\.(\w+)", "$1"), unwrap(), ("r", {"type": REPLACE, "renames": "note:remark"}),
        **{"field.exclude.list": "orders:remark"},
    )  # fmt: skip

    assert found.values["ignore_columns"] == ["orders.note"]


def test_confluents_jdbc_sink_keeps_the_dots_of_its_tables_names():
    found = propose("s", CONFLUENT | {"table.name.format": "dw.${topic}", "fields.whitelist": "id,total"}, TOPICS)

    assert found.values["tables"] == {"shop.public.orders": "dw.shop.public.orders"}
    assert found.values["deletes"] == "apply"
    assert found.values["expect"] == "latest-state"
    assert found.values["ignore_columns"] == ["orders.note"]
    assert found.is_readable


@pytest.mark.parametrize("base", [JDBC, CONFLUENT])
def test_a_sink_that_inserts_alone_appends(base):
    found = propose("s", base | {"insert.mode": "insert", "primary.key.mode": "none", "pk.mode": "none"}, TOPICS)

    assert found.values["writes"] == "append"
    assert not found.is_readable


@pytest.mark.parametrize(
    "options",
    [
        {"primary.key.mode": "record_value"}, {"primary.key.fields": "code"}, {"column.naming.strategy": "com.example.Upper"},
        {"column.naming.prefix": "x_"}, {"insert.mode": "update"}, {"primary.key.mode": "record_header"},
        {"primary.key.mode": "kafka"}, {"collection.table.format": "${table}"}, {"use.time.zone": "Europe/Berlin"},
        {"connection.url": "jdbc:oracle:thin:@db:1521/x"}, {"connection.url": "${file:/secrets:url}"},
    ],
)  # fmt: skip
def test_rows_that_cant_be_found_are_not_compared(options):
    found = propose("s", JDBC | options, TOPICS)

    assert not found.is_readable
    assert noted(found)


def test_an_inserting_sink_with_a_key_is_warned_of():
    assert noted(proposed(insert__mode="insert")) == [
        "insert.mode is insert: what is delivered again fails or is lost; upsert is meant for changes"
    ]


def test_a_transform_that_nobody_knows_keeps_rows_from_being_compared():
    found = chain(unwrap(), ("x", {"type": "com.example.Own"}))

    assert not found.is_readable
    assert noted(found) == [
        "the transform x (com.example.Own) can't be mirrored: what its rows must be is not known here"
    ]


def test_a_transform_that_adds_something_is_let_through():
    assert chain(unwrap(), ("i", {"type": "org.apache.kafka.connect.transforms.InsertField$Value"})).is_readable


def test_a_connector_that_nobody_knows_is_judged_by_its_progress():
    found = propose("s", {"connector.class": "com.example.Sink", "topics": "shop.public.orders"}, TOPICS)

    assert found.values == {"topics": ["shop.public.orders"], "connector": "s"}
    assert not found.is_readable
    assert noted(found) == ["com.example.Sink: what it makes of a row is not known here; it is judged by its progress"]


def test_dead_letters_name_their_change_only_with_headers():
    topic = {"errors.deadletterqueue.topic.name": "dlq", "errors.tolerance": "all"}
    headers = {"errors.deadletterqueue.context.headers.enable": "true"}

    assert noted(propose("s", JDBC | topic | headers, TOPICS)) == []
    (note,) = noted(propose("s", JDBC | topic, TOPICS))
    assert "name no change" in note
    assert propose("s", JDBC | topic, TOPICS).values["dead_letters"] == ["dlq"]


def test_tolerating_errors_without_dead_letters_is_warned_of():
    (note,) = noted(proposed(errors__tolerance="all"))

    assert "vanishes silently" in note


def test_a_group_of_another_name_is_kept():
    assert proposed(consumer__override__group__id="mine").values["group"] == "mine"


def test_topics_are_named_or_matched_whole():
    existing = list(TOPICS)

    assert consumed({"topics": " shop.public.items ,other"}, existing) == ["shop.public.items"]
    assert consumed({"topics.regex": r"shop\.public\.o.*"}, existing) == ["shop.public.orders"]
    assert consumed({"topics.regex": "shop"}, existing) == []
    assert consumed({"topics.regex": r"shop\p{Punct}.*"}, existing) == []


def test_a_sink_of_no_known_topic_is_doubted():
    found = propose("s", JDBC | {"topics": "other"}, TOPICS)

    assert (found.values["topics"], found.is_readable) == ([], False)


def test_the_database_of_a_source_is_told_unless_a_secret_holds_it():
    config = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "p",
              "database.hostname": "db", "database.dbname": "store"}  # fmt: skip

    assert (
        source_database(config)
        == Database("postgresql", "db", 5432, "store")
        == jdbc_database("jdbc:postgresql://db/store")
    )
    assert source_database(config | {"database.port": "${file:/secrets:port}"}) is None
    assert source_database({"connector.class": "io.debezium.connector.mongodb.MongoDbConnector"}) is None
    assert jdbc_database("jdbc:mariadb://db:3307/x;y") == Database("mysql", "db", 3307, "x")


def test_sources_and_sinks_are_told_apart():
    assert connectors.is_sink(JDBC)
    assert not connectors.is_source(JDBC)
    assert connectors.is_source({"connector.class": "io.debezium.connector.mysql.MySqlConnector", "topic.prefix": "p"})


def test_transforms_at_the_source_that_leave_no_changes_are_told():
    config = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "p",
              "transforms": "outbox,route", "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
              "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter"}  # fmt: skip

    (problem,) = source_problems("shop", config)

    assert problem.startswith(
        "shop: its transform outbox is io.debezium.transforms.outbox.EventRouter: its topics hold events"
    )
    assert "undecodable" in problem


@pytest.mark.parametrize(
    ("kind", "why"),
    [("ExtractNewRecordState", "hold rows and no changes"), ("partitions.PartitionRouting", "several partitions")],
)
def test_unwrapping_and_routing_of_partitions_at_the_source_are_told(kind, why):
    config = {"transforms": "x", "transforms.x.type": "io.debezium.transforms." + kind}

    assert why in next(source_problems("shop", config))
