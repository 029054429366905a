"""What docs/read-back.md tells people to type is enough, and is typed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.adapters.sql import Limits, open_store
from app.config.kinds import Secret

TABLES = (
    "CREATE TABLE IF NOT EXISTS {schema}.orders (id int PRIMARY KEY, total int)",
    "CREATE TABLE IF NOT EXISTS {schema}.customers (id int PRIMARY KEY, name text, tier text, iban text)",
    "INSERT INTO {schema}.customers VALUES (1, 'Zoë', 'STD', 'secret')",
)


@pytest.mark.parametrize(("fixture", "schema", "place"), [("pg", "public", 0), ("maria", "shop", 1)])
def test_the_rights_to_grant_are_enough_to_read(request, root: Path, fixture, schema, place):
    server = request.getfixturevalue(fixture)
    block = re.findall(r"```sql\n(.*?)```", (root / "docs" / "read-back.md").read_text(), re.DOTALL)[place]
    server.execute(f"DROP TABLE IF EXISTS {schema}.orders", *(table.format(schema=schema) for table in TABLES))
    server.execute(*filter(str.strip, block.split(";")))
    store = open_store(server.url("cdc_verifier"), Secret("change me"), Limits())

    assert store.key(f"{schema}.orders") == ("id",)
    assert store.read(f"{schema}.orders", ["id"], [["1"]], ["total"]) == [None]
    assert store.read(f"{schema}.customers", store.key(f"{schema}.customers"), [["1"]], ["name", "tier"]) == [
        ("Zoë", "STD")
    ]
    store.close()


def test_the_defaults_that_the_page_tells_are_the_readers(root: Path):
    page = (root / "docs" / "read-back.md").read_text()
    limits = Limits()
    told = {
        name: int(value.replace(",", ""))
        for names, values in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([\d, ]+) \|", page, re.MULTILINE)
        for name, value in zip(re.findall(r"\w+", names), values.split(", "), strict=True)
    }

    assert told == {name: getattr(limits, name) for name in limits.__slots__}
