"""Other keys and other names: by what a sink's rows are found, in which table they stand, and what an outbox's events are."""

from __future__ import annotations

import pytest

from app.evidence.connectors import SourceTable, propose
from tests.unit.evidence.sinks import CONFLUENT, DEBEZIUM, KAFKA, TYPED, chain, configured, noted, raw, typed, unwrap

VALUE = {"primary.key.mode": "record_value", "delete.enabled": "false"}
OUTBOX = {
    "shop.public.outbox": SourceTable(
        "outbox", ("id", "aggregatetype", "aggregateid", "type", "payload"), "shop", "public", ("id",)
    )
}


def to_key(fields, **options):
    return ("k", {"type": KAFKA + "ValueToKey", "fields": fields, **options})


def of_key(name, **options):
    return ("k", {"type": KAFKA + name, **{key.replace("_", "."): value for key, value in options.items()}})


def test_rows_that_are_keyed_by_columns_of_the_value_are_found_by_them():
    found = typed(**VALUE, **{"primary.key.fields": "code"})

    assert found.is_readable
    assert found.values["keys"] == {"things": ["code"]}
    assert "which other record keys may have, too" in noted(found)[1]


def test_a_key_of_the_value_that_is_the_record_key_needs_no_word():
    found = typed(**VALUE, **{"primary.key.fields": "id"})

    assert "keys" not in found.values
    assert noted(found) == ["deletes don't reach its store: rows that the source deleted stay there, by this contract"]


def test_a_key_that_holds_the_record_key_tells_whose_a_row_is():
    found = typed(**VALUE, **{"primary.key.fields": "id,code"})

    assert found.values["keys"] == {"things": ["id", "code"]}
    assert len(noted(found)) == 1


def test_confluent_s_options_are_read_alike():
    config = CONFLUENT | {
        "topics": ",".join(TYPED),
        "pk.mode": "record_value",
        "pk.fields": "code",
        "delete.enabled": "false",
    }

    assert propose("s", config, TYPED).values["keys"] == {"things": ["code"]}


def test_a_renamed_column_keys_under_its_new_name():
    rename = ("r", {"type": KAFKA + "ReplaceField$Value", "renames": "code:label"})
    found = typed(rename, **VALUE, **{"primary.key.fields": "label"})

    assert (found.values["keys"], found.values["renames"]) == ({"things": ["code"]}, {"things.code": "label"})


@pytest.mark.parametrize(
    "transform",
    [
        ("m", {"type": KAFKA + "MaskField$Value", "fields": "code"}),
        ("x", {"type": KAFKA + "ReplaceField$Value", "exclude": "code"}),
    ],
)
def test_a_key_that_was_changed_or_is_gone_finds_no_row(transform):
    assert not typed(transform, **VALUE, **{"primary.key.fields": "code"}).is_readable


def test_all_columns_of_the_value_are_no_key():
    found = typed(**VALUE)

    assert not found.is_readable
    assert any("an update makes another row" in note for note in noted(found))


def test_part_of_the_record_key_may_be_the_sink_s():
    topics = {"t": SourceTable("orders", ("tenant", "id", "total"), key=("tenant", "id"))}

    found = raw(topics=topics, primary__key__fields="id")
    assert found.values["keys"] == {"orders": ["id"]}
    assert raw(topics=topics, primary__key__fields="id,tenant").values.get("keys") is None


def test_columns_of_the_row_become_the_key_and_deletes_fail_there():
    found = typed(to_key("code"))

    assert found.values["keys"] == {"things": ["code"]}
    assert "deletes fail there" in noted(found)[0]
    assert found.is_readable
    assert not typed(to_key("nobody")).is_readable


def test_one_column_of_the_key_is_a_bare_key_that_the_sink_names():
    found = typed(
        to_key("code"), ("x", {"type": KAFKA + "ExtractField$Key", "field": "code"}), primary__key__fields="label"
    )

    assert found.values["keys"] == {"things": ["code"]}
    assert found.values["renames"] == {"things.code": "label"}
    assert not typed(of_key("ExtractField$Key", field="other"), primary__key__fields="id").is_readable
    assert "keys" not in typed(of_key("ExtractField$Key", field="id"), primary__key__fields="id").values


def test_a_renamed_key_is_found_under_its_name():
    found = typed(of_key("ReplaceField$Key", renames="id:thing_id"))

    assert found.values["renames"] == {"things.id": "thing_id"}
    assert "keys" not in found.values
    assert found.is_readable


def test_a_key_that_lost_a_column_is_another_one():
    topics = {"t": SourceTable("orders", ("tenant", "id"), key=("tenant", "id"))}

    assert raw(of_key("ReplaceField$Key", exclude="tenant"), topics=topics).values["keys"] == {"orders": ["id"]}
    moved = of_key("HeaderFrom$Key", fields="tenant", headers="t", operation="move")
    assert raw(moved, topics=topics).values["keys"] == {"orders": ["id"]}
    assert (
        "keys"
        not in raw(of_key("HeaderFrom$Key", fields="tenant", headers="t", operation="copy"), topics=topics).values
    )


def test_what_is_added_to_the_key_is_doubted_where_it_differs_from_record_to_record():
    assert typed(of_key("InsertField$Key", static_field="origin", static_value="x")).is_readable
    assert not typed(of_key("InsertField$Key", offset_field="o")).is_readable


@pytest.mark.parametrize(
    ("spec", "is_readable"), [("id:string", True), ("id:int32", False), ("code:string", False), ("string", False)]
)
def test_a_cast_key_is_found_where_it_loses_nothing(spec, is_readable):
    assert typed(of_key("Cast$Key", spec=spec)).is_readable is is_readable


@pytest.mark.parametrize("name", ["ReplaceField$Key", "ExtractField$Key"])
def test_a_key_whose_columns_are_not_known_can_t_be_followed(name):
    found = chain(unwrap(), of_key(name))

    assert not found.is_readable
    assert "not known here" in noted(found)[0]


def test_names_that_depend_on_time_matter_only_where_tables_are_named_after_topics():
    router = ("r", {"type": KAFKA + "TimestampRouter"})

    assert not typed(router).is_readable
    assert typed(router, collection__name__format="${source.table}").is_readable


def test_unwrapping_may_name_tables_after_a_value():
    found = raw(unwrap(route_by_field="code"))

    assert found.values["tables"] == {"shop.public.things": "${column.code}"}
    assert found.is_readable
    assert not raw(unwrap(route_by_field="nobody")).is_readable


def test_what_comes_behind_a_name_that_a_value_gives_can_t_be_foreseen():
    regex = ("r", {"type": KAFKA + "RegexRouter", "regex": ".*", "replacement": "x"})

    assert not raw(unwrap(route_by_field="code"), regex).is_readable


# ---------------------------------------------------------------- an outbox

PLACED = "type:envelope:kind,id:envelope:event_id,part:partition"


def outbox(**options):
    """A sink of the outbox's table whose chain makes events of it."""
    given = {"type": DEBEZIUM + "transforms.outbox.EventRouter", "table.fields.additional.placement": PLACED}
    sink = {"connector.class": DEBEZIUM + "connector.jdbc.JdbcSinkConnector", "topics": "shop.public.outbox",
            "insert.mode": "upsert", "primary.key.mode": "record_header", "primary.key.fields": "id",
            "connection.url": "jdbc:postgresql://db/store", "delete.enabled": "true"}  # fmt: skip
    own = {name: value for name, value in options.items() if name in sink}
    given |= {name: value for name, value in options.items() if name not in sink}
    return propose("s", configured(sink | own, ("o", given)), OUTBOX)


def test_events_of_an_outbox_are_found_by_their_id_with_the_columns_that_can_be_foreseen():
    found = outbox()

    assert found.is_readable
    assert found.values["deletes"] == "ignore"
    assert found.values["renames"] == {"outbox.type": "kind"}
    assert found.values["ignore_columns"] == ["outbox.aggregateid", "outbox.aggregatetype"]
    assert found.values["tables"] == {"shop.public.outbox": "outbox_event_${column.aggregatetype}"}
    assert "keys" not in found.values
    assert "drops updates of outbox" in noted(found)[0]


def test_an_event_s_id_may_be_no_record_key():
    topics = {"shop.public.outbox": OUTBOX["shop.public.outbox"]._replace(key=("number",))}
    given = {"type": DEBEZIUM + "transforms.outbox.EventRouter", "table.fields.additional.placement": PLACED}
    found = raw(("o", given), topics=topics, primary__key__mode="record_value", primary__key__fields="event_id")

    assert found.values["keys"] == {"outbox": ["id"]}
    assert found.values["renames"]["outbox.id"] == "event_id"


def test_a_payload_that_is_taken_apart_is_left_out():
    found = outbox(**{"table.expand.json.payload": "true", "table.fields.additional.placement": "part:partition"})

    assert found.is_readable
    assert found.values["ignore_columns"] == [
        "outbox.aggregateid",
        "outbox.aggregatetype",
        "outbox.payload",
        "outbox.type",
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"table.fields.additional.placement": "part:partition"}, "the payload alone"),
        ({"primary.key.mode": "record_key", "primary.key.fields": "aggregateid"}, "several events make one row"),
        ({"primary.key.fields": "other"}, "keyed by other"), ({"route.by.field": "nobody"}, "routes by nobody"),
        ({"route.topic.regex": "(?<routedByValue>.*)-x"}, "an expression over a column"),
    ],
)  # fmt: skip
def test_events_that_can_t_be_told_are_doubted(options, why):
    found = outbox(**options)

    assert not found.is_readable
    assert any(why in note for note in noted(found))


def test_a_router_in_a_sink_s_chain_needs_a_partition():
    assert any("unless table.fields.additional.placement" in note for note in
               outbox(**{"table.fields.additional.placement": "type:envelope,id:envelope"}).notes)  # fmt: skip


def test_events_are_made_of_envelopes_alone():
    assert not typed(("o", {"type": DEBEZIUM + "transforms.outbox.EventRouter"})).is_readable


def test_a_field_of_the_value_gives_way_to_the_key_s_of_its_name():
    found = typed(of_key("ReplaceField$Key", renames="id:code"))

    assert found.values["renames"] == {"things.id": "code"}
    assert found.values["ignore_columns"] == ["things.code"]
    assert "has the name of a column of the key" in noted(found)[0]


def test_two_topics_of_one_table_that_are_keyed_differently_are_doubted():
    topics = dict.fromkeys(("one.things", "two.things"), TYPED["shop.public.things"])
    where = {"predicates.p.type": KAFKA + "predicates.TopicNameMatches", "predicates.p.pattern": "one.*"}
    found = raw(unwrap(), to_key("code", predicate="p"), topics=topics, **where)

    assert not found.is_readable
    assert "two topics of a table things are keyed differently" in noted(found)


def test_a_row_is_no_envelope_and_is_not_unwrapped_again():
    again = ("again", unwrap(delete_tombstone_handling_mode="drop")[1])

    assert raw(unwrap(), again) == raw(unwrap())


@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_rows_are_found_by_the_sink_s_key_however_it_writes_them(mode):
    found = typed(**VALUE, **{"primary.key.fields": "code", "insert.mode": mode})

    assert found.values["keys"] == {"things": ["code"]}
