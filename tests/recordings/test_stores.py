"""A real capture whose sinks write no receipts: what their own rows and change log say, told from the tables themselves.

What is expected is counted here with nothing of the product but the capture: rows of the sinks' tables beside rows of the
source's, cell by cell, as PostgreSQL wrote them.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.doctor import recorded_contracts
from app.cli.main import main
from app.cli.offline import verify_lines

REAL = Path(__file__).parent / "debezium-3.7"
PLACEHOLDER = "__debezium_unavailable_value"
Line = dict[str, Any]
Table = dict[str, Any]


def tables(name: str, directory: Path = REAL) -> dict[str, Table]:
    with gzip.open(directory / name, "rt") as text:
        return json.load(text)


def rows(table: Table) -> list[dict[str, str | None]]:
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, cells, strict=True)) for cells in table["rows_as_pg_text"]]


def key_of(table: Table, row: dict[str, str | None]) -> tuple[str | None, ...]:
    return tuple(row[name] for name in table["pk"])


SOURCE, SINK_A, SINK_B = tables("tables_shop.json.gz"), tables("tables_sink_a.json.gz"), tables("tables_sink_b.json.gz")


@pytest.fixture(scope="session")
def proposed() -> str:
    """What ``doctor`` proposes for the capture."""
    return "\n".join(recorded_contracts(REAL))


@pytest.fixture(scope="module")
def lines(tmp_path_factory, proposed) -> list[Line]:
    return judged(REAL, tmp_path_factory.mktemp("whole"), proposed)


def judged(recording: Path, place: Path, config: str) -> list[Line]:
    file = place / "config-of-this-test.toml"
    file.write_text(config)
    return verify_lines(recording, file)


def bad(lines: list[Line]) -> list[tuple[str, str, int, str]]:
    """Every cell that is wrong: sink, table, offset, state."""
    wrong = {"missing", "diverged", "rejected", "duplicated", "unverifiable"}
    return sorted(
        (line["sink"], line["topic"].rpartition(".")[2], line["offset"], line["state"])
        for line in lines
        if line["kind"] == "cell" and line["state"] in wrong
    )


def columns_of(lines: list[Line], sink: str, table: str) -> list[dict[str, str]]:
    return [
        line["columns"]
        for line in lines
        if line["kind"] == "cell" and line["sink"] == sink and line["topic"].endswith(f".{table}") and "columns" in line
    ]


def count(lines: list[Line], sink: str, table: str, state: str) -> int:
    return sum(
        line["counts"].get(state, 0)
        for line in lines
        if line["kind"] == "sink" and line["sink"] == sink and line["topic"].endswith(f".{table}")
    )


# ---------------------------------------------------------------- the whole capture


def test_the_note_that_never_arrived_is_the_only_change_that_is_missing(lines):
    lacking = {key_of(SOURCE["notes"], row) for row in rows(SOURCE["notes"])} - {
        key_of(SINK_B["shop_public_notes"], row) for row in rows(SINK_B["shop_public_notes"])
    }

    assert lacking == {("70",)}
    assert [found for found in bad(lines) if found[3] == "missing"] == [("sink-b", "notes", 18, "missing")]


def test_the_records_that_nobody_can_read_are_rejected_and_nothing_else_is(lines):
    assert [found[1:] for found in bad(lines) if found[3] == "rejected"] == [
        ("notes", at, "rejected") for at in (14, 15, 16)
    ]


def test_each_placeholder_that_stands_in_a_table_is_found_in_its_column(lines):
    cells = Counter(
        (table, name)
        for table, content in SINK_A.items()
        for row in rows(content)
        for name, text in row.items()
        if text == PLACEHOLDER
    )

    assert cells == {("all_types", "c_big"): 4}
    assert columns_of(lines, "sink-t", "all_types") == [{"c_big": "placeholder"}] * 4


def test_placeholders_that_a_truncate_took_away_are_found_in_the_change_log(lines):
    assert columns_of(lines, "sink-a", "documents") == [{"body": "placeholder"}] * 2


def soft_deleted(table: str) -> Iterator[dict[str, str | None]]:
    return (row for row in rows(SINK_B[f"shop_public_{table}"]) if row["__deleted"] == "true")


INVENTED = {
    "customers": {"email": "", "credit": "0.00"}, "orders": {"customer_id": "0", "total": "0.00"},
    "order_items": {"sku": "", "price": "0.00"},
}  # fmt: skip
"""What a before image holds beyond its key that REPLICA IDENTITY DEFAULT does not tell: what the types begin with."""


@pytest.mark.parametrize("table", INVENTED)
def test_each_row_that_a_delete_left_with_an_invented_image_is_diverged(lines, table):
    """No such row is at the source any more; each of them holds the invented values, so each differs from what it last was."""
    deleted = list(soft_deleted(table))
    content = SINK_B[f"shop_public_{table}"]
    living = {key_of(SOURCE[table], row) for row in rows(SOURCE[table])}

    assert deleted
    assert not living & {key_of(content, row) for row in deleted}
    assert all(row[name] == text for row in deleted for name, text in INVENTED[table].items())
    assert count(lines, "sink-b", table, "diverged") == len(deleted)
    assert sum(found[:2] == ("sink-b", table) for found in bad(lines)) == len(deleted)
    assert not any("__deleted" in columns for columns in columns_of(lines, "sink-b", table))


def test_all_together_are_225(lines):
    assert sum(len(list(soft_deleted(table))) for table in INVENTED) == 225
    assert Counter(found[::3] for found in bad(lines)) == {
        ("sink-a", "diverged"): 2, ("sink-b", "diverged"): 225, ("sink-b", "missing"): 1, ("sink-b", "rejected"): 3,
        ("sink-t", "diverged"): 4,
    }  # fmt: skip


def test_every_row_that_is_at_the_source_is_delivered(lines):
    """One change of each: the newest of its key, or, with the change log, all that were written."""
    for table, sink in (("customers", "sink-b"), ("orders", "sink-b"), ("order_items", "sink-b")):
        assert count(lines, sink, table, "delivered") == len(SOURCE[table]["rows_as_pg_text"])
    assert count(lines, "sink-b", "notes", "delivered") == len(SOURCE["notes"]["rows_as_pg_text"]) - 1
    for table in ("customers", "orders", "order_items"):
        assert count(lines, "sink-a", table, "delivered") > len(SOURCE[table]["rows_as_pg_text"])


def test_nothing_waits_and_nothing_is_only_attempted(lines):
    left = Counter(state for line in lines if line["kind"] == "sink" for state in line["counts"])

    assert not {"pending", "attempted"} & left.keys()


def test_nothing_beside_cells_is_found(lines):
    assert {line["kind"] for line in lines} <= {"cell", "command", "coverage", "evidence", "sink"}


# ---------------------------------------------------------------- the capture with something else wrong


Edit = Callable[[dict[str, Table]], None]


class Copy:
    """The capture with other tables, offsets or contracts."""

    def __init__(self, place: Path, config: str) -> None:
        self.place = place
        self.config = config

    def tables(self, name: str, edit: Edit) -> Copy:
        """Other rows."""
        content = tables(name, self.place)
        edit(content)
        with gzip.open(self.place / name, "wt") as text:
            json.dump(content, text)
        return self

    def committed(self, group: str, table: str, offset: int) -> Copy:
        """Another progress."""
        file = self.place / "consumer_groups.json"
        told = json.loads(file.read_text())
        for one in told[group]:
            if one["topic"].endswith(f".{table}"):
                one["committed"] = offset
        file.write_text(json.dumps(told))
        return self

    def only(self, sink: str, *tables: str) -> Copy:
        """One sink and some of its tables, so that less is read."""
        named = json.dumps([f"shop.public.{table}" for table in tables])
        section = next(part for part in self.config.split("\n\n") if part.startswith(f'[sinks."{sink}"]'))
        section = "\n".join(line for line in section.splitlines() if not line.startswith("topics = "))
        self.config = f"[source]\ntopics = {named}\n\n{section}\ntopics = {named}\n"
        return self

    def contract(self, old: str, new: str) -> Copy:
        """Another contract."""
        assert old in self.config
        self.config = self.config.replace(old, new)
        return self

    def lines(self) -> list[Line]:
        return judged(self.place, self.place, self.config)

    def news(self, lines: list[Line]) -> list[tuple[str, str, int, str]]:
        """What is wrong here and was not in the whole capture."""
        return sorted(set(bad(self.lines())) - set(bad(lines)))


NEEDED = ("shop.public.*", "rcpt.*", "dlq.*", "schemas.json", "connect.json", "consumer_groups.json", "tables_sink_*")


@pytest.fixture
def copy(tmp_path, proposed) -> Copy:
    place = tmp_path / "copy"
    place.mkdir()
    for pattern in NEEDED:
        for file in REAL.glob(pattern):
            shutil.copy(file, place / file.name)
    return Copy(place, proposed)


@pytest.fixture
def notes(copy) -> Copy:
    """The notes of sink-b alone."""
    return copy.only("sink-b", "notes")


def cell(table: str, row: int, column: str, text: str | None) -> Edit:
    """Another text in one cell."""

    def edit(found: dict[str, Table]) -> None:
        names = [one["name"] for one in found[table]["columns"]]
        assert found[table]["rows_as_pg_text"][row][names.index(column)] != text
        found[table]["rows_as_pg_text"][row][names.index(column)] = text

    return edit


NOTES, ORDERS = "shop_public_notes", "shop_public_orders"
NOTE_ONE = 7
"""Offset of the newest change of note 1: an incremental snapshot read it again."""


@pytest.mark.parametrize(
    ("text", "what"), [("changed", "value"), (None, "null"), (PLACEHOLDER, "placeholder")]
)  # fmt: skip
def test_one_cell_that_is_changed_is_that_change_and_that_column(notes, lines, text, what):
    found = notes.tables("tables_sink_b.json.gz", cell(NOTES, 0, "txt", text)).lines()

    assert sorted(set(bad(found)) - set(bad(lines))) == [("sink-b", "notes", NOTE_ONE, "diverged")]
    assert columns_of(found, "sink-b", "notes") == [{"txt": what}]


def test_one_row_that_is_gone_is_that_change_missing(notes, lines):
    notes.tables("tables_sink_b.json.gz", lambda found: found[NOTES]["rows_as_pg_text"].pop(0))

    assert notes.news(lines) == [("sink-b", "notes", NOTE_ONE, "missing")]


def test_a_row_that_its_log_says_was_written_and_is_gone_is_diverged(copy, lines):
    """The change log is a word that the sink applied it: a SKIP would prove nothing against that."""
    copy.only("sink-a", "full_ident").tables(
        "tables_sink_a.json.gz", lambda found: found["full_ident"]["rows_as_pg_text"].pop(0)
    )

    assert [(sink, table, state) for sink, table, _, state in copy.news(lines)] == [
        ("sink-a", "full_ident", "diverged")
    ]


def test_a_row_that_came_back_after_its_delete_is_found(copy, lines):
    """A mark that is taken away makes the row a living one: its delete is missing or wrong."""
    row = next(at for at, one in enumerate(rows(SINK_B[ORDERS])) if one["__deleted"] == "true")
    copy.only("sink-b", "orders").tables("tables_sink_b.json.gz", cell(ORDERS, row, "__deleted", "false"))
    found = copy.lines()

    assert bad(found) == [one for one in bad(lines) if one[:2] == ("sink-b", "orders")]
    assert sum("__deleted" in columns for columns in columns_of(found, "sink-b", "orders")) == 1


def test_a_type_that_keeps_the_value_changes_nothing(notes, lines):
    def as_text(found: dict[str, Table]) -> None:
        for column in found[NOTES]["columns"]:
            column["udt"] = "text"

    assert notes.tables("tables_sink_b.json.gz", as_text).news(lines) == []


def test_a_contract_without_the_tolerance_reports_the_column(copy, lines):
    found = copy.only("sink-t", "all_types").contract('"all_types.c_numfree" = ["double"], ', "").lines()

    news = set(bad(found)) - set(bad(lines))
    assert news
    assert {(sink, table, state) for sink, table, _, state in news} == {("sink-t", "all_types", "diverged")}
    assert {name for columns in columns_of(found, "sink-t", "all_types") for name in columns} == {"c_numfree", "c_big"}


def test_a_sink_that_is_ahead_of_its_commits_raises_no_alarm(copy, lines):
    """The tables are what they were; the group had committed half of it."""
    for table, offset in (("orders", 600), ("order_items", 3_000), ("customers", 500)):
        copy.committed("connect-sink-a", table, offset).committed("connect-sink-b", table, offset)

    assert copy.news(lines) == []


def test_what_was_not_committed_is_not_called_missing(notes):
    found = notes.committed("connect-sink-b", "notes", 18).lines()

    assert ("sink-b", "notes", 18, "missing") not in bad(found)
    assert count(found, "sink-b", "notes", "pending") == 3


@pytest.mark.parametrize("below", range(1, 22, 3))
def test_wherever_the_progress_stands_only_what_is_wrong_below_it_is_wrong(notes, lines, below):
    found = notes.committed("connect-sink-b", "notes", below).lines()

    assert {one for one in bad(found) if one[1] == "notes"} == {
        one for one in bad(lines) if one[1] == "notes" and (one[2] < below or one[3] == "rejected")
    }


def test_a_change_log_alone_finds_what_was_written_wrong_and_convicts_nobody_else(copy, lines):
    """What the sink holds at the end is the log's last rows; the placeholders stand there as they do in the tables."""
    alone = copy.contract('recorded_tables = "tables_sink_a.json.gz"\n', "").lines()

    assert [one for one in bad(alone) if one[0] != "sink-b"] == [one for one in bad(lines) if one[0] != "sink-b"]


def test_tables_alone_find_what_they_hold(copy, lines):
    found = copy.contract('change_log = ["/rcpt[.].*/"]\n', "").lines()

    assert [one for one in bad(found) if one[0] == "sink-t"] == [one for one in bad(lines) if one[0] == "sink-t"]
    assert [one for one in bad(found) if one[0] == "sink-a"] == []


@pytest.mark.parametrize("behind", [1, 2, 5, 50, 500])
def test_a_change_log_that_lags_convicts_nobody(copy, lines, behind):
    """Its newest records are not there yet: what they would show is not missing."""
    copy.only("sink-a", "orders", "documents", "full_ident", "customers")
    copy.contract('recorded_tables = "tables_sink_a.json.gz"\n', "")
    for file in copy.place.glob("rcpt.public.*"):
        with gzip.open(file, "rt") as text:
            kept = text.readlines()[:-behind]
        with gzip.open(file, "wt") as text:
            text.writelines(kept)

    assert copy.news(lines) == []


@pytest.mark.parametrize("late", [1, 3, 20, 1_000])
def test_a_change_log_that_begins_late_convicts_nobody(copy, lines, late):
    copy.only("sink-a", "orders", "documents", "full_ident", "customers")
    copy.contract('recorded_tables = "tables_sink_a.json.gz"\n', "")
    for file in copy.place.glob("rcpt.public.*"):
        with gzip.open(file, "rt") as text:
            kept = text.readlines()[late:]
        with gzip.open(file, "wt") as text:
            text.writelines(kept)

    assert copy.news(lines) == []


def strangers(lines: list[Line]) -> list[tuple[str, str, list[dict[str, str]]]]:
    return [(line["kind"], line["table"], line["keys"]) for line in lines if line["kind"] in ("foreign", "unexplained")]


def put_in(table: str, key: str) -> Edit:
    """One more row, under another key."""
    return lambda found: found[table]["rows_as_pg_text"].append([key, *found[table]["rows_as_pg_text"][0][1:]])


def test_a_row_that_somebody_put_in_is_told_and_convicts_nothing(copy, lines):
    copy.only("sink-b", "orders").tables("tables_sink_b.json.gz", put_in(ORDERS, "900001"))

    assert strangers(copy.lines()) == [("foreign", ORDERS, [{"id": "900001"}])]
    assert copy.news(lines) == []


def test_where_a_change_cant_be_read_it_may_have_been_its(notes):
    assert strangers(notes.tables("tables_sink_b.json.gz", put_in(NOTES, "900001")).lines()) == [
        ("unexplained", NOTES, [{"id": "900001"}])
    ]


def test_rows_that_a_change_log_alone_shows_are_all_of_changes(copy):
    assert strangers(copy.contract('recorded_tables = "tables_sink_a.json.gz"\n', "").lines()) == []


# ---------------------------------------------------------------- what can't be compared


def reasons(lines: list[Line]) -> set[str]:
    return {line["rows"] for line in lines if line["kind"] == "sink" and "rows" in line}


def drop_column(table: str, column: str) -> Edit:
    def edit(found: dict[str, Table]) -> None:
        at = [one["name"] for one in found[table]["columns"]].index(column)
        for cells in (found[table]["columns"], *found[table]["rows_as_pg_text"]):
            cells.pop(at)

    return edit


def rename(table: str, column: str, name: str) -> Edit:
    def edit(found: dict[str, Table]) -> None:
        next(one for one in found[table]["columns"] if one["name"] == column)["name"] = name

    return edit


def as_bytes(found: dict[str, Table]) -> None:
    found[NOTES]["columns"][0]["udt"] = "bytea"
    for cells in found[NOTES]["rows_as_pg_text"]:
        cells[0] = f"\\x{int(cells[0]):08x}"


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda found: found.pop(NOTES), "the store has no table shop_public_notes"),
        (drop_column(NOTES, "id"), "shop_public_notes has no column for id of the key"),
        (as_bytes, "id of the key is kept in a type that can't be matched with the source's"),
    ],
)  # fmt: skip
def test_rows_that_cant_be_matched_make_nothing_missing(notes, edit, why):
    """What is not compared is only attempted: the sink passed it, and more is not known."""
    found = notes.tables("tables_sink_b.json.gz", edit).lines()

    assert reasons(found) == {f"not compared: {why}"}
    assert [one for one in bad(found) if one[1] == "notes"] == [
        ("sink-b", "notes", at, "rejected") for at in (14, 15, 16)
    ]
    assert count(found, "sink-b", "notes", "attempted") == 11


def test_a_key_that_two_rows_have_proves_nothing(notes, lines):
    def twice(found: dict[str, Table]) -> None:
        first = found[NOTES]["rows_as_pg_text"][0]
        found[NOTES]["rows_as_pg_text"].append([first[0], "0", "another", *first[3:]])

    found = notes.tables("tables_sink_b.json.gz", twice).lines()

    assert bad(found) == [one for one in bad(lines) if one[1] == "notes"]
    assert count(found, "sink-b", "notes", "attempted") == 1


def test_columns_and_tables_in_other_letter_case_are_the_same(notes, lines):
    def shout(found: dict[str, Table]) -> None:
        content = found.pop(NOTES)
        for column in content["columns"]:
            column["name"] = column["name"].upper()
        found[NOTES.upper()] = content

    assert notes.tables("tables_sink_b.json.gz", shout).news(lines) == []


def test_a_renamed_column_is_absent_until_the_contract_says_so(notes, lines):
    notes.tables("tables_sink_b.json.gz", rename(NOTES, "txt", "body"))
    assert {one[1:2] + one[3:] for one in notes.news(lines)} == {("notes", "diverged")}

    notes.contract('deletes = "soft"', 'deletes = "soft"\nrenames = { "notes.txt" = "body" }')
    assert notes.news(lines) == []


def test_a_progress_beyond_what_was_recorded_convicts_nobody(notes, lines):
    """The sink has passed changes that the recording does not hold: what its rows show may be theirs."""

    def edit(found: dict[str, Table]) -> None:
        cell(NOTES, 0, "txt", "of a change that was not recorded")(found)
        found[NOTES]["rows_as_pg_text"].pop(1)

    notes.tables("tables_sink_b.json.gz", edit).committed("connect-sink-b", "notes", 25)

    assert notes.news(lines) == []


def test_deletes_that_a_contract_ignores_are_expected_of_nobody(copy):
    found = copy.only("sink-b", "orders").contract('deletes = "soft"', 'deletes = "ignore"').lines()

    assert not any("unexpected" in line.get("flags", ()) for line in found)
    assert count(found, "sink-b", "orders", "delivered") == len(SOURCE["orders"]["rows_as_pg_text"])


def test_a_change_log_that_the_recording_does_not_hold_is_said_to_be_missing(copy, capsys):
    config = copy.place / "config.toml"
    config.write_text(copy.only("sink-a", "documents").contract("/rcpt[.].*/", "/nowhere[.].*/").config)

    assert main(["verify", "--recording", str(copy.place)]) == 2
    assert "sinks.sink-a.change_log: the recording has no topic /nowhere[.].*/" in capsys.readouterr().err
