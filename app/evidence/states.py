"""What one row of a sink's store says of the changes of its key (design section 6).

A row shows a state, not a change: that of the newest change of its key that the sink has applied. The sink is usually ahead
of its commits, so its row is right if it equals what the source expects after any change of the key from the newest below
the progress up to the newest that was read. What equals none of them may still be on its way: the caller looks twice, with
no change of the key in between, before it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeGuard

from app.decode import atoms
from app.decode.atoms import Tag
from app.decode.images import Image, Row
from app.evidence.agreement import Verdict, agrees
from app.evidence.keys import is_shown_by_rows, owner
from app.evidence.postgres import packed_list, packed_map
from app.evidence.tables import EVERY, StoreTerms, named
from app.model import ChangeKind, LeftOut
from cdc_receipts import texts
from cdc_receipts.atoms import NULL
from cdc_receipts.atoms import integer as integer_atom
from cdc_receipts.atoms import text as text_atom
from cdc_receipts.fingerprint import Placeholder

PLACEHOLDER = "placeholder"
"""What is wrong with a column that holds the text which stands for a value."""

UNKNOWN = b""
"""In a row of a sink: the column is there, and its value is not known (a change log's own unavailable value)."""

UNTOUCHED = b"\xff"
"""In a row of a log, before an atom or `UNKNOWN`: a value that the log calls unavailable, of a sink that sets every column.

The sink has written the placeholder there, if the row is that of a change that does not tell the value either. If the change tells
it, somebody else wrote the row and left the value as it was: then it is what stands behind this byte.
"""

_MARKED = frozenset({"true", "t", "1", "y", "yes"})
"""Texts of a soft delete's column where the row is deleted, in any letter case: Debezium's rewrite writes "true"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """The row is what the change says.

    Attributes:
        is_whole: every column was compared; else only its presence is known.
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
    """What the sink must hold of a key after one change.

    Attributes:
        columns: None for no row.
        unknown: columns whose value no change that is at hand has told.
        untold: columns whose value the change itself does not tell.
        is_deleted: the row is there and marked as deleted.
        is_unknown: the change can't be read, or nobody knows whether the contract leaves it out: any row may be right,
            and none.
        is_left_out: the contract leaves the change out, and the row may show it all the same: it asks for nothing, and
            nothing follows from it.
        at: the change's own time, ms.
        owner: the record key, where changes of other ones may write the same row of the sink.
    """

    offset: int
    kind: ChangeKind
    table: str
    columns: Row | None
    unknown: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    is_deleted: bool = False
    is_unknown: bool = False
    is_left_out: bool = False
    at: int = 0
    owner: Row | None = None


def states(history: Sequence[Image], terms: StoreTerms) -> list[State]:
    """The states that the changes of one key make, in their order; a truncate is a change of every key.

    A column that is unavailable in a change keeps the value of the change before it, or is unknown. Kinds of changes that
    the contract leaves out make none. A row that it takes no more stays as it was, by contract; that it goes, or becomes what
    the change says, is nothing that a loss could be told by. Where changes of
    other record keys may write the same row, no value is carried on.
    """
    found: list[State] = []
    last: State | None = None
    for image in history:
        if not is_shown_by_rows(image, terms):
            continue
        if last is not None and last.table != image.table:
            last = None  # a row of another table that has this key, too
        match terms.left_out(image):
            case LeftOut.YES:
                last = None
                found += _left_out(image)
            case LeftOut.UNKNOWN:
                last = None
                found.append(_state(image, None, frozenset(EVERY), is_unknown=True))
            case LeftOut.NO:
                owned_by = owner(image, terms) if terms.keys else None
                last = _after(last if owned_by is None else None, image, terms)
                last = last if owned_by is None else replace(last, owner=owned_by)
                found.append(last)
    return found


def due(known: Sequence[State], below: int) -> int | None:
    """The place of the newest state below a progress that the contract asks for; None where there is none."""
    places = (at for at, state in enumerate(known) if state.offset < below and not state.is_left_out)
    return max(places, default=None)


def _left_out(image: Image) -> list[State]:
    """What a row may be after a change that the contract leaves out, beside what it was."""
    gone = _state(image, None, is_left_out=True)
    return [gone] if image.row is None else [_state(image, image.row, image.unavailable, is_left_out=True), gone]


def _after(last: State | None, image: Image, terms: StoreTerms) -> State:
    before = last.columns if last is not None else None
    if image.kind is ChangeKind.DELETE and terms.deletes == "soft":
        unknown = last.unknown if last is not None and before is not None else frozenset(EVERY)
        return _state(image, before or {}, unknown, is_deleted=True)
    if image.kind in (ChangeKind.DELETE, ChangeKind.TRUNCATE):
        return _state(image, None)
    if image.row is None:
        return _state(image, None, frozenset(EVERY), is_unknown=True)
    carried = {name: before[name] for name in image.unavailable if before is not None and name in before}
    return _state(image, {**image.row, **carried}, image.unavailable - carried.keys(), untold=image.unavailable)


def _state(
    image: Image,
    columns: Row | None,
    unknown: frozenset[str] = frozenset(),
    *,
    untold: frozenset[str] = frozenset(),
    is_deleted: bool = False,
    is_unknown: bool = False,
    is_left_out: bool = False,
) -> State:
    return State(
        offset=image.offset,
        kind=image.kind,
        table=image.table,
        columns=columns,
        unknown=unknown,
        untold=untold,
        is_deleted=is_deleted,
        is_unknown=is_unknown,
        is_left_out=is_left_out,
        at=image.at,
    )


def judge(
    known: Sequence[State], below: int, row: Row | None, terms: StoreTerms, *, may_be_gone: bool = False
) -> Finding | None:
    """What a row of the sink says about its key.

    Args:
        known: the states of the key, up to the newest change that was read.
        below: the sink's progress; the newest change below it is the one that must have arrived.
        row: the sink's columns by the sink's names; None where it has no row of this key.
        may_be_gone: a truncate of another source partition of the table may have taken the row, whenever the sink read it.

    Returns:
        None where nothing is known: no change of the key lies below, the row can't be compared, or what it shows may be
        a truncate, of which one row proves nothing, or a change of another record key.
    """
    place = due(known, below)
    if place is None:
        return None
    if known[place].owner is not None:
        may_be_gone = may_be_gone or terms.deletes != "ignore" or terms.truncates
        if row is not None and not _is_owned(known[place], row, terms):
            return None
    for state in known[place:]:
        verdict = agreement(state, row, terms)
        if verdict is not False:
            return _equal(state, verdict)
    own = known[place]
    if row is None:
        return None if may_be_gone else Absent(offset=own.offset)
    if any(_is_as_before(state, own, row, terms) for state in known[:place]):
        return Absent(offset=own.offset)
    if own.kind is ChangeKind.TRUNCATE:
        may_be_newer = any(state.columns is not None for state in known[place:])
        return None if may_be_newer else Absent(offset=own.offset)
    spoiled = (placeholders(state, row, terms) for state in known[place:] if not state.is_left_out)
    return next(filter(None, spoiled), None) or _nearest(known[place:], row, terms)


def _is_as_before(state: State, own: State, row: Row, terms: StoreTerms) -> bool:
    """Whether a row shows an earlier state, with nothing in the columns that came after it."""
    newer = (own.columns or {}).keys() - (state.columns or {}).keys() - state.unknown
    held = (named(row, terms.name_in_sink(own.table, name)) for name in newer if not terms.is_ignored(own.table, name))
    return bool(agreement(state, row, terms)) and all(not found or found == NULL for found in held)


def _is_owned(state: State, row: Row, terms: StoreTerms) -> bool:
    """Whether a row shows the record key of a state, and no mark of a delete that may be another record key's."""
    if terms.deletes == "soft" and _is_marked(named(row, terms.soft_delete)) is not state.is_deleted:
        return False
    for name, atom in (state.owner or {}).items():
        found = named(row, terms.name_in_sink(state.table, name))
        if not found or is_untouched(found) or agrees(atom, found, terms.allowed(state.table, name)) is not True:
            return False
    return True


def _equal(state: State, verdict: Verdict) -> Equal | None:
    """The first state that a row may be: it claims the least."""
    if state.is_unknown or state.is_left_out or state.kind is ChangeKind.TRUNCATE:
        return None
    is_delete = state.kind is ChangeKind.DELETE
    return Equal(offset=state.offset, is_whole=bool(verdict) and not state.unknown, is_delete=is_delete)


def _nearest(known: Sequence[State], row: Row, terms: StoreTerms) -> Different | None:
    """The difference from the first state; None where the row is as near to a later one, which may be what was spoiled."""
    own, *later = (None if state.columns is None else _difference(state, row, terms) for state in known)
    if own is None:
        return None if any(later) else Different(offset=known[0].offset, columns={}, found={})
    return None if any(one and len(one.columns) <= len(own.columns) for one in later) else own


def agreement(state: State, row: Row | None, terms: StoreTerms) -> Verdict:
    """Whether a row is a state's; None where no column is wrong and some can't be compared."""
    if state.is_unknown:
        return None
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
    for name, expected in (state.columns or {}).items():
        if terms.is_ignored(state.table, name):
            continue
        found = named(row, terms.name_in_sink(state.table, name))
        if not is_untouched(found):
            yield name, _verdict(state, name, expected, found, terms), found or None
        elif name in state.untold:
            yield name, False, placeholder_atom(terms)
        else:  # the value of an older change, perhaps: it proves nothing of this one
            verdict = _verdict(state, name, expected, found[1:], terms)
            yield name, False if verdict is False else None, found[1:] or None
    forms = placeholder_atoms(terms.unavailable_value)
    for name in state.unknown:
        found = None if terms.is_ignored(state.table, name) else named(row, terms.name_in_sink(state.table, name))
        if found in forms or is_untouched(found):
            yield name, False, placeholder_atom(terms) if is_untouched(found) else found
    if terms.deletes == "soft":
        found = named(row, terms.soft_delete)
        is_marked = _is_marked(found)
        yield terms.soft_delete, None if is_marked is None else is_marked == state.is_deleted, found or None


def _verdict(state: State, name: str, expected: bytes, found: bytes | None, terms: StoreTerms) -> Verdict:
    if found == expected:  # the same bytes: what nearly every column of a right row comes to
        return True
    if found == UNKNOWN:
        return None
    if not found or (found == NULL and not terms.is_due(state.table, name, state.at)):
        return expected == NULL or _lacks(state, name, terms, is_there=found is not None)
    forms = placeholder_atoms(terms.unavailable_value)
    if found in forms and expected not in forms:
        return False
    return agrees(expected, found, terms.allowed(state.table, name))


def is_untouched(found: bytes | None) -> TypeGuard[bytes]:
    """Whether a row's value is marked as `UNTOUCHED`."""
    return found is not None and found[:1] == UNTOUCHED


def placeholder_atom(terms: StoreTerms) -> bytes:
    """The unavailable-value placeholder as a sink's text column holds it."""
    return text_atom(terms.unavailable_value)


def _lacks(state: State, name: str, terms: StoreTerms, *, is_there: bool) -> Verdict:
    """Of a value that the store does not have: a column that is not due yet may come later, with NULL in older rows."""
    is_due = terms.is_due(state.table, name, state.at) and not (terms.is_at_rest and not is_there)
    return False if is_due else None


def _is_marked(found: bytes | None) -> bool | None:
    """Whether a soft delete's column says that the row is deleted: a true value, or the time of the delete."""
    if found is None or found == NULL:
        return False
    if found == UNKNOWN or is_untouched(found):
        return None
    match atoms.tag(found):
        case Tag.BOOLEAN | Tag.INTEGER | Tag.BITS:
            return atoms.integer(found) != 0
        case Tag.DECIMAL:
            return atoms.decimal(found) != 0
        case Tag.TEXT:
            return atoms.text(found).casefold() in _MARKED
        case Tag.LOCAL_TIMESTAMP | Tag.INSTANT | Tag.DATE:
            return True
    return None


@cache
def placeholder_atoms(text: str) -> frozenset[bytes]:
    """The unavailable-value placeholder in every form that a sink can hold it in."""
    form = Placeholder(text)
    lists = [[_as_atom(item) for item in items] for items in form.lists]
    uuid = _as_atom(form.lists[2][0])
    maps = [(key.encode(), _as_atom(value)) for found in form.maps for key, value in found.items()]
    packed = {packed_list(items) for items in lists} | {
        packed_list([texts.uuid(atoms.text(uuid)) or uuid]),
        packed_map(maps),
    }
    return frozenset({_as_atom(form.text), _as_atom(form.data)} | packed)


def _as_atom(value: str | bytes | int) -> bytes:
    if isinstance(value, int):
        return integer_atom(value)
    return text_atom(value) if isinstance(value, str) else b"\x06" + value


def _difference(state: State, row: Row, terms: StoreTerms) -> Different:
    if state.columns is None:
        return Different(offset=state.offset, columns={}, found={})
    forms = placeholder_atoms(terms.unavailable_value)
    columns, found = {}, {}
    for name, verdict, value in _compared(state, row, terms):
        if verdict is False:
            columns[name] = (
                "absent" if value is None
                else PLACEHOLDER if value in forms
                else "null" if value == NULL
                else "value"
            )  # fmt: skip
            if value is not None:
                found[name] = value
    return Different(offset=state.offset, columns=columns, found=found)
