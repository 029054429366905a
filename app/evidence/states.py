"""What one row of a sink's store says of the changes of its key (design section 6).

A row shows a state, not a change: that of the newest change of its key that the sink has applied. The sink is usually ahead
of its commits, so its row is right if it equals what the source expects after any change of the key from the newest below
the progress up to the newest that was read. What equals none of them may still be on its way: the caller looks twice, with
no change of the key in between, before it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.decode.images import Image, Row
from app.evidence.agreement import Verdict, agrees
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from cdc_receipts.atoms import NULL

PLACEHOLDER = "placeholder"
"""What is wrong with a column that holds the text which stands for a value."""

UNKNOWN = b""
"""In a row of a sink: the column is there, and its value is not known (a change log's own unavailable value)."""

_TRUE = frozenset(
    {b"\x01\x01", b"\x02\x01" + bytes(7), *(b"\x05" + word for word in (b"true", b"t", b"TRUE", b"1", b"Y"))}
)
"""What a soft delete's column holds where the row is deleted: Debezium's rewrite writes the text "true"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """The row is what the change says.

    Attributes:
        is_whole: every column was compared; else only its presence is known, as after a truncate.
        is_delete: the change is a delete.
    """

    offset: int
    is_whole: bool
    is_delete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Different:
    """The row is there and is not what the change says.

    Attributes:
        columns: by the source's names, what is wrong with each: ``placeholder``, ``absent``, ``null`` or ``value``; empty
            where a deleted row is still there.
        found: atoms of those columns in the sink, where it has them.
    """

    offset: int
    columns: dict[str, str]
    found: dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The sink shows an older state, or no row: the change never arrived."""

    offset: int


Finding = Equal | Different | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the sink must hold of a key after one change; ``columns`` None: no row."""

    offset: int
    kind: ChangeKind
    table: str
    columns: Row | None
    unknown: frozenset[str] = frozenset()
    is_deleted: bool = False


def states(history: Sequence[Image], terms: StoreTerms) -> list[State]:
    """The states that the changes of one key make, in their order; a truncate is a change of every key.

    A column that is unavailable in a change keeps the value of the change before it, or is unknown.
    """
    found: list[State] = []
    last: State | None = None
    for image in history:
        last = _after(last, image, terms)
        found.append(last)
    return found


def _after(last: State | None, image: Image, terms: StoreTerms) -> State:
    before = last.columns if last is not None else None
    if image.kind is ChangeKind.UPSERT and image.row is not None:
        carried = {name: before[name] for name in image.unavailable if before is not None and name in before}
        return State(
            offset=image.offset,
            kind=image.kind,
            table=image.table,
            columns={**image.row, **carried},
            unknown=image.unavailable - carried.keys(),
        )
    if image.kind is ChangeKind.DELETE and terms.deletes == "soft":
        unknown = frozenset("*") if before is None else last.unknown if last else frozenset()
        return State(
            offset=image.offset,
            kind=image.kind,
            table=image.table,
            columns=before or {},
            unknown=unknown,
            is_deleted=True,
        )
    gone = (image.kind is ChangeKind.DELETE and terms.deletes == "apply") or (
        image.kind is ChangeKind.TRUNCATE and terms.truncates
    )
    if gone or last is None:
        return State(offset=image.offset, kind=image.kind, table=image.table, columns=None)
    return State(
        offset=image.offset,
        kind=image.kind,
        table=image.table,
        columns=last.columns,
        unknown=last.unknown,
        is_deleted=last.is_deleted,
    )


def judge(known: Sequence[State], below: int, row: Row | None, terms: StoreTerms) -> Finding | None:
    """What a row of the sink says about its key.

    Args:
        known: the states of the key, up to the newest change that was read.
        below: the sink's progress; the newest change below it is the one that must have arrived.
        row: the sink's columns by the sink's names; None where it has no row of this key.

    Returns:
        None where the row can't be compared at all, or no change of the key lies below.
    """
    due = max((at for at, state in enumerate(known) if state.offset < below), default=None)
    if due is None:
        return None
    own = known[due].offset
    for state in known[due:]:
        verdict = agreement(state, row, terms)
        if verdict is not False:
            is_others = state.kind is ChangeKind.TRUNCATE
            return Equal(
                offset=own if is_others else state.offset,
                is_whole=bool(verdict) and not is_others and not state.unknown,
                is_delete=(known[due] if is_others else state).kind is ChangeKind.DELETE,
            )
    if row is None or any(agreement(state, row, terms) for state in known[:due]):
        return Absent(offset=own)
    return _difference(known[due], row, terms)


def agreement(state: State, row: Row | None, terms: StoreTerms) -> Verdict:
    """Whether a row is a state's; None where no column is wrong and some can't be compared."""
    if row is None or state.columns is None:
        return row is None and state.columns is None
    verdicts = [verdict for _, verdict, _ in _compared(state, row, terms)]
    return False if False in verdicts else None if None in verdicts else True


def placeholders(state: State, row: Row | None, terms: StoreTerms) -> Different | None:
    """A row that is a state's but for placeholders that stand where values should; None where it is not.

    No change ever says so, whatever else is on its way: one look is enough.
    """
    if row is None or state.columns is None:
        return None
    found = _difference(state, row, terms)
    return found if found.columns and set(found.columns.values()) == {PLACEHOLDER} else None


def _compared(state: State, row: Row, terms: StoreTerms) -> Iterator[tuple[str, Verdict, bytes | None]]:
    """Each column by the source's name, whether it agrees, and what the sink holds."""
    placeholder = b"\x05" + terms.unavailable_value.encode()
    for name, expected in (state.columns or {}).items():
        if terms.is_ignored(state.table, name):
            continue
        found = row.get(terms.name_in_sink(state.table, name))
        if found == UNKNOWN:
            yield name, None, None
        elif found is None:
            yield name, expected == NULL, None
        elif found == placeholder and expected != placeholder:
            yield name, False, found
        else:
            yield name, agrees(expected, found, terms.allowed(state.table, name)), found
    for name in state.unknown:
        found = row.get(terms.name_in_sink(state.table, name))
        if found == placeholder:
            yield name, False, found
    if terms.deletes == "soft" and terms.soft_delete in row:
        found = row[terms.soft_delete]
        yield terms.soft_delete, (found in _TRUE) == state.is_deleted, found


def _difference(state: State, row: Row, terms: StoreTerms) -> Different:
    if state.columns is None:
        return Different(offset=state.offset, columns={}, found={})
    placeholder = b"\x05" + terms.unavailable_value.encode()
    columns, found = {}, {}
    for name, verdict, value in _compared(state, row, terms):
        if verdict is False:
            columns[name] = (
                "absent" if value is None
                else PLACEHOLDER if value == placeholder
                else "null" if value == NULL
                else "value"
            )  # fmt: skip
            if value is not None:
                found[name] = value
    return Different(offset=state.offset, columns=columns, found=found)
