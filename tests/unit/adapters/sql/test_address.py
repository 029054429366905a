"""A store's URL and a table's name: read exactly, refused with what to write, and no password told."""

from __future__ import annotations

import pytest

from app.adapters.sql import Limits, address_of, open_store
from app.adapters.sql.address import table_parts
from app.errors import ConfigError, NoSuchTable


def test_a_url_names_engine_user_host_port_and_database():
    found = address_of("postgresql://read%40er@db.example:6432/my%20shop?sslmode=verify-full&sslrootcert=/etc/ca.pem")

    assert (found.engine, found.user, found.host, found.port, found.database) == (
        "postgresql", "read@er", "db.example", 6432, "my shop",
    )  # fmt: skip
    assert (found.ssl_mode, found.ssl_root_cert) == ("verify-full", "/etc/ca.pem")
    assert str(found) == "postgresql db.example:6432/my shop"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me@h/d", "postgresql h:5432/d"),
        ("mysql://me@h/d", "mysql h:3306/d"),
        ("mariadb://me@h/d", "mysql h:3306/d"),
        ("mysql://me@[::1]:3307/d", "mysql [::1]:3307/d"),
    ],
)
def test_what_a_url_leaves_open_has_a_default(url, shown):
    assert str(address_of(url)) == shown
    assert address_of(url).ssl_mode == "prefer"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://me:hunter2@h/d", "holds a password"),
        ("postgresql://me:@h/d", "holds a password"),
        ("oracle://me@h/d", "scheme 'oracle'"),
        ("me@h/d", "scheme ''"),
        ("postgresql://h/d", "lacks user, host or database"),
        ("postgresql://me@h", "lacks user, host or database"),
        ("postgresql://me@/d", "lacks user, host or database"),
        ("postgresql://me@h:99999/d", "is none"),
        ("postgresql://me@h:x/d", "is none"),
        ("postgresql://me@h/d?password=hunter2", "options beside sslmode and sslrootcert"),
        ("postgresql://me@h/d?sslmode=maybe", "allowed is one of disable, prefer"),
        ("mysql://me@h/d?sslmode=verify-ca", "no sslrootcert"),
    ],
)
def test_a_url_that_names_no_store_is_refused_and_not_repeated(url, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        open_store(url, None, Limits())

    assert "hunter2" not in str(caught.value)


def test_opening_asks_nothing_of_the_database():
    store = open_store("postgresql://me@nowhere.invalid/d", None, Limits())

    assert repr(store) == "<DatabaseStore postgresql nowhere.invalid:5432/d as me>"
    assert store.stats.connects == 0


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("orders", (None, "orders")),
        ("public.orders", ("public", "orders")),
        ('"a.b".orders', ("a.b", "orders")),
        ('"a.b"."c""d"', ("a.b", 'c"d')),
        ("`a.b`.`c``d`", ("a.b", "c`d")),
        ("Größe 1", (None, "Größe 1")),
    ],
)
def test_a_tables_name_has_a_schema_or_none_and_quotes_keep_dots(table, parts):
    assert table_parts(table) == parts


@pytest.mark.parametrize("table", ["", ".", "a.", ".a", "a.b.c", '"a', 'a"b', '""', '"a"b'])
def test_a_text_that_is_no_tables_name_is_refused(table):
    with pytest.raises(NoSuchTable, match="is no table's name"):
        table_parts(table)
