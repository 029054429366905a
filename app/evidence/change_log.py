"""The change log of a sink's own database: a second Debezium connector tells every row that was written there.

Each of its records shows one write. Walking through them beside the changes of their key proves what arrived: a row that is
what the source expects after a later change than the last one found is that change, applied at the log's time; one that is
an earlier change again is a redelivery. A row that is neither convicts nobody: it may stand in the middle of a batch that
is applied again. What the sink holds at the end of the log does, as a row read back would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.decode.images import Image
from app.evidence.keys import KeyText, key_text
from app.evidence.states import UNKNOWN, Different, Equal, State, agreement, placeholders
from app.evidence.tables import StoreTerms
from app.model import ChangeKind

SinkRow = dict[str, bytes]
Walked = list[tuple[int, Equal | Different]]
"""When the sink wrote it, ms, and what it is."""


class Replica:
    """The sink's table as its log shows it: the last row of each key."""

    def __init__(self, terms: StoreTerms) -> None:
        self._terms = terms
        self._rows: dict[KeyText, SinkRow] = {}

    def take(self, key: KeyText | None, image: Image) -> None:
        """One record of the log."""
        if image.kind is ChangeKind.TRUNCATE:
            self._rows.clear()
        elif key is None:
            return
        elif image.kind is ChangeKind.DELETE:
            self._rows.pop(key, None)
        elif image.kind is ChangeKind.UPSERT:
            self._rows[key] = row_of(image, self._terms)

    def row(self, key: KeyText) -> SinkRow | None:
        """The row of a key, None where there is none."""
        return self._rows.get(key)

    def keys(self) -> Iterable[KeyText]:
        """Every key that has a row."""
        return self._rows.keys()


def row_of(image: Image, terms: StoreTerms) -> SinkRow:
    """A row of the log.

    A value that the log calls unavailable was left as it was, and is not known; unless the sink sets every column at every
    write: then no value is ever left as it was, and the placeholder is what it wrote.
    """
    placeholder = b"\x05" + terms.unavailable_value.encode() if terms.sets_every_column else UNKNOWN
    return {**(image.row or {}), **dict.fromkeys(image.unavailable, placeholder)}


def source_key(image: Image, terms: StoreTerms, table: str, columns: Sequence[str]) -> KeyText | None:
    """A log record's key by the source's column names; None where it has other columns."""
    key = image.key or {}
    names = {terms.name_in_sink(table, column): column for column in columns}
    if not names.keys() <= key.keys():
        return None
    return key_text({column: key[name] for name, column in names.items()})


def replica(log: Iterable[Image], terms: StoreTerms, table: str, columns: Sequence[str]) -> Replica:
    """What the sink holds after a log."""
    found = Replica(terms)
    for image in log:
        found.take(source_key(image, terms, table, columns), image)
    return found


def walk(
    known: Mapping[KeyText, list[State]], log: Iterable[Image], terms: StoreTerms, table: str, columns: Sequence[str]
) -> Walked:
    """What a log proves of the changes of its keys, in the log's order.

    Args:
        known: the states that the changes of each key make.
        table, columns: the source's table and the columns of its key.
    """
    found: Walked = []
    last: dict[KeyText, int] = {}
    heard: set[int] = set()
    for image in log:
        key = source_key(image, terms, table, columns)
        if key is None or key not in known or image.kind not in (ChangeKind.UPSERT, ChangeKind.DELETE):
            continue
        row = row_of(image, terms) if image.kind is ChangeKind.UPSERT else None
        at = _place(known[key], row, last.get(key, -1), heard, terms)
        if at is None:
            continue
        place, finding = at
        last[key] = max(place, last.get(key, -1))
        heard.add(finding.offset)
        if isinstance(finding, Equal) or terms.is_every_change or _is_newest(known[key], place):
            found.append((image.at, finding))
    return found


def _is_newest(known: list[State], place: int) -> bool:
    """Whether no later change of the key stands for this one; a truncate has no key."""
    return all(state.kind is ChangeKind.TRUNCATE for state in known[place + 1 :])


def _place(
    known: list[State], row: SinkRow | None, last: int, heard: set[int], terms: StoreTerms
) -> tuple[int, Equal | Different] | None:
    """The first state after the last one found that a row is; else the newest of those found that it is again."""
    for place in (*range(last + 1, len(known)), *range(last, -1, -1)):
        state = known[place]
        if state.kind is ChangeKind.TRUNCATE or (place <= last and state.offset not in heard):
            continue
        verdict = agreement(state, row, terms)
        if verdict is not False:
            is_whole = bool(verdict) and not state.unknown
            return place, Equal(offset=state.offset, is_whole=is_whole, is_delete=state.kind is ChangeKind.DELETE)
        spoiled = placeholders(state, row, terms)
        if spoiled is not None:
            return place, spoiled
    return None
