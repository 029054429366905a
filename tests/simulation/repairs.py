"""Which cells replay commands must name, and which they may (protocol section 5).

A recording is one long catch-up, so commands are judged by what still stands at its end. What the protocol leaves open is
allowed but not required: an older bad change of a key that has a newer one, a bad change with a newer one above the last
fence, and what only an earlier generation or an ended sink was found to lack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.simulation.rules import BAD, Cell, Life, state_of

COMMANDED = BAD - {"duplicated"}
KINDS = {"upsert": "UPSERT", "delete": "DELETE", "truncate": "TRUNCATE"}


def is_newest(offset: int, bad: Iterable[int], life: Life) -> bool:
    """Whether no newer bad change of the key is in ``bad``; an appending sink needs each."""
    key = life.cells[offset].change.key_hash
    if life.contract.writes == "append" or key is None:
        return True
    return not any(other > offset and life.cells[other].change.key_hash == key for other in bad)


def is_wiped(offset: int, life: Life) -> bool:
    """Whether an applied truncate stands above, at a sink that keeps rows."""
    return life.contract.writes != "append" and any(
        other > offset and cell.change.kind == "truncate" and state_now(cell, life) == "delivered"
        for other, cell in life.cells.items()
    )


def state_now(cell: Cell, life: Life) -> str:
    """The state a cell closed with, or what it is now."""
    return cell.closed[0] if cell.closed else state_of(cell, life)


def wanted(life: Life, findings: list[Any]) -> dict[str, list[int]]:
    """Offsets that commands must name, and those that they may."""
    bad = [offset for offset, cell in life.cells.items() if state_now(cell, life) in COMMANDED]
    found: set[int] = set()
    newest: set[int] = set()
    for finding in findings:
        below = [offset for offset, state in finding.states.items() if state in COMMANDED]
        found.update(below)
        if finding.generation == life.generation and not life.is_ended:
            newest.update(offset for offset in below if is_newest(offset, below, life))
    may = [offset for offset in bad if offset in found and not is_wiped(offset, life)]
    return {"must": [offset for offset in may if offset in newest and is_newest(offset, bad, life)], "may": may}


def item_of(offset: int, life: Life) -> dict[str, Any]:
    """What a command has to say of a cell, beside the newest offset of its key."""
    cell = life.cells[offset]
    change, contract = cell.change, life.contract
    expected = None
    if change.kind == "upsert":
        expected = change.expected_fingerprint(contract.ignore_columns, contract.placeholder).hex()
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
