"""A connector's options: texts, as Connect's REST API tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Config = Mapping[str, str]


def is_true(config: Config, option: str) -> bool:
    """Whether an option is on."""
    return config.get(option, "").strip().lower() == "true"


def under(config: Config, prefix: str) -> dict[str, str]:
    """The options below a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def transforms_of(config: Config) -> Iterator[tuple[str, Config]]:
    """A connector's transforms in their order, each with its options."""
    for name in listed(config.get("transforms")):
        yield name, under(config, f"transforms.{name}.")


def listed(text: str | None) -> list[str]:
    """The parts of a list, in their order.

    >>> listed(" id ,total,")
    ['id', 'total']
    """
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def pairs(text: str | None) -> dict[str, str]:
    """A list of ``name:other``.

    >>> pairs("total:amount, sku:code")
    {'total': 'amount', 'sku': 'code'}
    """
    return dict(part.split(":", 1) for part in listed(text) if ":" in part)


def is_matched(pattern: str, text: str) -> bool | None:
    """Whether an expression of Java's matches a text whole; None where it can't be read here."""
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return None


def routed(pattern: str, replacement: str, text: str) -> str | None:
    """A text that an expression of Java's matches whole, replaced, another as it was; None where it can't be read here.

    >>> routed(r"shop[.](.*)", "dw.$1", "shop.orders"), routed("shop", "x", "other")
    ('dw.orders', 'other')
    """
    to = re.sub(r"\$(\d+|\{\w+\})", lambda found: "\\g<" + found[1].strip("{}") + ">", replacement)
    try:
        return re.sub(pattern, to, text, count=1) if re.fullmatch(pattern, text) else text
    except (re.error, IndexError):
        return None
