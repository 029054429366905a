"""PostgreSQL read back: every type's text, every key by its type, and nothing but SELECT needed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from app.adapters.sql import ColumnType, DatabaseStore, Limits, open_store
from app.config.kinds import Secret
from app.errors import AmbiguousKey, NoSuchTable, Unavailable
from tests.stores.postgres import PASSWORD, Postgres

FAST = Limits(rows_per_second=0)


@pytest.fixture
def store(pg: Postgres) -> Iterator[DatabaseStore]:
    found = open_store(pg.url(), Secret(PASSWORD), FAST)
    yield found
    found.close()


CELLS = [
    ("int2", "-32768", "-32768"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("numeric(12,2)", "8338832.9", "8338832.90"),
    ("numeric", "1e-20", "0.00000000000000000001"),
    ("numeric", "'NaN'", "NaN"),
    ("float4", "0.1", "0.1"),
    ("float4", "16777217", "1.6777216e+07"),
    ("float8", "0.1::float8 + 0.2::float8", "0.30000000000000004"),
    ("float8", "'-Infinity'", "-Infinity"),
    ("bool", "true", "true"),
    ("text", "'O''Brien \"q\" \\ 李'", 'O\'Brien "q" \\ 李'),
    ("varchar(50)", "'a '", "a "),
    ("char(10)", "'ab'", "ab"),
    ("bytea", "'\\x00ff'", "\\x00ff"),
    ("date", "'1983-04-19'", "1983-04-19"),
    ("date", "'infinity'", "infinity"),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("time", "'24:00:00'", "24:00:00"),
    ("time(3)", "'03:04:05.4126'", "03:04:05.413"),
    ("timetz", "'14:05:06-10'", "14:05:06-10"),
    ("timestamp", "'2027-12-04 18:15:43.047860'", "2027-12-04 18:15:43.04786"),
    ("timestamptz", "'2026-12-23 05:28:19.150683+05:45'", "2026-12-22 23:43:19.150683+00"),
    ("interval", "'1 month 3 days 20:00:01.5'", "1 mon 3 days 20:00:01.5"),
    ("uuid", "'E80CC12A-BCD8-8934-D8EC-A651ABD60783'", "e80cc12a-bcd8-8934-d8ec-a651abd60783"),
    ("json", "'{\"n\":  1}'", '{"n":  1}'),
    ("jsonb", "'{\"n\":  1.50}'", '{"n": 1.50}'),
    ("int4[]", "'{1,NULL,3}'", "{1,NULL,3}"),
    ("text[]", "ARRAY['a b', 'x,y', '']", '{"a b","x,y",""}'),
    ("timestamptz[]", "ARRAY['2026-01-01 05:45:00+05:45'::timestamptz]", '{"2026-01-01 00:00:00+00"}'),
    ("inet", "'10.145.1.2'", "10.145.1.2/32"),
    ("macaddr", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    ("money", "134.37", "$134.37"),
    ("bit(9)", "B'101100001'", "101100001"),
    ("varbit(20)", "B'110100'", "110100"),
    ("xml", "'<x>y</x>'", "<x>y</x>"),
    ("tstzrange", "'[2026-01-01 05:45:00+05:45,)'", '["2026-01-01 00:00:00+00",)'),
    ("point", "'(1.5,-2.25)'", "(1.5,-2.25)"),
    ("oid", "428889", "428889"),
    ("mood", "'sad'", "sad"),
    ("positive", "5", "5"),
    ("pair", "ROW(1, 'a b')", '(1,"a b")'),
    ("int4", "NULL", None),
]


@pytest.fixture(scope="session")
def typed(pg: Postgres) -> Postgres:
    columns = ", ".join(f"c{place} {kind}" for place, (kind, _, _) in enumerate(CELLS))
    pg.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE DOMAIN small AS int4 CHECK (VALUE < 100)",
        "CREATE DOMAIN positive AS small NOT NULL CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (a int, b text)",
        f"CREATE TABLE every_type (id int PRIMARY KEY, {columns})",
        f"INSERT INTO every_type VALUES (1, {', '.join(value for _, value, _ in CELLS)})",
    )
    return pg


def test_every_cell_is_the_databases_text_in_utc_whatever_the_servers_defaults(typed, store):
    names = [f"c{place}" for place in range(len(CELLS))]

    assert store.read("every_type", ["id"], [["1"]], names) == [tuple(cell for _, _, cell in CELLS)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, cell) for kind, _, cell in CELLS if cell is not None and kind not in {"json", "xml", "point"}],
)
def test_a_cell_is_a_key_that_finds_its_row_again(typed, store, kind, value):
    place = [(kind, cell) for kind, _, cell in CELLS].index((kind, value))

    assert store.read("every_type", [f"c{place}"], [[value]], ["id"]) == [("1",)]


def test_columns_are_told_as_the_catalogue_names_them(pg, store):
    pg.execute(
        "DROP DOMAIN IF EXISTS mail",
        "CREATE DOMAIN mail AS varchar(40)",
        "CREATE TABLE told (b varchar(20), gone int, id int8 NOT NULL, n numeric(12,2), m numeric(3,-2), f numeric, i int4[], "
        "t timestamp(3), z timestamptz, c char(3), v bit(9), d mail, PRIMARY KEY (id, b))",
        "ALTER TABLE told DROP COLUMN gone",
    )

    assert store.key("told") == ("id", "b")
    assert store.columns("told") == [
        ColumnType(name=name, type=kind, is_nullable=is_nullable, precision=precision, scale=scale, length=length)
        for name, kind, is_nullable, precision, scale, length in [
            ("b", "varchar", False, None, None, 20),
            ("id", "int8", False, 64, 0, None),
            ("n", "numeric", True, 12, 2, None),
            ("m", "numeric", True, 3, -2, None),
            ("f", "numeric", True, None, None, None),
            ("i", "_int4", True, None, None, None),
            ("t", "timestamp", True, 3, None, None),
            ("z", "timestamptz", True, 6, None, None),
            ("c", "bpchar", True, None, None, 3),
            ("v", "bit", True, None, None, 9),
            ("d", "varchar", True, None, None, 40),
        ]
    ]


def test_twenty_thousand_rows_by_a_key_of_two_columns_come_in_the_order_asked(pg, store):
    pg.execute(
        "CREATE TABLE lines (line int, of_order int8, sku text, PRIMARY KEY (of_order, line))",
        "INSERT INTO lines SELECT n % 4, n / 4, 'sku ' || n FROM generate_series(0, 19999) n",
    )
    asked = [(n // 4, n % 4, n) for n in range(22_000)]
    random.Random(7).shuffle(asked)

    found = store.read(
        "lines", ["of_order", "line"], [(str(order), str(line)) for order, line, _ in asked], ["sku", "line"]
    )

    assert found == [(f"sku {n}", str(line)) if n < 20_000 else None for _, line, n in asked]
    assert store.stats.keys == 22_000
    assert store.stats.rows == 20_000
    assert store.stats.statements == 1 + 1 + 22  # its description, 100 keys, and 1,000 at a time


def test_a_key_that_its_type_cannot_read_has_no_row_and_the_others_have(pg, store):
    pg.execute(
        "CREATE TABLE odd_keys (id int4, at timestamp, PRIMARY KEY (id, at))",
        "INSERT INTO odd_keys SELECT n, '2026-01-01' FROM generate_series(1, 100) n",
    )
    good = [(str(n), "2026-01-01 00:00:00") for n in range(1, 101)]
    bad = [
        ("abc", "2026-01-01"),
        ("2147483648", "2026-01-01"),
        ("", ""),
        ("1", "2026-02-31"),
        ("1", "x"),
        ("1\0", "2026-01-01"),
    ]
    bad += [("1\ud800", "2026-01-01")]
    mixed = [*good[:50], *bad, *good[50:]]

    assert store.read("odd_keys", ["id", "at"], mixed, ["id"]) == [None if key in bad else (key[0],) for key in mixed]
    assert store.breaker.state == "closed"
    assert store.stats.failures == 0


def test_a_row_that_cannot_be_read_is_not_called_absent(pg, store):
    pg.execute(
        "CREATE TABLE zeros (id int PRIMARY KEY, n int)",
        "INSERT INTO zeros VALUES (1, 1), (2, 0)",
        "CREATE VIEW ratios AS SELECT id, 1 / n AS ratio FROM zeros",
    )

    assert store.read("ratios", ["id"], [["1"]], ["ratio"]) == [("1",)]
    with pytest.raises(Unavailable, match="division by zero"):
        store.read("ratios", ["id"], [["1"], ["2"]], ["ratio"])


@pytest.mark.parametrize(
    ("kind", "stored", "asked", "is_found"),
    [
        ("int8", "7", "+07", True),
        ("char(3)", "ab", "ab ", True),
        ("char(3)", "abc", "abcd", False),
        ("varchar(3)", "abc", "abcd", False),
        ("numeric(5,1)", "1.2", "1.20", True),
        ("numeric(5,1)", "1.2", "1.16", False),
        ("timestamp(0)", "2026-01-01 00:00:01", "2026-01-01 00:00:00.6", False),
        ("bit(3)", "101", "101", True),
        ("bit(3)", "101", "1011", False),
        ("uuid", "e80cc12a-bcd8-8934-d8ec-a651abd60783", "E80CC12ABCD88934D8ECA651ABD60783", True),
        ("text", "a", "A", False),
        ('text COLLATE "C"', "é", "é", True),
    ],
)
def test_keys_are_compared_as_values_of_their_type_and_never_rounded_or_cut(pg, store, kind, stored, asked, is_found):
    pg.execute(
        "DROP TABLE IF EXISTS by_type",
        f"CREATE TABLE by_type (k {kind} PRIMARY KEY)",
        f"INSERT INTO by_type VALUES ('{stored}')",
    )

    assert store.read("by_type", ["k"], [[asked], [stored]], ["k"])[0] == ((stored,) if is_found else None)


def test_a_key_may_be_null_where_its_column_is(pg, store):
    pg.execute(
        "CREATE TABLE nulls (a int, b int, n int)", "INSERT INTO nulls VALUES (1, NULL, 1), (NULL, NULL, 2), (1, 2, 3)"
    )
    asked = [("1", "2"), ("1", None), (None, None), (None, "2"), ("1", "2")]

    assert store.read("nulls", ["a", "b"], asked, ["n"]) == [("3",), ("1",), ("2",), None, ("3",)]


def test_a_key_that_is_not_unique_is_an_error(pg, store):
    pg.execute("CREATE TABLE twice (k int, n int)", "INSERT INTO twice VALUES (1, 1), (1, 2)")

    with pytest.raises(AmbiguousKey, match=r"table twice: one key finds more than one row by the columns k"):
        store.read("twice", ["k"], [["1"]], ["n"])


def test_names_are_quoted_and_may_hold_anything(pg, store):
    pg.execute(
        'CREATE SCHEMA "a.b"',
        'CREATE TABLE "a.b"."T ""%s"" é" ("select" int PRIMARY KEY, "50% \'x\'; --" text)',
        """INSERT INTO "a.b"."T ""%s"" é" VALUES (1, 'here')""",
    )
    table = '"a.b"."T ""%s"" é"'

    assert store.key(table) == ("select",)
    assert store.read(table, ["select"], [["1"]], ["50% 'x'; --"]) == [("here",)]


def test_a_values_text_is_never_part_of_a_statement(pg, store):
    pg.execute("CREATE TABLE texts (k text PRIMARY KEY)")
    nasty = ["'", "'; DROP TABLE texts; --", "%s", "\\", '{"a"}', "NULL", "", "{}", "$1"]
    with pg.connect() as connection:
        connection.cursor().executemany("INSERT INTO texts VALUES (%s)", [(text,) for text in nasty])

    assert store.read("texts", ["k"], [[text] for text in nasty], ["k"]) == [(text,) for text in nasty]


def test_a_bulk_of_keys_uses_the_keys_index_and_never_reads_the_table_whole(pg, store, monkeypatch):
    """A hash join over the whole table would look cheaper to the planner."""
    pg.execute(
        "CREATE TABLE middling (id int8 PRIMARY KEY, n text)",
        "INSERT INTO middling SELECT n, n FROM generate_series(1, 30000) n",
        "ANALYZE middling",
    )
    store.columns("middling")
    run, asked = store._session._run, []
    monkeypatch.setattr(store._session, "_run", lambda *statement: asked.append(statement) or run(*statement))

    store.read("middling", ["id"], [[str(n)] for n in range(1, 1101)], ["n"])
    plans = ["\n".join(line for (line,) in run(f"EXPLAIN {statement}", values)) for statement, values in asked]

    assert len(plans) == 2
    assert all("Index Scan using middling_pkey" in plan and "Seq Scan" not in plan for plan in plans)


def test_a_role_that_may_only_select_is_enough_and_can_write_nothing(pg):
    pg.execute(
        "CREATE SCHEMA guarded",
        "CREATE TABLE guarded.orders (id int PRIMARY KEY, total numeric(8,2), iban text)",
        "INSERT INTO guarded.orders VALUES (1, 9.5, 'secret')",
        "CREATE ROLE reader LOGIN PASSWORD 'of-the-reader'",
    )
    store = open_store(pg.url("reader"), Secret("of-the-reader"), FAST)

    with pytest.raises(NoSuchTable, match=r"none of its columns may be read. GRANT SELECT ON guarded.orders"):
        store.columns("guarded.orders")
    pg.execute("GRANT SELECT (id, total) ON guarded.orders TO reader")
    with pytest.raises(NoSuchTable, match="permission denied for schema guarded"):
        store.read("guarded.orders", ["id"], [["1"]], ["total"])
    pg.execute("GRANT USAGE ON SCHEMA guarded TO reader")

    assert [column.name for column in store.columns("guarded.orders")] == ["id", "total"]
    assert store.key("guarded.orders") == ("id",)
    assert store.read("guarded.orders", ["id"], [["1"]], ["total"]) == [("9.50",)]
    with pytest.raises(NoSuchTable, match="may read no column iban there, only id, total"):
        store.read("guarded.orders", ["id"], [["1"]], ["iban"])
    assert store.breaker.state == "closed"
    store.close()


@pytest.mark.parametrize(
    ("right", "may_write"),
    [("SELECT", False), ("INSERT", True), ("UPDATE (id)", True), ("DELETE", True), ("TRUNCATE", True)],
)
def test_whether_a_role_may_write_is_told_by_its_rights(pg, store, right, may_write):
    role = f"may_{right[:6].lower()}"
    pg.execute(
        f"CREATE TABLE of_{role} (id int PRIMARY KEY)",
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"GRANT SELECT ON of_{role} TO {role}",
        f"GRANT {right} ON of_{role} TO {role}",
    )
    of_role = open_store(pg.url(role), Secret("x"), FAST)

    assert (of_role.may_write(f"of_{role}"), store.may_write(f"of_{role}")) == (may_write, True)
    of_role.close()


def test_even_an_owners_session_is_read_only_and_bears_our_name(pg, store):
    pg.execute(
        "CREATE TABLE spared (id int PRIMARY KEY)",
        "INSERT INTO spared VALUES (1)",
        "CREATE FUNCTION wrecks() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM spared; RETURN 1; END'",
        "CREATE VIEW trap AS SELECT id, wrecks() AS n FROM spared",
        "CREATE VIEW who AS SELECT 1 AS id, current_setting('application_name') AS name",
    )

    assert store.read("who", ["id"], [["1"]], ["name"]) == [("cdc-verifier",)]
    with pytest.raises(Unavailable, match="read-only transaction"):
        store.read("trap", ["id"], [["1"]], ["n"])
    assert pg.rows("SELECT count(*) FROM spared") == [(1,)]


@pytest.mark.parametrize("table", ["nothing", "public.nothing", "nowhere.orders"])
def test_a_table_that_is_not_there_is_refused_with_its_coordinates(pg, store, table):
    with pytest.raises(
        NoSuchTable, match=rf"postgresql 127.0.0.1:{pg.port}/postgres, table {table}: there is no such table"
    ):
        store.columns(table)
    assert store.breaker.state == "closed"


def test_a_table_changed_between_two_reads_is_described_again_after_the_refusal(pg, store):
    pg.execute("CREATE TABLE altered (id int PRIMARY KEY, a text)", "INSERT INTO altered VALUES (1, 'x')")
    store.read("altered", ["id"], [["1"]], ["a"])
    pg.execute("ALTER TABLE altered RENAME COLUMN a TO b")

    with pytest.raises(NoSuchTable, match=r"column t.a does not exist"):
        store.read("altered", ["id"], [["1"]], ["a"])
    assert store.read("altered", ["id"], [["1"]], ["b"]) == [("x",)]
