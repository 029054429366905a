"""MariaDB read back, and by it what is MySQL's too: every type's text, every key by its type, and nothing but SELECT needed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pymysql
import pytest

from app.adapters.sql import ColumnType, DatabaseStore, Limits, open_store
from app.config.kinds import Secret
from app.errors import AmbiguousKey, NoSuchTable, Unavailable
from tests.stores.mariadb import PASSWORD, MariaDb

FAST = Limits(rows_per_second=0)


@pytest.fixture
def store(maria: MariaDb) -> Iterator[DatabaseStore]:
    found = open_store(maria.url(), Secret(PASSWORD), FAST)
    yield found
    found.close()


CELLS = [
    ("tinyint(1)", "1", "1"),
    ("tinyint", "-128", "-128"),
    ("smallint unsigned", "65535", "65535"),
    ("mediumint", "-8388608", "-8388608"),
    ("int(5) zerofill", "42", "00042"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    ("decimal(12,2)", "8338832.9", "8338832.90"),
    ("decimal(65,30)", "1e-30", "0." + "0" * 29 + "1"),
    ("float", "0.1", "0.10000000149011612"),
    ("float", "16777217", "16777216"),
    ("double", "0.1e0 + 0.2e0", "0.30000000000000004"),
    ("double", "-2.2250738585072014e-308", "-2.2250738585072014e-308"),
    ("double(10,2)", "1.5", "1.50"),
    ("bit(9)", "b'101100001'", "353"),
    ("bit(64)", "b'" + "1" * 64 + "'", "18446744073709551615"),
    ("date", "'1983-04-19'", "1983-04-19"),
    ("date", "'0000-00-00'", "0000-00-00"),
    ("datetime", "'2027-12-04 18:15:43'", "2027-12-04 18:15:43"),
    ("datetime(6)", "'2027-12-04 18:15:43.04786'", "2027-12-04 18:15:43.047860"),
    ("timestamp(3) null", "'2026-12-23 05:28:19.150'", "2026-12-22 23:43:19.150"),
    ("time(3)", "'-838:59:58.999'", "-838:59:58.999"),
    ("year", "2026", "2026"),
    ("char(10)", "'ab'", "ab"),
    ("varchar(50)", "'a '", "a "),
    ("varchar(50) character set latin1", "'Zoë'", "Zoë"),
    ("text", "'O''Brien \"q\" \\\\ 李 😀'", 'O\'Brien "q" \\ 李 😀'),
    ("binary(4)", "x'00ff'", "0x00ff0000"),
    ("varbinary(20)", "x'00ff'", "0x00ff"),
    ("varbinary(20)", "''", "0x"),
    ("blob", "x'c3'", "0xc3"),
    ("json", "'{\"n\":  1.50}'", '{"n":  1.50}'),
    ("enum('sad','happy')", "'happy'", "happy"),
    ("set('a','b','c')", "'c,a'", "a,c"),
    ("uuid", "'E80CC12A-BCD8-8934-D8EC-A651ABD60783'", "e80cc12a-bcd8-8934-d8ec-a651abd60783"),
    ("inet6", "'::FFFF:1.2.3.4'", "::ffff:1.2.3.4"),
    ("point", "ST_GeomFromText('POINT(1 2)')", "0x000000000101000000000000000000f03f0000000000000040"),
    ("int", "NULL", None),
]
NO_KEYS = {"text", "blob", "json", "point"}


@pytest.fixture(scope="session")
def typed(maria: MariaDb) -> MariaDb:
    columns = ", ".join(f"c{place} {kind}" for place, (kind, _, _) in enumerate(CELLS))
    keys = ", ".join(f"KEY (c{place})" for place, (kind, _, _) in enumerate(CELLS) if kind not in NO_KEYS)
    maria.execute(
        "SET time_zone = '+05:45'",
        f"CREATE TABLE every_type (id int PRIMARY KEY, {columns}, {keys})",
        f"INSERT INTO every_type VALUES (1, {', '.join(value for _, value, _ in CELLS)})",
    )
    return maria


def test_every_cell_is_the_databases_text_in_utc_whatever_the_servers_defaults(typed, store):
    names = [f"c{place}" for place in range(len(CELLS))]

    found = store.read("every_type", ["id"], [["1"]], names)[0]

    assert dict(zip(names, found, strict=True)) == {f"c{place}": cell for place, (_, _, cell) in enumerate(CELLS)}


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, cell) for kind, _, cell in CELLS if cell is not None and kind not in NO_KEYS]
)
def test_a_cell_is_a_key_that_finds_its_row_again(typed, store, kind, value):
    place = [(kind, cell) for kind, _, cell in CELLS].index((kind, value))

    assert store.read("every_type", [f"c{place}"], [[value]], ["id"]) == [("1",)]


def test_no_digit_of_a_float_is_lost(maria, store):
    chance = random.Random(3)
    floats = [struct.unpack("<f", struct.pack("<I", chance.getrandbits(31) % 0x7F800000))[0] for _ in range(1_000)]
    doubles = [struct.unpack("<d", struct.pack("<Q", chance.getrandbits(63) % (0x7FF << 52)))[0] for _ in range(1_000)]
    rows = ", ".join(f"({n}, {one!r}, {two!r})" for n, (one, two) in enumerate(zip(floats, doubles, strict=True)))
    maria.execute("CREATE TABLE floats (id int PRIMARY KEY, f float, d double)", f"INSERT INTO floats VALUES {rows}")

    found = store.read("floats", ["id"], [[str(n)] for n in range(1_000)], ["f", "d"])

    assert [(float(one), float(two)) for one, two in found] == list(zip(floats, doubles, strict=True))


def test_columns_are_told_as_the_catalogue_names_them(maria, store):
    maria.execute(
        "CREATE TABLE told (b varchar(20), id bigint unsigned NOT NULL, n decimal(12,2), t datetime(3), z timestamp NULL, "
        "c char(3), y tinyint(1), PRIMARY KEY (id, b))"
    )

    assert store.key("told") == ("id", "b")
    assert store.columns("shop.told") == [
        ColumnType(name=name, type=kind, is_nullable=is_nullable, precision=precision, scale=scale, length=length)
        for name, kind, is_nullable, precision, scale, length in [
            ("b", "varchar(20)", False, None, None, 20),
            ("id", "bigint(20) unsigned", False, 20, 0, None),
            ("n", "decimal(12,2)", True, 12, 2, None),
            ("t", "datetime(3)", True, 3, None, None),
            ("z", "timestamp", True, 0, None, None),
            ("c", "char(3)", True, None, None, 3),
            ("y", "tinyint(1)", True, 3, 0, None),
        ]
    ]


def test_twenty_thousand_rows_by_a_key_of_two_columns_come_in_the_order_asked(maria, store):
    maria.execute(
        "CREATE TABLE `lines` (line int, of_order bigint, sku text, PRIMARY KEY (of_order, line))",
        "INSERT INTO `lines` SELECT seq % 4, seq DIV 4, CONCAT('sku ', seq) FROM seq_0_to_19999",
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


@pytest.mark.parametrize(
    ("kind", "stored", "asked", "is_found"),
    [
        ("int", "0", "abc", False),
        ("int", "0", "", False),
        ("int", "7", "+07", True),
        ("int", "7", "7.4", False),
        ("int", "2147483647", "2147483648", False),
        ("bigint", "9223372036854775807", "99999999999999999999", False),
        ("tinyint unsigned", "0", "-1", False),
        ("decimal(5,1)", "1.2", "1.20", True),
        ("decimal(5,1)", "1.2", "1.16", False),
        ("decimal(5,1)", "9999.9", "1e9", False),
        ("decimal(5,1)", "0", "abc", False),
        ("decimal(5,1)", "1000.0", "1E3", True),
        ("double", "0", "x", False),
        ("double", "0.1", "1e-1", True),
        ("double", "0", "1e999", False),
        ("date", "2026-01-05", "2026-01-05 10:00:00", False),
        ("date", "0000-00-00", "2026-02-31", False),
        ("datetime", "2026-01-01 00:00:01", "2026-01-01 00:00:00.6", False),
        ("datetime", "2026-01-01 00:00:01", "x", False),
        ("time", "00:00:01", "00:00:00.6", False),
        ("varchar(3)", "abc", "abcd", False),
        ("varchar(30)", "abc", "ABC", True),
        ("varchar(30) COLLATE utf8mb4_bin", "abc", "ABC", False),
        ("varchar(30) CHARACTER SET latin1", "Zoë", "Zoë", True),
        ("varchar(30) CHARACTER SET latin1", "a?", "a☃", False),
        ("char(5)", "ab", "ab   ", True),
        ("uuid", "e80cc12a-bcd8-8934-d8ec-a651abd60783", "x", False),
        ("enum('x','y')", "x", "z", False),
        ("varbinary(5)", "ab", "6162", False),
        ("varbinary(5)", "ab", "0x616", False),
        ("bit(3)", "", "8", False),
        ("year", "2026", "26", False),
    ],
)
def test_keys_are_compared_as_values_of_their_type_and_never_rounded_cut_or_guessed(
    maria, store, kind, stored, asked, is_found
):
    maria.execute(
        "DROP TABLE IF EXISTS by_type",
        f"CREATE TABLE by_type (k {kind} PRIMARY KEY)",
        f"INSERT INTO by_type VALUES ('{stored}')",
    )
    store.columns("by_type")
    with store._talking("by_type") as session:
        all_of_it = session._run(f"SELECT {store._tables['by_type'][1].cells['k']} FROM by_type AS t")

    assert len(all_of_it) == 1
    assert store.read("by_type", ["k"], [[asked], all_of_it[0]], ["k"]) == [
        all_of_it[0] if is_found else None,
        all_of_it[0],
    ]


def test_two_texts_that_a_collation_holds_for_one_find_the_same_row(maria, store):
    maria.execute(
        "CREATE TABLE loose (k varchar(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY)", "INSERT INTO loose VALUES ('Zoé')"
    )

    assert store.read("loose", ["k"], [["zoe"], ["ZOÉ"], ["zo"], ["Zoé"]], ["k"]) == [
        ("Zoé",),
        ("Zoé",),
        None,
        ("Zoé",),
    ]


def test_a_key_may_be_null_where_its_column_is(maria, store):
    maria.execute(
        "CREATE TABLE nulls (a int, b int, n int)", "INSERT INTO nulls VALUES (1, NULL, 1), (NULL, NULL, 2), (1, 2, 3)"
    )
    asked = [("1", "2"), ("1", None), (None, None), (None, "2"), ("1", "x")]

    assert store.read("nulls", ["a", "b"], asked, ["n"]) == [("3",), ("1",), ("2",), None, None]


def test_a_key_that_is_not_unique_is_an_error(maria, store):
    maria.execute("CREATE TABLE twice (k int, n int)", "INSERT INTO twice VALUES (1, 1), (1, 2)")

    with pytest.raises(AmbiguousKey, match=r"table twice: one key finds more than one row by the columns k"):
        store.read("twice", ["k"], [["1"]], ["n"])


def test_names_are_quoted_and_may_hold_anything(maria, store):
    maria.execute(
        "CREATE DATABASE `a.b`",
        "CREATE TABLE `a.b`.`T ``%s`` é` (`select` int PRIMARY KEY, `50% 'x'; --` text)",
        "INSERT INTO `a.b`.`T ``%s`` é` VALUES (1, 'here')",
    )
    table = "`a.b`.`T ``%s`` é`"

    assert store.key(table) == ("select",)
    assert store.read(table, ["select"], [["1"]], ["50% 'x'; --"]) == [("here",)]


def test_a_values_text_is_never_part_of_a_statement(maria, store):
    maria.execute("CREATE TABLE texts (k varchar(100) COLLATE utf8mb4_bin PRIMARY KEY)")
    nasty = ["'", "'; DROP TABLE texts; --", "%s", "\\", "\\'", '{"a"}', "NULL", "", "`", '"', "\0", "\n\x1a", "😀"]
    with maria.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO texts VALUES (%s)", [(text,) for text in nasty])

    assert store.read("texts", ["k"], [[text] for text in [*nasty, "\ud800"]], ["k"]) == [
        *((text,) for text in nasty),
        None,
    ]


@pytest.mark.parametrize(
    "kind", ["bigint", "varchar(20)", "varchar(20) CHARACTER SET latin1", "decimal(12,2)", "datetime(3)"]
)
def test_a_bulk_of_keys_uses_the_keys_index_and_never_reads_the_table_whole(maria, store, kind):
    value = "'2026-01-01' + INTERVAL seq SECOND" if kind.startswith("datetime") else "seq"
    maria.execute(
        "DROP TABLE IF EXISTS middling",
        f"CREATE TABLE middling (id {kind}, line int, n text, PRIMARY KEY (id, line))",
        f"INSERT INTO middling SELECT {value}, 1, 'x' FROM seq_1_to_10000",
        "ANALYZE TABLE middling",
    )
    keys = list(maria.rows("SELECT CAST(id AS CHAR), '1' FROM middling LIMIT 500"))

    assert None not in store.read("middling", ["id", "line"], keys, ["n"])
    with store._talking("middling") as session:
        cost = dict(session._run("SHOW SESSION STATUS LIKE 'Handler_read%%'"))
        session.read(store._tables["middling"][1], ["id", "line"], keys, ["n"])
        after = dict(session._run("SHOW SESSION STATUS LIKE 'Handler_read%%'"))

    assert int(after["Handler_read_key"]) - int(cost["Handler_read_key"]) >= 500
    assert int(after["Handler_read_next"]) - int(cost["Handler_read_next"]) < 500


def test_a_role_that_may_only_select_is_enough_and_can_write_nothing(maria):
    maria.execute(
        "CREATE TABLE guarded (id int PRIMARY KEY, total decimal(8,2), iban text)",
        "INSERT INTO guarded VALUES (1, 9.5, 'secret')",
        "CREATE USER reader@'%' IDENTIFIED BY 'of-the-reader'",
        "CREATE TABLE other (id int)",
        "GRANT SELECT ON shop.other TO reader@'%'",
    )
    store = open_store(maria.url("reader"), Secret("of-the-reader"), FAST)

    with pytest.raises(NoSuchTable, match=r"none of its columns may be read. GRANT SELECT ON shop.guarded"):
        store.columns("guarded")
    maria.execute("GRANT SELECT (id, total) ON shop.guarded TO reader@'%'")

    assert [column.name for column in store.columns("guarded")] == ["id", "total"]
    assert store.key("guarded") == ("id",)
    assert store.read("guarded", ["id"], [["1"]], ["total"]) == [("9.50",)]
    with pytest.raises(NoSuchTable, match="may read no column iban there, only id, total"):
        store.read("guarded", ["id"], [["1"]], ["iban"])
    assert store.breaker.state == "closed"
    store.close()


@pytest.mark.parametrize(
    ("right", "may_write"),
    [("SELECT ON shop.{}", False), ("SELECT ON *.*", False), ("INSERT ON shop.{}", True), ("UPDATE (id) ON shop.{}", True), ("DELETE ON shop.{}", True),
     ("DELETE ON shop.*", True), ("ALL ON *.*", True)],
)  # fmt: skip
def test_whether_a_user_may_write_is_told_by_the_users_rights(maria, store, right, may_write):
    user = "may_" + "".join(filter(str.isalpha, right.lower()))[:20] + str(right.count("*"))
    maria.execute(
        f"CREATE TABLE of_{user} (id int PRIMARY KEY)",
        f"CREATE USER {user}@'%' IDENTIFIED BY 'x'",
        f"GRANT SELECT ON shop.of_{user} TO {user}@'%'",
        f"GRANT {right.format(f'of_{user}')} TO {user}@'%'",
    )
    of_user = open_store(maria.url(user), Secret("x"), FAST)

    assert (of_user.may_write(f"of_{user}"), store.may_write(f"of_{user}")) == (may_write, True)
    of_user.close()


def test_even_an_owners_session_is_read_only(maria, store):
    maria.execute("CREATE TABLE spared (id int PRIMARY KEY)", "INSERT INTO spared VALUES (1)")

    with pytest.raises(pymysql.MySQLError, match="READ ONLY transaction"), store._talking("spared") as session:
        session._run("DELETE FROM spared")
    assert maria.rows("SELECT count(*) FROM spared") == ((1,),)


@pytest.mark.parametrize("table", ["nothing", "shop.nothing", "nowhere.orders"])
def test_a_table_that_is_not_there_is_refused_with_its_coordinates(maria, store, table):
    with pytest.raises(NoSuchTable, match=rf"mysql 127.0.0.1:{maria.port}/shop, table {table}: there is no such table"):
        store.columns(table)
    assert store.breaker.state == "closed"


def test_a_cell_that_the_server_cannot_send_is_not_called_null(maria, store):
    maria.execute(
        "CREATE TABLE big (id int PRIMARY KEY, b longblob)", "SET GLOBAL max_allowed_packet = 4194304",
    )  # fmt: skip
    maria.execute("INSERT INTO big VALUES (1, REPEAT('x', 3000000))")

    with pytest.raises(Unavailable, match="max_allowed_packet"):
        store.read("big", ["id"], [["1"]], ["b"])
