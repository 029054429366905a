"""Transforms of a sink's chain: what each makes of the columns, what is left out, and what is doubted."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.evidence.chain import DOUBTED, HARMLESS, MIRRORED
from tests.unit.evidence.sinks import DEBEZIUM, KAFKA, TOPICS, chain, noted, raw, typed, unwrap


def cast(spec):
    return ("c", {"type": KAFKA + "Cast$Value", "spec": spec})


def convert(field, target, **options):
    given = {"type": KAFKA + "TimestampConverter$Value", "field": field, "target.type": target}
    return ("t", given | {name.replace("_", "."): value for name, value in options.items()})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("id:string", []), ("id:int64", []), ("id:float64", ["double"]), ("small:float64", []), ("small:float32", ["float32"]),
        ("total:float64", ["double"]), ("total:string", []), ("ratio:float32", ["float32"]), ("part:string", ["float32"]),
        ("flag:int8", []), ("code:int64", []), ("seen:string", []), ("at:string", []), ("raw:string", []), ("other:int8", []),
    ],
)  # fmt: skip
def test_a_cast_that_keeps_values_calls_for_a_tolerance_at_most(spec, words):
    found = typed(cast(spec))

    assert found.is_readable
    assert "ignore_columns" not in found.values
    assert found.values.get("tolerances", {}) == ({f"things.{spec.partition(':')[0]}": words} if words else {})


@pytest.mark.parametrize(
    "spec",
    ["id:int32", "small:int8", "ratio:int64", "total:int64", "code:boolean", "made:string", "made:int64", "day:string",
     "seen:int64", "id:boolean", "flag:float64", "place:string"],
)  # fmt: skip
def test_a_column_whose_values_a_cast_changes_is_left_out_with_a_note(spec):
    column, _, to = spec.partition(":")
    found = typed(cast(spec))

    assert found.is_readable
    assert found.values["ignore_columns"] == [f"things.{column}"]
    assert f"things.{column} is cast to {to}" in noted(found)[0]


def test_a_narrowed_integer_may_be_taken_back_by_who_knows_its_values():
    assert "take it out of ignore_columns" in noted(typed(cast("id:int32")))[0]


def test_casts_follow_each_other():
    found = typed(cast("id:string"), ("d", {"type": KAFKA + "Cast$Value", "spec": "id:float64,total:float64"}))

    assert found.values["tolerances"] == {"things.total": ["double"]}


@pytest.mark.parametrize("name", ["Cast$Value", "TimestampConverter$Value"])
def test_a_transform_of_the_whole_value_is_doubted(name):
    found = typed(("c", {"type": KAFKA + name, "spec": "string", "target.type": "unix"}))

    assert not found.is_readable
    assert "the whole value" in noted(found)[0]


def test_types_that_are_not_known_are_left_out():
    assert chain(unwrap(), cast("note:string")).values["ignore_columns"] == ["orders.note"]


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (convert("made", "Timestamp", unix_precision="microseconds"), ["milliseconds"]), (convert("at", "Timestamp"), []),
        (convert("made", "string", unix_precision="microseconds", format="yyyy-MM-dd HH:mm:ss"), ["seconds"]),
        (convert("at", "string", format="yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), ["milliseconds"]),
    ],
)  # fmt: skip
def test_a_converted_timestamp_loses_what_the_tolerance_says(transform, words):
    found = typed(transform)

    assert found.is_readable
    assert "ignore_columns" not in found.values
    assert found.values.get("tolerances", {}) == ({f"things.{transform[1]['field']}": words} if words else {})


@pytest.mark.parametrize(
    ("transform", "why"),
    [
        (convert("made", "Timestamp"), "is in microseconds and is read as milliseconds (unix.precision)"),
        (convert("made", "unix", unix_precision="microseconds"), "converted to unix"), (convert("at", "Date"), "converted to Date"),
        (convert("at", "Time"), "converted to Time"), (convert("at", "string", format="dd.MM.yy"), "dd.MM.yy"),
        (convert("seen", "Timestamp", format="yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), "a format that may not fit"),
        (convert("day", "Timestamp"), "no type whose conversion is known"), (convert("id", "Timestamp"), "no type whose"),
    ],
)  # fmt: skip
def test_a_conversion_that_makes_other_values_leaves_the_column_out(transform, why):
    found = typed(transform)

    assert found.is_readable
    assert found.values["ignore_columns"] == [f"things.{transform[1]['field']}"]
    assert why in noted(found)[0]


def test_flattening_takes_structs_apart():
    found = typed(("f", {"type": KAFKA + "Flatten$Value", "delimiter": "_"}))

    assert found.values["ignore_columns"] == ["things.place"]
    assert "becomes columns of its own, place_…" in noted(found)[0]
    assert found.is_readable


def test_a_zone_moves_times_without_one():
    zone = {"type": DEBEZIUM + "transforms.TimezoneConverter", "converted.timezone": "Europe/Berlin"}

    for found in (typed(("z", zone)), raw(("z", zone))):
        assert found.values["ignore_columns"] == ["things.at", "things.made"]
        assert found.is_readable
    assert "ignore_columns" not in typed(("z", zone | {"converted.timezone": "UTC"})).values


def test_a_sink_s_own_zone_makes_its_times_incomparable():
    found = typed(use__time__zone="Europe/Berlin")

    assert found.values["ignore_columns"] == ["things.at", "things.day", "things.made", "things.seen"]
    assert found.is_readable


@pytest.mark.parametrize(
    ("kind", "column"),
    [("GeometryFormatTransformer", "place"), ("SwapGeometryCoordinates", "place"), ("VectorToJsonConverter", "vector")],
)
def test_geometries_and_vectors_in_another_form_are_left_out(kind, column):
    assert raw(("g", {"type": DEBEZIUM + "transforms." + kind})).values["ignore_columns"] == [f"things.{column}"]


@pytest.mark.parametrize("kind", ["GeometryFormatTransformer", "VectorToJsonConverter", "TimezoneConverter"])
def test_what_depends_on_types_is_doubted_where_they_are_not_known(kind):
    assert not chain(("g", {"type": DEBEZIUM + "transforms." + kind})).is_readable


def test_a_masked_column_is_left_out_whatever_replaces_it_and_deletes_fail_there():
    mask = ("m", {"type": KAFKA + "MaskField$Value", "fields": "code", "replacement": "***"})

    found = typed(mask)
    assert found.values["ignore_columns"] == ["things.code"]
    assert "deletes fail there" in noted(found)[0]
    assert noted(typed(("m", mask[1] | {"predicate": "p", "negate": "true"}),
                       **{"predicates.p.type": KAFKA + "predicates.RecordIsTombstone"})) == []  # fmt: skip


def test_added_fields_that_have_a_column_s_name_leave_it_out():
    name, given = unwrap(add_fields_prefix="", add_fields="op:code,lsn")

    assert raw((name, given)).values["ignore_columns"] == ["things.code"]


def test_unwrapping_that_drops_fields_by_a_header_is_doubted():
    assert not chain(unwrap(drop_fields_header_name="unchanged")).is_readable


def test_a_header_that_takes_a_column_s_place_leaves_it_out():
    given = {"type": DEBEZIUM + "transforms.HeaderToValue", "headers": "a,b", "fields": "code,new", "operation": "copy"}

    assert typed(("h", given)).values["ignore_columns"] == ["things.code"]


def test_an_envelope_that_is_none_any_more_is_doubted():
    given = {"type": KAFKA + "SetSchemaMetadata$Value", "schema.name": "mine"}

    assert not raw(("s", given)).is_readable
    assert typed(("s", given)).is_readable


@pytest.mark.parametrize("kind", sorted(HARMLESS))
def test_a_harmless_transform_changes_nothing_whatever_its_predicate(kind):
    found = chain(("h", {"type": kind, "predicate": "nobody-knows"}), unwrap())

    assert found == chain(unwrap())


@pytest.mark.parametrize("kind", sorted(DOUBTED))
def test_a_doubted_transform_is_told_with_what_it_would_do(kind):
    found = chain(unwrap(), ("d", {"type": kind}))

    assert not found.is_readable
    assert noted(found) == [f"the transform d ({kind}) {DOUBTED[kind]}"]


@pytest.mark.parametrize("name", ["Cast$Value", "MaskField$Value", "Flatten$Value", "ValueToKey"])
def test_what_changes_fields_of_an_envelope_is_doubted(name):
    found = raw(("e", {"type": KAFKA + name}), topics=TOPICS)

    assert not found.is_readable
    assert "put it behind ExtractNewRecordState" in noted(found)[0]


def test_a_composed_chain_is_followed_step_by_step():
    """Renamed, then cast by the new name, then masked by it; another column is cut by a converter, the topic renamed."""
    found = typed(
        ("a", {"type": KAFKA + "ReplaceField$Value", "renames": "total:amount,code:label", "exclude": "raw"}),
        cast("amount:float64"),
        ("m", {"type": KAFKA + "MaskField$Value", "fields": "label", "predicate": "p", "negate": "true"}),
        convert("made", "Timestamp", unix_precision="microseconds"),
        ("r", {"type": KAFKA + "RegexRouter", "regex": r".*\.(\w+)", "replacement": "dw.$1"}),
        **{"predicates.p.type": KAFKA + "predicates.RecordIsTombstone"},
    )

    assert (found.is_readable, noted(found)) == (True, [])
    assert found.values["renames"] == {"things.code": "label", "things.total": "amount"}
    assert found.values["ignore_columns"] == ["things.code", "things.raw"]
    assert found.values["tolerances"] == {"things.made": ["milliseconds"], "things.total": ["double"]}
    assert found.values["tables"] == {"shop.public.things": "dw_things"}


@pytest.mark.parametrize("kind", sorted([*MIRRORED, *HARMLESS, *DOUBTED]))
def test_every_known_transform_stands_in_the_documentation(kind):
    text = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text()
    name = kind.removeprefix(KAFKA).removeprefix(DEBEZIUM + "transforms.").rpartition("mongodb.transforms.")[2]

    assert f"`{name.removeprefix('outbox.')}`" in text or f"`{name}`" in text
