"""Predicates: which topics a transform concerns, and what filters leave of a sink's changes."""

from __future__ import annotations

import pytest

from tests.unit.evidence.sinks import DEBEZIUM, KAFKA, chain, noted, predicate, router, unwrap

ORDERS = predicate("p", "TopicNameMatches", pattern=r"shop\.public\.orders")
TOMBSTONES = predicate("p", "RecordIsTombstone")
FILTER = ("f", {"type": KAFKA + "Filter", "predicate": "p"})
NEGATED = ("f", FILTER[1] | {"negate": "true"})


def replace(**options):
    return ("r", {"type": KAFKA + "ReplaceField$Value", "exclude": "id", "predicate": "p", **options})


def test_a_transform_concerns_the_topics_that_its_predicate_holds_for():
    assert chain(unwrap(), replace(), **ORDERS).values["ignore_columns"] == ["orders.id"]
    assert chain(unwrap(), replace(negate="true"), **ORDERS).values["ignore_columns"] == ["items.id"]


def test_a_predicate_asks_for_the_topic_s_name_at_its_place_of_the_chain():
    routed = router(r"shop\.public\.(.*)", "$1")

    assert "ignore_columns" not in chain(routed, unwrap(), replace(), **ORDERS).values
    assert chain(unwrap(), replace(), routed, **ORDERS).values["ignore_columns"] == ["orders.id"]


def test_a_filtered_topic_is_left_out_of_the_sink_s():
    found = chain(unwrap(), FILTER, **ORDERS)

    assert found.values["topics"] == ["shop.public.items"]
    assert found.is_readable
    assert noted(found) == [
        f"the transform f ({KAFKA}Filter) drops every record of shop.public.orders: it is left out of topics"
    ]
    assert chain(unwrap(), NEGATED, **ORDERS).values["topics"] == ["shop.public.orders"]


def test_a_filter_of_everything_leaves_no_topic():
    found = chain(("f", {"type": KAFKA + "Filter"}))

    assert (found.values["topics"], found.is_readable) == ([], False)


def test_a_filter_of_tombstones_before_the_envelope_is_taken_off_leaves_rows_as_they_are():
    found = chain(FILTER, unwrap(), **TOMBSTONES)

    assert (found.values["deletes"], found.is_readable) == ("apply", True)


@pytest.mark.parametrize(("mode", "deletes"), [("tombstone", "ignore"), ("delete-to-tombstone", "ignore"),
                                               ("rewrite", "soft"), ("rewrite-with-tombstone", "soft")])  # fmt: skip
def test_a_filter_of_tombstones_behind_unwrapping_takes_the_deletes_that_are_some_by_then(mode, deletes):
    found = chain(unwrap(delete_tombstone_handling_mode=mode), FILTER, **TOMBSTONES)

    assert (found.values["deletes"], found.is_readable) == (deletes, True)


def test_a_filter_of_tombstones_before_unwrapping_takes_those_that_a_mode_would_keep():
    found = chain(FILTER, unwrap(delete_tombstone_handling_mode="rewrite-with-tombstone"), **TOMBSTONES)

    assert found.values["deletes"] == "soft"


def test_a_filter_of_all_but_tombstones_is_doubted():
    found = chain(unwrap(), NEGATED, **TOMBSTONES)

    assert not found.is_readable
    assert "drops every record that has a value" in noted(found)[0]


def test_a_transform_of_all_but_tombstones_is_one_of_all_rows():
    found = chain(unwrap(), replace(negate="true"), **TOMBSTONES)

    assert (found.values["ignore_columns"], found.is_readable) == (["items.id", "orders.id"], True)


def test_a_transform_of_tombstones_changes_no_row():
    found = chain(unwrap(), replace(), **TOMBSTONES)

    assert "ignore_columns" not in found.values
    assert found.is_readable


@pytest.mark.parametrize("negate", ["true", "false"])
def test_a_router_that_parts_deletes_from_rows_is_doubted(negate):
    name, given = router(".*", "all_$0")

    assert not chain(unwrap(), (name, given | {"predicate": "p", "negate": negate}), **TOMBSTONES).is_readable


@pytest.mark.parametrize(("mode", "is_readable"), [("rewrite", False), ("drop", False), ("tombstone", True)])
def test_unwrapping_all_but_tombstones_leaves_these_to_the_sink(mode, is_readable):
    name, given = unwrap(delete_tombstone_handling_mode=mode)

    assert chain((name, given | {"predicate": "p", "negate": "true"}), **TOMBSTONES).is_readable is is_readable


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (predicate("p", "HasHeaderKey", name="origin"), "the header origin"),
        (predicate("p", "TopicNameMatches", pattern=r"\p{Alpha}+"), "expression of Java's"),
        ({"predicates.p.type": "com.example.Odd"}, "com.example.Odd"), ({}, "not configured"),
    ],
)  # fmt: skip
def test_a_predicate_that_nobody_can_foresee_is_doubted(asked, why):
    for options in ({}, {"negate": "true"}):
        found = chain(unwrap(), replace(**options), **asked)

        assert not found.is_readable
        assert why in noted(found)[0]


def test_a_filter_by_a_script_names_the_settings_that_stand_for_it():
    (note,) = noted(chain(("f", {"type": DEBEZIUM + "transforms.Filter"})))

    assert "rows or rows_out" in note


def test_topics_that_are_treated_differently_are_doubted():
    name, given = unwrap(delete_tombstone_handling_mode="rewrite")
    found = chain((name, given | {"predicate": "p"}), **ORDERS | {"truncate.enabled": "true"})

    assert not found.is_readable
    assert "deletes come to something else by topic" in noted(found)[0]
    assert "drops truncates" in noted(found)[1]
