"""Who fills a table: known from contracts before any change was met, and learned from changes."""

from __future__ import annotations

import pytest

from app.evidence.tables import StoreTerms
from app.worker.filling import Fillers

HERE, THERE = "postgresql://a@db:5432/dw", "postgresql://a@db:5432/other"
ORDERS, ITEMS = "shop.public.orders", "shop.public.items"


def fillers(second: str = THERE, topics: tuple[str, ...] = (ORDERS, ITEMS), **terms: object) -> Fillers:
    """Of two sinks with one contract, the first of which keeps its tables in ``HERE``."""
    found = StoreTerms(**terms)  # type: ignore[arg-type]
    return Fillers({"s": HERE, "z": second}, {"s": found, "z": found}, {"s": topics, "z": topics})


@pytest.mark.parametrize(
    ("template", "table"),
    [
        ("${topic}", "shop_public_orders"),
        ("${source.table}", "orders"),
        ("${source.schema}.${source.table}", "public.orders"),
    ],
)
def test_a_topic_has_a_table_of_its_own(template: str, table: str) -> None:
    assert fillers(table_name=template).of("s", table, ORDERS) == {("s", ORDERS)}


def test_topics_that_a_contract_puts_into_one_table_share_it() -> None:
    found = fillers(tables={ORDERS: "all", ITEMS: "All"})

    assert found.of("s", "all", ORDERS) == {("s", ORDERS), ("s", ITEMS)}


def test_shards_share_a_table_that_is_named_by_the_sources_alone() -> None:
    shards = ("one.public.orders", "two.public.orders")

    assert len(fillers(topics=shards, table_name="${source.table}").of("s", "orders", shards[0])) == 2
    assert len(fillers(topics=shards).of("s", "one_public_orders", shards[0])) == 1


def test_two_sinks_share_the_tables_of_one_database_whoever_asks() -> None:
    found = fillers(second="postgresql://b@db/dw?sslmode=require")

    assert found.of("s", "shop_public_orders", ORDERS) == {("s", ORDERS), ("z", ORDERS)}


def test_what_a_change_shows_of_its_table_is_learned() -> None:
    found = fillers(table_name="${source.table}")
    assert len(found.of("s", "items", ITEMS)) == 1

    found.of("s", "items", ORDERS)  # a topic whose name says something else

    assert len(found.of("s", "items", ITEMS)) == 2
