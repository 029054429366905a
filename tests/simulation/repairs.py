"""Which cells replay commands must name, and which they may (protocol section 5).

A recording is one long catch-up, so commands are judged by what still stands at its end. What the protocol leaves open is
allowed but not required: an older bad change of a key that has a newer one, a change that was not bad at some time since a
fence found it, one older than a truncate that was applied for a time, or twice, and what only an earlier generation or an
ended sink was found to lack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.simulation.rules import BAD, Cell, Life, state_of

COMMANDED = BAD - {"duplicated"}
APPLIED = {"delivered", "duplicated"}
"""States of a truncate that was applied, once or twice."""

KINDS = {"upsert": "UPSERT", "delete": "DELETE", "truncate": "TRUNCATE"}


def is_newest(offset: int, bad: Iterable[int], life: Life) -> bool:
    """Whether no newer bad change of the key is in ``bad``; an appending sink needs each."""
    key = life.cells[offset].change.key_hash
    if life.contract.writes == "append" or key is None:
        return True
    return not any(other > offset and life.cells[other].change.key_hash == key for other in bad)


def is_wiped(offset: int, life: Life, states: set[str]) -> bool:
    """Whether a truncate in one of these states stands above, at a sink that keeps rows."""
    return life.contract.writes != "append" and any(
        other > offset and cell.change.kind == "truncate" and state_now(cell, life) in states
        for other, cell in life.cells.items()
    )


def state_now(cell: Cell, life: Life) -> str:
    """The state a cell closed with, or what it is now."""
    return cell.closed[0] if cell.closed else state_of(cell, life)


def newest_bad(bad: list[int], life: Life) -> set[int]:
    """Those of some bad cells that a command names."""
    return {offset for offset in bad if is_newest(offset, bad, life)}


def still_standing(standing: set[int], touched: Cell, life: Life) -> set[int]:
    """What is left of the cells to name, after evidence about one cell.

    Only cells of its key can have turned good by it; where it is a truncate that is applied now, what is older is wiped.
    """
    key = touched.change.key_hash
    is_applied = touched.change.kind == "truncate" and state_now(touched, life) in APPLIED
    wiped_below = touched.change.offset if is_applied and life.contract.writes != "append" else -1

    def is_good_now(offset: int) -> bool:
        cell = life.cells[offset]
        is_near = cell is touched or (key is not None and cell.change.key_hash == key)
        return is_near and state_now(cell, life) not in COMMANDED

    return {offset for offset in standing if offset > wiped_below and not is_good_now(offset)}


def wanted(life: Life, found: set[int], standing: set[int]) -> dict[str, list[int]]:
    """Offsets that commands must name, and those that they may.

    Args:
        found: what any fence found bad.
        standing: what this generation's fences found bad and newest of its key, and was bad ever since.
    """
    bad = [offset for offset, cell in life.cells.items() if state_now(cell, life) in COMMANDED]
    may = [offset for offset in bad if offset in found and not is_wiped(offset, life, {"delivered"})]
    if life.is_ended:
        return {"must": [], "may": may}
    must = {offset for offset in newest_bad(bad, life) & standing if not life.cells[offset].is_waived}
    return {"must": [offset for offset in may if offset in must and not is_wiped(offset, life, APPLIED)], "may": may}


def item_of(offset: int, life: Life) -> dict[str, Any]:
    """What a command has to say of a cell, beside the newest offset of its key."""
    cell = life.cells[offset]
    change, contract = cell.change, life.contract
    expected = None
    if change.kind == "upsert":
        expected = change.expected_fingerprint(contract.ignored(change), contract.placeholder).hex()
    return {
        "offset": offset,
        "reason": state_now(cell, life).upper(),
        "key_hash": change.key_hash.hex() if change.key_hash else None,
        "kind": KINDS.get(change.kind, "UNKNOWN"),
        "fingerprint": expected,
    }


def newest_of_key(offset: int, life: Life) -> list[int]:
    """Every offset that may be called the newest of the key: its changes from this one on."""
    cell = life.cells[offset]
    return [offset, *(later.change.offset for later in life.later_of_key(cell))]
