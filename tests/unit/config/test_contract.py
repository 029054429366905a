"""The keys of a contract that say what of the source a sink takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings, load, show
from app.errors import ConfigError
from app.model import Projection
from app.worker.stores import store_terms

ALL = """
[source]
topics = ["shop.orders"]
before = "key"
[sinks.eu]
columns = ["orders.note", "orders.id"]
ignore_columns = ["orders.note"]
leave_out_tables = ["items", "audit"]
leave_out_operations = ["r", "d"]
rows = { "orders.region" = ["UK", "EU"], "orders.kind" = ["1"] }
rows_out = { "orders.region" = [""] }
columns_due = { "orders.note" = "2026-12-01T01:00:00+01:00", "orders.tax" = 2026-12-01T00:00:00.5Z }
"""


def read(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "verifier.toml"
    path.write_text(text)
    return load(path, environ)


def faults(tmp_path: Path, lines: str, source: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'[source]\ntopics = ["shop.orders"]\n{source}[sinks.eu]\n{lines}\n')
    return caught.value.problems


def test_what_a_contract_takes_reaches_the_fold_and_the_rows(tmp_path: Path) -> None:
    settings = read(tmp_path, ALL)
    taken = Projection(
        ignored=frozenset({"orders.note"}),
        listed=frozenset({"orders.id", "orders.note"}),
        tables=frozenset({"audit", "items"}),
        operations=frozenset({"d", "r"}),
        rows=(("orders.kind", ("1",)), ("orders.region", ("EU", "UK"))),
        rows_out=(("orders.region", ("",)),),
        before="key",
    )
    terms = store_terms(settings, "eu")

    assert settings.contract("eu").projection() == taken == terms.projection
    assert terms.columns_due == {"orders.note": 1_796_083_200_000, "orders.tax": 1_796_083_200_500}


def test_what_is_shown_is_read_again_and_the_environment_says_the_same(tmp_path: Path) -> None:
    settings = read(tmp_path, ALL)
    sink = "CDC_VERIFIER__SINKS__EU__"
    said = {
        f"{sink}COLUMNS": "orders.note, orders.id",
        f"{sink}IGNORE_COLUMNS": "orders.note",
        f"{sink}LEAVE_OUT_TABLES": "items,audit",
        f"{sink}LEAVE_OUT_OPERATIONS": "d,r",
        f"{sink}ROWS": '{ "orders.region" = ["UK", "EU"], "orders.kind" = ["1"] }',
        f"{sink}ROWS_OUT": '{ "orders.region" = [""] }',
        f"{sink}COLUMNS_DUE": '{ "orders.note" = "2026-12-01T00:00:00Z", "orders.tax" = "2026-12-01T00:00:00.5Z" }',
        "CDC_VERIFIER__SOURCE__BEFORE": "key",
    }

    assert read(tmp_path, show(settings)) == settings
    assert read(tmp_path, '[source]\ntopics = ["shop.orders"]\n[sinks.eu]\n', **said) == settings


def test_where_no_rows_are_chosen_before_images_are_not_the_contracts_business(tmp_path: Path) -> None:
    """Else a word about the source would change the contracts of all sinks."""
    plain = '[source]\ntopics = ["shop.orders"]\n[sinks.eu]\n'

    assert read(tmp_path, plain, CDC_VERIFIER__SOURCE__BEFORE="whole").contracts() == read(tmp_path, plain).contracts()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('columns = ["note"]', "columns"),
        ('leave_out_operations = ["t"]', "leave_out_operations"),
        ('leave_out_operations = ["c", "c"]', "leave_out_operations"),
        ('leave_out_tables = "items"', "leave_out_tables"),
        ('rows = { region = ["EU"] }', "rows"),
        ('rows = { "orders.region" = [] }', "rows"),
        ('rows = { "orders.region" = "EU" }', "rows"),
        ('rows_out = { "orders.kind" = [1] }', "rows_out"),
        ('rows_out = { "orders.kind" = ["1", "1"] }', "rows_out"),
        ('columns_due = { "orders.note" = "2026-12-01" }', "columns_due"),
        ('columns_due = { "orders.note" = 2026-12-01T00:00:00 }', "columns_due"),
        ('columns_due = { note = "2026-12-01T00:00:00Z" }', "columns_due"),
        ('columns_due = { "orders.note" = "soon" }', "columns_due"),
    ],
)
def test_a_value_that_is_not_allowed_is_a_fault(tmp_path: Path, line: str, key: str) -> None:
    (found,) = faults(tmp_path, line)

    assert found.startswith(f"verifier.toml: sinks.eu.{key} = ")


def test_rows_are_refused_where_nothing_tells_whether_a_delete_is_of_one_of_them(tmp_path: Path) -> None:
    rows = 'rows = { "orders.region" = ["EU"] }'
    (found,) = faults(tmp_path, rows)

    assert found.startswith(
        "sinks.eu.rows, rows_out: whether a delete is of a row that is taken must be told by something"
    )
    start = f'[source]\ntopics = ["shop.orders"]\n%s\n[sinks.eu]\n{rows}\n%s\n'
    for source, sink in (
        ('before = "key"', ""), ('before = "whole"', ""), ("", 'deletes = "ignore"'), ("", 'leave_out_operations = ["d"]'),
    ):  # fmt: skip
        assert read(tmp_path, start % (source, sink)).sinks["eu"].rows


def test_a_value_that_is_taken_and_left_out_is_a_fault(tmp_path: Path) -> None:
    lines = 'rows = { "orders.region" = ["EU", "UK"] }\nrows_out = { "orders.region" = ["UK"] }'
    (found,) = faults(tmp_path, lines, 'before = "key"\n')

    assert found.startswith('sinks.eu.rows, rows_out: "orders.region" has UK in both')
