"""Contracts that leave changes out, over small recordings: JSON with schemas and without, receipts, tables that were kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.adapters.recording import write_topic
from app.cli.explain import explain, story
from app.cli.offline import verify_lines
from app.model import Projection, RawRecord
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_mark, encode_receipt
from tests.unit.decode.test_selection import CONNECT
from tests.unit.worker.test_readback import World, delete, upsert
from tests.unit.worker.test_recorded_stores import Small

IDS = {"DeliveryReceipt": 50, "SinkMark": 51}
SOURCE = {"connector": "postgresql", "name": "shop", "ts_ms": 5, "db": "d", "table": "orders", "txId": 1, "lsn": 2}
CONFIG = """
[source]
topics = ["shop.orders"]
before = "whole"
[sinks.eu]
receipts = ["receipts"]
rows = { "orders.region" = ["EU"] }
leave_out_operations = ["r"]
columns = ["orders.id", "orders.region"]
"""


def json_change(op: str, after: Any, before: Any = None, table: str = "orders", *, has_schema: bool = False) -> bytes:
    payload = {"op": op, "before": before, "after": after, "source": {**SOURCE, "table": table}}
    if not has_schema:
        return json.dumps(payload).encode()
    kind = {"type": "struct", "optional": True, "fields": [{**one, "field": name} for name, one in CONNECT.items()]}
    schema = {"type": "struct", "fields": [{**kind, "field": "before"}, {**kind, "field": "after"}]}
    return json.dumps({"schema": schema, "payload": payload}).encode()


def at(number: int, region: str | None) -> dict[str, Any]:
    return {"id": number, "region": region, "total": None, "tags": None}


@pytest.fixture(params=[False, True], ids=["plain", "with schema"])
def recording(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Ten changes, and a sink that said that it applied those at 0 and 2, and at 3 one that is not its own."""
    told = [
        ("c", at(1, "EU"), None), ("c", at(2, "US"), None), ("u", at(1, "EU"), at(1, "EU")), ("c", at(3, "UK"), None),
        ("u", at(1, "US"), at(1, "EU")), ("d", None, at(1, "US")), ("d", None, at(4, "EU")), ("r", at(5, "EU"), None),
        ("d", None, None), ("c", at(6, "EU"), None),
    ]  # fmt: skip
    values = [json_change(*one, has_schema=request.param) for one in told]
    log = [(0, RawRecord(n, 1_000 + n, b'{"id":%d}' % n, value)) for n, value in enumerate(values)]
    said = [
        Receipt(
            sink="eu", topic="shop.orders", partition=0, offset=n, status=Status.APPLIED, fingerprint=None, applied_at=1
        )
        for n in (0, 2, 3)
    ]
    fence = Mark(sink="eu", topic="shop.orders", partition=0, kind=MarkKind.FENCE, offset=10, at=9_000)
    lane = [encode_receipt(one, IDS["DeliveryReceipt"]) for one in said] + [encode_mark(fence, IDS["SinkMark"])]
    write_topic(tmp_path, "shop.orders", log)
    write_topic(tmp_path, "receipts", [(0, RawRecord(n, 2_000 + n, None, value)) for n, value in enumerate(lane)])
    (tmp_path / "schemas.json").write_text(json.dumps({str(n): SCHEMAS[name] for name, n in IDS.items()}))
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_a_recording_is_judged_by_what_the_contract_takes(recording: Path) -> None:
    """Of the rows of one region the update that left it asks for nothing; a delete without a row is told as not known."""
    lines = verify_lines(recording)
    found = {line["offset"]: " ".join([line["state"], *line["flags"]]) for line in lines if line["kind"] == "cell"}
    (counts,) = (line["counts"] for line in lines if line["kind"] == "sink")

    assert found == {3: "exempt unexpected", 6: "missing", 8: "unverifiable", 9: "missing"}
    assert counts == {"delivered": 2, "exempt": 5, "missing": 2, "unverifiable": 1}
    assert {item["offset"] for line in lines if line["kind"] == "command" for item in line["items"]} == {6, 9}


def test_a_story_says_that_a_change_was_left_out_or_that_nobody_knows(recording: Path) -> None:
    left, unknown = ("\n".join(story(explain(recording, None, f"shop.orders:0:{n}"))) for n in (1, 8))

    assert "it is left out by its table, its operation or its row" in left
    assert "nothing tells a value that its rows are chosen by" in unknown


# ---------------------------------------------------------------- rows of a store


def test_recorded_tables_are_compared_by_the_rows_that_the_contract_takes(tmp_path: Path) -> None:
    """A row that left may stay or go; one that was never taken is not missed; one that is taken is."""
    small = Small(tmp_path)
    small.config = small.config.replace("[sinks.s]", 'before = "key"\n[sinks.s]\nrows = { "orders.name" = ["in"] }')
    small.changes((1, "in", "c"), (1, "out", "u"), (2, "in", "c"), (2, "out", "u"), (3, "out", "c"), (4, "in", "c"))
    small.rows(["1", "in"])

    assert small.states() == {(0, 5): "missing"}
    assert (small.count("exempt"), small.count("delivered")) == (3, 1)


def test_a_column_that_the_store_lacks_counts_from_its_moment_on(tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.config += 'columns_due = { "orders.name" = "1970-01-01T00:00:00.006Z" }\n'
    small.changes((1, "a", "c"))
    small.tables["orders"] = {"columns": [{"name": "id", "udt": "int8"}], "rows_as_pg_text": [["1"]]}

    assert small.states() == {}
    small.config = small.config.replace(".006Z", ".005Z")
    assert small.states() == {(0, 0): "diverged"}


TAKEN = Projection(rows=(("orders.name", ("in",)),), before="key")


def test_rows_are_read_back_of_what_the_contract_takes_and_of_nothing_else() -> None:
    world = World(upsert(1, "in"), upsert(2, "out"), upsert(3, "in"), upsert(3, "out"), delete(1), projection=TAKEN)
    world.holds((1, "in", "b"))
    world.look(4)

    assert world.asked == [[["1"], ["3"]]]
    assert world.states() == {0: "delivered", 1: "exempt", 2: "attempted", 3: "exempt", 4: "pending"}


def test_a_row_that_is_lost_is_missing_and_a_delete_of_which_nobody_knows_is_told() -> None:
    world = World(upsert(1, "in"), upsert(2, "in"), upsert(2, "out"), upsert(3, "in"), projection=TAKEN)
    world.holds((1, "in", "b"))
    world.look(4)
    world.happens(delete(1))
    world.look(5)

    assert world.states() == {0: "delivered", 1: "attempted", 2: "exempt", 3: "missing", 4: "unverifiable"}


def test_rows_say_nothing_of_a_change_that_was_left_out_when_it_was_read() -> None:
    """A contract that takes more since compares by what it says now, and the change's cell is exempt all the same."""
    world = World(upsert(1, "in"), upsert(1, "out"), projection=TAKEN)
    world.reader._contract = world.reader._contract.__class__(
        sink="s", terms=World().reader._contract.terms, share=1.0, second_look_s=1
    )
    world.holds((1, "else", "b"))

    assert world.look(2) == []
    assert world.flags() == set()
