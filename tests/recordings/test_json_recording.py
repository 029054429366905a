"""A recording of JSON changes, read by the commands."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

from app.cli.main import main

SOURCE = {"connector": "postgresql", "name": "shop", "ts_ms": 5, "db": "d", "table": "orders", "txId": 1, "lsn": 2}
CONFIG = """
[source]
topics = ["orders"]
[source.column_types]
"orders.total" = "decimal(2)"
[sinks.warehouse]
receipts = ["receipts"]
"""


def recording(directory: Path, *values: str | None) -> Path:
    """A directory without schemas.json: nothing in it is Avro."""
    lines = [
        {"topic": "orders", "partition": 0, "offset": at, "timestamp": 0, "headers": [],
         "key_b64": base64.b64encode(b'{"id":1}').decode(),
         "value_b64": None if value is None else base64.b64encode(value.encode()).decode()}
        for at, value in enumerate(values)
    ]  # fmt: skip
    with gzip.open(directory / "orders.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    (directory / "config.toml").write_text(CONFIG)
    return directory


def change(op: str, after: object) -> str:
    return json.dumps({"before": None, "after": after, "source": SOURCE, "op": op})


def test_changes_lists_json_changes_by_the_contracts_types(tmp_path, capsys) -> None:
    """Base64 and numbers are one decimal where the contract says so."""
    values = change("c", {"id": 1, "total": "AZA="}), change("u", {"id": 1, "total": 4.0}), change("d", None)
    directory = recording(tmp_path, *values, "null", None, "{}")

    assert main(["changes", "--recording", str(directory), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(line["kind"], line["op"]) for line in lines] == [
        ("upsert", "c"), ("upsert", "u"), ("delete", "d"), ("tombstone", None), ("tombstone", None), ("unreadable", None),
    ]  # fmt: skip
    assert lines[0]["fingerprint"] == lines[1]["fingerprint"]
    assert lines[5]["reason"] == "no envelope: no object with op and source"
    assert len({line["key_hash"] for line in lines}) == 1


def test_verify_judges_json_changes(tmp_path, capsys) -> None:
    """No receipt and no fence: a change waits, whatever encoding it has; a tombstone is exempt."""
    directory = recording(tmp_path, change("c", {"id": 1, "total": "AZA="}), "null")

    assert main(["verify", "--recording", str(directory), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [line["state"] for line in told if line["kind"] == "cell"] == ["pending"]
    (sink,) = [line for line in told if line["kind"] == "sink"]
    assert sink["counts"] == {"pending": 1, "exempt": 1}
