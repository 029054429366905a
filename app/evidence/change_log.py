"""The change log of a sink's own database: a second Debezium connector tells every row that was written there.

Each of its records shows one write; a truncate is shown only by logs whose connector does not skip it, so its silence
about one proves nothing. Walking through them beside the changes of their key proves what arrived: a row that is
what the source expects after a later change than the last one found is that change, applied at the log's time; one that is
an earlier change again is a redelivery. A row that is neither convicts nobody: it may stand in the middle of a batch that
is applied again. What the sink holds at the end of the log does, as a row read back would, as far as the log is known to
cover the writes of a change (`coverage`): a log may begin late, and it lags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.decode.images import Image
from app.evidence.agreement import Verdict
from app.evidence.keys import KeyText, shared_text
from app.evidence.states import (
    PLACEHOLDER,
    UNKNOWN,
    UNTOUCHED,
    Different,
    Equal,
    State,
    agreement,
    is_untouched,
    placeholder_atom,
    placeholders,
)
from app.evidence.tables import StoreTerms, named
from app.model import ChangeKind

INSERTS = ("c", "r")
"""Of a log: rows that were inserted, or read whole by a snapshot."""
CLOCKS_MS = 300_000
"""A write that is so much older than a change is none of it: clocks of two databases do not differ by more."""
LAST_WRITES = 100
"""So many of a log's newest records are asked how far the sink had come."""

SinkRow = dict[str, bytes]
Walked = list[tuple[int, Equal | Different]]
"""When the sink wrote it, ms, and what it is."""


class Replica:
    """The sink's table as its log shows it: the last row of each key."""

    def __init__(self, terms: StoreTerms) -> None:
        self._terms = terms
        self._rows: dict[KeyText, SinkRow] = {}
        self._heard: set[KeyText] = set()

    def take(self, key: KeyText | None, image: Image) -> None:
        """One record of the log."""
        if image.kind is ChangeKind.TRUNCATE:
            self._rows.clear()
        elif key is None:
            return
        elif image.kind is ChangeKind.DELETE:
            self._rows.pop(key, None)
        elif image.kind is ChangeKind.UPSERT:
            self._rows[key] = row_after(self._rows.get(key), image, self._terms)
        if key is not None:
            self._heard.add(key)

    def row(self, key: KeyText) -> SinkRow | None:
        """The row of a key, None where there is none."""
        return self._rows.get(key)

    def has_heard_of(self, key: KeyText) -> bool:
        """Whether the log has a record of a key."""
        return key in self._heard


def row_after(before: Mapping[str, bytes] | None, image: Image, terms: StoreTerms) -> SinkRow:
    """A key's row after one more record of the log.

    A value that the log calls unavailable was left as it was. In an insert there was none, and the text is what was written.
    Of a sink that sets every column it is `UNTOUCHED`: what the sink wrote, or left by somebody else. A write that left all
    other values as they were is not known to be either.
    """
    before = before or {}
    kept = {name: before.get(name, UNKNOWN) for name in image.unavailable}
    told = image.row or {}
    if image.op in INSERTS:
        kept = dict.fromkeys(kept, placeholder_atom(terms))
    elif terms.sets_every_column:
        is_same = bool(before) and all(before.get(name) == atom for name, atom in told.items())
        kept = {name: UNKNOWN if is_same else UNTOUCHED + atom.removeprefix(UNTOUCHED) for name, atom in kept.items()}
    return {**told, **kept}


def _is_of_another(state: State, row: SinkRow | None, terms: StoreTerms) -> bool:
    """Whether a write left a value as it was that the change tells: a sink that sets every column wrote no such row for it."""
    told = (state.columns or {}).keys() - state.untold - state.unknown
    return row is not None and any(is_untouched(named(row, terms.name_in_sink(state.table, name))) for name in told)


def source_key(image: Image, terms: StoreTerms, table: str, columns: Sequence[str]) -> KeyText | None:
    """A log record's key by the source's column names, in the form of `shared_text`; None where it has other columns."""
    key = image.key or {}
    found = {column: named(key, terms.name_in_sink(table, column)) for column in columns}
    atoms = {column: atom for column, atom in found.items() if atom is not None}
    return shared_text(atoms, terms, table) if len(atoms) == len(columns) else None


def replica(log: Iterable[Image], terms: StoreTerms, table: str, columns: Sequence[str]) -> Replica:
    """What the sink holds after a log."""
    found = Replica(terms)
    for image in log:
        found.take(source_key(image, terms, table, columns), image)
    return found


def first_told(log: Iterable[Image]) -> list[Image]:
    """A log without what it says twice: a connector that starts again tells what it had told before.

    The same place in the database's own log is the same write, and no redelivery. A snapshot that is taken while the log
    goes on has no places.
    """
    found: list[Image] = []
    told: set[tuple[object, ...]] = set()
    for image in log:
        place = (image.position, *sorted((image.key or {}).items()))
        if image.position is None or place not in told:
            found.append(image)
            told.add(place)
    return found


def walk(
    known: Mapping[KeyText, list[State]], log: Iterable[Image], terms: StoreTerms, table: str, columns: Sequence[str]
) -> Walked:
    """What a log proves of the changes of its keys, in the log's order.

    Args:
        known: the states that the changes of each key make, by the form of `shared_text`.
        table, columns: the source's table and the columns of its key.
    """
    found: Walked = []
    last: dict[KeyText, int] = {}
    heard: set[int] = set()
    for image in log:
        key = source_key(image, terms, table, columns)
        if key is None or key not in known or image.kind not in (ChangeKind.UPSERT, ChangeKind.DELETE):
            continue
        row = row_after(None, image, terms) if image.kind is ChangeKind.UPSERT else None
        at = _place(known[key], row, last.get(key, -1), heard, terms)
        if at is None:
            continue
        place, finding = at
        last[key] = max(place, last.get(key, -1))
        heard.add(finding.offset)
        if isinstance(finding, Equal) or terms.is_every_change or _is_newest(known[key], place):
            found.append((image.at, finding))
    return found


class Coverage(NamedTuple):
    """Which changes' writes a log is sure to show: those of a key that it has heard of, and of any key above ``after``."""

    after: int
    below: int


class Witness(NamedTuple):
    """A record of a log that shows how far a sink had come when it was written.

    Attributes:
        change: the offset of the earliest change at hand that it may be; place: its own offset in its partition of the log.
        is_whole: every column was compared.
        is_new: the record of its key before it shows another change, as far as one is held.
    """

    change: int
    place: int
    is_whole: bool
    is_new: bool


class Reach(NamedTuple):
    """How far one partition of a log reaches: see `Coverage`; the changes that it shows, the newest first."""

    after: int
    shown: list[Witness]


NOWHERE = Coverage(after=1 << 62, below=0)


def coverage(
    known: Mapping[KeyText, list[State]], log: Sequence[Image], terms: StoreTerms, table: str, columns: Sequence[str]
) -> Coverage:
    """How much of what a sink wrote its log, of one partition, shows, told by the changes that its rows are.

    A sink reads a source partition in order. So what it wrote after the first record of the log is in it, if it is from a
    change above the latest one that this record may be; and what it wrote before the last transaction, if from a change up
    to the earliest one that some record before that transaction may be. A snapshot goes through the rows in an order of
    its own: one that shows a late change proves nothing of the rows that it has not come to.
    """
    found = reach(known, log, terms, table, columns)
    return Coverage(after=found.after, below=found.shown[0].change + 1 if found.shown else 0)


def reach(
    known: Mapping[KeyText, list[State]],
    log: Sequence[Image],
    terms: StoreTerms,
    table: str,
    columns: Sequence[str],
    end: int | None = None,
) -> Reach:
    """The same, with every change that some late record is at the earliest.

    Args:
        end: when the last transaction was made that the log tells of, ms; None where ``log`` is all of it. A part of a log
            that is rows of a snapshot alone does not tell what was written after them.
    """
    written = [image for image in log if image.op != "r"] or (list(log) if end is None else [])
    first = next((found for image in written if (found := _fitting(known, image, terms, table, columns))), [])
    end = max((image.at for image in log), default=0) if end is None else end
    shown = []
    for image, before in _late(log):
        fitting = _fitting(known, image, terms, table, columns) if image.at < end and image.op != "r" else []
        if fitting:
            change, is_whole = fitting[0]
            earlier = _fitting(known, before, terms, table, columns) if before is not None else []
            is_new = all(offset != change for offset, _ in earlier)
            shown.append(Witness(change=change, place=image.offset, is_whole=is_whole, is_new=is_new))
    return Reach(after=first[-1][0] if first else NOWHERE.after, shown=sorted(shown, reverse=True))


def _late(log: Sequence[Image]) -> list[tuple[Image, Image | None]]:
    """The newest records of a log, each with the one of its key before it."""
    last: dict[tuple[object, ...], Image] = {}
    found: list[tuple[Image, Image | None]] = []
    for image in log:
        key = tuple((image.key or {}).items())
        found.append((image, last.get(key)))
        last[key] = image
    return found[-LAST_WRITES:]


def _fitting(
    known: Mapping[KeyText, list[State]], image: Image, terms: StoreTerms, table: str, columns: Sequence[str]
) -> list[tuple[int, bool]]:
    """Offsets of the changes that a record of the log may be, and whether every column was compared."""
    key = source_key(image, terms, table, columns)
    if key is None or image.kind not in (ChangeKind.UPSERT, ChangeKind.DELETE):
        return []
    row = row_after(None, image, terms) if image.kind is ChangeKind.UPSERT else None
    fits = (state for state in known.get(key, ()) if state.kind is not ChangeKind.TRUNCATE)
    happened = (state for state in fits if state.at <= image.at + CLOCKS_MS and not _is_of_another(state, row, terms))
    verdicts = ((state, agreement(state, row, terms)) for state in happened)
    return [(state.offset, bool(one) and not state.unknown) for state, one in verdicts if one is not False]


def shows_only(
    known: Sequence[State], finding: Equal | Different, row: Mapping[str, bytes] | None, terms: StoreTerms
) -> Verdict:
    """Whether a row is that of one change, but for texts that stand for values, and of no earlier one at hand.

    Returns:
        None where it is so by those columns alone that can be compared.
    """
    own = next(state for state in known if state.offset == finding.offset)
    earlier = [state for state in known if state.offset < finding.offset]
    if any(agreement(one, row, terms) is not False or placeholders(one, row, terms) is not None for one in earlier):
        return False
    if isinstance(finding, Equal):
        return finding.is_whole or None
    if set(finding.columns.values()) != {PLACEHOLDER}:
        return False
    rest = {name: atom for name, atom in (own.columns or {}).items() if name not in finding.columns}
    unknown = own.unknown - finding.columns.keys()
    verdict = agreement(replace(own, columns=rest, unknown=unknown), row, terms)
    return None if verdict and unknown else verdict


def shows_none_below(known: Sequence[State], offset: int, row: Mapping[str, bytes] | None, terms: StoreTerms) -> bool:
    """Whether a row, or that there is none, is what no change at hand below an offset made."""
    return all(agreement(state, row, terms) is False for state in known if state.offset < offset)


def _is_newest(known: list[State], place: int) -> bool:
    """Whether no later change of the key stands for this one; a truncate has no key, and what is left out stands for none."""
    return all(state.kind is ChangeKind.TRUNCATE or state.is_left_out for state in known[place + 1 :])


def _place(
    known: list[State], row: SinkRow | None, last: int, heard: set[int], terms: StoreTerms
) -> tuple[int, Equal | Different] | None:
    """The first state after the last one found that a row is; else the newest of those found that it is again."""
    for place in (*range(last + 1, len(known)), *range(last, -1, -1)):
        state = known[place]
        says_nothing = state.kind is ChangeKind.TRUNCATE or state.is_unknown or state.is_left_out
        if says_nothing or (place <= last and state.offset not in heard) or _is_of_another(state, row, terms):
            continue
        verdict = agreement(state, row, terms)
        if verdict is not False:
            is_whole = bool(verdict) and not state.unknown
            return place, Equal(offset=state.offset, is_whole=is_whole, is_delete=state.kind is ChangeKind.DELETE)
        spoiled = placeholders(state, row, terms)
        if spoiled is not None:
            return place, spoiled
    return None
