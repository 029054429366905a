"""What the oracle and the product say of one recording, side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.simulation.oracle import Finding, Judge, judges, summary
from tests.simulation.repairs import item_of, newest_of_key

Line = dict[str, Any]

SOURCE = ("sink", "topic", "partition", "offset")
EVIDENCE = ("topic", "partition", "offset")
TTL_MS = 3_600_000
"""The configuration's default, which worlds leave alone."""

SEGMENT = 4_096
"""Offsets that one command may name items of."""


def product_lines(directory: Path, grace_s: float | None = None) -> list[Line]:
    """The JSON lines that the product prints of a recording."""
    from app.cli.offline import verify_lines

    return verify_lines(directory, grace_s=grace_s)


def differences(directory: Path, grace_s: float | None = None) -> list[str]:
    """Everything in which the product and the oracle differ, a line each; empty if they agree."""
    lines = product_lines(directory, grace_s)
    made, evidence = judges(directory, grace_s)
    return [*compare(summary(made, evidence), lines), *command_faults(made, lines)]


def compare(said: dict[str, Any], lines: list[Line]) -> list[str]:
    """Cells, sinks and records beside cells, and which offsets commands name."""
    of_kind: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        of_kind[line["kind"]].append(line)
    found: list[str] = []
    for kind, names, expected in (
        ("cell", (*SOURCE, "state", "flags"), said["cells"]),
        ("orphan", SOURCE, said["orphans"]),
        ("contradicted", SOURCE, said["contradicted"]),
        ("unreadable", EVIDENCE, said["unreadable"]),
        ("unknown_sink", EVIDENCE, said["unknown_sink"]),
    ):
        got = [[line[name] for name in names] for line in of_kind[kind]]
        found += _unequal(kind, expected, got)
    counted = ("sink", "topic", "partition", "counts", "frontier", "settled_watermark", "verified_watermark")
    found += _unequal(
        "sink",
        [[sink[name] for name in counted] for sink in said["sinks"]],
        [[line[name] for name in counted] for line in of_kind["sink"]],
    )
    return found + list(_commanded(said["repair"], of_kind["command"]))


def _unequal(kind: str, expected: Iterable[Any], got: Iterable[Any]) -> Iterator[str]:
    """What one side says more often than the other."""
    wanted, printed = Counter(map(_plain, expected)), Counter(map(_plain, got))
    for item in sorted(wanted - printed):
        yield f"{kind}: only the oracle says {item}"
    for item in sorted(printed - wanted):
        yield f"{kind}: only the product says {item}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return str(value)


def _commanded(repair: dict[str, dict[str, list[int]]], commands: list[Line]) -> Iterator[str]:
    named: dict[str, Counter[int]] = defaultdict(Counter)
    for command in commands:
        lane = "|".join(str(command[name]) for name in ("sink", "topic", "partition"))
        named[lane].update(item["offset"] for item in command["items"])
    for lane in sorted(repair.keys() | named.keys()):
        wanted = repair.get(lane, {"must": [], "may": []})
        if missing := sorted(set(wanted["must"]) - named[lane].keys()):
            yield f"command: {lane} names none of {missing}"
        if needless := sorted(named[lane].keys() - set(wanted["may"])):
            yield f"command: {lane} names {needless} needlessly"
        if twice := sorted(offset for offset, count in named[lane].items() if count > 1):
            yield f"command: {lane} names {twice} more than once"


def command_faults(made: list[Judge], lines: list[Line]) -> list[str]:
    """What commands say of their items, of themselves and of each other."""
    by_name = {one.name: one for one in made}
    commands = [line for line in lines if line["kind"] == "command"]
    found = [f"command: the id {name} is given {count} times" for name, count in _repeated(commands)]
    for command in commands:
        one = by_name.get((command["sink"], command["topic"], command["partition"]))
        if one is None:
            found.append(f"command: {command['id']} is of no lane")
            continue
        found += (f"command: {command['id']} of {one.name}: {fault}" for fault in _faults(one, command))
    return found


def _repeated(commands: list[Line]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(command["id"] for command in commands).items() if count > 1]


def _faults(one: Judge, command: Line) -> Iterator[str]:
    items, contract = command["items"], one.life.contract
    if not items:
        yield "has no items"
    if len({item["offset"] // SEGMENT for item in items}) > 1:
        yield "spans segments"
    fixed = {
        "mode": contract.mode.upper().replace("-", "_"),
        "action": "REDELIVER",
        "attempt": 1,
        "incident": command["id"],
        "trace_id": command["id"],
        "generation": one.life.generation,
    }
    for name, value in fixed.items():
        if command[name] != value:
            yield f"{name} is {command[name]}, not {value}"
    makers = [finding for finding in one.findings if _names_all(finding, items)]
    if command["issued_at"] not in {finding.issued_at for finding in makers}:
        yield f"issued_at is {command['issued_at']}, which no fence that found its items bad could say"
    if command["expires_at"] - command["issued_at"] != TTL_MS:
        yield f"expires {command['expires_at'] - command['issued_at']} ms after it was issued"
    for item in items:
        if item["offset"] not in one.life.cells:
            yield f"item {item['offset']} is no change"
            continue
        yield from _item_faults(one, item)


def _names_all(finding: Finding, items: list[Line]) -> bool:
    """Whether one fence found all of some items bad, for the reasons that they give."""
    return all(finding.states.get(item["offset"], "").upper() == item["reason"] for item in items)


def _item_faults(one: Judge, item: Line) -> Iterator[str]:
    offset = item["offset"]
    for name, value in item_of(offset, one.life).items():
        allowed = {value}
        if name == "reason":
            allowed |= {finding.states[offset].upper() for finding in one.findings if offset in finding.states}
        if item[name] not in allowed:
            yield f"item {offset}: {name} is {item[name]}, not {value}"
    if item["newest_offset"] not in newest_of_key(offset, one.life):
        yield f"item {offset}: newest_offset {item['newest_offset']} is no change of the key from there on"
    seen = [
        later
        for later in newest_of_key(offset, one.life)
        if any(later < finding.read_to for finding in one.findings if offset in finding.states)
    ]
    if item["newest_offset"] < max(seen, default=offset):
        yield f"item {offset}: newest_offset {item['newest_offset']} is older than {max(seen)}, which a fence had read"
