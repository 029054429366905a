"""Rows of a recording's stores under keys that no change tells of, and what only looks like one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.offline import is_wrong
from app.model import RawRecord
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.worker.test_recorded_stores import Small

LOG = "log.orders"


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Two changes that the sink has."""
    return Small(tmp_path).changes((1, "a", "c"), (2, "b", "c"))


def strangers(small: Small) -> dict[str, list[str]]:
    """Their keys, by what they are called."""
    return {
        line["kind"]: [key["id"] for key in line["keys"]]
        for line in small.lines()
        if line["kind"] in ("foreign", "unexplained")
    }


def logged(small: Small, *told: tuple[Any, str | None, str]) -> Small:
    """The sink's change log in the place of its tables; each of its records as old as the change of its number."""
    small.config = small.config.replace('recorded_tables = "tables.json.gz"', f'change_log = ["{LOG}"]')
    return small.changes(*told, topic=LOG)


def test_a_row_under_a_key_that_no_change_tells_of_is_foreign(small: Small) -> None:
    small.rows(["1", "a"], ["2", "b"], ["99", "x"], ["100", "y"])

    assert [line for line in small.lines() if line["kind"] == "foreign"] == [
        {
            "kind": "foreign", "sink": "s", "topic": "shop.orders", "table": "orders", "count": 2,
            "keys": [{"id": "100"}, {"id": "99"}],
        }
    ]  # fmt: skip


def test_it_convicts_no_change_and_nothing_is_wrong(small: Small) -> None:
    small.rows(["1", "a"], ["2", "b"], ["99", "x"])

    assert small.states() == {}
    assert not is_wrong(small.lines())


def test_it_needs_no_progress(small: Small) -> None:
    """Whatever the sink has passed, no change of this key can be its."""
    small.rows(["1", "a"], ["99", "x"]).progress = {}

    assert strangers(small) == {"foreign": ["99"]}


@pytest.mark.parametrize(
    "contract",
    ['deletes = "soft"', 'deletes = "ignore"', 'deletes = "apply"', 'leave_out_operations = ["c", "d"]',
     'leave_out_tables = ["orders"]', 'rows = { "orders.name" = ["a"] }\ndeletes = "ignore"'],
)  # fmt: skip
def test_a_key_that_a_change_tells_of_is_known_whatever_the_contract_takes_of_it(small: Small, contract: str) -> None:
    small.changes((3, "c", "c"), (3, None, "d")).config += contract + "\n"

    assert strangers(small.rows(["1", "a"], ["2", "b"], ["3", "c"])) == {}


def test_a_key_of_any_partition_is_known(small: Small) -> None:
    small.changes((3, "c", "c"), partition=1).changes((4, "d", "c"), partition=5)

    assert strangers(small.rows(["1", "a"], ["3", "c"], ["4", "d"], ["5", "e"])) == {"foreign": ["5"]}


# ---------------------------------------------------------------- what a change log shows


def test_the_last_rows_of_a_change_log_are_asked_alike(small: Small) -> None:
    logged(small.changes((3, "c", "c")), (1, "a", "c"), (99, "x", "c"), (2, "b", "c"))

    assert strangers(small) == {"foreign": ["99"]}


def test_a_row_that_was_taken_away_again_is_none(small: Small) -> None:
    logged(small.changes((3, "c", "c")), (1, "a", "c"), (99, "x", "c"), (99, None, "d"))

    assert strangers(small) == {}


def test_what_was_written_after_the_newest_change_may_be_of_one_that_came_after_it(small: Small) -> None:
    """The change log may have been recorded later than the changes."""
    logged(small, (1, "a", "c"), (2, "b", "c"), (99, "x", "c"))

    assert strangers(small) == {"unexplained": ["99"]}


def test_a_change_log_without_an_order_says_nothing(small: Small) -> None:
    logged(small, (1, "a", "c"), (99, "x", "c")).changes((2, "b", "c"), topic=LOG, partition=1)

    assert strangers(small) == {}


# ---------------------------------------------------------------- where not every change is held


def test_a_topic_that_has_lost_its_beginning_leaves_a_row_unexplained(small: Small) -> None:
    small.rows(["1", "a"], ["99", "x"]).logs["shop.orders"] = [
        (partition, record._replace(offset=record.offset + 5)) for partition, record in small.logs["shop.orders"]
    ]
    small.progress = {("shop.orders", 0): 7}

    assert strangers(small) == {"unexplained": ["99"]}


def test_so_does_a_hole_which_compaction_may_have_made(small: Small) -> None:
    del small.changes((1, "a", "u")).rows(["1", "a"], ["99", "x"]).logs["shop.orders"][1]

    assert strangers(small) == {"unexplained": ["99"]}


def test_so_does_a_change_that_cant_be_read(small: Small) -> None:
    assert strangers(small.poison(7).rows(["1", "a"], ["99", "x"])) == {"unexplained": ["99"]}


def test_tombstones_are_no_holes(small: Small) -> None:
    small.changes((2, None, "d"))
    key = small.logs["shop.orders"][-1][1].key
    small.logs["shop.orders"].append((0, RawRecord(3, 1_003, key, None)))

    assert strangers(small.rows(["1", "a"], ["99", "x"])) == {"foreign": ["99"]}


# ---------------------------------------------------------------- what can't be known


def test_a_sink_that_has_passed_more_than_the_recording_holds_may_have_written_anything(small: Small) -> None:
    small.rows(["1", "a"], ["99", "x"]).progress["shop.orders", 0] = 9
    assert strangers(small) == {}

    small.progress = {("shop.orders", 0): 2, ("shop.orders", 1): 1}
    assert strangers(small) == {}


def test_a_tolerance_on_the_key_says_that_texts_do_not_tell_keys_apart(small: Small) -> None:
    small.config += 'tolerances = { "orders.id" = ["double"] }\n'

    assert strangers(small.rows(["1", "a"], ["99", "x"])) == {}


@pytest.mark.parametrize(
    ("kind", "keys", "kept", "texts", "stranger"),
    [
        ("long", (7, 8), "numeric", ("7.00", "8"), "99"),
        ("string", ("a", "b"), "text", ("a", "b"), "x"),
        ({"type": "string", "connect.name": "io.debezium.data.Uuid"},
         ("E80CC12A-bcd8-8934-d8ec-a651abd60783", "00000000-0000-0000-0000-000000000001"), "text",
         ("e80cc12a-bcd8-8934-d8ec-a651abd60783", "00000000-0000-0000-0000-000000000001"), "x"),
    ],
)  # fmt: skip
def test_keys_in_another_type_that_loses_nothing_are_told(
    tmp_path: Path, kind: Any, keys: Any, kept: str, texts: Any, stranger: str
) -> None:
    small = Small(tmp_path, kind).changes((keys[0], "a", "c"), (keys[1], "b", "c"))

    assert strangers(small.rows([texts[0], "a"], [texts[1], "b"], [stranger, "x"], kind=kept)) == {
        "foreign": [stranger]
    }


@pytest.mark.parametrize(
    ("kind", "key", "kept", "texts"),
    [
        ("string", "7", "int8", ("7", "99")),
        ("long", 7, "text", ("7", "007")),
        ("long", 7, "float8", ("7", "7.1")),
        ({"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}, 0, "timestamptz",
         ("1970-01-01 00:00:00+00", "1970-01-01 02:00:00+00")),
    ],
)  # fmt: skip
def test_keys_in_a_type_that_may_write_them_otherwise_are_not(
    tmp_path: Path, kind: Any, key: Any, kept: str, texts: Any
) -> None:
    small = Small(tmp_path, kind).changes((key, "a", "c"))

    assert strangers(small.rows(*([text, "a"] for text in texts), kind=kept)) == {}


def test_a_key_that_differs_by_blanks_or_letter_case_alone_may_be_a_known_one(tmp_path: Path) -> None:
    """A CHAR is padded, a collation may fold: the contract has not said so."""
    small = Small(tmp_path, "string").changes(("abc", "a", "c"), ("d", "b", "c"))

    assert strangers(small.rows(["abc", "a"], ["d  ", "b"], ["ABC", "c"], ["e", "x"], kind="text")) == {
        "foreign": ["e"]
    }


def test_nothing_is_said_until_some_row_has_the_key_of_a_change(small: Small) -> None:
    """A sink that counts its keys from another beginning looks as if all its rows were somebody else's."""
    assert strangers(small.rows(["101", "a"], ["102", "b"])) == {}


def test_rows_that_can_be_found_by_no_change_of_theirs_are_not_told(small: Small) -> None:
    """A value of the contract's key that a change leaves out may be any."""
    small.changes((3, UNAVAILABLE_VALUE, "u")).config += 'keys = { "orders" = ["name"] }\n'

    assert not {"foreign", "unexplained"} & {line["kind"] for line in small.rows(["1", "a"], ["9", "x"]).lines()}


def test_rows_found_by_the_contract_s_key_are_told_by_it(small: Small) -> None:
    small.config += 'keys = { "orders" = ["name"] }\n'

    found = [line for line in small.rows(["1", "a"], ["9", "x"]).lines() if line["kind"] == "foreign"]
    assert [line["keys"] for line in found] == [[{"name": "x"}]]


def test_two_topics_of_one_table_say_nothing(small: Small) -> None:
    small.config = small.config.replace('["shop.orders"]', '["shop.orders", "shop.orders_old"]')
    small.changes((3, "z", "c"), topic="shop.orders_old")

    assert strangers(small.rows(["1", "a"], ["99", "x"])) == {}


@pytest.mark.parametrize(("file", "expected"), [("tables.json.gz", {}), ("others.json.gz", {"foreign": ["99"]})])
def test_two_sinks_of_one_table_say_nothing(small: Small, file: str, expected: dict[str, list[str]]) -> None:
    """Unless they keep it in different stores."""
    small.config = small.config.replace('["shop.orders"]', '["shop.orders", "shop.others"]')
    small.config += f"""topics = ["shop.orders"]
[sinks.t]
connector = "t"
topics = ["shop.others"]
recorded_tables = "{file}"
table_name = "Orders"
"""
    small.changes((99, "x", "c"), topic="shop.others").rows(["1", "a"], ["99", "x"])
    with gzip.open(small.place / "others.json.gz", "wt") as text:
        json.dump({}, text)

    assert strangers(small) == expected
