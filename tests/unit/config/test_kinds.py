"""Kinds of setting, each with what it takes and how it shows it."""

from __future__ import annotations

import pytest

from app.config import kinds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("5 s", 5_000),
    ],
)
def test_durations_become_milliseconds(text: str, milliseconds: int) -> None:
    assert kinds.duration().read(text) == milliseconds


@pytest.mark.parametrize("text", ["", "s", "30", "1e3s", "30S", "1h30m", "\u0661s", f"{10**20}d", 30, None, True])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        kinds.duration().read(text)


@pytest.mark.parametrize(("value", "text"), [(0, '"0ms"'), (500, '"500ms"'), (90_000, '"90s"'), (3_600_000, '"1h"')])
def test_durations_are_shown_in_the_largest_whole_unit(value: int, text: str) -> None:
    assert kinds.duration().show(value) == text


def test_sizes_become_bytes() -> None:
    assert kinds.size().read("20GiB") == 20 << 30


@pytest.mark.parametrize("text", ["http://a:1", "https://a/path"])
def test_addresses(text: str) -> None:
    assert kinds.Url().read(text + "/") == text


@pytest.mark.parametrize("text", ["a:1", "ftp://a", "http://", "http://u:p@a"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        kinds.Url().read(text)


def test_secrets_compare_by_text_and_hide_it() -> None:
    secret = kinds.Secret("hush")

    assert secret == kinds.Secret("hush")
    assert secret != kinds.Secret("other")
    assert hash(secret) == hash(kinds.Secret("hush"))
    assert (str(secret), repr(secret), f"{secret}") == ("***", "Secret(***)", "***")


def test_lists_in_the_environment_are_separated_by_commas_or_toml() -> None:
    assert kinds.Texts().parse("a, b") == ["a", "b"]
    assert kinds.Texts().parse('["a,b"]') == ["a,b"]
    assert kinds.Texts().parse("") == []


def test_column_types_are_pairs_whether_columns_are_quoted_or_tables_in_tables() -> None:
    kind = kinds.ColumnTypes()
    quoted = {"orders.total": "decimal(2)", "b.orders.at": "date"}
    tables = {"orders": {"total": "decimal(2)"}, "b": {"orders": {"at": "date"}}}

    assert kind.read(quoted) == kind.read(tables) == (("b.orders.at", "date"), ("orders.total", "decimal(2)"))
    assert kind.read({}) == ()
    assert kind.read(kind.parse(kind.show(kind.read(quoted)))) == kind.read(quoted)
    assert kind.show(()) == "{}"


@pytest.mark.parametrize("value", [None, "x", [], {"total": "int"}, {"orders.total": 1}, {"": {"a": "int"}}])
def test_what_is_no_table_of_column_types_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a table of"):
        kinds.ColumnTypes().read(value)


@pytest.mark.parametrize(
    "word", ["", "integer", "decimal()", "decimal(x)", "list", "list()", "list(integer)", "list(geometry)", "map(int",
             "list(" * 12 + "int" + ")" * 12]
)  # fmt: skip
def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(word: str) -> None:
    with pytest.raises(ValueError, match=r"orders\.total: no type"):
        kinds.ColumnTypes().read({"orders.total": word})


@pytest.mark.parametrize("word", ["int", "decimal", "decimal(-2)", "list(list(date))", "map(decimal(2))", "geometry"])
def test_type_words_are_taken_as_they_are(word: str) -> None:
    assert kinds.ColumnTypes().read({"orders.total": word}) == (("orders.total", word),)


# ---------------------------------------------------------------- tables of texts and of words


def test_a_table_of_texts_is_kept_sorted_and_can_be_read_alone() -> None:
    found = kinds.TextMap().read({"b.c": "x", "a.c": "y"})

    assert list(found.items()) == [("a.c", "y"), ("b.c", "x")]
    assert kinds.TextMap().read({}) == {}
    with pytest.raises(TypeError):
        found["d.e"] = "z"  # type: ignore[index]


@pytest.mark.parametrize("value", ["a", ["a"], {"a.b": ""}, {"a.b": 1}, {"a.b": {"c": "d"}}, {"total": "amount"}, None])
def test_what_is_no_table_of_columns_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r'a table of texts such as \{ "orders.total" = "amount" \}'):
        kinds.TextMap(kinds.COLUMN).read(value)


WORDS = kinds.WordsMap(("blanks", "case"))


def test_a_table_of_words_is_kept_sorted() -> None:
    assert dict(WORDS.read({"o.c": ["case", "blanks"], "*": [], "*.c": ["case"]})) == {
        "*": (), "*.c": ("case",), "o.c": ("case", "blanks"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        {"o.c": ["other"]},
        {"o.c": "case"},
        {"o.c": [["case"]]},
        {"o.c": [1]},
        {"c": ["case"]},
        {"": ["case"]},
        ["case"],
        "x",
    ],
)
def test_what_is_no_table_of_words_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the words being blanks, case"):
        WORDS.read(value)


@pytest.mark.parametrize("kind", [kinds.TextMap(), WORDS])
def test_tables_are_inline_tables_in_the_environment(kind: kinds.Kind) -> None:
    value = "x" if isinstance(kind, kinds.TextMap) else ["case"]

    assert kind.parse(f'{{ "o.c" = {value!r} }}') == {"o.c": value}
    with pytest.raises(ValueError, match="a table of"):
        kind.read(kind.parse('{"o.c": "json"}'))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kinds.TextMap(), {}), (kinds.TextMap(), {'a "b".c': 'x\\y "z"', "ä.b": "李"}), (WORDS, {"*": ["blanks"], "o.c": []}),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_table_is_read_again(kind: kinds.Kind, value: object) -> None:
    found = kind.read(value)

    assert kind.read(kind.parse(kind.show(found))) == found
