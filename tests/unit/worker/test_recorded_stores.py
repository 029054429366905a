"""Small recordings with tables: partitions, keys and evidence that a real capture does not happen to have."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.adapters.recording import write_topic
from app.cli.offline import verify_lines
from app.model import RawRecord
from cdc_receipts.codec import SCHEMAS, Receipt, Status, encode_receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.decode.envelopes import change, envelope, framed, record

EVIDENCE_ID = 50
CONFIG = """
[source]
topics = ["shop.orders"]
[sinks.s]
connector = "s"
expect = "latest-state"
recorded_tables = "tables.json.gz"
table_name = "${source.table}"
"""


class Small:
    """One recording; its key's column is ``id`` of any type, its rows have a column ``name``, or more of one text."""

    def __init__(self, place: Path, kind: Any = "long", texts: tuple[str, ...] = ("name",)) -> None:
        self.place = place
        self.config = CONFIG
        self.texts = texts
        self.value = envelope((("id", kind), *((column, ["null", "string"]) for column in texts)))
        self.key = record("Key", (("id", kind),))
        self.schemas = {7: self.value, 8: self.key, EVIDENCE_ID: json.loads(SCHEMAS["DeliveryReceipt"])}
        self.logs: dict[str, list[tuple[int, RawRecord]]] = {"shop.orders": []}
        self.progress: dict[tuple[str, int], int] = {}
        self.tables: dict[str, Any] = {}

    def changes(self, *told: tuple[Any, str | None, str], partition: int = 0, topic: str = "shop.orders") -> Small:
        """(key, name, op); a truncate has no key."""
        log = self.logs.setdefault(topic, [])
        for key, name, op in told:
            offset = sum(number == partition for number, _ in log)
            after = {"id": key, **dict.fromkeys(self.texts, name)} if op in "cur" else None
            value = framed(self.value, change(op, after, {"lsn": offset, "txId": partition}), 7)
            key_bytes = None if op == "t" else framed(self.key, {"id": key}, 8)
            log.append((partition, RawRecord(offset, 1_000 + offset, key_bytes, value)))
            self.progress[topic, partition] = offset + 1
        return self

    def poison(self, key: Any, partition: int = 0) -> Small:
        """A change of a key that can't be read."""
        log = self.logs["shop.orders"]
        offset = sum(number == partition for number, _ in log)
        log.append((partition, RawRecord(offset, 1_000, framed(self.key, {"id": key}, 8), b"\x00\x00\x00\x27\x0f")))
        self.progress["shop.orders", partition] = offset + 1
        return self

    def receipts(self, *told: tuple[int, int]) -> Small:
        """The sink's own, without fingerprints: (offset, when)."""
        self.config += 'receipts = ["receipts"]\nfences = "progress"\nredelivery = "fault"\n'
        self.logs["receipts"] = [
            (0, RawRecord(at, when, None, encode_receipt(_applied(offset, when), EVIDENCE_ID)))
            for at, (offset, when) in enumerate(told)
        ]
        return self

    def rows(self, *rows: list[str | None], kind: str = "int8", table: str = "orders") -> Small:
        """What the sink holds."""
        columns = [{"name": "id", "udt": kind}, *({"name": column, "udt": "text"} for column in self.texts)]
        self.tables[table] = {"columns": columns, "rows_as_pg_text": rows}
        return self

    def states(self) -> Mapping[tuple[int, int], str]:
        """Each partition's and offset's state, with flags behind it, of cells that are not plainly fine."""
        return {
            (line["partition"], line["offset"]): " ".join([line["state"], *line["flags"]])
            for line in self.lines()
            if line["kind"] == "cell"
        }

    def count(self, state: str) -> int:
        return sum(line["counts"].get(state, 0) for line in self.lines() if line["kind"] == "sink")

    def lines(self) -> list[dict[str, Any]]:
        for topic, log in self.logs.items():
            write_topic(self.place, topic, log)
        (self.place / "schemas.json").write_text(json.dumps({str(n): json.dumps(s) for n, s in self.schemas.items()}))
        (self.place / "config.toml").write_text(self.config)
        committed = [{"topic": t, "partition": p, "committed": at} for (t, p), at in self.progress.items()]
        (self.place / "consumer_groups.json").write_text(json.dumps({"connect-s": committed}))
        with gzip.open(self.place / "tables.json.gz", "wt") as text:
            json.dump(self.tables, text)
        return verify_lines(self.place)


def _applied(offset: int, when: int) -> Receipt:
    return Receipt(
        sink="s",
        topic="shop.orders",
        partition=0,
        offset=offset,
        status=Status.APPLIED,
        fingerprint=None,
        applied_at=when,
    )


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_rows_of_all_partitions_stand_in_one_table(small: Small) -> None:
    small.changes((1, "a", "c")).changes((2, "b", "c"), (4, "d", "c"), partition=1)

    assert small.rows(["1", "a"], ["2", "b"]).states() == {(1, 1): "missing"}


def test_a_truncate_may_have_taken_rows_of_other_partitions(small: Small) -> None:
    """Which of the two the sink read first nobody knows."""
    small.config += 'truncates = "apply"\n'
    small.changes((1, "a", "c"), (None, None, "t"), (3, "c", "c")).changes((2, "b", "c"), (4, "d", "c"), partition=1)
    small.rows(["4", "d"], ["3", "c"])

    assert small.states() == {}
    assert small.count("attempted") == 2  # what the truncate took of its own partition, and what it may have taken
    assert small.count("delivered") == 3


def test_one_row_that_outlives_a_truncate_makes_it_missing_whatever_others_show(small: Small) -> None:
    small.config += 'truncates = "apply"\n'
    small.changes((1, "a", "c"), (2, "b", "c"), (3, "c", "c"), (None, None, "t")).rows(["2", "b"])

    assert small.states() == {(0, 3): "missing"}


def test_a_truncate_that_left_no_row_is_delivered(small: Small) -> None:
    small.config += 'truncates = "apply"\n'

    assert small.changes((1, "a", "c"), (None, None, "t")).rows().count("delivered") == 1


def test_what_a_sink_says_itself_and_its_rows_confirm_is_no_redelivery(small: Small) -> None:
    small.changes((1, "a", "c"), (2, "b", "c")).receipts((0, 5_000), (1, 5_001)).rows(["1", "a"], ["2", "b"])

    assert set(small.states().values()) <= {"delivered late"}
    assert small.count("delivered") == 2


def test_a_sink_that_fences_itself_gets_no_fence_at_its_commits_though_its_rows_are_looked_at(small: Small) -> None:
    """A receipt may come long after the commit: its change would be called missing."""
    small.changes((1, "a", "c"), (2, "b", "c")).receipts((0, 5_000))
    small.config = small.config.replace('fences = "progress"', 'fences = "emitter"')
    (sink,) = [line for line in small.lines() if line["kind"] == "sink"]

    assert sink["counts"] == {"delivered": 1, "pending": 1}
    assert "fences" not in sink


def test_a_row_speaks_against_a_receipt(small: Small) -> None:
    small.changes((1, "a", "c"), (2, "b", "c")).receipts((0, 5), (1, 5)).rows(["1", "x"])

    assert small.states() == {(0, 0): "diverged", (0, 1): "diverged"}


def test_a_key_whose_newest_change_cant_be_read_is_not_judged(small: Small) -> None:
    small.changes((1, "a", "c"), (2, "b", "c")).poison(1).rows(["1", "of the poison"], ["2", "b"])

    assert small.states() == {(0, 2): "unverifiable"}


def test_two_topics_in_one_table_are_not_compared(small: Small) -> None:
    small.config = small.config.replace('["shop.orders"]', '["shop.orders", "shop.orders_old"]')
    small.changes((1, "a", "c")).changes((1, "z", "c"), topic="shop.orders_old").rows(["1", "z"])

    assert small.states() == {}
    assert {line["rows"] for line in small.lines() if line["kind"] == "sink"} == {
        "not compared: several change topics share the table orders"
    }


KEYS = [
    # the source's type and keys, the sink's type and texts of the same
    ("long", (7, 700), "numeric", ("7.00", "700")), ("double", (7.0, 0.1), "numeric", ("7", "0.1")),
    ("double", (7.0, 0.1), "float8", ("7", "0.1")), ("string", ("a", "a "), "text", ("a", "a ")),
    ({"type": "string", "connect.name": "io.debezium.data.Uuid"},
     ("E80CC12A-bcd8-8934-d8ec-a651abd60783", "00000000-0000-0000-0000-000000000001"), "text",
     ("e80cc12a-bcd8-8934-d8ec-a651abd60783", "00000000-0000-0000-0000-000000000001")),
    ({"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}, (0, 1_000_001), "timestamptz",
     ("1970-01-01 00:00:00+00", "1970-01-01 00:00:01.000001+00")),
    ({"type": "int", "connect.name": "io.debezium.time.Date"}, (0, -719_528), "date", ("1970-01-01", "0001-01-01 BC")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "keys", "kept", "texts"), KEYS)
def test_a_key_is_found_in_the_type_that_the_sink_keeps_it_in(
    tmp_path: Path, kind: Any, keys: Any, kept: str, texts: Any
) -> None:
    small = Small(tmp_path, kind).changes((keys[0], "a", "c"), (keys[1], "b", "c"))
    small.config += 'tolerances = { "orders.id" = ["utc", "double"] }\n'

    assert small.rows([texts[0], "a"], [texts[1], "b"], kind=kept).states() == {}
    assert small.count("delivered") == 2
    assert small.rows([texts[1], "b"], kind=kept).states() == {(0, 0): "missing"}


def test_keys_that_the_sink_pads_are_found_where_the_contract_says_so(tmp_path: Path) -> None:
    small = Small(tmp_path, "string").changes(("a", "a", "c"), ("b", "b", "c"))
    small.config += 'tolerances = { "orders.id" = ["blanks"] }\n'

    assert small.rows(["a  ", "a"], ["b  ", "b"], kind="text").count("delivered") == 2


def test_keys_that_only_the_source_tells_apart_are_not_judged(tmp_path: Path) -> None:
    small = Small(tmp_path, "string").changes(("a", "1", "c"), ("A", "2", "c"), ("b", "3", "c"))
    small.config += 'tolerances = { "orders.id" = ["case"] }\n'

    assert small.rows(["a", "2"], ["B", "3"], kind="text").states() == {}
    assert (small.count("attempted"), small.count("delivered")) == (2, 1)


def test_rows_are_found_by_the_contract_s_key(small: Small) -> None:
    """A row that another record key wrote, and one that moved on, say nothing; of the others each is judged."""
    small.changes((1, "a", "c"), (2, "b", "c"), (3, "c", "c"), (4, "d", "c"), (4, "e", "u"), (5, "f", "c"))
    small.config += 'keys = { "orders" = ["name"] }\ndeletes = "ignore"\n'
    small.rows(["1", "a"], ["9", "b"], ["4", "e"], ["5", "f"])

    assert small.states() == {(0, 2): "missing"}
    assert (small.count("delivered"), small.count("attempted")) == (3, 1)


def test_tables_that_are_named_after_a_value_are_not_compared(small: Small) -> None:
    small.config = small.config.replace("${source.table}", "${column.name}")
    small.changes((1, "orders", "c"), (2, "others", "c")).rows(["1", "orders"])

    assert small.states() == {}


def test_columns_that_differ_are_told_in_one_order_whichever_run_tells_them(tmp_path: Path) -> None:
    """What a change leaves out stands in a set: of seven columns two runs would hardly ever tell the same."""
    small = Small(tmp_path, texts=tuple("gfedcba")).changes((1, UNAVAILABLE_VALUE, "c"))
    small.rows(["1", *[UNAVAILABLE_VALUE] * 7])

    assert [list(line["columns"]) for line in small.lines() if line["kind"] == "cell"] == [list("abcdefg")]
