"""What a sink's contract says of single change topics: owner, severity and grace."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings, load, override_problems, show
from app.errors import ConfigError
from app.model import Ownership

SHOP = """
[source]
topics = ["orders", "/shop[.].*/"]
[sinks.lake]
owner = "ada"
grace = "10s"
[sinks.lake.overrides."shop.items"]
owner = "grace"
severity = "high"
[sinks.lake.overrides.orders]
grace = "1s"
"""


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "verifier.toml"
    path.write_text(text)
    return load(path, {})


def test_what_an_override_does_not_say_is_as_the_sink_has_it(tmp_path: Path) -> None:
    settings = read(tmp_path, SHOP)
    lake = settings.sinks["lake"]

    assert lake.ownership("shop.items") == Ownership("grace", "high")
    assert lake.ownership("orders") == Ownership("ada", None)
    assert [lake.grace_of(topic) for topic in ("shop.items", "orders", "shop.else")] == [10_000, 1_000, 10_000]
    assert settings.ownership("gone", "orders") == Ownership()


def test_overrides_change_no_contract_of_the_fold(tmp_path: Path) -> None:
    """Its digest stands in seals, and a changed one takes effect at a recorded place: an owner is neither's business."""
    plain = SHOP[: SHOP.index("owner")] + 'grace = "10s"\n'

    assert read(tmp_path, SHOP).contracts() == read(tmp_path, plain).contracts()


def test_overrides_are_shown_and_read_again(tmp_path: Path) -> None:
    settings = read(tmp_path, SHOP)

    assert read(tmp_path, show(settings)) == settings


def test_every_fault_of_overrides_is_reported_with_all_others(tmp_path: Path) -> None:
    text = (
        SHOP
        + """
        [sinks.lake.overrides.orderz]
        [sinks.lake.overrides."shop.a"]
        ownr = "x"
        grace = "soon"
        owner = "two\\nlines"
        [sinks.other]
        overrides = 5
        topics = ["orders"]
        severity = ""
    """
    )
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert caught.value.problems == [
        'verifier.toml: sinks.lake.overrides."shop.a".ownr: unknown key; did you mean owner?',
        'verifier.toml: sinks.other.overrides: must be tables, [sinks.<name>.overrides."<change topic>"]',
        "verifier.toml: sinks.lake.overrides.\"shop.a\".owner = 'two\\nlines': must be a text of one line, 1 to 100 characters",
        (
            'verifier.toml: sinks.lake.overrides."shop.a".grace = \'soon\': must be a duration such as "30s": a whole '
            "number and one of ms, s, m, h, d"
        ),
        "verifier.toml: sinks.other.severity = '': must be a text of one line, 1 to 100 characters",
        'sinks.lake.overrides."orderz": is no change topic of this sink (orders, /shop[.].*/)',
    ]


def test_a_topic_that_only_a_pattern_would_mean_must_exist_at_the_start(tmp_path: Path) -> None:
    """Nobody knows before whether it was mistyped."""
    settings = read(tmp_path, SHOP)

    assert override_problems(settings, ["orders", "shop.items"]) == []
    (problem,) = override_problems(settings, ["orders", "shop.other"])
    assert problem.startswith('sinks.lake.overrides."shop.items": topic shop.items does not exist')
